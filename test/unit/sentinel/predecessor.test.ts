/** A new primary dies before its gate ever opened: when the one before is back (W7). */
import { describe, expect, test } from "bun:test"
import type { Time } from "#base/brand.ts"
import { lsn } from "#base/lsn.ts"
import type { DBUID, KeeperUID } from "#model/ids.ts"
import type { Spec } from "#model/spec.ts"
import { type World, certify, cluster, run, world } from "./world.ts"

const predecessor = (w: World): string => w.data.cluster.status.predecessor
/** k1 was asked to go and certified; k2 is the primary, and the gate is still closed. */
function handedOver(w: World): World {
  w.proxy("p1").ticks(2)
  w.forceFail("k1").until(() => w.revoked(), 2)
  w.set("k2", { inRecovery: true })
  w.set("k1", { postgres: false, certificate: certify(w, "k1") })
  return w.until(() => w.primary() === "k2", 10)
}
const pair = (spec: Partial<Spec> = {}): World =>
  handedOver(world(spec).keeper("k1", "k2").settled())
const syncPair = (spec: Partial<Spec> = {}, ...others: string[]): World =>
  handedOver(cluster(spec, "k1", "k2", ...others))

describe("the predecessor", () => {
  for (const [mode, make] of [
    ["asynchronous", pair],
    ["synchronous", syncPair],
  ] as const)
    test(`is reinstated when its successor dies before it opened, ${mode}`, () => {
      const w = make()
      const { primaryEpoch } = w.data.cluster.status
      const [before, died] = [w.uid("k1"), w.uid("k2")]
      w.set("k2", { alive: false }).until(() => w.primary() === "k1", 20)
      expect(w.uid("k1")).toBe(before)
      expect(w.db("k1").spec.role).toBe("master")
      expect(w.data.cluster.status.primaryEpoch).not.toBe(primaryEpoch)
      expect(w.events.map((e) => e.code)).toContain("primary.reinstated")
      w.set("k1", { postgres: true }).until(() => w.gate() === "k1", 5)
      // the one that died left its history, so it comes back with a new DB
      w.set("k2", { alive: true }).until(() => !w.data.dbs.has(died), 5)
      w.until(() => w.hasDB("k2"), 5)
      expect(w.db("k2").spec.initMode).toBe("resync")
    })
  test("waits for the name that never answers until a standby is there, as its successor did", () => {
    const w = syncPair()
    w.set("k2", { alive: false }).until(() => w.primary() === "k1", 20)
    expect(w.db("k1").spec).toMatchObject({
      synchronousReplication: true,
      synchronousStandbys: [],
      externalSynchronousStandbys: ["stolonfakestandby"],
    })
    expect(w.db("k1").status.synchronousStandbys).toEqual([])
  })
  test("is forgotten in the write that opens the gate", () => {
    const w = pair()
    expect(predecessor(w)).toBe(w.uid("k1"))
    w.set("k2", { inRecovery: false }).until(() => w.gate() === "k2", 5)
    expect(predecessor(w)).toBe("")
    w.set("k2", { alive: false }).ticks(20)
    expect(w.primary()).toBe("k2")
  })
  test("does not come back when commits of its successor may be on somebody else", () => {
    // the new primary begins with k3 among its names: what it acknowledged is there, not on k1
    const w = syncPair({ maxSynchronousStandbys: 2 }, "k3")
    expect(w.db("k2").spec.synchronousStandbys).toEqual([w.uid("k3")])
    expect(predecessor(w)).toBe("")
    w.set("k2", { alive: false }).set("k3", { alive: false }).ticks(20)
    expect(w.primary()).toBe("k2")
  })
  test("is forgotten in the write that gives its successor names", () => {
    const w = syncPair().status({ fencedBy: "proxies" })
    w.proxy("p2").proxies.get("p2")!.acknowledges = false // the gate stays closed
    expect(predecessor(w)).not.toBe("")
    w.keeper("k3").set("k2", { inRecovery: false })
    run(w, 6)
    expect(w.db("k2").spec.synchronousStandbys).toEqual([w.uid("k3")])
    expect([predecessor(w), w.gate()]).toEqual(["", ""])
  })
  test("does not come back while its successor runs, or stopped in good order", () => {
    const w = pair()
    w.set("k2", { stuckAt: w.db("k2").generation - 1 }).ticks(30) // it never converges
    expect(w.primary()).toBe("k2")
    w.forceFail("k2").ticks(2)
    w.set("k2", { postgres: false, certificate: certify(w, "k2") }).ticks(20)
    expect(w.primary()).toBe("k2")
  })
  test("comes back though it was stopped by force, when nobody else can be the primary", () => {
    const w = pair()
    w.set("k1", { certificate: { ...certify(w, "k1"), finalLSN: lsn(0n) } })
    w.set("k2", { postgres: false }).until(() => w.primary() === "k1", 30)
    w.set("k1", { postgres: true }).until(() => w.gate() === "k1", 5)
  })
  test("does not come back when nobody saw its end", () => {
    const w = pair()
    w.set("k1", { certificate: null }).set("k2", { alive: false }).ticks(20)
    expect([w.primary(), w.revoked()]).toEqual(["k2", false])
  })
  test("does not come back when its data is gone since", () => {
    const w = pair().set("k1", { lost: true })
    w.set("k2", { alive: false }).ticks(20)
    expect(w.primary()).toBe("k2")
  })
  test("does not come back when it may not be master any more", () => {
    const w = pair()
    w.set("k1", { canBeMaster: false }).set("k2", { alive: false }).ticks(20)
    expect(w.primary()).toBe("k2")
  })
  test("goes after a standby that may be elected and has all that it had", () => {
    const w = world().keeper("k1", "k2", "k3").settled()
    handedOver(w.set("k3", { position: 900n }))
    w.set("k2", { alive: false }).set("k3", { position: 1000n })
    w.until(() => w.primary() !== "k2", 20)
    expect(w.primary()).toBe("k3")
    expect(predecessor(w)).toBe(w.uid("k1")) // still the last one that served
  })
  test("goes before a standby that lacks what it had acknowledged", () => {
    const w = world().keeper("k1", "k2", "k3").settled()
    handedOver(w.set("k3", { position: 900n }))
    w.set("k2", { alive: false }).until(() => w.primary() !== "k2", 20)
    expect(w.primary()).toBe("k1")
  })
  test("goes before a standby on the timeline of a successor that lacked something", () => {
    const w = world().keeper("k1", "k2", "k3").settled()
    w.proxy("p1").ticks(2)
    // k1 acknowledges up to 1200 and is away; k2 has 1000, and k3 follows k2 to its new timeline
    w.set("k1", { position: 1200n }).tick()
    w.set("k1", { alive: false }).set("k2", { inRecovery: true })
    w.until(() => w.primary() === "k2", 20)
    const history = [{ timelineID: 1, switchPoint: lsn(1000n), reason: "" }]
    w.set("k3", { timeline: 2, position: 5000n, history })
    w.set("k2", { alive: false }).set("k1", { alive: true }).tick()
    w.until(() => w.primary() !== "k2", 20)
    expect(w.primary()).toBe("k1")
  })
  test("does not come back while its keeper is paused by name", () => {
    const w = pair()
    const keeper = w.data.keepers.get("k1" as KeeperUID)!
    const paused = { since: "2026-01-01T00:00:00Z" as Time, by: "ann", reason: "" }
    const apart = { ...keeper, status: { ...keeper.status, paused } }
    w.data = { ...w.data, keepers: new Map(w.data.keepers).set(keeper.uid, apart) }
    w.set("k2", { alive: false }).ticks(20)
    expect(w.primary()).toBe("k2")
  })
  test("comes back in a paused cluster, too: what was begun is finished", () => {
    const w = pair()
    w.status({ paused: { since: "2026-01-01T00:00:00Z" as Time, by: "ann", reason: "" } })
    w.set("k2", { alive: false }).until(() => w.primary() === "k1", 20)
    w.set("k1", { postgres: true }).until(() => w.gate() === "k1", 5)
  })
  test("is not exchanged again: two that cannot start would stop each other for ever", () => {
    const w = pair()
    w.set("k2", { alive: false }).until(() => w.primary() === "k1", 20)
    w.set("k2", { alive: true, postgres: false }).ticks(30)
    expect([w.primary(), predecessor(w)]).toEqual(["k1", ""])
  })
  test("is unknown to a document that passed through Go's hands", () => {
    const w = pair()
    w.status({ predecessor: "" as DBUID })
      .set("k2", { alive: false })
      .ticks(20)
    expect(w.primary()).toBe("k2")
  })
})
