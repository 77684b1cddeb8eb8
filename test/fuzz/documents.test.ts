/**
 * Whatever stands in the store or is typed as a specification: it is either taken, and then written
 * back with nothing lost, or refused with words that say where it is wrong. Nothing else: no other
 * exception, no hang, no memory without bound.
 */
import { expect, test } from "bun:test"
import { isDeepStrictEqual } from "node:util"
import { type Random, generator } from "#base/random.ts"
import { broken, parseSpec, patchSpec } from "#ctl/spec.ts"
import { type ClusterData, decodeClusterData, encodeClusterData } from "#model/cluster.ts"
import { DocumentError, type Kind, decode, encode } from "#model/codec.ts"
import { KeeperInfo, ProxyInfo, SentinelInfo } from "#model/info.ts"
import { JsonError } from "#model/json.ts"
import { Spec, emptySpec } from "#model/spec.ts"
import { validate } from "#model/validation.ts"
import { fuzz, pick, shown } from "./fuzz.ts"
import { clusterDatas, keeperInfos, proxyInfos, sentinelInfos, specs } from "./golden.ts"
import { type Tree, bent, tweaked } from "./mutate.ts"

/** The value, or the refusal's message; anything else that is thrown is a failure. */
function attempt<T>(work: () => T): { readonly value: T } | { readonly refused: string } {
  try {
    return { value: work() }
  } catch (error) {
    if (!(error instanceof JsonError) && !(error instanceof DocumentError)) throw error
    expect(error.message).not.toBe("")
    // Something inside is wrong: then it has a path. The whole is wrong: then the rule says so.
    if (error instanceof DocumentError)
      expect(error.path !== "" || error.rule.startsWith("expected an object")).toBe(true)
    expect(error.message.length).toBeLessThan(20_000)
    return { refused: error.message }
  }
}

const decodeData = (text: string): unknown => decodeClusterData(text)
const encodeData = (value: unknown): string =>
  value === null ? "null" : encodeClusterData(value as ClusterData) // of `decodeData`

interface Codec {
  readonly name: string
  readonly from: readonly Tree[]
  readonly read: (text: string) => unknown
  readonly write: (value: unknown) => string
}
// a table of codecs of different types
const codec = (name: string, kind: Kind<never>, from: readonly Tree[]): Codec => ({
  name,
  from,
  read: (text) => decode(kind, text),
  write: (value) => encode(kind, value as never),
})
const codecs: readonly Codec[] = [
  { name: "cluster data", from: clusterDatas, read: decodeData, write: encodeData },
  codec("keeper infos", KeeperInfo as unknown as Kind<never>, keeperInfos),
  codec("proxy infos", ProxyInfo as unknown as Kind<never>, proxyInfos),
  codec("sentinel infos", SentinelInfo as unknown as Kind<never>, sentinelInfos),
  codec("specifications", Spec as unknown as Kind<never>, specs),
]

/** What was taken comes back whole, and a second rewrite changes nothing more. */
function comesBack({ read, write }: Codec, text: string): "taken" | "refused" {
  const first = attempt(() => read(text))
  if ("refused" in first) return "refused"
  const written = write(first.value)
  const second = read(written)
  if (!isDeepStrictEqual(first.value, second))
    throw new Error(`not the same after a rewrite: ${shown(text)}\nas ${shown(written)}`)
  expect(write(second)).toBe(written)
  return "taken"
}

for (const each of codecs) {
  fuzz(`G2 ${each.name} bent at random are taken whole or refused with a path`, 1_000, (random) => {
    comesBack(each, bent(random, pick(random, each.from)))
  })
}

for (const each of codecs.slice(0, 4)) {
  fuzz(`G2 ${each.name} with one value changed keep every other byte`, 1_000, (random) => {
    const text = tweaked(random, pick(random, each.from))
    const read = attempt(() => each.read(text))
    if ("value" in read) expect(each.write(read.value)).toBe(text)
  })
}

test("bent documents are taken often enough to mean something, and refused often enough", () => {
  for (const each of codecs) {
    const seen = { taken: 0, refused: 0 }
    fuzzless(300, (random) => void seen[comesBack(each, bent(random, pick(random, each.from)))]++)
    expect([each.name, seen.taken > 30, seen.refused > 30]).toEqual([each.name, true, true])
  }
})

fuzz("specifications as typed give a value that can be stored, or a message", 600, (random) => {
  const text = bent(random, pick(random, specs))
  for (const manner of ["strict", "go"] as const) {
    const parsed = parseSpec(text, manner)
    if (parsed.kind === "refused") {
      expect(parsed.message.length).toBeGreaterThan(10)
      continue
    }
    const rule = broken(parsed.spec, manner)
    expect(rule === null).toBe(validate(parsed.spec) === null)
    const stored = decode(Spec, encode(Spec, parsed.spec))
    expect(validate(stored)).toBe(validate(parsed.spec))
  }
})

fuzz("patches as typed give a value that can be stored, or a message", 600, (random) => {
  const stored = parseSpec(plain(random), "go")
  const base = stored.kind === "spec" ? stored.spec : emptySpec
  const patch = bent(random, pick(random, specs))
  for (const manner of ["strict", "go"] as const) {
    const result = patchSpec(base, patch, manner)
    if (result.kind === "refused") expect(result.message.length).toBeGreaterThan(10)
    else decode(Spec, encode(Spec, result.spec))
  }
})

const plain = (random: Random): string => tweaked(random, pick(random, specs))

test("a zero byte that would end in a file of PostgreSQL breaks a rule of the specification", () => {
  const rule = (more: string): string | null => validate(decode(Spec, `{"initMode":"new",${more}}`))
  expect(rule('"pgHBA":["local all all trust\\u0000"]')).toBe("pgHBA cannot contain zero bytes")
  const settings = '{"standbySettings":{"primaryConninfo":"host=a\\u0000"}}'
  expect(rule(`"standbyConfig":${settings}`)).toBe("standbyConfig cannot contain zero bytes")
  expect(rule('"pitrConfig":{"dataRestoreCommand":"cp\\u0000"}')).toBe(
    "pitrConfig cannot contain zero bytes",
  )
  expect(rule('"pgHBA":["local all all trust"]')).toBeNull()
})

test("a document of a hundred thousand levels is refused by its depth", () => {
  const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`
  for (const text of [deep, `{"x":${deep}}`, "[".repeat(100_000)])
    expect(() => decodeClusterData(text)).toThrow(JsonError)
  const inside = `{"formatVersion":1,"cluster":{"spec":{"initMode":"new"},"x":${deep}},"keepers":{},"dbs":{},"proxy":{}}`
  expect(() => decodeClusterData(inside)).toThrow("nested")
  // what looks deep inside a text is none
  expect(decode(SentinelInfo, `{"UID":"${"[{".repeat(9_000)}"}`).UID).toHaveLength(18_000)
})

test("a document of eight megabytes is read in proportion to its size", () => {
  const size = (text: string): number => {
    const start = performance.now()
    attempt(() => decodeClusterData(text))
    return performance.now() - start
  }
  const spec = (count: number): string => {
    const many = Array.from({ length: count }, (_, i) => `"p${i}":"${"v".repeat(60)}"`).join()
    return `{"formatVersion":1,"cluster":{"spec":{"pgParameters":{${many}}}},"keepers":{},"dbs":{},"proxy":{}}`
  }
  size(spec(1_000))
  const small = Math.max(5, size(spec(10_000)))
  expect(size(spec(100_000))).toBeLessThan(Math.max(2_000, small * 60))
})

function fuzzless(count: number, work: (random: Random) => void): void {
  for (let seed = 1; seed <= count; seed++) work(generator(seed))
}
