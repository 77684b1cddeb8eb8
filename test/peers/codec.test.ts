/**
 * The Go structs of the scripted peers, checked against what Go really wrote: every recorded
 * document comes out byte for byte, and what Go drops and refuses is dropped and refused.
 */
import { describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { Glob } from "bun"
import { decodeClusterData, encodeClusterData } from "#model/cluster.ts"
import type { Epoch, Nonce } from "#model/ids.ts"
import { duration } from "#base/duration.ts"
import { type Shape, GoDecodeError, GoPanic, marshal, unmarshal } from "./codec.ts"
import {
  GoDBState,
  GoKeeperInfo,
  GoKeeperState,
  GoProxyInfo,
  GoSentinelInfo,
  readGo,
  throughGo,
} from "./documents.ts"

const golden = `${import.meta.dir}/../golden`
const read = (file: string): string => readFileSync(`${golden}/${file}`, "utf8")
const again = <T>(shape: Shape<T>, source: string): string =>
  marshal(shape, unmarshal(shape, source))

const how: readonly (readonly [RegExp, (source: string) => string])[] = [
  [/^store\/keeperinfo\//, (source) => again(GoKeeperInfo, source)],
  [/^store\/proxyinfo\//, (source) => again(GoProxyInfo, source)],
  [/^store\/sentinelinfo\//, (source) => again(GoSentinelInfo, source)],
  [/dbstate-sequence\/\d|dbstate(-\d+)?(\.json)?$/, (source) => again(GoDBState, source)],
  [/keeperstate/, (source) => again(GoKeeperState, source)],
  [/^store\//, throughGo],
]

describe("a Go component writes again byte for byte", () => {
  const store = [...new Glob("store/**/*.json").scanSync(golden)]
  const disk = [...new Glob("disk/{*/{db,keeper}state*,dbstate-sequence/*}").scanSync(golden)]
  for (const file of [...store, ...disk].toSorted()) {
    if (file === "store/unknown-fields/before.json") continue // by hand, with keys Go does not know
    const convert = how.find(([pattern]) => pattern.test(file))?.[1] ?? throughGo
    test(`as it was recorded: ${file}`, () => expect(convert(read(file))).toBe(read(file)))
  }
})

test("G2 a rewrite by Go drops unknown fields, and cases become canonical (golden unknown-fields)", () => {
  const before = read("store/unknown-fields/before.json")
  const after = read("store/unknown-fields/after.json")
  const still = (source: string): string => source.replaceAll(/"\d{4}-\d\d-\d\dT[^"]*"/g, '"time"')
  expect(still(throughGo(before)).length).toBe(still(after).length)
  expect(throughGo(before)).not.toMatch(/"x(?!LogPos)[A-Za-z]+":/)
})

test("L6 a document of ours loses our words in Go's hands, and not a byte else", () => {
  const source = read("store/clusterdata/33-sync-two-standbys.json")
  const data = decodeClusterData(source)
  if (data === null) throw new Error("no cluster data")
  const ours = {
    ...data,
    cluster: {
      ...data.cluster,
      spec: {
        ...data.cluster.spec,
        selfFencing: true,
        failureDetection: "evidence",
        fencingLease: duration(2_500),
      },
      status: {
        ...data.cluster.status,
        primaryEpoch: "0011223344" as Epoch, // brands of ids that only a test chooses
        primaryRevoked: true,
        electable: {
          word: "77aabbcc" as Nonce,
          dbs: [...data.dbs.keys()],
          joining: [],
          ended: false,
        },
        writer: "99aabbcc" as Nonce,
      },
    },
  }
  const text = encodeClusterData(ours)
  expect(text).toContain("primaryRevoked")
  expect(throughGo(text)).toBe(source)
})

describe("Go refuses", () => {
  const source = read("store/clusterdata/09-master-standby-stable.json")
  const broken: readonly (readonly [string, (s: string) => string])[] = [
    ["a number for a string", (s) => s.replace('"uid":"keeper1"', '"uid":1')],
    ["text for a number", (s) => s.replace('"maxStandbys":20', '"maxStandbys":"20"')],
    ["a number beyond 16 bits", (s) => s.replace('"maxStandbys":20', '"maxStandbys":65536')],
    ["a negative format version", (s) => s.replace('"formatVersion":1', '"formatVersion":-1')],
    [
      "a null requestTimeout",
      (s) => s.replace(/"requestTimeout":"[^"]*"/, '"requestTimeout":null'),
    ],
  ]
  for (const [what, damage] of broken)
    test(`${what} (G3, G4, G13)`, () => {
      expect(damage(source)).not.toBe(source)
      expect(() => readGo(damage(source))).toThrow(GoDecodeError)
    })
  test("nothing, but dies of a null cluster, spec, proxy or map (G13)", () => {
    const parts: readonly (readonly [RegExp, string])[] = [
      [/"cluster":\{.*\},"keepers"/, '"cluster":null,"keepers"'],
      [/"spec":\{"additionalWalSenders".*?"automaticPgRestart":null\}/, '"spec":null'],
      [/"proxy":\{.*$/, '"proxy":null}'],
    ]
    for (const [part, nothing] of parts) {
      expect(source).toMatch(part)
      expect(() => readGo(source.replace(part, nothing))).toThrow(GoPanic)
    }
  })
  test("nothing of a JSON null, which means no cluster data (G10)", () => {
    expect(readGo("null")).toBe(null)
    expect(readGo(null)).toBe(null)
  })
})
