/**
 * When a leader must know that it is none any more: before its key can run out, counted from when
 * its last successful renewal was sent. Time is virtual here; real servers are asked in
 * `test/conformance`.
 */
import { expect, test } from "bun:test"
import { type Millis, type Time, millis } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"
import { StoreError, type Version } from "#port/store.ts"
import { type Polls, campaign, electionTtl, parseToken, tokenOf } from "#store/election.ts"
import { aborted } from "#store/scope.ts"

const never = new AbortController().signal

interface World {
  readonly polls: Polls
  now: number
  /** How long an answer takes, and whether it comes. */
  renewal: { readonly takes: number; readonly answer: boolean | null }
  readonly sent: number[]
  quits: number
  /** The store takes no key back. */
  silent: boolean
  keys: string[]
  readonly closing: AbortController
}

/** One candidate; time passes only while somebody sleeps. */
function world(): World {
  const closing = new AbortController()
  const clock: Clock = {
    now: () => ({ mono: millis(it.now), wall: "2026-01-01T00:00:00Z" as Time }),
    async sleep(ms: Millis, signal: AbortSignal) {
      const end = it.now + ms
      while (it.now < end) {
        await new Promise((resolve) => setImmediate(resolve))
        signal.throwIfAborted()
        it.now += 1
      }
    },
    deadline: (_ms, signal) => signal,
  }
  const entry = (key: string, created: number) => ({
    key,
    value: "s",
    version: "1" as Version,
    created: BigInt(created),
  })
  const it: World = {
    now: 0,
    renewal: { takes: 1, answer: true },
    sent: [],
    quits: 0,
    silent: false,
    keys: ["ours"],
    closing,
    polls: {
      clock,
      timeout: millis(1000),
      closed: closing.signal,
      list: async () => [it.keys.map(entry)],
      watch: (_prefixes, _changed, signal) => aborted(signal),
      stand: async () => ({
        key: "ours",
        created: 0n,
        async renew(_timeout, signal) {
          it.sent.push(it.now)
          const { takes, answer } = it.renewal
          await clock.sleep(millis(takes), signal)
          if (answer === null) throw new StoreError("unavailable", "no answer")
          return answer
        },
        async quit() {
          if (it.silent) throw new StoreError("unavailable", "no answer")
          it.quits++
        },
      }),
    },
  }
  return it
}

const lead = async (it: World) => campaign(it.polls, "e/", "s", never)
const endOf = async (it: World, signal: AbortSignal): Promise<number> => {
  while (!signal.aborted) await it.polls.clock.sleep(millis(1), never)
  return it.now
}

test("a leader renews every third of the time to live", async () => {
  const it = world()
  const office = await lead(it)
  await it.polls.clock.sleep(millis(electionTtl * 3), never)
  expect(office.signal.aborted).toBe(false)
  expect(it.sent.length).toBeGreaterThanOrEqual(8)
  await office.resign(never)
  expect(it.quits).toBe(1)
})

test("a leader without answers ends before its key can, counted from the last renewal that was answered", async () => {
  const it = world()
  const office = await lead(it)
  await it.polls.clock.sleep(millis(electionTtl), never)
  const lastSent = it.sent.at(-1) ?? 0
  it.renewal = { takes: electionTtl / 3, answer: null }
  const end = await endOf(it, office.signal)
  expect(end - lastSent).toBeLessThan(electionTtl)
  expect(end - lastSent).toBeGreaterThan(electionTtl * 0.9)
})

test("a leader that could not renew gives its key back when the store answers again", async () => {
  const it = world()
  const office = await lead(it)
  it.renewal = { takes: electionTtl / 3, answer: null }
  it.silent = true
  await endOf(it, office.signal)
  await it.polls.clock.sleep(millis(electionTtl), never)
  expect(it.quits).toBe(0)
  it.silent = false
  await it.polls.clock.sleep(millis(500), never)
  expect(it.quits).toBe(1)
  await it.polls.clock.sleep(millis(2_000), never)
  expect(it.quits).toBe(1)
})

test("a slow answer extends the office from when it was asked for, not from when it came", async () => {
  const it = world()
  it.renewal = { takes: 1500, answer: true }
  const office = await lead(it)
  await it.polls.clock.sleep(millis(4000), never)
  it.renewal = { takes: 10, answer: null }
  const sent = it.sent.length
  const end = await endOf(it, office.signal)
  const lastGood = it.sent[sent - 1] ?? 0
  expect(end - lastGood).toBeLessThan(electionTtl)
})

test("a leader whose clock jumped over its term ends at the next look", async () => {
  const it = world()
  const office = await lead(it)
  await it.polls.clock.sleep(millis(100), never)
  it.now += 60_000 // the machine was asleep
  const woken = it.now
  expect((await endOf(it, office.signal)) - woken).toBeLessThan(200)
})

test("a leader that is told that its key is gone ends at once", async () => {
  const it = world()
  const office = await lead(it)
  it.renewal = { takes: 1, answer: false }
  expect(await endOf(it, office.signal)).toBeLessThan(electionTtl / 2)
})

test("a candidate behind an older one waits, and gives up when its own key is gone", async () => {
  const it = world()
  it.keys = ["older", "ours"]
  const standing = lead(it).then(
    () => "elected",
    (error: unknown) => String(error),
  )
  await it.polls.clock.sleep(millis(electionTtl * 2), never)
  it.keys = ["older"]
  expect(await standing).toContain("our key was removed")
  expect(it.quits).toBe(1)
})

test("leaders and candidates end with the store", async () => {
  const it = world()
  const office = await lead(it)
  it.closing.abort(new StoreError("unavailable", "closed"))
  expect(office.signal.aborted).toBe(true)
})

test("parseToken() undoes tokenOf()", () => {
  const candidacy = { key: "a b/c d", created: 123456789012345678n }
  expect(parseToken(tokenOf(candidacy))).toEqual({ key: "a b/c d", created: "123456789012345678" })
})
