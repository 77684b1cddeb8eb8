/**
 * What becomes of machines that come back: an old primary that follows, is rewound or is copied
 * anew; a keeper that was restarted, removed, or has lost its disk.
 */
import { expect, test } from "bun:test"
import { keeperUID } from "#model/ids.ts"
import { emptyDisk } from "#test/sim/disk.ts"
import { removeKeeper } from "#test/sim/operator.ts"
import { type Story, story } from "./story.ts"

/** The primary loses power, another takes over, the old one comes back. */
function there(s: Story): readonly string[] {
  s.rest()
  const old = s.primary()
  s.powerOff(old)
  s.run(15)
  s.told()
  s.powerOn(old)
  s.rest()
  return said(s)
}

/** Whether a copy takes longer than failInterval hangs on the seed. */
const said = (s: Story): readonly string[] => {
  const told = s.told()
  const copied = told.findIndex((line) => / step (?:clone|rewind)$/.test(line))
  return told.filter((line, i) => line !== "s1 db.failed" || copied < 0 || i < copied)
}

test("an old primary is rewound when that is allowed", () => {
  using s = story({ keepers: 3 })
  expect(there(s)).toEqual(["s1 db.added", "first plan.blocked", "first step rewind"])
})

test("an old primary is copied anew without pg_rewind, and what it had is kept aside", () => {
  using s = story({ spec: { usePgrewind: false } })
  expect(there(s)).toEqual([
    "s1 db.added",
    "first plan.blocked",
    "first step clone",
    "first step set-aside",
  ])
  expect(s.sim.hosts.get(s.standby())?.disk.asides.length).toBe(1)
})

test("a keeper that is killed and started again adopts its PostgreSQL, and nobody else notices", () => {
  using s = story()
  s.rest()
  s.told()
  const primary = s.primary()
  s.kill(primary)
  s.run(1)
  s.start(primary)
  s.rest()
  expect(s.told()).toEqual(["first postgres.adopted"])
})

test("PostgreSQL that is killed is started again in place", () => {
  using s = story()
  s.rest()
  s.told()
  const primary = s.primary()
  const process = s.sim.hosts.get(primary)?.instance?.process
  if (process === undefined) throw new Error("PostgreSQL does not run")
  s.sim.world.kill(process)
  s.rest()
  expect(s.told().filter((line) => line.startsWith("s1"))).toEqual([])
  expect(s.primary()).toBe(primary)
})

test("a keeper that was removed is taken in again when it is back, without a copy", () => {
  using s = story({ keepers: 3 })
  s.rest()
  s.told()
  const standby = s.standby()
  s.end(standby)
  s.run(8)
  s.operator.change(`removekeeper ${standby}`, removeKeeper(keeperUID(standby)))
  s.run(10)
  expect(s.told()).toEqual(["s1 db.failed"])
  s.start(standby)
  s.rest()
  expect(s.told()).toEqual(["s1 db.added"])
})

test("a standby that lost its disk is assigned anew and copied", () => {
  using s = story()
  s.rest()
  s.told()
  const standby = s.standby()
  s.powerOff(standby)
  const host = s.sim.hosts.get(standby)
  if (host === undefined) throw new Error(`there is no ${standby}`)
  Object.assign(host.disk, emptyDisk())
  s.powerOn(standby)
  s.rest()
  // its own old info tells nothing of an empty disk, so it watches that for a while first (D-16)
  expect(said(s)).toEqual([
    "s1 db.failed",
    "s1 db.recovered",
    "s1 db.removed",
    "s1 db.added",
    "other step clone",
  ])
})
