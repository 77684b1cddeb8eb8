/** Two keepers under one uid (D-16): a running primary never notices. */
import { describe, expect, test } from "bun:test"
import type { BootUUID, KeeperUID } from "#model/ids.ts"
import { emptyMemory } from "#sentinel/memory.ts"
import { type World, world } from "./world.ts"

const three = (): World => world().keeper("k1", "k2", "k3").proxy("p1").settled()
const boot = (w: World, keeper: string): string =>
  w.data.keepers.get(keeper as KeeperUID)?.status.bootUUID ?? ""
const codes = (w: World): string[] => w.events.map((e) => e.code)
/** The two publish in turn, as two processes with one period do. */
function inTurn(w: World, keeper: string, second: object, rounds: number): World {
  const first = { ...w.machine(keeper) }
  for (let i = 0; i < rounds; i++) {
    w.set(keeper, i % 2 === 0 ? second : first)
    w.tick(500)
  }
  return w.set(keeper, first)
}
const stranger = { boot: "other", stranger: true }

describe("a second keeper with the uid of the primary's", () => {
  test("D-16 is not listened to: neither boot, nor role, nor gate move, and it is said once", () => {
    const w = three()
    inTurn(w, "k1", stranger, 40)
    expect([boot(w, "k1"), w.primary(), w.gate(), w.revoked()]).toEqual([
      "boot-k1",
      "k1",
      "k1",
      false,
    ])
    expect(codes(w).filter((code) => code === "keeper.duplicate")).toEqual(["keeper.duplicate"])
    expect(codes(w)).not.toContain("db.failed")
  })
  test("D-16 does not take the uid over when a new leader happens to see it first", () => {
    const w = three()
    w.set("k1", stranger)
    w.memory = emptyMemory
    w.ticks(2, 500)
    w.set("k1", { boot: "boot-k1", stranger: false })
    inTurn(w, "k1", stranger, 20)
    expect([boot(w, "k1"), w.primary(), w.revoked()]).toEqual(["boot-k1", "k1", false])
  })
  test("D-16 that is a copy of its machine is never believed while the first one speaks", () => {
    const w = three()
    // it has the DB, just as the same keeper after a restart would
    const boots = new Set<string>()
    const first = { ...w.machine("k1") }
    for (let i = 0; i < 40; i++) {
      w.set("k1", i % 2 === 0 ? { boot: "copy" } : first).tick(500)
      boots.add(boot(w, "k1"))
    }
    expect([[...boots], w.primary(), w.revoked()]).toEqual([["boot-k1"], "k1", false])
    expect(codes(w).filter((code) => code === "keeper.duplicate")).toHaveLength(1)
    const before = w.events.length
    inTurn(w, "k1", { boot: "copy" }, 20)
    expect(w.events.slice(before).map((e) => e.code)).toEqual([])
  })
  for (const [name, begins] of [
    ["the first one", { boot: "boot-k1" }],
    ["the copy", { boot: "copy" }],
  ] as const)
    test(`D-16 that is a copy is not believed by a leader that came and saw ${name} first`, () => {
      const w = three()
      w.memory = emptyMemory
      w.set("k1", begins).tick(500)
      w.set("k1", { boot: "copy" }).tick(250)
      w.set("k1", { boot: "copy" }).tick(250)
      expect(boot(w, "k1")).toBe("boot-k1")
      w.set("k1", { boot: "boot-k1" })
      inTurn(w, "k1", { boot: "copy" }, 20)
      expect([boot(w, "k1"), w.primary(), w.revoked()]).toEqual(["boot-k1", "k1", false])
    })
  test("D-16 may have the uid when the first one has been silent for long, and is not called double", () => {
    const w = three()
    w.set("k1", stranger).ticks(5)
    expect(boot(w, "k1")).toBe("other")
    w.ticks(20)
    expect(w.primary()).not.toBe("k1") // it came without the data, so another is the primary
    expect(codes(w)).not.toContain("keeper.duplicate")
  })
})

describe("a keeper that was restarted", () => {
  test("is believed when the run before says no more, for it has the DB that it should have", () => {
    const w = three()
    w.set("k1", { boot: "again" }).ticks(2)
    expect([boot(w, "k1"), w.primary()]).toEqual(["again", "k1"])
    w.ticks(5)
    expect(codes(w)).not.toContain("keeper.duplicate")
  })
  test("is believed with its first word when the run before had stopped PostgreSQL", () => {
    const w = three()
    w.set("k1", { postgres: false }).tick()
    w.set("k1", { boot: "again", postgres: true }).tick(100)
    expect([boot(w, "k1"), w.primary()]).toEqual(["again", "k1"])
  })
  test("is believed with its first word where it has a standby, which can harm nobody", () => {
    const w = three()
    w.set("k2", { boot: "again" }).tick(100)
    expect(boot(w, "k2")).toBe("again")
  })
  test("is not confused by one late word of the process that died", () => {
    const w = three()
    w.set("k1", { boot: "again" }).ticks(2)
    w.set("k1", { boot: "boot-k1" }).tick(100)
    w.set("k1", { boot: "again" }).ticks(5)
    expect(boot(w, "k1")).toBe("again")
    expect(codes(w)).not.toContain("keeper.duplicate")
  })
  test("is not confused by the heralds of the process that died, however many there are", () => {
    const w = three()
    w.set("k2", { boot: "again" }).ticks(2)
    for (let i = 0; i < 3; i++) {
      w.set("k2", { boot: "boot-k2", says: { ended: true } }).tick(100)
      w.set("k2", { boot: "again", says: {} }).tick(100)
      expect(boot(w, "k2")).toBe("again")
    }
    expect(codes(w)).not.toContain("keeper.duplicate")
  })
  test("is not called a double when the herald of the run before speaks between its words", () => {
    const w = three()
    w.set("k1", { boot: "again" }).tick(100) // not believed yet: the one before may have a primary
    expect(boot(w, "k1")).toBe("boot-k1")
    w.set("k1", { boot: "boot-k1", says: { ended: true } }).tick(100)
    w.set("k1", { boot: "again", says: {} }).ticks(2, 100)
    expect(codes(w)).not.toContain("keeper.duplicate")
  })
  test("is not called a double by a sentinel that the leader was ahead of", () => {
    const w = three()
    // the leader heard the new run first, and put it into the view
    const keeper = w.data.keepers.get("k2" as KeeperUID)!
    const known = { ...keeper, status: { ...keeper.status, bootUUID: "again" as BootUUID } }
    w.data = { ...w.data, keepers: new Map(w.data.keepers).set(keeper.uid, known) }
    w.set("k2", { boot: "again" })
    for (let i = 0; i < 4; i++) w.tick(500, false)
    w.ticks(4, 500) // now it leads itself
    expect(boot(w, "k2")).toBe("again")
    expect(codes(w)).not.toContain("keeper.duplicate")
  })
  test("keeps its role when it is back within failInterval, on another port (T11)", () => {
    const w = three()
    w.set("k1", { alive: false }).ticks(2)
    w.set("k1", { alive: true, boot: "again", postgres: false }).ticks(2)
    w.set("k1", { postgres: true }).ticks(5)
    expect([w.primary(), w.gate(), boot(w, "k1")]).toEqual(["k1", "k1", "again"])
  })
})
test("a keeper without a DB may be anybody's: nothing of it can be disturbed", () => {
  const w = world({ maxStandbysPerSender: 1 }).keeper("k1", "k2", "k3")
  w.until(() => w.gate() === "k1" && w.hasDB("k2")).ticks(3)
  w.set("k3", { boot: "other" }).tick()
  expect(boot(w, "k3")).toBe("other")
})
