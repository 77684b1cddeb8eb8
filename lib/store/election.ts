/**
 * Election by keys with a time to live (reference 3.3): every candidate creates a key of its own,
 * the lowest create revision leads, whoever stops renewing loses the key.
 *
 * The leader's own deadline counts from the moment its last successful renewal was *sent*, on a
 * clock that runs during suspends, and ends earlier than the key can: others see the office free
 * only after we have left it. Nothing here trusts a timer to be punctual. Safety never rests on
 * this (D4): a write also compares the key.
 */
import { type Millis, millis } from "#base/brand.ts"
import { byBigint, by } from "#base/order.ts"
import type { Clock } from "#port/clock.ts"
import { type Leadership, StoreError } from "#port/store.ts"
import type { Entry, KeyValue } from "./keyvalue.ts"
import { linked, message, within } from "./scope.ts"

/** A key in an election, kept by renewals. */
export interface Candidacy {
  readonly key: string
  readonly created: bigint
  /** False: the key is gone and will not come back. */
  renew(timeout: Millis, signal: AbortSignal): Promise<boolean>
  /** Gives the key back. */
  quit(timeout: Millis, signal: AbortSignal): Promise<void>
}

/** What an election needs of its backend. */
export interface Polls extends Pick<KeyValue, "list" | "watch"> {
  readonly clock: Clock
  readonly timeout: Millis
  /** Aborts when the store is closed. */
  readonly closed: AbortSignal
  /** Puts a new candidate's key with `ttl` below `prefix`. */
  stand(prefix: string, value: string, ttl: Millis, signal: AbortSignal): Promise<Candidacy>
}

/** Our election key's time to live (D4). */
export const electionTtl = millis(5000)
/** Clock rates differ by less than this (protocol, header). */
const drift = 0.05

/** How a token names a candidacy; backends compare both parts. */
export const tokenOf = (candidacy: Pick<Candidacy, "key" | "created">): string =>
  `${candidacy.created} ${candidacy.key}`
/** The parts of a token. */
export function parseToken(token: string): { readonly key: string; readonly created: string } {
  const space = token.indexOf(" ")
  return { created: token.slice(0, space), key: token.slice(space + 1) }
}

/** The candidates below a prefix, the leader first. */
export const byAge = (entries: readonly Entry[]): readonly Entry[] =>
  entries.toSorted(by((entry) => entry.created, byBigint))

export async function campaign(
  polls: Polls,
  prefix: string,
  value: string,
  signal: AbortSignal,
): Promise<Leadership> {
  const sent = polls.clock.now().mono
  const candidacy = await polls.stand(prefix, value, electionTtl, signal)
  const office = new AbortController()
  office.signal.addEventListener("abort", linked(office, polls.closed), { once: true })
  const release = linked(office, signal)
  const over = (why: string, cause?: unknown): void =>
    office.abort(new StoreError("unavailable", `election ${prefix}: ${why}`, { cause }))
  const wake = bell()
  void hold(polls, candidacy, sent, over, office.signal)
  void polls
    .watch([prefix], wake.ring, office.signal)
    .catch((error: unknown) => over(`the watch failed: ${message(error)}`, error))
  try {
    await turn(polls, prefix, candidacy, wake, office.signal)
  } catch (error) {
    const reason: unknown = office.signal.aborted ? office.signal.reason : error
    office.abort(reason)
    if (!(await quitQuietly(polls, candidacy))) void giveBack(polls, candidacy)
    throw reason
  } finally {
    release()
  }
  void guard(polls, prefix, candidacy, wake, over, office.signal)
  let resigned = false
  const left = (): void => void (resigned || giveBack(polls, candidacy))
  office.signal.addEventListener("abort", left, { once: true })
  return {
    signal: office.signal,
    token: tokenOf(candidacy),
    async resign(signal) {
      resigned = true
      over("resigned")
      await candidacy.quit(polls.timeout, signal)
    },
  }
}

/**
 * Renews every third of the time to live, and leaves the office when that did not succeed in time.
 */
export async function hold(
  polls: Pick<Polls, "clock">,
  candidacy: Candidacy,
  sent: Millis,
  over: (why: string, cause?: unknown) => void,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = polls
  const term = electionTtl * (1 - drift)
  let end = sent + term
  let next = sent + electionTtl / 3
  let renewing = false
  let failure = "no renewal"
  const renew = async (): Promise<void> => {
    renewing = true
    const started = clock.now().mono
    next = started + electionTtl / 3
    try {
      if (await candidacy.renew(millis(electionTtl / 3), signal)) end = started + term
      else over("the key is gone")
    } catch (error) {
      failure = message(error)
      next = clock.now().mono + electionTtl / 20
    } finally {
      renewing = false
    }
  }
  while (!signal.aborted) {
    const now = clock.now().mono
    if (now >= end) return over(`not renewed within ${electionTtl} ms: ${failure}`)
    if (now >= next && !renewing) void renew()
    // Short naps, so that a suspend of the machine is noticed soon after it
    await clock.sleep(millis(Math.max(1, Math.min(end - now, 100))), signal).catch(() => {})
  }
}

/**
 * Resolves when no candidate is older than we. A store that does not answer is asked again as long
 * as our key may live.
 */
async function turn(
  polls: Polls,
  prefix: string,
  candidacy: Candidacy,
  wake: Bell,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    signal.throwIfAborted()
    const entries = await candidates(polls, prefix, signal)
    if (entries === null) {
      await polls.clock.sleep(millis(100), signal)
      continue
    }
    const order = byAge(entries)
    if (!order.some(({ key }) => key === candidacy.key))
      throw new StoreError("unavailable", `election ${prefix}: our key was removed`)
    signal.throwIfAborted()
    if (order[0]?.key === candidacy.key) return
    await wake.wait(polls.clock, electionTtl, signal)
  }
}

/** Null when the store gave no answer. */
async function candidates(
  polls: Polls,
  prefix: string,
  signal: AbortSignal,
): Promise<readonly Entry[] | null> {
  try {
    return (await polls.list([prefix], signal))[0] ?? []
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof StoreError && error.retryable) return null
    throw error
  }
}

/** Notices that somebody removed the leader's key. */
async function guard(
  polls: Polls,
  prefix: string,
  candidacy: Candidacy,
  wake: Bell,
  over: (why: string) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await wake.wait(polls.clock, electionTtl, signal)
      const entries = await candidates(polls, prefix, signal)
      if (entries?.every(({ key }) => key !== candidacy.key)) return over("our key was removed")
    } catch {
      // Aborted, or no rights any more: the renewals decide
    }
  }
}

/**
 * Who has left the office, or the queue, should not stand in the next candidate's way for longer
 * than needed. After an outage the key would do so for all of its time again, and more: a new
 * leader of etcd lets every key live on from its own beginning.
 */
export async function giveBack(polls: Giving, candidacy: Candidacy): Promise<void> {
  const { clock, closed } = polls
  const end = clock.now().mono + 4 * electionTtl // by then it has ended by itself
  while (!closed.aborted && clock.now().mono < end) {
    if (await quitQuietly(polls, candidacy)) return
    await clock.sleep(quitPause, closed).catch(() => {})
  }
}
const quitPause = millis(200)
type Giving = Pick<Polls, "clock" | "timeout" | "closed">

/** False: nobody knows whether the key is gone. */
async function quitQuietly(polls: Omit<Giving, "closed">, candidacy: Candidacy): Promise<boolean> {
  const bound = millis(Math.min(polls.timeout, 1000))
  try {
    await within(polls.clock, bound, new AbortController().signal, (signal) =>
      candidacy.quit(bound, signal),
    )
    return true
  } catch {
    return false
  }
}

export interface Bell {
  ring(): void
  wait(clock: Clock, ms: Millis, signal: AbortSignal): Promise<void>
}

export function bell(): Bell {
  let rung = false
  let wake = (): void => {}
  return {
    ring() {
      rung = true
      wake()
    },
    async wait(clock, ms, signal) {
      if (!rung) {
        const nap = new AbortController()
        const release = linked(nap, signal)
        wake = () => nap.abort()
        await clock.sleep(ms, nap.signal).catch(() => {})
        release()
        nap.abort()
        wake = () => {}
      }
      rung = false
      signal.throwIfAborted()
    },
  }
}
