/**
 * Leases, promises and evidence, told as sequences (protocol parts 2, 4, 5 and 6): what an outage
 * of the store takes down and what it does not, and how guardians and keepers die apart.
 */
import { expect, test } from "bun:test"
import { keeperUID } from "#model/ids.ts"
import { switchover } from "#test/sim/operator.ts"
import { type Story, story } from "./story.ts"

/** At rest, and the primary knows whom to ask for promises. */
function ready(setting: Parameters<typeof story>[0] = {}): Story {
  const s = story(setting)
  s.rest()
  s.until("the electable set is agreed on", () => {
    const { electable } = s.view().cluster.status
    const { keepers } = s.sim.store.core.infos()
    const told = [...keepers.values()].find(({ uid }) => uid === s.primary())?.electable
    return electable !== undefined && electable.dbs.length > 0 && told?.word === electable.word
  })
  s.told()
  return s
}

const failures = (s: Story): { count: number } => {
  const failed = { count: 0 }
  s.sim.hooks.failed.push(() => void failed.count++)
  return failed
}

for (const state of ["refusing", "hung"] as const)
  test(`P6 a store that is ${state} for everybody for a minute takes nothing down`, () => {
    using s = ready({ keepers: 3 })
    const failed = failures(s)
    const [primary, sessions] = [s.primary(), s.postgres(s.primary()).sessions.size]
    s.sim.store.weather.state = state
    for (let i = 0; i < 15; i++) {
      const before = s.writers.acknowledged()
      s.run(4)
      expect([i, s.writers.acknowledged() > before]).toEqual([i, true])
    }
    s.sim.store.weather.state = "up"
    s.run(30)
    expect(s.primary()).toBe(primary)
    expect(s.postgres(primary).sessions.size).toBeGreaterThanOrEqual(Math.min(1, sessions))
    expect(failed.count).toBe(0)
    expect(s.told().filter((line) => / (primary|guardian)\./.test(line))).toEqual([])
  })

for (const who of ["the primary's keeper", "a standby's keeper"] as const)
  test(`P6 O4 a store that goes silent after ${who} was started again, and answers elsewhere`, () => {
    using s = ready({ keepers: 3, proxies: 2, spec: { failureDetection: "silence" } })
    const primary = s.primary()
    const keepers = [...s.view().keepers.keys()]
    const again = who.startsWith("the") ? primary : keepers.find((uid) => uid !== primary)
    if (again === undefined) throw new Error("a cluster of three has standbys")
    const address = (): string | undefined =>
      s.view().keepers.get(keeperUID(again))?.status.peerAddress
    const before = address()
    s.kill(again)
    s.start(again)
    s.until("the view knows where it answers", () => address() !== before)
    s.rest()
    s.sim.store.weather.state = "hung"
    s.told()
    s.run(20)
    expect(s.told().filter((line) => /guardian|missing|proxy\.cut/.test(line))).toEqual([])
    expect(s.primary()).toBe(primary)
    s.sim.store.weather.state = "up"
    s.rest()
  })

test("P6 a view that nobody can decode for a minute ends no PostgreSQL", () => {
  using s = ready({ keepers: 3 })
  const primary = s.primary()
  const { process } = s.postgres(primary)
  s.sim.store.weather.garbled = true
  s.run(60)
  expect(s.postgres(primary).process).toBe(process)
  expect(s.told().filter((line) => / (primary|guardian)\./.test(line))).toEqual([])
  s.sim.store.weather.garbled = false
  s.rest()
  expect([s.primary(), s.postgres(primary).process === process]).toEqual([primary, true])
})

test("P6 a store that goes silent as soon as the first standbys may be elected", () => {
  for (let seed = 1; seed <= 20; seed++) {
    using s = story({ keepers: 3, seed })
    s.until("both may be elected, and the primary has said so", () => {
      const reading = s.sim.store.core.read()
      const set = reading.kind === "found" ? reading.data.cluster.status.electable : undefined
      const { keepers } = s.sim.store.core.infos()
      return (
        set?.dbs.length === 2 && [...keepers.values()].some((k) => k.electable?.word === set.word)
      )
    })
    s.sim.store.weather.state = "hung"
    s.told()
    s.run(15)
    expect([seed, ...s.told().filter((line) => /guardian|missing/.test(line))]).toEqual([seed])
  }
})

test("the store gone for the primary's side only: it ends with its lease, and the others go on", () => {
  using s = ready({ keepers: 3 })
  const primary = s.primary()
  s.cut(primary, "store")
  s.until("another is elected", () => s.primary() !== primary)
  expect(s.sim.hosts.get(primary)?.instance ?? null).toBeNull()
  s.run(0.5) // the leader hears that its write was applied
  const told = s.told()
  expect(told).toContain("first guardian.deadline")
  expect(told.indexOf("first guardian.deadline")).toBeLessThan(told.indexOf("s1 primary.elected"))
  s.mend()
  s.rest()
})

test("O3 a standby that dies in the same outage fences the primary: two faults", () => {
  using s = ready({ keepers: 3 })
  s.sim.store.weather.state = "refusing"
  s.run(5)
  expect(s.told()).toEqual([])
  s.powerOff(s.standbys()[0] ?? "")
  s.until("the lease runs out", () => s.told().includes("first guardian.deadline"))
})

test("S6 twenty switchovers under load fail no transaction", () => {
  using s = ready({ keepers: 3 })
  const failed = failures(s)
  for (let i = 0; i < 20; i++) {
    const primary = s.primary()
    s.ctl("switchover", switchover(s.sim, null))
    s.until("the role has moved", () => s.primary() !== primary)
    s.rest()
  }
  expect(failed.count).toBe(0)
}, 60_000)

test("D4 a leader that has ended loses its office at once, not after its time to live", () => {
  // whenever that is: a follower listens for some seconds at a time
  for (let after = 0; after < 6; after += 0.37) {
    using s = ready({ sentinels: 2 })
    s.run(after)
    const leader = s.leader()
    s.kill(leader)
    const died = s.sim.world.now()
    s.until("another leads", () => s.leader() !== leader)
    expect(s.sim.world.now() - died).toBeLessThan(500)
    s.start(leader)
    s.rest()
  }
})

test("a guardian that is killed takes its PostgreSQL along; its keeper starts both again", () => {
  using s = ready({ keepers: 2 })
  const primary = s.primary()
  const guardian = s.sim.hosts.get(primary)?.guardian
  if (guardian === null || guardian === undefined) throw new Error("no guardian")
  s.sim.troubles.begin(primary, "its guardian is killed", s.sim.world.now())
  s.sim.world.kill(guardian.process)
  expect(s.sim.hosts.get(primary)?.instance ?? null).toBeNull()
  s.rest()
})

test("a primary's keeper that is killed for good: its guardian certifies the end, then another is elected", () => {
  using s = ready({ keepers: 3 })
  const primary = s.primary()
  s.sim.troubles.begin(primary, "its keeper is killed", s.sim.world.now())
  s.kill(primary)
  const told: string[] = []
  s.until("another is elected", () => {
    told.push(...s.told())
    return told.includes("s1 primary.elected")
  })
  expect(told.indexOf("first guardian.deadline")).toBeGreaterThanOrEqual(0)
  expect(told.indexOf("first guardian.deadline")).toBeLessThan(told.indexOf("s1 primary.elected"))
  s.start(primary)
  s.rest()
})
