/**
 * Which endpoint is asked, and when once more: what is lost with a leader must not cost a keeper
 * the store's whole timeout, or everybody looks silent after an election of etcd.
 */
import { expect, test } from "bun:test"
import { type Millis, type Time, millis } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"
import type { Endpoint } from "#store/etcd-endpoint.ts"
import { EtcdError } from "#store/etcd-errors.ts"
import { poolOf } from "#store/etcd-pool.ts"

const never = new AbortController().signal

/** Virtual time: the earliest sleeper wakes when nothing else is left to do. */
function newClock(): Clock {
  let now = 0
  const sleepers = new Set<{ readonly at: number; readonly wake: () => void }>()
  let moving = false
  const move = (): void => {
    if (moving) return
    moving = true
    setImmediate(() => {
      moving = false
      const [next] = [...sleepers].toSorted((a, b) => a.at - b.at)
      if (next === undefined) return
      sleepers.delete(next)
      now = Math.max(now, next.at)
      next.wake()
      move()
    })
  }
  const after = (ms: Millis, wake: () => void): (() => void) => {
    const sleeper = { at: now + ms, wake }
    sleepers.add(sleeper)
    move()
    return () => void sleepers.delete(sleeper)
  }
  return {
    now: () => ({ mono: millis(now), wall: "2026-01-01T00:00:00Z" as Time }),
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason)
        const release = after(ms, resolve)
        signal.addEventListener("abort", () => (release(), reject(signal.reason)), { once: true })
      }),
    deadline: (ms, signal) => {
      const over = new AbortController()
      const release = after(ms, () => over.abort(new Error("late")))
      signal.addEventListener("abort", () => (release(), over.abort(signal.reason)), { once: true })
      return over.signal
    },
  }
}

type Answer = (asked: number) => "hangs" | "refuses" | "answers"

function scene(...answers: readonly [Answer, ...Answer[]]) {
  const clock = newClock()
  const asked: { readonly address: string; readonly at: number }[] = []
  const endpointOf = (i: number): Endpoint => ({
    address: `m${i}`,
    answered: millis(-Infinity),
    trusted: never,
    call: () => Promise.reject(new Error("only `attempt` is used here")),
    renew: () => Promise.reject(new Error("only `attempt` is used here")),
    watch: () => Promise.reject(new Error("only `attempt` is used here")),
    distrust: () => {},
    close: () => {},
  })
  const [, ...others] = answers
  const pool = poolOf(
    [endpointOf(0), ...others.map((_, i) => endpointOf(i + 1))],
    async () => null,
    clock,
  )
  const attempt = async ({ address }: Endpoint, signal: AbortSignal): Promise<string> => {
    const at = clock.now().mono
    asked.push({ address, at })
    const outcome = answers[Number(address.slice(1))]?.(at) ?? "hangs"
    if (outcome === "refuses") throw new EtcdError("unsent", address, "no connection")
    if (outcome === "answers") return address
    await new Promise((_, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
    )
    throw new Error("unreachable")
  }
  const ask = (): Promise<string> => pool.ask("put", attempt, millis(5000), never)
  return { clock, asked, ask }
}

/** What is asked before is forgotten by the member, with the leader that it was passed on to. */
const losesUntil =
  (end: number): Answer =>
  (at) =>
    at < end ? "hangs" : "answers"

test("ask() asks members again that may have lost a request with their leader", async () => {
  const { clock, ask } = scene(losesUntil(1400), losesUntil(1400), () => "refuses")
  await ask()
  expect(clock.now().mono).toBeGreaterThanOrEqual(1400)
  expect(clock.now().mono).toBeLessThan(2000)
})

test("ask() still takes the first attempt's late answer, and asks nobody after it", async () => {
  let release = (): void => {}
  const clock = newClock()
  let count = 0
  const endpoint: Endpoint = {
    ...{ address: "m0", answered: millis(-Infinity), trusted: never },
    call: () => Promise.reject(new Error("unused")),
    renew: () => Promise.reject(new Error("unused")),
    watch: () => Promise.reject(new Error("unused")),
    distrust: () => {},
    close: () => {},
  }
  const pool = poolOf([endpoint], async () => null, clock)
  const slow = async (_: Endpoint, signal: AbortSignal): Promise<string> => {
    if (++count > 1) {
      if (count === 3) release()
      await new Promise((_, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
      )
    }
    await new Promise<void>((resolve) => (release = resolve))
    return "the first"
  }
  expect(await pool.ask("put", slow, millis(5000), never)).toBe("the first")
  expect(count).toBe(3)
  await clock.sleep(millis(5000), never)
  expect(count).toBe(3)
})

test("ask() ends with its timeout when nobody ever answers", async () => {
  const { clock, asked, ask } = scene(
    () => "hangs",
    () => "hangs",
    () => "hangs",
  )
  const error: unknown = await ask().catch((reason: unknown) => reason)
  expect(String(error)).toContain("put")
  expect(clock.now().mono).toBe(millis(5000))
  const sent = asked.length
  expect(sent).toBeLessThanOrEqual(15)
  await clock.sleep(millis(5000), never)
  expect(asked.length).toBe(sent)
})
