/** Where a client is led: in turns among equals, to the next group when none of them answers. */
import { expect, test } from "bun:test"

import { sortedSet } from "#base/order.ts"
import { newChoice, nowhere, only } from "#relay/way.ts"

const [a, b, c] = ["a", "b", "c"].map((host) => ({ host, port: 1 })) as [Place, Place, Place]
type Place = { readonly host: string; readonly port: number }

/** All that one client would be led to, one after the other. */
function course(way: ReturnType<typeof only>): string {
  const tried: Place[] = []
  for (let next = way.pick(tried); next !== null; next = way.pick(tried)) tried.push(next)
  return tried.map(({ host }) => host).join("")
}

test("only() has one destination and no second, nowhere has none", () => {
  expect(course(only(a))).toBe("a")
  expect(course(nowhere)).toBe("")
})

test("among() takes equals in turns, and lets a client try each of them once", () => {
  const way = newChoice(() => 0).among([[a, b, c]])
  const firsts = Array.from({ length: 6 }, () => way.pick([])?.host ?? "")
  expect(firsts).toEqual(["a", "b", "c", "a", "b", "c"])
  expect(sortedSet(course(way).split(""))).toEqual(["a", "b", "c"])
})

test("among() leads to a later group only when nobody of the first is left", () => {
  const way = newChoice(() => 0).among([[a], [b, c]])
  expect(Array.from({ length: 4 }, () => way.pick([])?.host).join("")).toBe("aaaa")
  expect(course(way)[0]).toBe("a")
  expect(course(way)).toHaveLength(3)
})

test("failed() puts a destination last for five seconds, also in groups that come later", () => {
  let now = 0
  const choice = newChoice(() => now)
  const before = choice.among([[a], [b]])
  before.failed(a)
  expect(before.pick([])).toBe(b)
  const way = choice.among([[a], [b], [c]])
  expect(course(way)).toBe("bca")
  way.failed(b)
  way.failed(c)
  expect(course(way)).toBe("abc") // nobody answers: they are tried all the same, in their order
  now = 5_001
  expect(course(way)).toBe("abc")
  expect(way.pick([])).toBe(a)
})
