/**
 * Data that is gone, or that is not what the view says: nothing is ever overwritten that may be the
 * last of its kind, and a person is told where one is needed.
 */
import { expect, test } from "bun:test"
import { keeperUID } from "#model/ids.ts"
import { emptyDisk } from "#test/sim/disk.ts"
import type { Host } from "#test/sim/host.ts"
import { removeKeeper } from "#test/sim/operator.ts"
import { type Story, story } from "./story.ts"

function host(s: Story, name: string): Host {
  const found = s.sim.hosts.get(name)
  if (found === undefined) throw new Error(`there is no ${name}`)
  return found
}

/** The directory is gone, the keeper's own files are not. */
function loseData(s: Story, name: string): void {
  const { instance, disk } = host(s, name)
  s.sim.troubles.begin(name, "data lost", s.sim.world.now())
  if (instance !== null) s.sim.world.kill(instance.process)
  disk.data = null
}

test("a standby whose data directory is lost is copied anew", () => {
  using s = story()
  s.rest()
  s.told()
  const standby = s.standby()
  loseData(s, standby)
  s.rest()
  expect(s.told()).toContain("other step clone")
  expect(s.rows(standby)).toBeGreaterThan(0)
})

test("a standby that was rewound and then lost its data directory is copied anew", () => {
  using s = story({ keepers: 3 })
  s.rest()
  const old = s.primary()
  s.powerOff(old)
  s.until("another takes over", () => s.primary() !== old)
  s.powerOn(old)
  s.rest()
  expect(s.told()).toContain("first step rewind")
  loseData(s, old)
  s.rest()
  expect(s.told()).toContain("first step clone")
})

test("a primary whose data directory is lost is replaced by its standby, and copied from it", () => {
  using s = story()
  s.rest()
  const [old, standby] = [s.primary(), s.standby()]
  loseData(s, old)
  s.until("the standby takes over", () => s.primary() === standby)
  s.rest()
  expect(s.standbys()).toEqual([old])
})

test("a lost primary without a standby stays lost, and is never initialised again", () => {
  using s = story({ keepers: 1 })
  s.rest()
  const only = s.primary()
  s.told()
  loseData(s, only)
  s.run(60)
  expect(s.told().filter((line) => line.includes("step"))).toEqual([])
  expect(host(s, only).disk.data).toBe(null)
  expect(s.primary()).toBe(only)
})

test("a keeper that forgot which DB it holds waits with the data as it is, and never overwrites it", () => {
  using s = story({ keepers: 1 })
  s.rest()
  const only = s.primary()
  const { disk } = host(s, only)
  const whole = disk.data
  const state = disk.db
  s.powerOff(only)
  disk.db = null
  s.told()
  s.powerOn(only)
  s.run(60)
  expect(s.told()).toContain("first plan.blocked")
  expect(disk.data).toBe(whole)
  s.powerOff(only)
  disk.db = state
  s.powerOn(only)
  s.rest() // a person brought the file back
})

test("an old directory in a standby's place is set aside, not deleted", () => {
  using s = story()
  s.rest()
  const standby = s.standby()
  s.powerOff(standby)
  const { disk } = host(s, standby)
  const old = disk.data
  disk.db = null // and so a leader finds that it holds nothing
  s.powerOn(standby)
  s.rest()
  const kept = disk.data === old || disk.asides.some(({ dir }) => dir === old)
  expect(kept || s.rows(standby) > 0).toBe(true)
})

test("a primary and a standby lose their disks: the other standby keeps everything", () => {
  using s = story({ keepers: 3, spec: { synchronousReplication: true } })
  s.rest()
  const [named] = s.postgres(s.primary()).inForce?.names ?? []
  const kept = s.standbys().find((name) => `stolon_${s.dbOf(name)}` === named) ?? ""
  const lost = [...s.sim.hosts.keys()].filter((name) => name !== kept)
  for (const name of lost) s.powerOff(name)
  for (const name of lost) Object.assign(host(s, name).disk, emptyDisk())
  s.until("the one that has the data takes over", () => s.primary() === kept)
  for (const name of lost) s.powerOn(name)
  s.rest()
})

test("a disk that comes back empty under its old name is taken in as a new one after removekeeper", () => {
  using s = story({ keepers: 3 })
  s.rest()
  const standby = s.standby()
  s.powerOff(standby)
  Object.assign(host(s, standby).disk, emptyDisk())
  s.run(8)
  s.ctl(`removekeeper ${standby}`, removeKeeper(keeperUID(standby)))
  s.powerOn(standby)
  s.rest()
  expect(s.standbys()).toContain(standby)
})
