/**
 * How soon a primary that ended is replaced when its end is seen and not only waited for (protocol
 * part 5), and that nothing which is merely seen ends one that lives.
 */
import { describe, expect, test } from "bun:test"
import { type Story, story } from "./story.ts"

const serves = (s: Story): string => {
  const { cluster, dbs, proxy } = s.view()
  const open = proxy.spec.masterDbUid === cluster.status.master && !cluster.status.primaryRevoked
  return open ? (dbs.get(cluster.status.master)?.spec.keeperUID ?? "") : ""
}
/** Milliseconds until another keeper serves. */
function gap(s: Story, old: string): number {
  const from = s.sim.world.now()
  s.until("another serves", () => serves(s) !== "" && serves(s) !== old)
  return s.sim.world.now() - from
}
/** Every process of a machine is killed; the machine itself stands, and refuses. */
function killAll(s: Story, name: string): void {
  const { processes } = s.machine(name)
  s.sim.troubles.begin(name, "all killed", s.sim.world.now())
  for (const process of [...processes]) s.sim.world.kill(process)
}

describe("nothing polls", () => {
  test("D-56 a keeper that ends in good order hands over in well under a second", () => {
    using s = story({ keepers: 3, sentinels: 2 })
    s.rest()
    const old = s.primary()
    s.end(old)
    expect(gap(s, old)).toBeLessThan(1_500)
    s.start(old)
    s.rest()
  })
  test("D-56 a machine whose processes are all killed is replaced when its lease has run out", () => {
    using s = story({ keepers: 3, sentinels: 2 })
    s.rest()
    const old = s.primary()
    killAll(s, old)
    expect(gap(s, old)).toBeLessThan(4_000)
    s.powerOn(old)
    s.rest()
  })
  test("and at once, when a synchronous standby lets go of it", () => {
    using s = story({ keepers: 3, sentinels: 2, spec: { synchronousReplication: true } })
    s.rest()
    const old = s.primary()
    killAll(s, old)
    expect(gap(s, old)).toBeLessThan(1_500)
    expect(s.view().cluster.status.fencedBy).toBe("standbys")
    s.powerOn(old)
    s.rest()
  })
  test("D-56 a machine that falls silent is replaced a moment after failInterval", () => {
    using s = story({ keepers: 3, sentinels: 2 })
    s.rest()
    const old = s.primary()
    s.powerOff(old)
    expect(gap(s, old)).toBeLessThan(3_000 + 1_500)
    s.powerOn(old)
    s.rest()
  })
})

test("D-27 a leader that is killed is followed within a second, and one that ends at once", () => {
  using s = story({ keepers: 3, sentinels: 3 })
  s.rest()
  for (const [how, bound] of [
    ["kill", 1_500],
    ["end", 300],
  ] as const) {
    const leader = s.leader()
    const from = s.sim.world.now()
    s[how](leader)
    s.until("another leads", () => s.leader() !== "" && s.leader() !== leader)
    expect(s.sim.world.now() - from).toBeLessThan(bound)
    s.start(leader)
    s.run(5)
  }
  s.rest()
})

test("D-27 the machine of primary and leader dies: what the others saw counts, nobody starts from zero", () => {
  using s = story({ keepers: 3, sentinels: 3, spec: { synchronousReplication: true } })
  s.rest()
  const [old, leader] = [s.primary(), s.leader()]
  s.kill(leader)
  killAll(s, old)
  expect(gap(s, old)).toBeLessThan(3_000)
  s.powerOn(old)
  s.start(leader)
  s.rest()
})

test("one sentinel that is cut off from the primary ends nobody (D2)", () => {
  using s = story({ keepers: 3, sentinels: 3 })
  s.rest()
  const old = s.primary()
  s.told()
  for (const name of ["s1", "s2"]) s.cut(old, name)
  s.run(30)
  expect(s.told().filter((line) => line.includes("primary."))).toEqual([])
  expect(s.primary()).toBe(old)
})
