/**
 * What operators ask of a running cluster day by day: hands off, a restart, a fresh copy.
 */
import { expect, test } from "bun:test"
import { keeperUID } from "#model/ids.ts"
import { pause, resume, wishFor } from "#test/sim/operator.ts"
import { type Story, story } from "./story.ts"

const hasWishes = (s: Story): boolean =>
  [...s.view().keepers.values()].some(({ status }) => status.wishes !== undefined)

test("in a pause a dead primary stays the primary; after it another takes over", () => {
  using s = story({ keepers: 3 })
  s.rest()
  const old = s.primary()
  s.ctl("pause", pause(null))
  s.powerOff(old)
  s.run(30)
  expect(s.primary()).toBe(old)
  s.ctl("resume", resume(null))
  s.until("another takes over", () => s.primary() !== old)
  s.powerOn(old)
  s.rest()
})

test("a primary that is rebooted in a pause keeps its role, though it takes longer than failInterval", () => {
  using s = story({ keepers: 3 })
  s.rest()
  const old = s.primary()
  s.told()
  s.ctl("pause", pause(null))
  s.powerOff(old)
  s.run(20)
  s.powerOn(old)
  s.run(5)
  s.ctl("resume", resume(null))
  s.rest()
  expect(s.primary()).toBe(old)
  expect(s.told().filter((line) => line.includes("primary."))).toEqual([])
})

test("a restart on request restarts PostgreSQL once, and moves no role", () => {
  using s = story({ keepers: 3 })
  s.rest()
  for (const name of [s.standby(), s.primary()]) {
    const [primary, before] = [s.primary(), s.postgres(name)]
    s.ctl(`restart ${name}`, wishFor(s.sim, "restart", keeperUID(name)))
    s.until("it is another process", () => {
      const now = s.sim.hosts.get(name)?.instance
      return now !== before && now?.phase === "up"
    })
    const after = s.postgres(name)
    s.until("the wish is fulfilled", () => !hasWishes(s))
    s.rest()
    expect(s.postgres(name)).toBe(after)
    expect(s.primary()).toBe(primary)
  }
})

for (const discardOld of [false, true])
  test(`a standby is copied afresh on request, the old copy ${discardOld ? "goes first" : "is kept"}`, () => {
    using s = story({ keepers: 3 })
    s.rest()
    const standby = s.standbys()[0] ?? ""
    const [db, disk] = [s.dbOf(standby), s.sim.hosts.get(standby)?.disk]
    s.ctl("reclone", wishFor(s.sim, "reclone", keeperUID(standby), discardOld))
    s.rest()
    expect(s.dbOf(standby)).not.toBe(db)
    expect(disk?.asides.length).toBe(discardOld ? 0 : 1)
  })

test("a synchronous standby makes room for another before it is copied afresh", () => {
  using s = story({ keepers: 3, spec: { synchronousReplication: true } })
  s.rest()
  const [named] = s.postgres(s.primary()).inForce?.names ?? []
  const standby = s.standbys().find((name) => `stolon_${s.dbOf(name)}` === named) ?? ""
  s.ctl("reclone", wishFor(s.sim, "reclone", keeperUID(standby)))
  s.until("it has a new DB", () => `stolon_${s.dbOf(standby)}` !== named)
  expect(s.postgres(s.primary()).inForce?.names).not.toContain(named)
  s.rest()
})

test("a copy that is made afresh on request counts: no free keeper gets one beside it", () => {
  using s = story({ keepers: 3, spec: { maxStandbysPerSender: 1 } })
  s.rest()
  const [standby = ""] = s.standbys()
  s.ctl("reclone", wishFor(s.sim, "reclone", keeperUID(standby)))
  s.run(3)
  s.rest()
  expect(s.standbys()).toEqual([standby])
})

test("the primary's keeper is not copied afresh", () => {
  using s = story()
  s.rest()
  const [primary, db] = [s.primary(), s.dbOf(s.primary())]
  s.ctl("reclone", wishFor(s.sim, "reclone", keeperUID(primary)))
  s.run(5)
  s.rest()
  expect(s.dbOf(primary)).toBe(db)
  expect(hasWishes(s)).toBe(false)
})
