/**
 * Synchronous standbys: how one is exchanged for another without a moment in which a commit is on
 * one disk only, and what the limits do.
 */
import { expect, test } from "bun:test"
import type { DB } from "#model/cluster.ts"
import { type Story, story } from "./story.ts"

const synchronous = { synchronousReplication: true } as const

const primaryDB = (s: Story): DB | undefined => s.view().dbs.get(s.view().cluster.status.master)
/** Keepers whose standbys the primary must wait for. */
const named = (s: Story): readonly string[] =>
  (primaryDB(s)?.spec.synchronousStandbys ?? [])
    .map((uid) => s.view().dbs.get(uid)?.spec.keeperUID ?? "")
    .toSorted()

/** Every set of names that is written while `then` happens. */
function names(s: Story, then: () => void): readonly (readonly string[])[] {
  const seen: (readonly string[])[] = [named(s)]
  s.sim.store.core.listeners.written.push(() => {
    const now = named(s)
    if (now.join() !== seen.at(-1)?.join()) seen.push(now)
  })
  then()
  return seen
}

test("a synchronous standby that fails is exchanged in two steps: both, then the other", () => {
  using s = story({ keepers: 3, spec: synchronous })
  s.rest()
  const [old = ""] = named(s)
  const other = s.standbys().find((name) => name !== old) ?? ""
  const seen = names(s, () => {
    s.powerOff(old)
    s.until("the other is the only one", () => named(s).join() === other)
  })
  expect(seen).toEqual([[old], [old, other].toSorted(), [other]])
  s.powerOn(old)
  s.rest()
  expect(named(s)).toEqual([other])
})

test("the only synchronous standby stays listed when it fails, and the primary waits for it", () => {
  using s = story({ spec: synchronous })
  s.rest()
  const standby = s.standby()
  s.powerOff(standby)
  s.run(20)
  expect(named(s)).toEqual([standby])
  const heard = s.writers.acknowledged()
  s.run(10)
  expect(s.writers.acknowledged()).toBe(heard)
  s.powerOn(standby)
  s.rest()
})

test("a keeper with canBeSynchronousReplica=false is never named", () => {
  using s = story({ keepers: 3, spec: synchronous })
  s.rest()
  const [listed = ""] = named(s)
  const other = s.standbys().find((name) => name !== listed) ?? ""
  s.restart(other, { canBeSynchronousReplica: false })
  s.rest()
  s.powerOff(listed)
  s.run(20)
  expect(named(s)).toEqual([listed])
  s.powerOn(listed)
  s.rest()
})

test("a second synchronous standby is added and taken away with the limits, one step after another", () => {
  using s = story({ keepers: 3, spec: synchronous })
  s.rest()
  s.update({ maxSynchronousStandbys: 2, minSynchronousStandbys: 2 })
  s.until("two are confirmed", () => primaryDB(s)?.status.synchronousStandbys?.length === 2)
  s.rest()
  expect(named(s)).toEqual(s.standbys().toSorted())
  s.update({ maxSynchronousStandbys: 1, minSynchronousStandbys: 1 })
  s.until("one is left", () => named(s).length === 1)
  s.rest()
})

test("D-11 with minSynchronousStandbys lowered to 0 a waiting primary goes on, and says that it is degraded", () => {
  using s = story({ spec: synchronous })
  s.rest()
  s.powerOff(s.standby())
  s.run(10)
  const heard = s.writers.acknowledged()
  s.sim.ledger.second = false
  s.update({ minSynchronousStandbys: 0 })
  s.run(10)
  expect(s.writers.acknowledged()).toBeGreaterThan(heard)
  expect(s.sim.world.trace.lines.some(({ what }) => what === "sync.degraded")).toBe(true)
  s.powerOn(s.standby())
  s.rest()
  s.until("it is named again", () => named(s).length === 1)
})

test("synchronous replication is switched on and off while clients write", () => {
  using s = story({ keepers: 3 })
  s.rest()
  s.update(synchronous)
  s.until("one is confirmed", () => primaryDB(s)?.status.synchronousStandbys?.length === 1)
  s.rest()
  expect(s.postgres(s.primary()).inForce?.names.length).toBe(1)
  s.sim.ledger.relax()
  s.update({ synchronousReplication: false })
  s.until("nobody is named", () => named(s).length === 0)
  s.rest()
  expect(s.postgres(s.primary()).inForce).toBe(null)
})

test("D-07 a restarted synchronous primary shows nobody what hung until its standbys have it", () => {
  using s = story({ spec: synchronous })
  s.rest()
  const [old, standby] = [s.primary(), s.standby()]
  s.cut(old, standby)
  s.until("a commit hangs", () => s.postgres(old).waiting.length > 0)
  s.sim.world.kill(s.postgres(old).process)
  s.until("it is up again", () => s.sim.hosts.get(old)?.instance?.phase === "up")
  for (let i = 0; i < 40; i++) {
    s.run(0.25)
    const up = s.sim.hosts.get(old)?.instance
    if (up?.inRecovery === false) expect(up.hba.clients).toBe(false)
  }
  s.mend()
  s.rest()
})
