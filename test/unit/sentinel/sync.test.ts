/**
 * Synchronous standbys: two-step changes, elections only among the confirmed, the name that never
 * answers (5.8).
 */
import { describe, expect, test } from "bun:test"
import { fakeStandby } from "#model/ids.ts"
import { cluster, names, run, world } from "./world.ts"

describe("keepSync()", () => {
  test("chooses one standby and confirms it when the primary reports it in sync", () => {
    const w = cluster()
    const k2 = w.uid("k2")
    expect(names(w, "k1")).toEqual({ wanted: [k2], confirmed: [k2], external: [] })
  })
  test("lists as many as maxSynchronousStandbys, sorted", () => {
    const w = cluster({ maxSynchronousStandbys: 2 })
    const both = [w.uid("k2"), w.uid("k3")].toSorted()
    expect(names(w, "k1").wanted).toEqual(both)
    expect(names(w, "k1").confirmed?.toSorted()).toEqual(both)
  })
  test("does not confirm by a report from an older generation (W8)", () => {
    const w = world({ synchronousReplication: true }).keeper("k1", "k2").settled()
    w.set("k1", { stuckAt: w.db("k1").generation - 1 })
    run(w, 3)
    expect(names(w, "k1").confirmed).toEqual([])
  })
  test("replaces a failed standby in two steps, old, then old and new, then new", () => {
    const w = cluster()
    const [k2, k3] = [w.uid("k2"), w.uid("k3")]
    const seen = new Set<string>()
    w.set("k2", { alive: false })
    for (let i = 0; i < 12; i++) {
      run(w, 1)
      seen.add(
        (w.db("k1").spec.synchronousStandbys ?? [])
          .map((uid) => (uid === k2 ? "k2" : "k3"))
          .toSorted()
          .join("+"),
      )
    }
    expect([...seen]).toEqual(["k2", "k2+k3", "k3"])
    expect(names(w, "k1")).toEqual({ wanted: [k3], confirmed: [k3], external: [] })
  })
  test("keeps the last standby listed when it fails and nobody can replace it: the primary waits", () => {
    const w = cluster({}, "k1", "k2")
    const k2 = w.uid("k2")
    run(w.set("k2", { alive: false }), 10)
    expect(names(w, "k1").wanted).toEqual([k2])
    expect(w.events.map((e) => e.code)).toContain("sync.degraded")
  })
  test("D-11 with minSynchronousStandbys 0 lets the primary go on alone, and says so", () => {
    const w = cluster({ minSynchronousStandbys: 0 }, "k1", "k2")
    run(w.set("k2", { alive: false }), 10)
    expect(names(w, "k1")).toEqual({ wanted: [], confirmed: [], external: [] })
    expect(w.events.map((e) => e.code)).toContain("sync.degraded")
  })
  test("uses the name that never answers while there is no standby at all", () => {
    const w = cluster({}, "k1")
    expect(names(w, "k1")).toEqual({ wanted: [], confirmed: [], external: [fakeStandby] })
  })
  test("never chooses a keeper that may not be synchronous", () => {
    const w = world({ synchronousReplication: true })
      .keeper("k1", "k2", "k3")
      .set("k2", { canSync: false })
      .settled()
    run(w, 5)
    expect(names(w, "k1").wanted).toEqual([w.uid("k3")])
  })
  test("gives up a new standby that failed before it was ever in sync", () => {
    const w = world({ synchronousReplication: true }).keeper("k1", "k2", "k3").settled()
    w.set("k1", { syncStandbys: [] })
    w.set("k2", { alive: false })
    w.ticks(10)
    expect(w.db("k1").spec.synchronousStandbys).toEqual([w.uid("k3")])
  })
  test("clears the names when synchronous replication is switched off", () => {
    const w = cluster()
    run(w.spec({ synchronousReplication: false }), 2)
    expect(names(w, "k1")).toEqual({ wanted: null, confirmed: null, external: null })
    expect(w.db("k1").spec.synchronousReplication).toBe(false)
  })
})

describe("an election with synchronous replication", () => {
  test("goes to the confirmed standby, however advanced the others are", () => {
    const w = cluster()
    w.set("k3", { position: 5000n }).set("k1", { alive: false })
    w.until(() => w.primary() !== "k1", 12)
    expect(w.primary()).toBe("k2")
  })
  test("goes to nobody when the confirmed standby is dead too, and loses nothing", () => {
    const w = cluster()
    w.set("k2", { alive: false }).set("k1", { alive: false })
    w.ticks(15)
    expect([w.primary(), w.revoked(), w.gate()]).toEqual(["k1", false, "k1"])
  })
  test("goes to who is left once the operator switches synchronous replication off, and never before", () => {
    const w = cluster()
    w.set("k2", { alive: false }).set("k1", { alive: false }).ticks(15)
    expect(w.primary()).toBe("k1")
    w.spec({ synchronousReplication: false }).until(() => w.gate() === "k3", 12)
  })
  test("D-03 starts the new primary with the names of who can be in sync", () => {
    const w = cluster({ maxSynchronousStandbys: 2 })
    w.set("k1", { alive: false }).until(() => w.primary() !== "k1", 12)
    const next = w.primary()
    const other = next === "k2" ? "k3" : "k2"
    expect(names(w, next)).toEqual({
      wanted: [w.uid(other)],
      confirmed: [w.uid(other)],
      external: [],
    })
  })
  test("starts the new primary with the name that never answers when nobody is left", () => {
    const w = cluster({}, "k1", "k2")
    w.set("k1", { alive: false }).until(() => w.primary() === "k2", 12)
    expect(names(w, "k2")).toEqual({ wanted: [], confirmed: [], external: [fakeStandby] })
  })
  test("a chain of failovers never elects somebody who may lack an acknowledged commit", () => {
    const w = cluster({ maxSynchronousStandbys: 2 }, "k1", "k2", "k3")
    w.set("k1", { alive: false }).until(() => w.primary() !== "k1", 12)
    const second = w.primary()
    const third = second === "k2" ? "k3" : "k2"
    // the second dies before it opened: the third was confirmed with the first, and the second
    // acknowledged nothing without it
    w.set(second, { alive: false }).until(() => w.primary() === third, 20)
  })
  test("an election after synchronous replication was just asked for goes by the rule of before (11.1, 15)", () => {
    const w = world().keeper("k1", "k2").settled()
    w.set("k1", { alive: false }).ticks(3)
    w.spec({ synchronousReplication: true }).until(() => w.primary() === "k2", 12)
    expect(names(w, "k2").external).toEqual([fakeStandby])
  })
})
