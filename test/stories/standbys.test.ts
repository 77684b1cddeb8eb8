/**
 * Which standbys the cluster has: as many as wanted, never more, working ones; and what operators
 * do to keepers.
 */
import { expect, test } from "bun:test"
import { duration } from "#base/duration.ts"
import { keeperUID } from "#model/ids.ts"
import { removeKeeper } from "#test/sim/operator.ts"
import { load } from "#test/sim/server.ts"
import { type Story, story } from "./story.ts"

const free = (s: Story): string =>
  [...s.sim.hosts.keys()].find((name) => s.dbOf(name) === "") ?? "nobody"

test("a standby that fails is replaced by a free keeper, and is free itself when it is back", () => {
  using s = story({ keepers: 3, spec: { maxStandbysPerSender: 1 } })
  s.rest()
  const [failed, spare] = [s.standbys()[0] ?? "", free(s)]
  s.powerOff(failed)
  s.until("the spare one has taken its place", () => s.standbys().join() === spare)
  s.powerOn(failed)
  s.rest()
  expect(free(s)).toBe(failed)
})

test("a standby that fails while no keeper is free keeps its place until it is back", () => {
  using s = story()
  s.rest()
  const standby = s.standby()
  const db = s.dbOf(standby)
  s.powerOff(standby)
  s.run(20)
  s.powerOn(standby)
  s.rest()
  expect(s.dbOf(standby)).toBe(db)
})

test("a lowered maxStandbysPerSender takes standbys away, but no synchronous one", () => {
  using s = story({ keepers: 4, spec: { synchronousReplication: true } })
  s.rest()
  expect(s.standbys().length).toBe(3)
  const [named = ""] = s.postgres(s.primary()).inForce?.names ?? []
  s.update({ maxStandbysPerSender: 1 })
  s.rest()
  expect(s.standbys().map((name) => `stolon_${s.dbOf(name)}`)).toEqual([named])
  s.update({ maxStandbysPerSender: 3 })
  s.rest()
  expect(s.standbys().length).toBe(3)
})

test("D-21 a limit below what is good and in the making adds nobody", () => {
  using s = story({ keepers: 4 })
  s.rest()
  s.powerOff(s.standbys()[0] ?? "")
  s.run(5)
  s.update({ maxStandbysPerSender: 1 })
  s.run(20)
  expect(s.view().dbs.size).toBe(2)
  for (const name of s.sim.hosts.keys()) s.powerOn(name)
  s.rest()
})

test("D-24 copies in the making count: a slow one brings no further keeper into play", () => {
  using s = story({ keepers: 4, spec: { maxStandbysPerSender: 1 } })
  s.run(1)
  s.until("there is a standby", () => s.view().dbs.size > 1)
  while (s.standbys().every((name) => s.sim.hosts.get(name)?.instance?.phase !== "up")) {
    expect(s.view().dbs.size).toBe(2)
    s.run(0.5)
  }
  s.rest()
})

test("D-49 a lowered maxStandbys leaves room for every slot that is there", () => {
  using s = story({ keepers: 3, spec: { automaticPgRestart: true } })
  s.rest()
  s.update({ maxStandbys: 1 })
  s.rest()
  const slots = Number(s.postgres(s.primary()).settings.all.get("max_replication_slots"))
  expect(slots).toBeGreaterThanOrEqual(s.standbys().length)
})

test("D-46 a restart for a parameter is no failover, even to a standby whose old connection is dead", () => {
  using s = story({ keepers: 2, spec: { automaticPgRestart: true } })
  s.rest()
  const primary = s.primary()
  // its machine is back at once, but the primary still holds its slot for the dead connection
  s.powerOff(s.standby())
  s.powerOn(s.standby())
  s.run(10)
  s.told()
  s.update({ pgParameters: new Map([["max_connections", "300"]]) })
  s.rest()
  expect([s.primary(), s.told().filter((line) => line.includes("primary."))]).toEqual([primary, []])
  expect(s.postgres(primary).settings.all.get("max_connections")).toBe("300")
})

test("removekeeper takes a dead standby out, and the primary's keeper is refused", () => {
  using s = story({ keepers: 3 })
  s.rest()
  const [primary, standby] = [s.primary(), s.standby()]
  s.told()
  s.ctl(`removekeeper ${primary}`, removeKeeper(keeperUID(primary)))
  expect(s.told()).toEqual([
    `ctl refused: keeper ${primary} has the primary; move it first: stolon ctl switchover, or if it is dead: stolon ctl failover`,
  ])
  s.powerOff(standby)
  s.run(8)
  s.ctl(`removekeeper ${standby}`, removeKeeper(keeperUID(standby)))
  s.run(5)
  expect(s.view().keepers.has(keeperUID(standby))).toBe(false)
  expect(s.standbys()).not.toContain(standby)
  s.powerOn(standby)
  s.rest()
  expect(s.standbys()).toContain(standby)
})

test("a dead keeper without a DB is forgotten after deadKeeperRemovalInterval", () => {
  const spec = { maxStandbysPerSender: 1, deadKeeperRemovalInterval: duration(20_000) }
  using s = story({ keepers: 3, spec })
  s.rest()
  const spare = free(s)
  s.powerOff(spare)
  s.run(15)
  expect(s.view().keepers.has(keeperUID(spare))).toBe(true)
  s.run(30)
  expect(s.view().keepers.has(keeperUID(spare))).toBe(false)
  s.powerOn(spare)
  s.rest()
})

test("a standby whose WAL the primary no longer has is copied anew, and serves again", () => {
  using s = story({ keepers: 2 })
  s.rest()
  const [primary, standby] = [s.primary(), s.standby()]
  const db = s.dbOf(standby)
  s.powerOff(standby)
  s.run(1)
  load(s.postgres(primary), true)
  s.powerOn(standby)
  s.rest()
  expect(s.dbOf(standby)).not.toBe(db)
  expect(s.rows(standby)).toBeGreaterThan(0)
})

test("additional slots are on the primary, and on the next primary after a failover", () => {
  using s = story({ keepers: 3, spec: { additionalMasterReplicationSlots: ["backup"] } })
  s.rest()
  const old = s.primary()
  expect(s.postgres(old).dir.slots).toContain("stolon_backup")
  s.powerOff(old)
  s.until("another serves", () => s.primary() !== old && s.view().proxy.spec.masterDbUid !== "")
  s.powerOn(old)
  s.rest()
  expect(s.postgres(s.primary()).dir.slots).toContain("stolon_backup")
  expect(s.postgres(old).dir.slots).not.toContain("stolon_backup")
  s.update({ additionalMasterReplicationSlots: null })
  s.rest()
  s.run(5)
  expect(s.postgres(s.primary()).dir.slots).not.toContain("stolon_backup")
})

for (const how of ["ended", "killed"] as const) {
  test(`T11 a primary whose keeper is ${how} and started with another port keeps its role; all move along`, () => {
    // a leader that acts on evidence lets no primary end in good order without a successor
    const spec = { failInterval: duration(20_000), failureDetection: "silence" }
    using s = story({ keepers: 3, proxies: 2, spec })
    s.rest()
    const primary = s.primary()
    moves(s, primary, how)
    expect(s.primary()).toBe(primary)
    for (const { route } of s.sim.relays.values())
      expect(route).toEqual({ kind: "forward", host: `${primary}.new`, port: 6000 })
  })

  test(`a standby whose keeper is ${how} and started elsewhere streams again, without a copy`, () => {
    using s = story()
    s.rest()
    const standby = s.standby()
    s.told()
    moves(s, standby, how)
    expect(s.told().filter((line) => line.includes("step"))).toEqual([])
    expect(s.postgres(standby).started.port).toBe("6000")
  })
}

/** New address and new port. */
function moves(s: Story, name: string, how: "ended" | "killed"): void {
  const flags = { address: `${name}.new`, port: "6000" }
  if (how === "ended") s.restart(name, flags)
  else {
    Object.assign(s.node(name).flags, flags)
    s.kill(name)
    s.start(name)
  }
  s.rest()
}
