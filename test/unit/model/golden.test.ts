/**
 * Documents recorded from a live Go cluster: decoded and encoded again they are the same bytes
 * (reference 3.4).
 */
import { describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { Glob } from "bun"
import { decodeClusterData, encodeClusterData } from "#model/cluster.ts"
import { type Kind, decode, encode } from "#model/codec.ts"
import { KeeperInfo, ProxyInfo, SentinelInfo } from "#model/info.ts"

const root = `${import.meta.dir}/../../golden/store`
const files = [...new Glob("**/*.json").scanSync(root)].toSorted()
const kinds: Readonly<Record<string, Kind<never>>> = {
  keeperinfo: KeeperInfo as unknown as Kind<never>, // a table of codecs of different types
  proxyinfo: ProxyInfo as unknown as Kind<never>,
  sentinelinfo: SentinelInfo as unknown as Kind<never>,
}

function again(file: string, text: string): string {
  const kind = kinds[file.split("/")[0] ?? ""]
  if (kind !== undefined) return encode(kind, decode(kind, text))
  const data = decodeClusterData(text)
  return data === null ? "null" : encodeClusterData(data)
}
const read = (file: string): string => readFileSync(`${root}/${file}`, "utf8")

test("the golden store holds the documents we count on", () => {
  expect(files.length).toBeGreaterThan(170)
})

describe("encode(decode()) gives", () => {
  for (const file of files) {
    // written by hand with a key in the wrong case
    if (file === "unknown-fields/before.json") continue
    test(`what Go wrote byte for byte: ${file}`, () =>
      expect(again(file, read(file))).toBe(read(file)))
  }
})

test("encode(decode()) keeps unknown fields and writes keys in their canonical case", () => {
  const text = read("unknown-fields/before.json")
  const data = decodeClusterData(text)
  const out = again("unknown-fields/before.json", text)
  expect(out.match(/"x[A-Za-z]+":/g)?.toSorted()).toEqual(
    text.match(/"x[A-Za-z]+":/g)?.toSorted() ?? [],
  )
  expect(out).not.toContain("FAILINTERVAL")
  expect(out).toContain('"failInterval":"6s"')
  expect(again("", out)).toBe(out)
  expect(data?.cluster.spec.failInterval).toBe(6_000_000_000n as never)
})

test("changing one field changes exactly its bytes", () => {
  const text = read("unknown-fields/before.json")
  const data = decodeClusterData(text)
  if (data === null) throw new Error("null")
  const before = encodeClusterData(data)
  const after = encodeClusterData({
    ...data,
    cluster: { ...data.cluster, uid: "ffffffff" as never },
  })
  expect(after).toBe(before.replace(`"uid":"${data.cluster.uid}"`, '"uid":"ffffffff"'))
})
