/**
 * A second machine is started with the uid of the primary's keeper, by a copied configuration file
 * or a template (D-16). The cluster goes on as if it were not there.
 */
import { expect, test } from "bun:test"
import { keeperUID } from "#model/ids.ts"
import { emptyDisk } from "#test/sim/disk.ts"
import { story } from "./story.ts"

test("D-16 a second keeper with the primary's uid changes nothing for anybody, and is reported", () => {
  using s = story({ keepers: 3 })
  s.rest()
  const [primary, second] = [s.primary(), s.standbys()[0] ?? ""]
  s.end(second)
  s.run(10)
  const host = s.sim.hosts.get(second)
  if (host === undefined) throw new Error(second)
  Object.assign(host.disk, emptyDisk())
  s.node(second).flags.uid = keeperUID(primary)
  const boot = s.view().keepers.get(keeperUID(primary))?.status.bootUUID
  s.told()
  s.start(second)
  for (let i = 0; i < 60; i++) {
    const before = s.writers.acknowledged()
    s.run(1)
    expect([i, s.writers.acknowledged() > before, s.primary()]).toEqual([i, true, primary])
    expect(s.view().keepers.get(keeperUID(primary))?.status.bootUUID).toBe(boot)
  }
  expect(s.told().filter((line) => line.startsWith("s1 primary."))).toEqual([])
  const said = s.sim.world.trace.lines.filter(({ what }) => what === "keeper.duplicate")
  expect(said.map(({ who, fields }) => [who, fields["uid"]])).toEqual([[second, primary]])
  expect(host.instance).toBeNull()
})

test("D-16 a copy of the primary's machine never becomes a second primary", () => {
  using s = story({ keepers: 3 })
  s.rest()
  const [primary, second] = [s.primary(), s.standbys()[0] ?? ""]
  s.end(second)
  s.run(10)
  const [from, host] = [s.sim.hosts.get(primary), s.sim.hosts.get(second)]
  if (from === undefined || host === undefined) throw new Error(second)
  Object.assign(host.disk, structuredClone(from.disk))
  s.node(second).flags.uid = keeperUID(primary)
  const boot = s.view().keepers.get(keeperUID(primary))?.status.bootUUID
  s.start(second)
  for (let i = 0; i < 60; i++) {
    const before = s.writers.acknowledged()
    s.run(1)
    expect([i, host.instance, s.primary()]).toEqual([i, null, primary])
    expect(s.view().keepers.get(keeperUID(primary))?.status.bootUUID).toBe(boot)
    expect(s.writers.acknowledged()).toBeGreaterThan(before)
  }
  const said = s.sim.world.trace.lines.filter(({ what }) => what === "keeper.duplicate")
  expect(said.map(({ who }) => who)).toContain("s1")
})

test("D-16 two machines with one uid that start at the same moment never both run PostgreSQL", () => {
  using s = story({ keepers: 3 })
  s.rest()
  const [primary, second] = [s.primary(), s.standbys()[0] ?? ""]
  s.end(second)
  s.end(primary)
  s.run(40) // until nothing of them is in the store any more
  const host = s.sim.hosts.get(second)
  if (host === undefined) throw new Error(second)
  Object.assign(host.disk, emptyDisk())
  s.node(second).flags.uid = keeperUID(primary)
  const present = s.primary()
  s.start(second)
  s.start(primary)
  const runs = (name: string): boolean => s.sim.hosts.get(name)?.instance !== null
  for (let i = 0; i < 60; i++) {
    const before = s.writers.acknowledged()
    s.run(1)
    expect([i, s.writers.acknowledged() > before, s.primary()]).toEqual([i, true, present])
    expect([i, runs(primary) && runs(second)]).toEqual([i, false])
  }
  expect(runs(primary) || runs(second)).toBe(true)
})
