/**
 * How the role of the primary moves: because it died, because somebody asked, and when it must
 * stay.
 */
import { expect, test } from "bun:test"
import { keeperUID } from "#model/ids.ts"
import { failover } from "#test/sim/operator.ts"
import { type Story, story } from "./story.ts"

const takeover: readonly string[] = [
  "s1 db.failed",
  "s1 primary.failed",
  "s1 primary.deposed",
  "s1 primary.fenced",
  "s1 primary.elected",
  "other step promote",
]

test("an asynchronous primary that loses power is deposed, fenced and replaced", () => {
  using s = story({ keepers: 3 })
  s.rest()
  s.told()
  s.powerOff(s.primary())
  s.run(15)
  expect(s.told()).toEqual([...takeover, "s1 gate.opened", "s1 db.removed"])
})

test("a synchronous primary's successor proves its names before the gate opens", () => {
  using s = story({ keepers: 3, spec: { synchronousReplication: true } })
  s.rest()
  s.told()
  s.powerOff(s.primary())
  s.run(15)
  expect(s.told()).toEqual([
    ...takeover,
    "other step prove-sync",
    "s1 gate.opened",
    "s1 db.removed",
    "s1 sync.confirmed",
  ])
})

test("a failover on request stops the old primary first, and nothing is lost or copied", () => {
  using s = story({ keepers: 3 })
  s.rest()
  s.told()
  s.operator.change("failover", failover(s.sim, keeperUID("")))
  s.run(1)
  s.rest()
  expect(s.told()).toEqual([
    "s1 primary.failed",
    "s1 primary.deposed",
    "first certificate.issued",
    "s1 primary.fenced",
    "s1 primary.elected",
    "other step promote",
    "s1 gate.opened",
    "s1 db.removed",
    "s1 db.added", // the old primary follows with what it has
  ])
})

const isRevoked = (s: Story): boolean => {
  const reading = s.sim.store.core.read()
  return reading.kind === "found" && reading.data.cluster.status.primaryRevoked
}

test("a revoked primary is reinstated when its only standby is gone meanwhile", () => {
  using s = story()
  s.rest()
  s.told()
  const primary = s.primary()
  s.operator.change("failover", failover(s.sim, keeperUID("")))
  for (let i = 0; i < 500 && !isRevoked(s); i++) s.run(0.01)
  const standby = s.standby()
  s.powerOff(standby)
  s.run(20)
  const told = s.told()
  expect(told.filter((line) => !line.includes("db."))).toEqual([
    "s1 primary.failed",
    "s1 primary.deposed",
    "first certificate.issued",
    "s1 primary.fenced",
    "s1 primary.reinstated",
    "s1 failover.refused",
    "s1 gate.opened",
  ])
  expect(s.primary()).toBe(primary)
  s.powerOn(standby)
  s.rest()
})

test("a follower leads when the leader sentinel dies, and the cluster stays as it is", () => {
  using s = story({ sentinels: 2 })
  s.rest()
  const [leader = "", follower = ""] =
    s.told()[0]?.startsWith("s1") === true ? ["s1", "s2"] : ["s2", "s1"]
  s.kill(leader)
  s.run(20)
  expect(s.told()).toEqual([`${follower} leader.elected`])
  s.start(leader)
  s.rest()
  expect(s.told()).toEqual([])
})
