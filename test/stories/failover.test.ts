/**
 * How the role of the primary moves: because it died, because somebody asked, and when it must
 * stay.
 */
import { expect, test } from "bun:test"
import { duration } from "#base/duration.ts"
import { keeperUID } from "#model/ids.ts"
import { failKeeper, failover } from "#test/sim/operator.ts"
import { load } from "#test/sim/server.ts"
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
  // its PostgreSQL waits for the standby to have everything, as long as its lease runs
  const quiet = ["db.", "guardian.deadline"]
  const told = s.told().filter((line) => !quiet.some((word) => line.includes(word)))
  expect(told.filter((line, i) => line !== told[i - 1])).toEqual([
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

test("with minSynchronousStandbys 0 a primary goes on alone, and a confirmed standby takes over", () => {
  using s = story({ spec: { synchronousReplication: true, minSynchronousStandbys: 0 } })
  s.rest()
  const [old, standby] = [s.primary(), s.standby()]
  s.powerOff(standby)
  s.run(20)
  const alone = s.writers.acknowledged()
  s.run(5)
  expect(s.writers.acknowledged()).toBeGreaterThan(alone)
  s.powerOn(standby)
  s.rest()
  s.until("it is confirmed", () => isConfirmed(s, standby))
  s.told()
  s.powerOff(old)
  s.run(15)
  expect(s.told().filter((line) => !line.includes("sync"))).toEqual([
    ...takeover,
    "s1 gate.opened",
    "s1 db.removed",
  ])
  expect(s.primary()).toBe(standby)
})

const isConfirmed = (s: Story, name: string): boolean => {
  const db = [...s.view().dbs.values()].find(({ spec }) => spec.keeperUID === s.primary())
  return (db?.status.synchronousStandbys ?? []).some((uid) => uid === s.dbOf(name))
}

test("with nobody confirmed in sync there is no election, and the primary goes on when it is back", () => {
  using s = story({ spec: { synchronousReplication: true, minSynchronousStandbys: 0 } })
  s.rest()
  const [old, standby] = [s.primary(), s.standby()]
  s.powerOff(standby)
  s.run(20)
  s.told()
  s.powerOff(old)
  s.powerOn(standby)
  s.run(20)
  expect(s.told()).toContain("s1 primary.stuck")
  expect(s.primary()).toBe(old)
  s.powerOn(old)
  s.rest()
  expect(s.primary()).toBe(old)
})

test("when the elected one dies too, the next takes over", () => {
  using s = story({ keepers: 3 })
  s.rest()
  const [old, ...others] = [s.primary(), ...s.standbys()]
  s.powerOff(old ?? "")
  s.until("another is elected", () => s.primary() !== old)
  const elected = s.primary()
  s.powerOff(elected)
  s.until("the third is elected", () => s.primary() !== elected)
  expect(others).toContain(s.primary())
  s.run(10)
  s.powerOn(old ?? "")
  s.powerOn(elected)
  s.rest()
})

test("an elected standby that cannot promote gives way to another after convergenceTimeout", () => {
  using s = story({ keepers: 3, spec: { convergenceTimeout: duration(8_000) } })
  s.rest()
  const old = s.primary()
  s.powerOff(old)
  s.until("another is elected", () => s.primary() !== old)
  const elected = s.primary()
  // Its PostgreSQL hangs; the keeper lives and says what it sees.
  s.sim.world.freeze(s.postgres(elected).process)
  s.until("the third is elected", () => s.primary() !== elected)
  s.sim.hosts.forEach(({ instance }) => instance && s.sim.world.resume(instance.process))
  s.powerOn(old)
  s.rest()
})

test("D-02 nobody within maxStandbyLag is no election, until one has caught up", () => {
  using s = story({ keepers: 2 })
  s.rest()
  s.told()
  const [old, standby] = [s.primary(), s.standby()]
  s.cut(standby, old)
  load(s.postgres(old), false) // more than maxStandbyLag
  s.run(3)
  s.kill(old)
  s.sim.world.kill(s.sim.hosts.get(old)?.guardian?.process ?? never(old))
  s.run(15)
  expect(s.told()).toEqual(["s1 db.failed", "s1 primary.stuck"])
  expect(said(s, "primary.stuck")).toMatch(/lags \d+ bytes, more than maxStandbyLag/)
  s.mend()
  s.start(old)
  s.rest()
  expect(s.primary()).toBe(old)
  s.powerOff(old) // now it has caught up
  s.run(15)
  expect(s.primary()).toBe(standby)
})

const never = (name: string): never => {
  throw new Error(`${name} has no guardian`)
}
/** The reason in the last event of that name. */
const said = (s: Story, code: string): string =>
  String(s.sim.world.trace.lines.findLast(({ what }) => what === code)?.fields["why"])

test("T7 failkeeper fails the primary over at the leader's next check", () => {
  using s = story({ keepers: 3 })
  s.rest()
  s.told()
  const old = s.primary()
  s.sim.troubles.begin(old, "failkeeper", s.sim.world.now())
  s.ctl(`failkeeper ${old}`, failKeeper(keeperUID(old)))
  expect(s.told().slice(0, 3)).toEqual(["s1 db.failed", "s1 primary.failed", "s1 primary.deposed"])
  s.rest()
  expect(s.primary()).not.toBe(old)
})

test("D-29 failkeeper with nobody eligible changes nothing, and says so", () => {
  using s = story()
  s.rest()
  s.powerOff(s.standby())
  s.run(10)
  s.told()
  const old = s.primary()
  s.ctl(`failkeeper ${old}`, failKeeper(keeperUID(old)))
  s.run(5)
  expect(s.told()).toContain("s1 primary.stuck")
  expect(s.primary()).toBe(old)
  s.powerOn(s.standby())
  s.rest()
})

test("a keeper with canBeMaster=false is never elected, not even as the only one", () => {
  using s = story({ keepers: 3 })
  s.rest()
  const [old, first = "", second = ""] = [s.primary(), ...s.standbys()]
  s.restart(first, { canBeMaster: false })
  s.rest()
  s.powerOff(old)
  s.until("the other is elected", () => s.primary() === second)
  s.run(10)
  s.powerOff(second)
  s.run(15)
  expect(s.primary()).toBe(second)
  expect(said(s, "primary.stuck")).toContain("may not be master")
  s.powerOn(old)
  s.powerOn(second)
  s.rest()
})

test("a leader that dies between deposing and promoting is followed by one that goes on", () => {
  using s = story({ keepers: 3, sentinels: 2 })
  s.rest()
  const old = s.primary()
  s.powerOff(old)
  s.until("it is deposed", () => isRevoked(s))
  s.kill(s.leader())
  s.until("another is elected", () => s.primary() !== old)
  for (const name of ["s1", "s2"]) s.start(name)
  s.powerOn(old)
  s.rest()
})

test("D-10 a specification that changes during a failover does not keep anybody from being elected", () => {
  using s = story({ keepers: 3, spec: { synchronousReplication: true } })
  s.rest()
  const old = s.primary()
  s.update({ pgParameters: new Map([["work_mem", "8MB"]]) })
  s.powerOff(old)
  s.until("it is deposed", () => isRevoked(s))
  s.update({ pgParameters: new Map([["work_mem", "16MB"]]) })
  s.until("another is elected", () => s.primary() !== old)
  s.powerOn(old)
  s.rest()
  expect(s.postgres(s.primary()).settings.all.get("work_mem")).toBe("16MB")
})

test("the more advanced of two standbys is elected", () => {
  using s = story({ keepers: 3 })
  s.rest()
  const [old, behind = "", ahead = ""] = [s.primary(), ...s.standbys()]
  s.cut(behind, old)
  s.run(6)
  expect(s.rows(behind)).toBeLessThan(s.rows(ahead))
  s.powerOff(old)
  s.mend()
  s.until("one is elected", () => s.primary() !== old)
  expect(s.primary()).toBe(ahead)
  s.powerOn(old)
  s.rest()
})

test("a failover on request is taken back when the standby may lack what clients were told", () => {
  using s = story()
  s.rest()
  const [old, standby] = [s.primary(), s.standby()]
  s.cut(standby, old)
  s.run(1.5)
  s.told()
  s.ctl("failover", failover(s.sim, keeperUID("")))
  s.run(20) // it cannot send the rest and is stopped by force: where its log ends is not known
  s.mend()
  s.rest()
  expect(s.told().filter((line) => /^s1 (primary|failover|gate)/.test(line))).toEqual([
    "s1 primary.failed",
    "s1 primary.deposed",
    "s1 primary.fenced",
    "s1 primary.reinstated",
    "s1 failover.refused",
    "s1 gate.opened",
  ])
  expect(s.primary()).toBe(old)
})
