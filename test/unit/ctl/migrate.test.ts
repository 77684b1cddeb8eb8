/** Where a move between stores stands, what it refuses, and what it writes. */
import { describe, expect, test } from "bun:test"
import { type Time, millis } from "#base/brand.ts"
import { parse } from "#cli/parse.ts"
import { checkTarget, fromFlags, migrateCommand } from "#cli/ctl-store.ts"
import { type ClusterData, decodeClusterData, encodeClusterData } from "#model/cluster.ts"
import { decodeJson } from "#model/codec.ts"
import { nonce, sentinelUID } from "#model/ids.ts"
import { type Infos, KeeperInfo, SentinelInfo, ProxyInfo } from "#model/info.ts"
import type { Change } from "#ctl/edit.ts"
import {
  type Stage,
  arriving,
  closing,
  hear,
  hindrance,
  inMotion,
  itinerary,
  leaving,
  missing,
  settling,
  stageOf,
  strayProxies,
} from "#ctl/migrate.ts"
import { type Found, facts } from "#ctl/status.ts"
import { statusJson, statusText } from "#ctl/status-text.ts"
import { threeKeepers } from "./golden.ts"

const names = { from: "etcdv2 http://a:2379", to: "etcdv3 http://a:2379" }
const mark = { nonce: nonce("m1"), by: "ann@db1", since: "2026-01-01T00:00:00Z" as Time }
const home = threeKeepers()
const old = leaving(home, mark, names)
const young = arriving(home, mark, names)
const apply = ({ edit }: Change, data: ClusterData): ClusterData => {
  const edited = edit(data)
  if (edited.kind !== "edited") throw new Error(`${edited.kind}: ${edited.message}`)
  return edited.data
}
const gone = apply(closing(mark.nonce, names.to), old)
const settled = apply(settling(mark.nonce), young)
const another: ClusterData = { ...home, cluster: { ...home.cluster, uid: "other" as never } }
const status = (data: ClusterData, change: Partial<ClusterData["cluster"]["status"]>) => ({
  ...data,
  cluster: { ...data.cluster, status: { ...data.cluster.status, ...change } },
})

const words = (...all: readonly [kind: "k" | "s" | "p", uid: string, word?: string][]): Infos => {
  const of = (kind: string) => all.filter(([one]) => one === kind)
  const base = { broken: [] }
  return {
    ...base,
    keepers: new Map(
      of("k").map(([, uid, infoUID = "1"]) => {
        const info = decodeJson(KeeperInfo, { uid, infoUID, capabilities: ["wishes"] })
        return [info.uid, info]
      }),
    ),
    sentinels: new Map(
      of("s").map(([, UID, infoUID = "1"]) => {
        const info = decodeJson(SentinelInfo, { UID, infoUID, capabilities: ["pause", "move"] })
        return [info.UID, info]
      }),
    ),
    proxies: new Map(
      of("p").map(([, UID, infoUID = "1"]) => {
        const info = decodeJson(ProxyInfo, { UID, infoUID, Generation: 4, ProxyTimeout: 1 })
        return [info.UID, info]
      }),
    ),
  }
}
const all = (word: string): Infos =>
  words(["k", "pg1", word], ["k", "pg2", word], ["k", "pg3", word], ["s", "s1", word])
const found = (data: ClusterData, infos = all("1")): Found & { readonly data: ClusterData } => ({
  data,
  infos,
  leader: sentinelUID("s1"),
})
const now = millis(1_000_000)

describe("stageOf()", () => {
  const say = (stage: Stage): string => (stage.kind === "refused" ? stage.message : stage.kind)
  test.each([
    ["nothing has begun", home, null, "copy"],
    ["the copy was written, the mark was not", home, young, "copy"],
    ["it was there before, and left", home, gone, "copy"],
    ["both are marked", old, young, "wait"],
    ["the copy is lost, and nobody has gone there for good", old, null, "copy"],
    [
      "it is on its way elsewhere",
      leaving(home, mark, { ...names, to: "consul" }),
      null,
      "end that",
    ],
    ["all have come, the mark there stands", gone, young, "wait"],
    ["it is over", gone, settled, "over"],
    ["no cluster", null, null, "there is no such cluster"],
    ["another cluster there", home, another, "another cluster"],
    ["the same cluster there, in use", home, home, "both have this cluster"],
    [
      "a copy that came from elsewhere",
      home,
      arriving(home, mark, { ...names, from: "consul" }),
      "both",
    ],
    ["it is still arriving here", young, null, "still on its way to etcdv2"],
    ["it has left, and what it went to is gone", gone, null, "has no data of it"],
    ["two began at once", old, arriving(home, { ...mark, nonce: nonce("m2") }, names), "copy"],
    [
      "another move",
      old,
      arriving(home, { ...mark, nonce: nonce("m2") }, { ...names, from: "consul" }),
      "another move",
    ],
  ] as const)("%s", (_, from, to, expected) => {
    expect(say(stageOf({ from, to }, names))).toContain(expected)
  })
})

test("hindrance() refuses what would be lost or misunderstood on the way", () => {
  const why = (change: Partial<ClusterData["cluster"]["status"]>, infos?: Infos): string | null =>
    hindrance(found(status(home, change), infos))
  expect(why({})).toBeNull()
  expect(why({ primaryEpoch: "" as never })).toContain("Go stolon's")
  expect(why({ primaryRevoked: true })).toContain("failover is in progress")
  expect(why({ failoverRequest: { nonce: nonce("n"), keeper: "" as never } })).toContain("pending")
  const deaf = words(["s", "s1"])
  const goSentinel = { ...deaf.sentinels.get(sentinelUID("s1"))!, capabilities: [] }
  const sentinels = new Map([[goSentinel.UID, goSentinel]])
  expect(why({}, { ...deaf, sentinels })).toContain("sentinel s1 does not know moves")
  const [keeper] = words(["k", "pg1"]).keepers.values()
  const keepers = new Map([[keeper!.uid, { ...keeper!, capabilities: [] }]])
  expect(why({}, { ...deaf, keepers })).toContain("keeper pg1 is Go stolon's")
  const closed = {
    ...home,
    proxy: { ...home.proxy, spec: { ...home.proxy.spec, masterDbUid: "" as never } },
  }
  expect(hindrance(found(closed))).toContain("failover is in progress")
})

test("closing() revokes the primary and shuts the gate of the store that is left, once", () => {
  expect(gone.cluster.status).toMatchObject({ primaryRevoked: true, move: { end: "from" } })
  expect(gone.proxy.spec.masterDbUid as string).toBe("")
  expect(Number(gone.proxy.generation)).toBe(home.proxy.generation + 1)
  expect(closing(mark.nonce, names.to).edit(gone)).toMatchObject({ kind: "unchanged" })
  expect(closing(nonce("m2"), names.to).edit(old)).toMatchObject({ kind: "refused" })
  // on the way back it is the other one that is left
  const back = apply(closing(mark.nonce, names.from), young)
  expect(back.cluster.status.move).toMatchObject({ end: "from", other: names.from })
  expect(apply(settling(mark.nonce), old)).toEqual(home)
})

test("settling() takes the mark of this very move away and changes nothing else", () => {
  expect(settled).toEqual(home)
  expect(settling(mark.nonce).edit(settled)).toMatchObject({ kind: "unchanged" })
  expect(settling(nonce("m2")).edit(young)).toMatchObject({ kind: "refused" })
})

test("the marks survive the store's text", () => {
  for (const data of [old, young, gone])
    expect(decodeClusterData(encodeClusterData(data))).toEqual(data)
})

test("inMotion() refuses changes on the way, and sends who asks the old store to the new one", () => {
  expect(inMotion(home)).toBeNull()
  expect(inMotion(old)).toContain("on its way to etcdv3 http://a:2379 (ann@db1, since 2026-01-01")
  expect(inMotion(young)).toContain("on its way here from etcdv2 http://a:2379")
  expect(inMotion(gone)).toBe(
    "the cluster has moved to etcdv3 http://a:2379; give the flags of that store",
  )
})

describe("missing()", () => {
  const side = (data: ClusterData, ...looks: readonly Infos[]) => {
    let voices: ReturnType<typeof hear> = new Map()
    looks.forEach((infos, i) => {
      voices = hear(voices, infos, millis(now + 1_000 * i))
    })
    return { found: found(data, looks.at(-1)), voices }
  }
  const left = side(old, words())
  const later = millis(now + 5_000)

  test("takes nobody's last word for a sign of life", () => {
    const once = side(young, all("1"), all("1"))
    expect(missing({ home: once, left }, later)).toEqual(["keeper pg1", "keeper pg2", "keeper pg3"])
    const twice = side(young, all("1"), all("2"))
    expect(missing({ home: twice, left }, later)).toEqual([])
    // and who came and fell silent is not there
    expect(missing({ home: twice, left }, millis(now + 60_000))).toHaveLength(3)
  })

  test("wants a leader, and none of Go's", () => {
    const twice = side(young, all("1"), all("2"))
    const leaderless = { ...twice, found: { ...twice.found, leader: null } }
    expect(missing({ home: leaderless, left }, later)).toEqual(["a sentinel that leads"])
    const strange = side(young, all("1"), all("2"))
    const s1 = strange.found.infos.sentinels.get(sentinelUID("s1"))!
    const sentinels = new Map([[s1.UID, { ...s1, capabilities: ["pause"] }]])
    const mixed = {
      ...strange,
      found: { ...strange.found, infos: { ...strange.found.infos, sentinels } },
    }
    expect(missing({ home: mixed, left }, later)).toEqual([
      expect.stringContaining("update the sentinels"),
    ])
  })

  test("waits for proxies that still read the other store, until they have been silent", () => {
    const twice = side(young, all("1"), all("2"))
    const proxied = side(old, words(["p", "p1"]))
    expect(missing({ home: twice, left: proxied }, later)).toEqual([
      "proxy p1 (still at the other store)",
    ])
    expect(strayProxies(proxied, millis(20_000), millis(now + 20_001))).toEqual([])
  })
})

test("itinerary() names everybody, the primary's keeper after the standbys'", () => {
  const lines = itinerary(found(home, words(["s", "s1"], ["p", "p1"])), "--store-backend=etcdv3")
  expect(lines.slice(0, 5)).toEqual([
    "start them again with --store-backend=etcdv3, in this order:",
    "  1. the sentinels: s1",
    "  2. the keepers of standbys: pg2, pg3",
    "  3. the keeper of the primary: pg1",
    "  4. the proxies: p1",
  ])
})

test("status shows a move, loudly, and to programs", () => {
  const text = statusText(facts("prod", found(young)))
  expect(text).toContain("MOVING: the cluster is on its way here from etcdv2 http://a:2379")
  expect(JSON.parse(statusJson(facts("prod", found(gone)))).cluster.moving).toBe(
    "the cluster has moved to etcdv3 http://a:2379",
  )
})

describe("the command line", () => {
  const given = (...argv: readonly string[]) =>
    parse(migrateCommand, ["--cluster-name=c", ...argv], {}, "stolon")
  const valuesOf = (...argv: readonly string[]) => {
    const parsed = given(...argv)
    if (parsed.kind !== "ok") throw new Error(JSON.stringify(parsed))
    return parsed.values
  }

  test("names both stores, each with its own credentials", () => {
    const values = valuesOf(
      "--from=consul=http://c:8500",
      "--to=etcdv3=http://a:2379,http://b:2379",
      "--store-user=ann",
      "--to-user=bob",
      "--to-prefix=x",
    )
    expect(fromFlags(values)).toMatchObject({
      storeBackend: "consul",
      storeEndpoints: ["http://c:8500"],
    })
    expect(checkTarget(values, "pw")).toMatchObject({
      kind: "store",
      store: {
        backend: "etcdv3",
        endpoints: ["http://a:2379", "http://b:2379"],
        prefix: "x",
        user: "bob",
        password: "pw",
      },
    })
  })

  test("says what is missing or wrong", () => {
    expect(checkTarget(valuesOf("--store-backend=consul"), "")).toMatchObject({
      kind: "refused",
      message: expect.stringContaining("--to is required"),
    })
    expect(JSON.stringify(given("--to=zookeeper=http://z"))).toContain("expected KIND")
  })
})
