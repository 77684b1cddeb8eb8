/**
 * Defects of the reference (section 10) that are the leader's and belong to no longer story: each
 * test would fail if the leader did as Go does.
 */
import { describe, expect, test } from "bun:test"
import type { ClusterUID, DBUID, KeeperUID } from "#model/ids.ts"
import { lsn } from "#base/lsn.ts"
import { type World, certify, cluster, names, run, world } from "./world.ts"

const three = (): World => world().keeper("k1", "k2", "k3").proxy("p1").settled()
const codes = (w: World): string[] => w.events.map((e) => e.code)

describe("who may be elected", () => {
  test("D-01 equal standbys are ordered by uid, so that every leader chooses alike", () => {
    const w = three().set("k1", { alive: false })
    const first = [w.uid("k2"), w.uid("k3")].toSorted()[0]
    w.until(() => w.primary() !== "k1", 20)
    expect(w.data.cluster.status.master).toBe(first as DBUID)
  })
  test("D-01 a timeline counts before a position", () => {
    const w = three().set("k1", { alive: false })
    const history = [{ timelineID: 1, switchPoint: lsn(1000n), reason: "" }]
    w.set("k2", { position: 5000n }).set("k3", { position: 1100n, timeline: 2, history })
    w.until(() => w.primary() !== "k1", 20)
    expect(w.primary()).toBe("k3")
  })
  test("D-01 synchronous standbys are chosen in the same order", () => {
    const w = world({ synchronousReplication: true }).keeper("k1", "k2", "k3")
    w.set("k2", { position: 500n }).set("k3", { position: 900n }).settled()
    expect(names(run(w, 4), "k1").wanted).toEqual([w.uid("k3")])
  })
  test("D-09 a standby that stands still while the primary goes on is no candidate", () => {
    const w = three()
    w.set("k2", { streaming: false }).set("k3", { streaming: false })
    for (let i = 0; i < 20; i++) w.set("k1", { position: 1000n + BigInt(i) * 1_000_000n }).tick()
    w.set("k1", { alive: false }).ticks(15)
    expect([w.primary(), w.revoked()]).toEqual(["k1", false])
  })
  test("D-09 a synchronous standby that lost its stream makes room for one that has it", () => {
    const w = cluster()
    const [k2, k3] = [w.uid("k2"), w.uid("k3")]
    expect(names(w, "k1").wanted).toEqual([k2])
    run(w.set("k2", { streaming: false }), 6)
    expect(names(w, "k1")).toEqual({ wanted: [k3], confirmed: [k3], external: [] })
  })
  test("D-10 a better standby with a pending specification goes before a worse one without", () => {
    const w = three().set("k2", { position: 900n }).set("k3", { stuckAt: 2, position: 1000n })
    w.tick()
    w.set("k3", { stuckAt: w.db("k3").generation })
    w.spec({ pgParameters: new Map([["work_mem", "8MB"]]) }).set("k1", { alive: false })
    w.until(() => w.primary() !== "k1", 20)
    expect(w.primary()).toBe("k3")
  })
  test("D-26 a copy whose timeline the primary no longer speaks of is not trusted", () => {
    const history = [2, 3].map((timelineID) => ({
      timelineID,
      switchPoint: lsn(BigInt(timelineID) * 1000n),
      reason: "",
    }))
    const w = world().keeper("k1", "k2").settled()
    // k2 never left timeline 1; where that ended, the primary no longer says
    w.set("k1", { timeline: 4, history, position: 3500n }).set("k2", { position: 3400n })
    w.ticks(2)
    w.set("k1", { alive: false }).ticks(15)
    expect([w.primary(), w.revoked()]).toEqual(["k1", false])
    const why = w.events.findLast((e) => e.code === "primary.stuck")?.fields["why"]
    expect(why).toContain("too old to be compared")
  })
  test("D-28 a previous primary is asked whether it may be master, too", () => {
    const w = three()
    w.forceFail("k1").until(() => w.primary() !== "k1", 20)
    const second = w.primary()
    const third = second === "k2" ? "k3" : "k2"
    // as a Go keeper's would, the old primary goes on; the operator has forbidden it meanwhile
    w.set("k1", { canBeMaster: false, inRecovery: false }).set(third, { canBeMaster: false })
    w.set(second, { inRecovery: true }).ticks(2)
    w.set(second, { alive: false }).ticks(20)
    expect(w.primary()).toBe(second)
  })
})

describe("what an operator asks for", () => {
  test("D-29 T7 failkeeper with nobody to take over is answered with the reason", () => {
    const w = three().set("k2", { canBeMaster: false }).set("k3", { canBeMaster: false })
    w.ticks(2)
    w.forceFail("k1").tick()
    const stuck = w.events.findLast((e) => e.code === "primary.stuck")
    expect(stuck?.fields["why"]).toContain("an operator forced its keeper to fail; k2: its keeper")
    expect([w.primary(), w.gate()]).toEqual(["k1", "k1"])
  })
  test("D-19 a keeper that was taken out and still speaks is free again: it is told to stop", () => {
    const w = three()
    const old = w.uid("k2")
    w.removeKeeper("k2").ticks(2)
    expect([w.data.keepers.has("k2" as KeeperUID), w.data.dbs.has(old)]).toEqual([true, false])
    expect(w.db("k2").spec.initMode).toBe("resync")
  })
  test("D-19 T17 in a cluster that replaced another, words of the old one count for nothing", () => {
    const w = three()
    for (const k of ["k1", "k2", "k3"]) w.set(k, { cluster: w.data.cluster.uid })
    w.data = { ...w.data, cluster: { ...w.data.cluster, uid: "another1" as ClusterUID } }
    w.ticks(8) // they go on publishing, as keepers that have not read the new document
    expect(codes(w).filter((code) => code === "keeper.failed").length).toBe(3)
    for (const k of ["k1", "k2", "k3"]) w.set(k, { cluster: null })
    w.ticks(3)
    expect(codes(w)).toContain("keeper.recovered")
  })
})

describe("after a failover", () => {
  test("D-38 the new primary knows whom to keep WAL for from the write that promotes it", () => {
    const w = three().set("k1", { alive: false })
    w.until(() => w.primary() === "k2", 20)
    expect(w.db("k2").spec.followers).toEqual([w.uid("k3")])
    expect(w.db("k3").spec.followConfig).toMatchObject({ dbuid: w.uid("k2") })
    expect([w.gate(), w.db("k2").status.currentGeneration < w.db("k2").generation]).toEqual([
      "",
      true,
    ])
  })
  test("D-36 T2 the old primary follows anew as soon as the new one serves, and keeps no slot till then", () => {
    const w = three()
    w.forceFail("k1").until(() => w.revoked(), 2)
    w.set("k1", { postgres: false, certificate: certify(w, "k1") })
    const old = w.uid("k1")
    w.until(() => w.primary() === "k2", 6)
    expect(w.db("k2").spec.followers).not.toContain(old)
    // one write: gate open, the old DB gone, a new one on its keeper. Copying nothing is the
    // keeper's part
    while (w.gate() === "") w.tick()
    expect([w.data.dbs.has(old), w.hasDB("k1")]).toEqual([false, true])
    expect(w.db("k2").spec.followers).toContain(w.uid("k1"))
  })
})

describe("canSync: a standby whose WAL the primary no longer has", () => {
  const mib = 1024n * 1024n
  /** k2 stands at 20 MiB, the primary goes on; the oldest segment is number 2. */
  const behind = (walSegmentSize: number): World => {
    const w = world({ maxStandbysPerSender: 1 }).keeper("k1", "k2").settled()
    w.set("k1", { position: 60n * mib, olderWalFile: "000000010000000000000002", walSegmentSize })
    return w.set("k2", { position: 20n * mib })
  }
  const replaced = (w: World, rounds: number): boolean => {
    const before = w.uid("k2")
    for (let i = 0; i < rounds && w.hasDB("k2"); i++) {
      if (w.uid("k2") !== before) return true
      w.tick()
    }
    return !w.hasDB("k2") || w.uid("k2") !== before
  }
  test("is made anew after ten reports without progress, with segments of the usual size", () => {
    const w = behind(0)
    expect(replaced(w, 9)).toBe(false)
    expect(replaced(w, 6)).toBe(true)
  })
  test("D-39 is kept when segments are so large that its own is still there", () => {
    // 8 MiB: it needs segment 2; of the usual size it would need segment 1, which is gone
    expect(replaced(behind(8 * 1024 * 1024), 30)).toBe(false)
  })
  test("D-39 is made anew when segments are larger than usual and its own is gone", () => {
    expect(replaced(behind(64 * 1024 * 1024), 30)).toBe(true)
  })
})
