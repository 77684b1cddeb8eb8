/** How many standbys there are, and which (reference 5.7, 11.1). */
import { describe, expect, test } from "bun:test"
import { wallMillis } from "#sentinel/dead.ts"
import { world } from "./world.ts"
import type { KeeperUID } from "#model/ids.ts"

describe("keepStandbys()", () => {
  test("gives free keepers a DB up to maxStandbysPerSender, by uid", () => {
    const w = world({ maxStandbysPerSender: 2 }).keeper("k1", "k2", "k3", "k4")
    w.until(() => w.gate() === "k1").ticks(5)
    expect(["k2", "k3", "k4"].map(w.hasDB)).toEqual([true, true, false])
  })
  test("D-21 D-24 counts copies in the making, whatever their number", () => {
    const w = world({ maxStandbysPerSender: 1 }).keeper("k1", "k2", "k3")
    w.set("k2", { stuckAt: 0, postgres: false })
    w.until(() => w.hasDB("k2")).ticks(10)
    expect(w.hasDB("k3")).toBe(false)
  })
  test("S5 the primary that was moved away follows at once; nobody is copied in its stead", () => {
    const w = world({ maxStandbysPerSender: 1 }).keeper("k2", "k3").settled()
    w.keeper("k1").ticks(3)
    w.set("k2", { postgres: false }).until(() => w.primary() === "k3", 30)
    w.set("k2", { postgres: true })
      .until(() => w.gate() === "k3", 10)
      .ticks(3)
    expect(["k1", "k2"].map(w.hasDB)).toEqual([false, true])
  })
  test("replaces a failed standby on a free keeper and removes the failed one once the new one is good", () => {
    const w = world({ maxStandbysPerSender: 1 }).keeper("k1", "k2", "k3")
    w.until(() => w.gate() === "k1" && w.hasDB("k2")).ticks(3)
    w.set("k2", { alive: false }).until(() => w.hasDB("k3"), 10)
    w.until(() => !w.hasDB("k2"), 5)
  })
  test("a copy that is good once is never asked for again: its initMode becomes none (N11)", () => {
    const w = world().keeper("k1", "k2").set("k2", { stuckAt: 0, postgres: false })
    w.until(() => w.gate() === "k1" && w.hasDB("k2")).ticks(3)
    expect(w.db("k2").spec.initMode).toBe("resync")
    const before = w.uid("k2")
    w.set("k2", { stuckAt: null, postgres: true }).ticks(3)
    expect([w.uid("k2"), w.db("k2").spec.initMode]).toEqual([before, "none"] as never)
  })
  test("keeps a failed standby while nobody can replace it", () => {
    const w = world({ maxStandbysPerSender: 1 }).keeper("k1", "k2").settled()
    const db = w.uid("k2")
    w.set("k2", { alive: false }).ticks(10)
    expect(w.uid("k2")).toBe(db)
  })
  test("D-25 removes good standbys above a lowered limit, the least advanced first, never by chance", () => {
    const w = world({ maxStandbysPerSender: 3 }).keeper("k1", "k2", "k3", "k4").settled()
    w.set("k3", { position: 500n }).ticks(2)
    w.spec({ maxStandbysPerSender: 2 }).ticks(2)
    expect(["k2", "k3", "k4"].map(w.hasDB)).toEqual([true, false, true])
  })
  test("removes a standby with another history, and its keeper starts again", () => {
    const w = world().keeper("k1", "k2").settled()
    const before = w.uid("k2")
    w.set("k2", { systemID: "7000000000000000002" }).ticks(2)
    expect(w.hasDB("k2") ? w.uid("k2") : "").not.toBe(before)
  })
  test("assigns a standby anew whose keeper says that it holds nothing", () => {
    const w = world().keeper("k1", "k2").settled()
    const before = w.uid("k2")
    w.set("k2", { lost: true }).until(() => !w.hasDB("k2") || w.uid("k2") !== before, 3)
    w.set("k2", { lost: false, stuckAt: 0 }).until(() => w.hasDB("k2"), 3)
    expect(w.db("k2").spec.initMode).toBe("resync")
  })
  test("leaves a Go keeper's standby alone that publishes no uid: it may not have looked yet", () => {
    const w = world().keeper("k1", "k2").settled()
    const before = w.uid("k2")
    w.set("k2", { lost: true, obeys: false }).ticks(2)
    expect(w.uid("k2")).toBe(before)
  })
  test("takes a keeper that was removed by hand back only when it publishes again", () => {
    const w = world().keeper("k1", "k2").settled()
    w.set("k2", { mute: true }).tick()
    w.removeKeeper("k2").ticks(2)
    expect(w.data.keepers.has("k2" as KeeperUID)).toBe(false)
    w.set("k2", { mute: false }).ticks(3)
    expect(w.data.keepers.has("k2" as KeeperUID)).toBe(true)
  })
  test("forgets a keeper that has been dead for deadKeeperRemovalInterval and holds no DB", () => {
    const w = world({
      maxStandbysPerSender: 1,
      deadKeeperRemovalInterval: 20_000_000_000n as never,
    }).keeper("k1", "k2", "k3")
    w.until(() => w.gate() === "k1").ticks(3)
    w.set("k3", { alive: false }).ticks(15)
    expect(w.data.keepers.has("k3" as KeeperUID)).toBe(true)
    w.ticks(15)
    expect(w.data.keepers.has("k3" as KeeperUID)).toBe(false)
  })
  test("takes additional slots for the primary only, and a changed spec raises each generation by one", () => {
    const w = world().keeper("k1", "k2").settled()
    const before = [w.db("k1").generation, w.db("k2").generation]
    w.spec({
      additionalMasterReplicationSlots: ["extra"],
      pgParameters: new Map([["work_mem", "8MB"]]),
    }).tick()
    expect(w.db("k1").spec.additionalReplicationSlots).toEqual(["extra"])
    expect(w.db("k2").spec.additionalReplicationSlots).toBe(null)
    expect([w.db("k1").generation - before[0]!, w.db("k2").generation - before[1]!]).toEqual([1, 1])
  })
  test("D-23 survives a DB whose keeper is not in the document", () => {
    const w = world().keeper("k1", "k2").settled()
    w.set("k2", { alive: false }).ticks(5)
    const keepers = new Map(w.data.keepers)
    keepers.delete("k2" as KeeperUID)
    w.data = { ...w.data, keepers }
    w.tick()
    expect(w.hasDB("k2")).toBe(false)
  })
  test("D-32 writes nothing new while nothing but positions change within sleepInterval", () => {
    const w = world().keeper("k1", "k2").settled()
    const before = w.data.changeTime
    w.tick(100)
    w.tick(100)
    expect(w.data.changeTime).toBe(before)
    w.machine("k1").position += 10n
    w.ticks(2)
    expect(w.data.changeTime).not.toBe(before)
  })

  test("D-56 wakes nobody at rest: that time has passed is written every ten seconds", () => {
    const w = world().keeper("k1", "k2").settled()
    let before = w.data.changeTime
    const writes: number[] = []
    for (let second = 1; second <= 30; second++) {
      w.tick()
      if (w.data.changeTime !== before) writes.push(second)
      before = w.data.changeTime
    }
    const gaps = writes.slice(1).map((second, i) => second - (writes[i] ?? 0))
    expect(gaps).toEqual([10, 10])
  })
})

describe("keepGate()", () => {
  test("enables proxies that are active and drops those that are gone, one generation a change", () => {
    const w = world().keeper("k1").proxy("p1").settled()
    const { generation } = w.data.proxy
    w.proxy("p2").ticks(2)
    expect(w.data.proxy).toMatchObject({
      generation: generation + 1,
      spec: { enabledProxies: ["p1", "p2"] },
    })
    w.proxies.get("p1")!.alive = false
    w.ticks(2)
    expect(w.data.proxy).toMatchObject({
      generation: generation + 2,
      spec: { enabledProxies: ["p2"] },
    })
  })
  test("D-33 does not count generations up while there is no proxy", () => {
    const w = world().keeper("k1").settled()
    const { generation } = w.data.proxy
    w.ticks(5)
    expect(w.data.proxy.generation).toBe(generation)
  })
})

test("wallMillis() reads RFC 3339 as the calendar does", () => {
  for (const text of [
    "2026-11-22T15:08:48.5Z",
    "1970-01-01T00:00:00Z",
    "2024-02-29T23:59:59.999Z",
    "2026-11-22T15:08:48.123456789+02:00",
    "0001-01-01T00:00:00Z",
  ])
    expect(wallMillis(text)).toBe(Date.parse(text.replace(/(\.\d{3})\d+/, "$1")))
})
