/**
 * Nothing sticks (W7, P5), and nothing goes round in circles: a primary whose PostgreSQL ends at
 * the wrong moment is put back a time or two, or somebody else serves; every cluster comes to rest.
 */
import { expect, test } from "bun:test"
import { type Story, story } from "./story.ts"

const synchronous = { keepers: 3, sentinels: 2, spec: { synchronousReplication: true } } as const

const count = (s: Story, what: string): number =>
  s.sim.world.trace.lines.filter((line) => line.what === what).length

/** Whatever runs as PostgreSQL there is killed, again and again. */
function killing(s: Story, name: string, seconds: number): void {
  s.sim.troubles.begin(name, "PostgreSQL killed", s.sim.world.now())
  for (const until = s.sim.world.now() + seconds * 1_000; s.sim.world.now() < until; s.run(0.1)) {
    const running = s.sim.hosts.get(name)?.instance
    if (running !== null && running !== undefined) s.sim.world.kill(running.process)
  }
}

for (const cut of [false, true])
  test(`a synchronous primary whose PostgreSQL takes longer than failInterval to come back, standbys ${cut ? "lost" : "in sync"}`, () => {
    for (let tenths = 20; tenths <= 44; tenths += 4) {
      using s = story({ ...synchronous, seed: tenths })
      s.rest()
      const old = s.primary()
      if (cut) s.cut(old, ...s.standbys())
      s.run(1)
      const before = count(s, "primary.reinstated")
      killing(s, old, tenths / 10)
      s.run(15)
      expect(count(s, "primary.reinstated") - before).toBeLessThan(3)
      s.mend()
      s.rest()
    }
  })

test("a new synchronous primary that loses its lease before a standby is in sync comes back", () => {
  using s = story(synchronous)
  s.rest()
  const old = s.primary()
  const [first = "", second = ""] = s.standbys()
  s.powerOff(old)
  s.until("another is elected", () => s.primary() !== old)
  const next = s.primary()
  const other = next === first ? second : first
  s.cut(other, next) // nobody can follow it, so it cannot prove its names
  s.until("it is promoted", () => s.sim.hosts.get(next)?.instance?.inRecovery === false)
  s.cut(next, "store")
  s.until("its guardian ends it", () => s.sim.hosts.get(next)?.instance === null)
  s.powerOff(other)
  s.mend()
  s.until("it runs again", () => s.sim.hosts.get(next)?.instance?.inRecovery === false)
  s.powerOn(other)
  s.powerOn(old)
  s.rest()
})
