/**
 * The scenarios of the reference's own unit tests (11.1), one test each, asynchronous part. Where
 * the outcome differs from Go's, a comment names the rule that wants it so.
 */
import { describe, expect, test } from "bun:test"
import type { KeeperUID } from "#model/ids.ts"
import { duration } from "#base/duration.ts"
import { type World, world } from "./world.ts"

const codes = (w: World): string[] => w.events.map((e) => e.code)
/** What a round may not change while nothing happens: everything but times and positions. */
const shape = (w: World) => ({
  master: w.data.cluster.status.master,
  dbs: [...w.data.dbs.values()].map(({ uid, generation, spec }) => ({ uid, generation, spec })),
  proxy: w.data.proxy.spec,
  keepers: [...w.data.keepers.keys()],
})
const two = (): World => world().keeper("k1", "k2").proxy("p1").settled()
const limited = (...keepers: string[]): World => {
  const w = world({ maxStandbysPerSender: 1 }).keeper(...keepers)
  w.until(() => w.gate() === "k1" && w.hasDB("k2"))
  w.ticks(5)
  return w
}

describe("initialisation", () => {
  test("11.1/0 without a keeper nothing is decided, and it is said", () => {
    const w = world()
    expect(w.ticks(3)).toEqual(["cluster.waiting"]) // Go: an error in the log at every check
    expect([w.data.dbs.size, w.data.cluster.status.phase]).toEqual([0, "initializing"])
  })
  for (const [scenario, keepers] of [
    ["1", ["k1"]],
    ["2", ["k2", "k1"]],
  ] as const)
    test(`11.1/${scenario} the first keeper by uid of ${keepers.length} gets the first DB`, () => {
      const w = world({ pgParameters: new Map([["work_mem", "8MB"]]), maxStandbys: 7 })
      // the round that chooses is the one in which a second word proves that a keeper lives
      w.keeper(...keepers).ticks(2)
      const db = w.db("k1")
      expect(w.data.dbs.size).toBe(1)
      expect(w.data.cluster.status).toMatchObject({ master: db.uid, phase: "initializing" })
      expect(db.generation).toBe(1 as never)
      expect(db.spec).toMatchObject({
        keeperUID: "k1",
        initMode: "new",
        role: "master",
        followers: [],
        includePreviousConfig: true,
        maxStandbys: 7,
        pgParameters: new Map([["work_mem", "8MB"]]),
      })
    })
  test("11.1/3 an initialisation that takes longer than initTimeout is given up", () => {
    const w = world().keeper("k1").set("k1", { stuckAt: 0, postgres: false })
    w.until(() => w.hasDB("k1"))
    const first = w.uid("k1")
    w.until(() => !w.data.dbs.has(first), 40)
    expect(codes(w)).toContain("cluster.failed")
    expect([w.data.dbs.size, w.data.cluster.status.master]).toEqual([0, "" as never])
  })
})

describe("a primary", () => {
  test("11.1/4 with a healthy standby is left as it is", () => {
    const w = two()
    const before = shape(w)
    w.ticks(10)
    expect(shape(w)).toEqual(before)
  })
  test("11.1/5 that is unhealthy is followed by its standby, with the gate closed", () => {
    const w = two()
    const [k1, k2, gate] = [w.db("k1"), w.db("k2"), w.data.proxy.generation]
    w.set("k1", { postgres: false, certificate: null })
    w.until(() => w.revoked())
    // W1, W2 (D-78): Go does both in one write; here nobody is promoted by the write that closes
    expect(w.data.proxy).toMatchObject({ generation: gate + 1, spec: { masterDbUid: "" } })
    expect(w.db("k2").spec).toEqual(k2.spec)
    w.until(() => w.primary() === "k2", 20)
    expect(w.db("k2")).toMatchObject({ generation: k2.generation + 1, spec: { role: "master" } })
    expect(w.db("k2").spec.followConfig).toBeUndefined()
    expect(w.db("k1").spec).toMatchObject({ role: k1.spec.role, followers: [] })
    expect(w.data.proxy).toMatchObject({ generation: gate + 1, spec: { masterDbUid: "" } })
  })
  test("11.1/6 that is new opens, and the old one's keeper gets a DB of its own again", () => {
    const w = two()
    const old = w.uid("k1")
    w.forceFail("k1").until(() => w.primary() === "k2", 20)
    w.set("k1", { postgres: false })
    w.until(() => w.gate() === "k2", 5)
    w.until(() => w.hasDB("k1"), 2)
    expect(w.data.dbs.has(old)).toBe(false)
    expect(w.db("k1")).toMatchObject({
      generation: 1,
      spec: { initMode: "resync", role: "standby" },
    })
    expect(w.db("k1").spec.followConfig).toMatchObject({ type: "internal", dbuid: w.uid("k2") })
  })
  test("11.1/7 is not followed by a copy in the making", () => {
    const w = world().keeper("k1", "k2").set("k2", { stuckAt: 0, postgres: false })
    w.until(() => w.gate() === "k1" && w.hasDB("k2")).ticks(2)
    w.set("k1", { alive: false }).ticks(15)
    expect([w.primary(), w.revoked()]).toEqual(["k1", false])
    // D-10: Go elects nobody with a pending specification either; here a whole copy may follow
  })
  test("11.1/8 that does not apply its specification is followed by a standby that did", () => {
    const w = two()
    w.set("k1", { stuckAt: w.db("k1").generation })
    w.spec({ pgParameters: new Map([["work_mem", "8MB"]]) })
    w.until(() => w.primary() === "k2", 40)
    expect(codes(w)).toContain("primary.failed")
  })
})

describe("standbys", () => {
  test("11.1/9 a free keeper stays free while enough standbys are good", () => {
    const w = limited("k1", "k2", "k3")
    w.ticks(10)
    expect(w.hasDB("k3")).toBe(false)
  })
  test("11.1/10 one that fails to converge is kept while another is made", () => {
    const w = limited("k1", "k2", "k3")
    const before = w.uid("k2")
    w.set("k2", { stuckAt: w.db("k2").generation }).set("k3", { stuckAt: 0, postgres: false })
    w.spec({ pgParameters: new Map([["work_mem", "8MB"]]) })
    w.until(() => w.hasDB("k3"), 20).ticks(5)
    expect(w.uid("k2")).toBe(before)
    expect(w.db("k3").spec.initMode).toBe("resync")
  })
  test("11.1/11 the failed one goes when the new one is good", () => {
    const w = limited("k1", "k2", "k3")
    w.set("k2", { stuckAt: w.db("k2").generation })
    w.spec({ pgParameters: new Map([["work_mem", "8MB"]]) })
    w.until(() => w.hasDB("k3"), 20)
    w.until(() => !w.hasDB("k2"), 5)
    expect([w.hasDB("k3"), w.data.keepers.has("k2" as KeeperUID)]).toEqual([true, true])
  })
  test("11.1/12 without a free keeper the failed one stays", () => {
    const w = limited("k1", "k2")
    w.set("k2", { stuckAt: w.db("k2").generation })
    w.spec({ pgParameters: new Map([["work_mem", "8MB"]]) }).tick()
    const before = shape(w)
    w.ticks(30)
    expect(shape(w)).toEqual(before)
  })
  test("11.1/13 a keeper that holds nothing and has been dead for long is forgotten", () => {
    const w = world({ maxStandbysPerSender: 1, deadKeeperRemovalInterval: duration(20_000) })
    w.keeper("k1", "k2", "k3").until(() => w.gate() === "k1" && w.hasDB("k2"))
    w.set("k3", { alive: false }).ticks(15)
    expect(w.data.keepers.has("k3" as KeeperUID)).toBe(true)
    w.until(() => !w.data.keepers.has("k3" as KeeperUID), 15)
  })
  test("11.1/14 what the cluster specification says is copied into every DB, one generation on", () => {
    const w = two()
    const before = [w.db("k1").generation, w.db("k2").generation]
    w.spec({
      requestTimeout: duration(4000),
      maxStandbys: 9,
      additionalWalSenders: 3,
      usePgrewind: true,
      pgHBA: ["host all all 10.0.0.0/8 md5"],
      pgParameters: new Map([["work_mem", "8MB"]]),
    }).tick()
    for (const [i, keeper] of ["k1", "k2"].entries()) {
      expect(w.db(keeper).generation).toBe(((before[i] ?? 0) + 1) as never)
      expect(w.db(keeper).spec).toMatchObject({
        requestTimeout: duration(4000),
        maxStandbys: 9,
        additionalWalSenders: 3,
        usePgrewind: true,
        pgHBA: ["host all all 10.0.0.0/8 md5"],
        pgParameters: new Map([["work_mem", "8MB"]]),
      })
    }
  })
  test("11.1/27 a keeper that may not be master is never elected", () => {
    const w = world().keeper("k1", "k2", "k3").settled()
    w.set("k2", { canBeMaster: false, position: 5000n }).ticks(2)
    w.set("k1", { alive: false }).until(() => w.primary() === "k3", 20)
    w.set("k3", { alive: false }).ticks(20)
    expect(w.primary()).toBe("k3")
  })
})
