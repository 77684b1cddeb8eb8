/** What counts as silent, late, long ago; and that nothing moves that was not written. */
import { describe, expect, test } from "bun:test"
import { duration } from "#base/duration.ts"
import type { KeeperUID } from "#model/ids.ts"
import { emptyMemory } from "#sentinel/memory.ts"
import { type World, certify, cluster, fenced, ms, world } from "./world.ts"

const three = (): World => world().keeper("k1", "k2", "k3").proxy("p1").settled()
const codes = (w: World): string[] => w.events.map((e) => e.code)

describe("positions after the fence (W2)", () => {
  /** k1 is asked to go and has certified; the fence is proven in the last tick. */
  function fenced(w: World): World {
    w.forceFail("k1").until(() => w.revoked(), 2)
    w.set("k1", { postgres: false, certificate: certify(w, "k1") }).tick(20)
    expect([w.revoked(), w.memory.fence?.fencedAt]).toEqual([true, w.mono as never])
    return w
  }
  test("D-02 a publish that was under way at the fence does not count: the next one does", () => {
    const w = three().set("k1", { position: 1000n }).set("k2", { position: 990n })
    w.set("k3", { position: 980n })
    fenced(w)
    w.tick(20) // what was under way: k3 still at 980
    w.set("k3", { position: 1000n }).tick(20)
    expect(w.primary()).toBe("k3")
  })
  test("a confirmed standby is elected by its first word: where it is does not matter", () => {
    const w = cluster({}, "k1", "k2").proxy("p1")
    w.ticks(2)
    w.set("k1", { alive: false }).until(() => w.revoked(), 8)
    w.until(() => w.memory.fence?.fencedAt != null, 5)
    w.tick(20)
    expect(w.primary()).toBe("k2")
  })
})

describe("a copy in the making (D-24, D-42)", () => {
  const copying = (syncTimeout: number): World => {
    const w = world({ syncTimeout: duration(syncTimeout), maxStandbysPerSender: 1 })
    w.keeper("k1", "k2")
    w.set("k2", { stuckAt: 0, postgres: false })
    return w.until(() => w.gate() === "k1" && w.hasDB("k2"))
  }
  test("D-24 D-42 is bounded by syncTimeout alone, whatever changes in its specification meanwhile", () => {
    const w = copying(0)
    const before = w.uid("k2")
    w.spec({ pgParameters: new Map([["work_mem", "8MB"]]) }).tick()
    expect(w.db("k2").generation).toBe(2 as never)
    w.keeper("k3").ticks(30) // three times convergenceTimeout
    expect([w.uid("k2"), w.hasDB("k3")]).toEqual([before, false]) // nobody is needed in its place
  })
  test("D-24 does not get its time again with every change", () => {
    const w = copying(20_000)
    for (let i = 0; i < 22; i++) w.spec({ pgParameters: new Map([["work_mem", `${i}MB`]]) }).tick()
    w.keeper("k3").ticks(3)
    expect(w.hasDB("k3")).toBe(true)
  })
})

describe("a leader whose rounds are slow (W6)", () => {
  test("still sees a death, after a silence of several of its rounds", () => {
    const w = three()
    w.ticks(5, 4000)
    w.set("k1", { alive: false })
    w.until(() => w.gate() === "k2", 20, 4000)
  })
  test("does not take the slowness of the store for anybody's death", () => {
    const w = three()
    for (let i = 0; i < 30; i++) {
      // everybody publishes through the same store, once in two rounds of ours
      for (const k of ["k1", "k2", "k3"]) w.set(k, { mute: i % 2 === 0 })
      w.tick(4000)
    }
    expect([w.primary(), w.revoked()]).toEqual(["k1", false])
    expect(codes(w)).not.toContain("keeper.failed")
  })
  test("takes keys that expired in an outage for nobody's death when it begins after it (P6)", () => {
    const w = three()
    w.memory = emptyMemory
    for (const k of ["k1", "k2", "k3"]) w.set(k, { alive: false })
    w.ticks(2, 1000)
    for (const k of ["k1", "k2", "k3"]) w.set(k, { alive: true })
    w.ticks(5, 1000)
    expect([w.primary(), w.revoked()]).toEqual(["k1", false])
    expect(codes(w)).not.toContain("keeper.failed")
    w.memory = emptyMemory
    w.set("k1", { alive: false })
    w.until(() => w.gate() === "k2", 10, 1000)
  })
  test("is as quick as before soon after the store is", () => {
    const w = three()
    w.ticks(3, 6000)
    w.ticks(6)
    w.set("k1", { alive: false })
    w.until(() => w.revoked(), 6)
  })
  test("one long pause is a gap, not a pace", () => {
    const w = three()
    w.set("k1", { alive: false }).tick(60_000)
    expect(w.revoked()).toBe(false)
    expect(w.memory.pace).toBeLessThanOrEqual(30_000)
  })
})

describe("memory", () => {
  test("D-22 a decision that was not written moves nothing: the next one is the same", () => {
    const lost = three().set("k1", { alive: false })
    lost.ticks(3)
    for (let i = 0; i < 4; i++) lost.tick(1000, false)
    const told = lost.tick()
    expect(told).toContain("primary.deposed")
    expect(told).toContain("keeper.failed")
  })
  test("D-22 a timer of a generation that was never written does not run", () => {
    const w = three()
    w.spec({ pgParameters: new Map([["work_mem", "8MB"]]) })
    const before = w.db("k2").generation
    for (let i = 0; i < 15; i++) w.tick(1000, false) // longer than convergenceTimeout
    expect(w.db("k2").generation).toBe(before)
    w.set("k1", { stuckAt: before }).tick()
    w.ticks(5)
    expect([w.primary(), w.revoked()]).toEqual(["k1", false])
  })
})

describe("who has been dead for long", () => {
  const spare = (): World => {
    const w = world({ maxStandbysPerSender: 1, deadKeeperRemovalInterval: duration(20_000) })
    w.keeper("k1", "k2", "k3").until(() => w.gate() === "k1" && w.hasDB("k2"))
    w.ticks(3)
    return w
  }
  const has = (w: World, keeper: string): boolean => w.data.keepers.has(keeper as KeeperUID)
  test("D-35 a clock that jumps buries nobody", () => {
    const w = spare().set("k3", { alive: false })
    w.ticks(5)
    w.skew = 400 * 86_400_000
    w.ticks(5)
    expect(has(w, "k3")).toBe(true)
    w.ticks(15)
    expect(has(w, "k3")).toBe(false)
  })
  test("D-35 a leader that has just come has not seen a long silence", () => {
    const w = spare().set("k3", { alive: false })
    w.ticks(15)
    w.memory = emptyMemory
    w.ticks(12)
    expect(has(w, "k3")).toBe(true)
  })
  test("D-35 D-37 a dead standby is given up at last: its slot would hold the primary's WAL for ever", () => {
    const w = world({ deadKeeperRemovalInterval: duration(20_000) })
      .keeper("k1", "k2")
      .settled()
    const dead = w.uid("k2")
    w.set("k2", { alive: false }).ticks(15)
    expect(w.db("k1").spec.followers).toEqual([dead])
    w.ticks(10)
    expect([w.db("k1").spec.followers, w.data.dbs.has(dead), has(w, "k2")]).toEqual([
      [],
      false,
      false,
    ])
    w.set("k2", { alive: true }).until(() => w.hasDB("k2"), 5)
    expect(w.db("k2").spec.initMode).toBe("resync") // its keeper goes on from what it has
  })
  test("D-37 a standby whose PostgreSQL has failed for long is made anew where its keeper lives", () => {
    const w = world({ deadKeeperRemovalInterval: duration(20_000) })
      .keeper("k1", "k2")
      .settled()
    const before = w.uid("k2")
    w.set("k2", { postgres: false }).ticks(15)
    expect(w.uid("k2")).toBe(before)
    w.ticks(15)
    expect(w.uid("k2")).not.toBe(before)
  })
  test("never one that commits wait for, nor the primary", () => {
    const w = cluster({ deadKeeperRemovalInterval: duration(20_000) }, "k1", "k2")
    const [k1, k2] = [w.uid("k1"), w.uid("k2")]
    w.set("k2", { alive: false }).ticks(60)
    w.set("k1", { alive: false }).ticks(60)
    expect([w.uid("k1"), w.uid("k2")]).toEqual([k1, k2])
  })
})

describe("nothing polls", () => {
  test("D-56 a leader is woken when failInterval, and later the lease, has run out", () => {
    const w = world().keeper("k1", "k2").proxy("p1").settled()
    w.set("k1", { says: fenced(8_000) }).tick(100)
    const last = w.mono
    w.set("k1", { mute: true }).tick(500)
    expect(w.last?.wake).toBe(ms(last + 3_001))
    w.ticks(2, 1_251)
    expect(w.revoked()).toBe(true)
    w.ticks(3, 800)
    expect(w.last?.wake).toBe(ms(last + 8_401))
  })
  test("D-56 a leader asks for the words that it waits for, until they have come", () => {
    const w = world().keeper("k1", "k2", "k3").proxy("p1").settled()
    w.forceFail("k1").tick(20)
    w.set("k1", { postgres: false, certificate: certify(w, "k1") }).tick(20)
    expect(w.last?.awaited).toEqual(["k2", "k3"] as never)
    w.ticks(3, 20)
    expect(w.last?.awaited).toEqual([])
  })
})
