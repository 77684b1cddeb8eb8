/**
 * A store that answers slowly: rounds take longer than any interval of the specification. That must
 * neither look like somebody's death nor keep the leader from seeing a real one (W4, W6).
 */
import { expect, test } from "bun:test"
import { story } from "./story.ts"

/** One way, in milliseconds, at most; a round of the leader makes eight. */
const slowest = 1_500

test("with a slow store nobody is deposed who lives", () => {
  using s = story({ keepers: 3 })
  s.rest()
  s.told()
  const primary = s.primary()
  s.sim.store.weather.slowest = slowest
  s.run(180)
  expect(s.told().filter((line) => line.includes("primary."))).toEqual([])
  expect(s.primary()).toBe(primary)
})

test("with a slow store a dead primary is replaced all the same", () => {
  using s = story({ keepers: 3 })
  s.rest()
  s.sim.store.weather.slowest = slowest
  s.run(60)
  s.told()
  const old = s.primary()
  s.powerOff(old)
  s.run(180)
  expect(s.told()).toContain("s1 primary.elected")
  expect(s.primary()).not.toBe(old)
})
