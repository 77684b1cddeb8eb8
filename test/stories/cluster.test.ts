/**
 * The cluster as a whole under running components: its data replaced or deleted, backups brought
 * back, a standby cluster and its promotion, and two keepers that claim to be the same.
 */
import { expect, test } from "bun:test"
import { emptyDB } from "#model/cluster.ts"
import { keeperUID } from "#model/ids.ts"
import { emptySpec, recommended } from "#model/spec.ts"
import { restored, standbyCluster } from "#test/sim/draw.ts"
import { copyDir } from "#test/sim/disk.ts"
import { failover, promote } from "#test/sim/operator.ts"
import type { Instance } from "#test/sim/server.ts"
import { addKeeper, isPrimary } from "#test/sim/sim.ts"
import { startNode } from "#test/sim/nodes.ts"
import { type Story, story } from "./story.ts"

const systems = (s: Story): ReadonlySet<string> =>
  new Set([...s.sim.hosts.values()].flatMap(({ disk }) => disk.data?.systemID ?? []))

test("T17 init over a running cluster begins a new one, and what there was is set aside", () => {
  using s = story({ keepers: 3 })
  s.rest()
  const [old] = systems(s)
  s.sim.ledger.forget(systems(s))
  s.operator.init({ ...emptySpec, ...recommended, initMode: "new" })
  s.run(2)
  s.rest()
  expect([...systems(s)]).not.toContain(old)
  for (const { disk } of s.sim.hosts.values())
    expect(disk.asides.map(({ dir }) => dir.systemID)).toContain(old ?? "")
})

test("T17 cluster data that is deleted stops nobody, and written again is taken up again", () => {
  using s = story({ keepers: 3 })
  s.rest()
  s.told()
  const [primary, data] = [s.primary(), s.view()]
  s.sim.store.core.remove()
  s.run(20)
  expect(s.sim.hosts.get(primary)?.instance?.phase).toBe("up")
  s.sim.store.core.write(data, { kind: "anything" }, null)
  s.rest()
  expect(s.primary()).toBe(primary)
  expect(s.told().filter((line) => line.includes("primary") || line.includes("step"))).toEqual([])
})

test("a cluster begins with a restored backup, recovers it and goes on by itself", () => {
  using s = story({ keepers: 2, outside: true, spec: restored })
  s.sim.world.run(9_000)
  s.rest()
  const { outside } = s.sim
  expect([...systems(s)]).toEqual([outside?.disk.data?.systemID ?? ""])
  expect(s.postgres(s.primary()).dir.wal.timeline).toBe(2)
})

/** Rows of the primary outside that a keeper has. */
const fromOutside = (s: Story, name: string): number =>
  s.sim.hosts.get(name)?.disk.data?.wal.records.filter(({ row }) => row >= 1_000_000).length ?? 0

const outsideOf = (s: Story): Instance => {
  const instance = s.sim.outside?.instance ?? null
  if (instance === null) throw new Error("there is nothing outside")
  return instance
}

test("a standby cluster follows the primary outside, its other keepers follow its first", () => {
  using s = story({ keepers: 3, outside: true, spec: standbyCluster })
  s.rest()
  expect(s.postgres(s.primary()).upstream?.upstream).toBe(outsideOf(s))
  for (const name of s.standbys())
    expect(s.postgres(name).upstream?.upstream).toBe(s.postgres(s.primary()))
  const rows = s.standbys().map((name) => fromOutside(s, name))
  s.run(10)
  s.standbys().forEach((name, i) => expect(fromOutside(s, name)).toBeGreaterThan(rows[i] ?? 0))
})

test("inside a standby cluster another follows the primary outside when the first dies", () => {
  using s = story({ keepers: 3, outside: true, spec: standbyCluster })
  s.rest()
  const old = s.primary()
  s.powerOff(old)
  s.until("another is chosen", () => s.primary() !== old)
  s.run(20)
  expect(s.postgres(s.primary()).upstream?.upstream).toBe(outsideOf(s))
  expect([...s.sim.hosts.values()].some(({ instance }) => instance && isPrimary(instance))).toBe(
    false,
  )
  s.powerOn(old)
  s.rest()
})

test("a standby cluster that is promoted leaves the primary outside, and serves clients", () => {
  using s = story({ keepers: 3, outside: true, spec: standbyCluster })
  s.rest()
  const first = s.primary()
  s.told()
  s.ctl("promote", promote)
  s.rest()
  expect(s.primary()).toBe(first)
  expect(isPrimary(s.postgres(first))).toBe(true)
  expect(s.told().filter((line) => line.includes("step"))).toEqual(["first step promote"])
  s.powerOff(first)
  s.until("another serves", () => s.primary() !== first && s.view().proxy.spec.masterDbUid !== "")
  s.powerOn(first)
  s.rest()
})

test("a synchronous standby cluster that is promoted acknowledges nothing that is on one disk only", () => {
  const spec = { ...standbyCluster, synchronousReplication: true }
  using s = story({ keepers: 2, outside: true, spec })
  s.rest()
  const [primary, standby] = [s.primary(), s.standby()]
  s.powerOff(standby)
  s.run(10)
  // It has still to apply something when it becomes the primary.
  s.cut(primary, "store")
  s.update({ pgParameters: new Map([["work_mem", "8MB"]]) })
  s.ctl("promote", promote)
  const first = s.view().dbs.get(s.view().cluster.status.master) ?? emptyDB
  expect([first.spec.role, first.spec.synchronousReplication]).toEqual(["master", true])
  s.mend()
  s.run(20)
  expect(s.sim.ledger.acks.length).toBe(0) // all wait for a second disk
  s.powerOn(standby)
  s.rest()
})

test("a standby cluster whose first dies while it is promoted goes on with the other", () => {
  const spec = { ...standbyCluster, synchronousReplication: true }
  using s = story({ keepers: 2, outside: true, spec })
  s.rest()
  const [first, other] = [s.primary(), s.standby()]
  s.powerOff(first)
  s.ctl("promote", promote) // the leader does not know yet
  s.until("the other takes over", () => s.primary() === other)
  s.powerOn(first)
  s.rest()
})

test("D-16 two keepers with one uid never make two primaries, and destroy nothing", () => {
  using s = story({ keepers: 2, spec: { synchronousReplication: true } })
  s.rest()
  const standby = s.standby()
  const twin = addKeeper(s.sim, "twin")
  twin.flags.uid = keeperUID(standby)
  startNode(s.sim, twin)
  for (let i = 0; i < 60; i++) {
    s.run(1)
    const primaries = [...s.sim.hosts.values()].filter((h) => h.instance && isPrimary(h.instance))
    expect(primaries.length).toBeLessThanOrEqual(1)
  }
  expect(s.sim.hosts.get(standby)?.disk.data).not.toBe(null)
  s.end("twin")
  s.run(5)
  s.sim.nodes.delete("twin")
  s.rest()
})

test("D-16 a second keeper with the primary's uid does not start as a primary beside it", () => {
  using s = story({ keepers: 2 })
  s.rest()
  const primary = s.primary()
  const twin = addKeeper(s.sim, "twin")
  twin.flags.uid = keeperUID(primary)
  startNode(s.sim, twin)
  s.run(40)
  expect(s.sim.hosts.get("twin")?.instance ?? null).toBe(null)
  s.end("twin")
  s.run(5)
  s.sim.nodes.delete("twin")
  s.rest()
})

test("histories that forked twice: the one that was away follows the others, whatever it had", () => {
  using s = story({ keepers: 3, spec: { synchronousReplication: true } })
  s.rest()
  const a = s.primary()
  s.powerOff(a)
  s.until("b serves", () => s.primary() !== a && s.view().proxy.spec.masterDbUid !== "")
  const b = s.primary()
  s.run(20)
  s.ctl("failover", failover(s.sim, keeperUID("")))
  s.until("c serves", () => s.primary() !== b && s.view().proxy.spec.masterDbUid !== "")
  const c = s.primary()
  s.run(20)
  s.powerOn(a)
  s.rest()
  expect(s.primary()).toBe(c)
  expect(s.standbys().toSorted()).toEqual([a, b].toSorted())
})

test("D-26 a standby that was away for four timelines is judged right when it is back", () => {
  using s = story({ keepers: 3 })
  s.rest()
  const away = s.primary() // it has a tail that nobody else has
  s.cut(away, ...s.standbys())
  s.run(1)
  s.powerOff(away)
  s.mend()
  s.until("another serves", () => s.primary() !== away && s.view().proxy.spec.masterDbUid !== "")
  for (let i = 0; i < 4; i++) {
    s.run(15)
    const before = s.primary()
    s.ctl("failover", failover(s.sim, keeperUID("")))
    s.until("it moves", () => s.primary() !== before && s.view().proxy.spec.masterDbUid !== "")
  }
  expect(s.postgres(s.primary()).dir.wal.timeline).toBe(6)
  s.powerOn(away)
  s.rest()
})

test("a standby that was ahead of the elected one gives up what nobody else has", () => {
  using s = story({ keepers: 3 })
  s.rest()
  const [old, behind = "", ahead = ""] = [s.primary(), ...s.standbys()]
  s.cut(behind, old)
  s.run(4)
  for (const name of [old, ahead]) s.powerOff(name)
  s.mend()
  s.until("the one that was behind serves", () => serves(s, behind))
  s.powerOn(ahead)
  s.powerOn(old)
  s.rest()
  expect(s.primary()).toBe(behind)
})

const serves = (s: Story, name: string): boolean =>
  s.primary() === name && s.view().proxy.spec.masterDbUid !== ""

/** The data of somebody else's cluster in the place of a keeper's. */
function givenData(s: Story, name: string): void {
  const [from, host] = [outsideOf(s).dir, s.sim.hosts.get(name)]
  if (host === undefined) throw new Error(`there is no ${name}`)
  host.disk.data = { ...copyDir(from), state: "shut down" }
}

const existing = { initMode: "existing", existingConfig: { keeperUID: "k2" } } as const

test("a cluster takes an existing directory over as it is, and copies it to the others", () => {
  using s = story({ keepers: 2, outside: true, spec: existing })
  s.sim.world.run(0)
  givenData(s, "k2")
  s.rest()
  expect(s.primary()).toBe("k2")
  expect([...systems(s)]).toEqual([outsideOf(s).dir.systemID])
  expect(s.told().filter((line) => line.includes("step"))).toEqual(["other step clone"])
})

test("D-31 a standby cluster that begins with an existing directory follows from the first moment", () => {
  using s = story({ keepers: 2, outside: true, spec: { ...standbyCluster, ...existing } })
  s.sim.world.run(0)
  givenData(s, "k2")
  const instance = s.sim.hosts.get("k2")
  s.sim.hooks.starting.push((_, dir) => expect(dir.signal).toBe("standby"))
  s.rest()
  expect(instance?.disk.data?.wal.timeline).toBe(1)
  expect(s.primary()).toBe("k2")
})
