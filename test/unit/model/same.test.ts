/** `same` compares part by part what Go would write; it must never differ from writing it. */
import { expect, test } from "bun:test"
import {
  always,
  decode,
  dictionary,
  encode,
  flag,
  int,
  list,
  maybe,
  nullable,
  nullableList,
  omit,
  same,
  struct,
  text,
} from "#model/codec.ts"

const Inner = struct({ name: omit(text), on: always(flag) })
const Outer = struct({
  count: omit(int),
  inner: always(Inner),
  spare: maybe(Inner),
  pointer: always(nullable(int)),
  list: omit(list(text)),
  slice: always(nullableList(Inner)),
  map: omit(dictionary<string, string>(text)),
})

const documents = [
  `{}`,
  `{"count":0,"inner":{"name":"","on":false}}`,
  `{"count":1}`,
  `{"inner":{"on":true}}`,
  `{"inner":{"name":"a"}}`,
  `{"spare":{}}`,
  `{"spare":{"on":true}}`,
  `{"pointer":0}`,
  `{"pointer":7}`,
  `{"list":[]}`,
  `{"list":["a","b"]}`,
  `{"list":["b","a"]}`,
  `{"list":["a"]}`,
  `{"slice":[]}`,
  `{"slice":[{}]}`,
  `{"slice":[{"on":true}]}`,
  `{"map":{}}`,
  `{"map":{"a":"1","b":"2"}}`,
  `{"map":{"b":"2","a":"1"}}`,
  `{"map":{"a":"1","c":"2"}}`,
  `{"newer":1}`,
  `{"newer":2}`,
  `{"inner":{"newer":[1]}}`,
  `{"inner":{"newer":[1],"other":null}}`,
]

test("same() says what a comparison of the written bytes says, for every pair", () => {
  for (const left of documents)
    for (const right of documents) {
      const [a, b] = [decode(Outer, left), decode(Outer, right)]
      const written = encode(Outer, a) === encode(Outer, b)
      expect(`${left} ${right} ${same(Outer, a, b)}`).toBe(`${left} ${right} ${written}`)
    }
})
