/**
 * A network that is cut: the primary from the store, from its standbys, from its clients; and what
 * is left when it heals. Nowhere may two primaries be written to through proxies.
 */
import { expect, test } from "bun:test"
import { isPrimary } from "#test/sim/sim.ts"
import { type Story, story } from "./story.ts"

const everybody = (s: Story, name: string): readonly string[] => [
  "store",
  ...[...s.sim.machines.keys()].filter((other) => other !== name),
]

test("a primary that is cut off from the store is replaced, and follows when it is back", () => {
  using s = story({ keepers: 3 })
  s.rest()
  const old = s.primary()
  s.told()
  s.cut(old, "store")
  s.until("another serves", () => s.primary() !== old && s.view().proxy.spec.masterDbUid !== "")
  // Nothing in this release ends the old one, but no proxy sends anybody to it.
  const rows = s.rows(old)
  s.run(10)
  expect(s.rows(old)).toBe(rows)
  s.mend()
  s.rest()
  expect(s.standbys()).toContain(old)
})

test("a primary that is cut off from everything loses its place and no acknowledged commit", () => {
  using s = story({ keepers: 3, spec: { synchronousReplication: true } })
  s.rest()
  const old = s.primary()
  s.cut(old, ...everybody(s, old))
  s.until("another is elected", () => s.primary() !== old)
  s.run(20)
  s.mend()
  s.rest()
  const primaries = [...s.sim.hosts.values()].filter((h) => h.instance && isPrimary(h.instance))
  expect(primaries.map(({ machine }) => machine.name)).toEqual([s.primary()])
})

test("a primary that is cut off from its standbys alone stays, and commits wait in sync mode", () => {
  using s = story({ keepers: 3, spec: { synchronousReplication: true } })
  s.rest()
  const old = s.primary()
  s.cut(old, ...s.standbys())
  s.run(20)
  const heard = s.writers.acknowledged()
  s.run(10)
  expect(s.writers.acknowledged()).toBe(heard)
  expect(s.primary()).toBe(old)
  s.mend()
  s.rest()
  expect(s.primary()).toBe(old)
})

test("a primary that is cut off from the proxies alone stays: nobody else could do better", () => {
  using s = story({ proxies: 1 })
  s.rest()
  const old = s.primary()
  s.told()
  s.cut("p1", old)
  s.run(20)
  expect(s.told()).toEqual([])
  s.mend()
  s.rest()
  expect(s.primary()).toBe(old)
})

test("O4 a proxy that is cut off from the store goes by the word of the primary's keeper", () => {
  using s = story({ proxies: 2 })
  s.rest()
  s.cut("p1", "store")
  s.run(20)
  expect(s.sim.relays.get("p1")?.route.kind).toBe("forward")
  s.cut("p1", s.primary())
  s.run(6)
  expect(s.sim.relays.get("p1")?.route).toEqual({ kind: "wait", drain: null })
  s.mend()
  s.rest()
})

test("a proxy that is cut off from the store lets its clients go, and serves when it is back", () => {
  using s = story({ proxies: 2, spec: { selfFencing: false } })
  s.rest()
  s.cut("p1", "store")
  s.run(6)
  expect(s.sim.relays.get("p1")?.route).toEqual({ kind: "wait", drain: null })
  s.mend()
  s.rest()
})

test("a store that is away for a while changes nobody's role", () => {
  using s = story({ keepers: 3 })
  s.rest()
  s.told()
  const old = s.primary()
  s.sim.store.weather.state = "hung"
  s.run(30)
  s.sim.store.weather.state = "up"
  s.rest()
  expect(s.told().filter((line) => !line.includes("leader"))).toEqual([])
  expect(s.primary()).toBe(old)
})

test("T15 a machine that stands still is replaced, and when it goes on nobody writes to it", () => {
  using s = story({ keepers: 3 })
  s.rest()
  const old = s.primary()
  s.sim.troubles.begin(old, "freeze", s.sim.world.now())
  const frozen = [...s.machine(old).processes]
  for (const process of frozen) s.sim.world.freeze(process)
  s.until("another serves", () => s.primary() !== old && s.view().proxy.spec.masterDbUid !== "")
  s.run(5)
  for (const process of frozen) s.sim.world.resume(process)
  s.rest()
  expect(s.standbys()).toContain(old)
})
