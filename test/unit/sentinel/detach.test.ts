/** Standbys that let go of a primary (protocol L3.3): what they prove, and who may follow then. */
import { describe, expect, test } from "bun:test"
import { type World, certify, cluster, fenced, names, run } from "./world.ts"

/** k1 under a long lease, k2 and perhaps k3 in sync with it. */
const synced = (...keepers: string[]): World => {
  const w = cluster({ maxSynchronousStandbys: keepers.length - 1 }, ...keepers)
  w.set("k1", { says: fenced(20_000) })
  return run(w.proxy("p1"), 3)
}
/** As a keeper does: it ends its WAL receiver when told so. */
function letGo(w: World, ...keepers: string[]): World {
  for (const k of keepers)
    w.set(k, {
      reports: w.state.detach ? { detached: w.state.primaryEpoch, streaming: false } : {},
    })
  return w
}
const dead = (w: World): World => w.set("k1", { mute: true }).until(() => w.revoked(), 60, 100)

describe("standbys let go", () => {
  test("of a silent synchronous primary, and the one that says so is promoted while the lease runs (L3)", () => {
    const w = dead(synced("k1", "k2"))
    expect(w.state.detach).toBe(true)
    w.ticks(5, 100)
    expect(w.primary()).toBe("k1")
    letGo(w, "k2").tick(50)
    w.tick(50)
    expect([w.primary(), w.state.fencedBy, w.state.detach]).toEqual(["k2", "standbys", false])
    w.proxies.get("p1")!.acknowledges = false
    w.set("k2", { inRecovery: false, reports: {} }).ticks(3, 50)
    expect(w.gate()).toBe("k2")
  })
  test("not of a primary that is alive: it sends its last WAL; after a second they do", () => {
    const w = synced("k1", "k2").forceFail("k1")
    w.until(() => w.revoked(), 3, 20)
    expect(w.state.detach).toBe(false)
    w.ticks(9, 100)
    expect(w.state.detach).toBe(false)
    w.ticks(3, 100)
    expect(w.state.detach).toBe(true)
  })
  test("of an asynchronous primary never: what it still acknowledges would be lost", () => {
    const w = synced("k1", "k2")
    w.spec({ synchronousReplication: false }).ticks(3)
    dead(w).ticks(20, 100)
    expect(w.state.detach).toBe(false)
  })
  test("and who is in sync but has not let go may not follow", () => {
    const w = dead(synced("k1", "k2", "k3"))
    expect(names(w, "k1").confirmed).toHaveLength(2)
    w.set("k3", { position: 9_000n })
    letGo(w, "k2").ticks(2, 50)
    expect(w.primary()).toBe("k2")
  })
  test("and nobody else follows, though an operator gives synchronous replication up meanwhile", () => {
    const w = cluster({ maxSynchronousStandbys: 1 }, "k1", "k2", "k3")
    run(w.set("k1", { says: fenced(20_000) }), 3)
    const [listed] = names(w, "k1").confirmed ?? []
    const [named, other] = w.uid("k2") === listed ? ["k2", "k3"] : ["k3", "k2"]
    dead(w).set(other, { position: 9_000n })
    letGo(w, "k2", "k3").spec({ synchronousReplication: false }).ticks(2, 50)
    expect([w.primary(), w.state.fencedBy]).toEqual([named, "standbys"])
  })
  test("and one that commits did not wait for proves nothing by it", () => {
    const w = cluster({ maxSynchronousStandbys: 1 }, "k1", "k2", "k3")
    run(w.set("k1", { says: fenced(20_000) }), 3)
    const [listed] = names(w, "k1").confirmed ?? []
    const other = w.uid("k2") === listed ? "k3" : "k2"
    dead(w)
    letGo(w, other).ticks(5, 100)
    expect(w.primary()).toBe("k1")
  })
  test("and when that one dies before it is named, the end of the lease lets others follow", () => {
    const w = dead(synced("k1", "k2", "k3"))
    letGo(w, "k2").tick(10, false) // its word is read, the write is lost to a conflict
    w.set("k2", { postgres: false, reports: {} }).ticks(20, 100)
    expect(w.primary()).toBe("k1")
    w.until(() => w.primary() !== "k1", 300, 100)
    expect([w.primary(), w.state.fencedBy]).toEqual(["k3", "lease"])
  })
  test("until somebody is reinstated", () => {
    const w = synced("k1", "k2").forceFail("k1")
    w.until(() => w.revoked(), 3, 20)
    w.ticks(12, 100)
    expect(w.state.detach).toBe(true)
    w.set("k2", { mute: true }).ticks(40, 100)
    w.set("k1", { postgres: false, certificate: certify(w, "k1") }).ticks(5, 100)
    expect([w.primary(), w.revoked(), w.state.detach]).toEqual(["k1", false, false])
  })
})
