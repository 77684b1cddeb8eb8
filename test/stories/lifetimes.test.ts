/**
 * Long intervals: whoever is silent for failInterval is judged by what it said last, so that has to
 * be in the store still (L3). Go's infos live for 20 s, which is its failInterval, too.
 */
import { expect, test } from "bun:test"
import { duration } from "#base/duration.ts"
import { ttlOf } from "#agent/keeper-publish.ts"
import { millis } from "#base/brand.ts"
import { story } from "./story.ts"

const slow = (failInterval: number) => ({
  failInterval: duration(failInterval),
  sleepInterval: duration(5_000),
  requestTimeout: duration(10_000),
  failureDetection: "silence",
})

for (const failInterval of [20_000, 60_000])
  test(`with a failInterval of ${failInterval / 1_000} s the fence of a silent primary is over when it is deposed`, () => {
    using s = story({ keepers: 3, spec: slow(failInterval) })
    s.rest()
    const old = s.primary()
    const began = s.sim.world.now()
    s.told()
    s.powerOff(old)
    s.until("another is elected", () => s.primary() !== old)
    const took = s.sim.world.now() - began
    // silence, the leader's rounds, and what the candidates publish twice after the fence
    expect(took).toBeGreaterThan(failInterval - 5_000)
    expect(took).toBeLessThan(failInterval + 20_000)
    s.powerOn(old)
    s.rest()
  })

test("ttlOf() outlives failInterval, and the lease that the info states", () => {
  const of = (fail: number, sleep: number, lease?: number): number =>
    ttlOf(
      { failInterval: millis(fail), sleepInterval: millis(sleep) },
      lease === undefined ? {} : { fencing: { lease: duration(lease) } },
    )
  expect(of(3_000, 1_000, 2_500)).toBe(20_000)
  expect(of(20_000, 5_000)).toBe(40_000)
  expect(of(3_000, 1_000, 60_000)).toBe(120_000)
})
