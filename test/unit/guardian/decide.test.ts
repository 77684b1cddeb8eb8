/**
 * The guardian's brain: the promise that at the deadline nothing lives, and the manners before it.
 */
import { expect, test } from "bun:test"
import { type Millis, millis } from "#base/brand.ts"
import { generator } from "#base/random.ts"
import {
  type Action,
  askEnd,
  askStop,
  decide,
  type Facts,
  firstMemory,
  hold,
  killAfter,
  ladderOf,
  leadMax,
  type Memory,
  orphanGrace,
} from "#guardian/decide.ts"

const at = (n: number): Millis => millis(n)
const runs: Facts = { postmaster: true, others: false, departure: "orderly" }
const nothing: Facts = { postmaster: false, others: false, departure: "orderly" }
const left = (departure: Facts["departure"]): Facts => ({
  postmaster: false,
  others: true,
  departure,
})

const words = (actions: readonly Action[]): string[] =>
  actions.map((action) => (action.kind === "signal" ? action.stage : action.kind))

/** What is done at each moment while the facts stay the same. */
function trace(facts: Facts, start: Memory, moments: readonly number[]): string[] {
  let memory = start
  return moments.flatMap((moment) => {
    const decision = decide(facts, memory, at(moment))
    memory = decision.memory
    return words(decision.actions).map((word) => `${moment} ${word}`)
  })
}

test("decide() lets PostgreSQL run while the deadline is further away than the lead", () => {
  const memory = firstMemory(at(0), at(10_000))
  expect(trace(runs, memory, [0, 5_000, 10_000 - leadMax - 1])).toEqual([])
})

test("decide() climbs fast, immediate, kill before the deadline, each signal once and kills for ever", () => {
  const memory = firstMemory(at(0), at(10_000))
  expect(trace(runs, memory, [9_400, 9_500, 9_800, 9_900, 9_940, 9_950, 10_500])).toEqual([
    "9400 fast",
    "9800 immediate",
    "9940 kill",
    "9950 kill",
    "10500 kill",
  ])
})

test("decide() kills at once after it was frozen past the deadline", () => {
  expect(trace(runs, firstMemory(at(0), at(10_000)), [0, 50_000])).toEqual(["50000 kill"])
})

test("decide() shortens the lead for short deadlines", () => {
  const { fast, kill } = ladderOf(at(1_000), at(0))
  expect({ fast, kill }).toEqual({ fast: at(750), kill: at(975) })
})

test("hold() takes the last word, a later deadline as well as an earlier one", () => {
  const memory = firstMemory(at(0), at(10_000))
  expect(trace(runs, hold(memory, at(20_000), at(5_000)), [9_990])).toEqual([])
  expect(trace(runs, hold(memory, at(7_000), at(5_000)), [7_000])).toEqual(["7000 kill"])
})

test("hold() does not take back a stop that has begun", () => {
  const begun = decide(runs, firstMemory(at(0), at(10_000)), at(9_500)).memory
  expect(trace(runs, hold(begun, at(60_000), at(9_600)), [9_601, 9_800, 9_950])).toEqual([
    "9800 immediate",
    "9950 kill",
  ])
})

test("askStop() goes fast, then immediate after the time given, then kills", () => {
  const memory = askStop(firstMemory(at(0), at(1e6)), "fast", at(3_000), at(100))
  expect(trace(runs, memory, [100, 3_099, 3_100, 3_100 + killAfter])).toEqual([
    "100 fast",
    "3100 immediate",
    `${3_100 + killAfter} kill`,
  ])
})

test("askStop() asked again brings the stages forward, never back", () => {
  const slow = askStop(firstMemory(at(0), at(1e6)), "fast", at(60_000), at(0))
  const sent = decide(runs, slow, at(0)).memory
  expect(trace(runs, askStop(sent, "immediate", at(0), at(10)), [10])).toEqual(["10 immediate"])
  expect(trace(runs, askStop(sent, "fast", at(90_000), at(10)), [60_000])).toEqual([
    "60000 immediate",
  ])
})

test("decide() keeps to the deadline during a stop that was asked for with more patience", () => {
  const memory = askStop(firstMemory(at(0), at(10_000)), "fast", at(60_000), at(0))
  expect(trace(runs, memory, [0, 10_000])).toEqual(["0 fast", "10000 kill"])
})

test("decide() kills what a torn postmaster left at once, and gives an orderly one's helpers a moment", () => {
  const memory = firstMemory(at(0), at(1e6))
  expect(trace(left("torn"), memory, [5])).toEqual(["5 kill"])
  expect(trace(left("orderly"), memory, [5, 500, 5 + orphanGrace])).toEqual([
    `${5 + orphanGrace} kill`,
  ])
})

test("decide() ends when nothing runs and the deadline has passed or the end was asked for", () => {
  const memory = firstMemory(at(0), at(10_000))
  expect(trace(nothing, memory, [9_999, 10_000])).toEqual(["10000 end"])
  expect(trace(nothing, askEnd(memory, at(0), at(5)), [5])).toEqual(["5 end"])
})

test("decide() forgets a stop once nothing runs, so that the next postmaster may run", () => {
  const stopped = decide(nothing, askStop(firstMemory(at(0), at(1e6)), "fast", at(0), at(5)), at(6))
  expect(trace(runs, stopped.memory, [7, 50_000])).toEqual([])
})

test("decide() kills at every moment past the last stage, and wakes in time for it, whatever came before", () => {
  const seed = 20_261_122
  const random = generator(seed)
  for (let round = 0; round < 2_000; round++) {
    let now = 1_000
    let memory = firstMemory(at(now), at(now + random.below(5_000)))
    for (let step = 0; step < 20; step++) {
      const dice = random.below(4)
      if (dice === 0) memory = hold(memory, at(now + random.below(4_000) - 200), at(now))
      if (dice === 1) memory = askStop(memory, "fast", at(random.below(9_000)), at(now))
      const { kill } = ladderOf(memory.until, memory.heldAt)
      const decision = decide(runs, memory, at(now))
      const killed = decision.actions.some((action) => action.kind === "kill")
      if (now >= kill && !killed)
        throw new Error(`seed ${seed} round ${round}: alive at ${now}, kill ${kill}`)
      if (now < kill && !killed && decision.wake > Math.max(kill, now + 1))
        throw new Error(`seed ${seed} round ${round}: sleeps over ${kill} until ${decision.wake}`)
      memory = decision.memory
      now += random.below(800)
    }
  }
})
