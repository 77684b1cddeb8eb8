/** Bounds end work and leave nothing behind. */
import { expect, test } from "bun:test"
import { type Millis, millis, type Now, type Time } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"
import { orAborted, queue, within } from "#store/scope.ts"

const never = new AbortController().signal

/** A clock of which the test fires the deadlines. */
function manual(): { readonly clock: Clock; fire(): void; readonly pending: number } {
  const deadlines = new Set<AbortController>()
  const now: Now = { mono: millis(0), wall: "2026-01-01T00:00:00Z" as Time }
  return {
    clock: {
      now: () => now,
      sleep: () => Promise.resolve(),
      deadline(_ms: Millis, signal: AbortSignal) {
        const controller = new AbortController()
        deadlines.add(controller)
        signal.addEventListener("abort", () => deadlines.delete(controller))
        return controller.signal
      },
    },
    fire: () => deadlines.forEach((controller) => controller.abort(new Error("too late"))),
    get pending() {
      return deadlines.size
    },
  }
}

const untilAborted = (signal: AbortSignal): Promise<never> =>
  orAborted(new Promise(() => {}), signal)

test("within() ends the work at its deadline and releases the timer", async () => {
  const time = manual()
  const working = within(time.clock, millis(10), never, untilAborted)
  expect(time.pending).toBe(1)
  time.fire()
  await expect(working).rejects.toThrow("too late")
  expect(time.pending).toBe(0)
})

test("within() returns what the work returns and releases the timer", async () => {
  const time = manual()
  expect(await within(time.clock, millis(10), never, async () => 7)).toBe(7)
  expect(time.pending).toBe(0)
})

test("within() does not start when the signal has aborted", async () => {
  let started = false
  const working = within(
    manual().clock,
    millis(10),
    AbortSignal.abort(new Error("no")),
    async () => {
      started = true
    },
  )
  await expect(working).rejects.toThrow("no")
  expect(started).toBe(false)
})

test("queue() runs one task after the other, also after one that failed", async () => {
  const run = queue()
  const order: string[] = []
  const gate = Promise.withResolvers<void>()
  const first = run(async () => {
    await gate.promise
    order.push("first")
    throw new Error("failed")
  })
  const second = run(async () => void order.push("second"))
  gate.resolve()
  await expect(first).rejects.toThrow("failed")
  await second
  expect(order).toEqual(["first", "second"])
})
