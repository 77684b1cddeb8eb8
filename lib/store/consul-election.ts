/**
 * Election by Consul's lock (reference 3.3), laid out as Go's: one key, held by a session of the
 * leader's, its value the leader's UID. Go's sentinels and ours wait for the same lock.
 *
 * A leader leaves its office long before its session can end, and a write compares the session in
 * the transaction that writes (W4, D-83): safety does not rest on the lock. An error ends one
 * candidacy and nothing else (D-82).
 */
import { type Millis, millis } from "#base/brand.ts"
import { type Leadership, StoreError } from "#port/store.ts"
import { type Bell, bell, giveBack, hold } from "./election.ts"
import type { HttpPool, HttpRequest } from "./http-pool.ts"
import { consistent, ok } from "./consul-publish.ts"
import { createSession, destroySession, renewSession } from "./consul-sessions.ts"
import {
  type Op,
  type Pair,
  applied,
  bare,
  kvPath,
  pairIn,
  transaction,
  written,
} from "./consul-text.ts"
import { watch } from "./consul-watch.ts"
import { linked, within } from "./scope.ts"

/** Seconds; the least that there is, and Go's. */
const sessionLength = 10
const retryPause = millis(50)

/** Elections are asked for by a prefix, of which Consul's lock is the key itself. */
export const lockKey = (prefix: string): string => prefix.replace(/\/+$/, "")

async function lockAt(consul: HttpPool, key: string, signal: AbortSignal): Promise<Pair | null> {
  const request: HttpRequest = { method: "GET", path: kvPath(key), query: consistent }
  return pairIn(request, ok(request, await consul.ask(request, signal)))
}

/** Who holds the lock. The key stays with its last value when nobody does. */
export async function holder(
  consul: HttpPool,
  prefix: string,
  signal: AbortSignal,
): Promise<string | null> {
  const pair = await lockAt(consul, lockKey(prefix), signal)
  return pair === null || pair.session === "" ? null : pair.value
}

/** Takes the lock from `uid`, from exactly the session that holds it at this moment. */
export async function unseat(
  consul: HttpPool,
  prefix: string,
  uid: string,
  signal: AbortSignal,
): Promise<boolean> {
  const key = lockKey(prefix)
  const pair = await lockAt(consul, key, signal)
  if (pair === null || pair.session === "" || pair.value !== uid) return false
  const at = { Key: bare(key), Session: pair.session }
  const unlock: Op = { Verb: "unlock", ...at, ...written(pair.value) }
  const request = transaction([{ Verb: "check-session", ...at }, unlock])
  const reply = await consul.once(request, signal)
  if (reply.kind === "unknown") throw new StoreError("unavailable", `unseat ${uid}: ${reply.why}`)
  return applied(request, reply).kind === "done"
}

export async function campaign(
  consul: HttpPool,
  prefix: string,
  uid: string,
  signal: AbortSignal,
): Promise<Leadership> {
  const { clock, timeout, closed } = consul
  const key = lockKey(prefix)
  const over = new AbortController()
  const end = (why: string, cause?: unknown): void =>
    over.abort(new StoreError("unavailable", `election of ${uid}: ${why}`, { cause }))
  over.signal.addEventListener("abort", linked(over, closed), { once: true })
  const release = linked(over, signal)
  const sent = clock.now().mono
  const session = await createSession(consul, key, sessionLength, "release", over.signal).catch(
    (error: unknown) => {
      over.abort(error)
      release()
      throw over.signal.reason
    },
  )
  const candidacy = {
    key,
    created: 0n,
    renew: (bound: Millis, own: AbortSignal) =>
      within(clock, bound, own, (inTime) => renewSession(consul, session, inTime)),
    quit: (bound: Millis, own: AbortSignal) =>
      within(clock, bound, own, (inTime) => destroySession(consul, session, inTime)),
  }
  const polls = { clock, timeout, closed }
  const wake = bell()
  let resigned = false
  const left = (): void => void (resigned || giveBack(polls, candidacy))
  over.signal.addEventListener("abort", left, { once: true })
  void hold(polls, candidacy, sent, end, over.signal)
  void watch(consul, [key], wake.ring, over.signal)
  try {
    await acquire(consul, key, uid, { session, wake }, over.signal)
    over.signal.throwIfAborted()
  } catch (error) {
    over.abort(error)
    throw over.signal.reason
  } finally {
    release()
  }
  void guard(consul, key, { session, wake }, end, over.signal)
  return {
    signal: over.signal,
    token: `${session} ${key}`,
    async resign(own) {
      resigned = true
      end("resigned")
      await destroySession(consul, session, own)
    },
  }
}

interface Candidate {
  readonly session: string
  readonly wake: Bell
}

/** Resolves when the lock is ours. A store that does not answer is asked again. */
async function acquire(
  consul: HttpPool,
  key: string,
  uid: string,
  { session, wake }: Candidate,
  signal: AbortSignal,
): Promise<void> {
  const lock: Op = { Verb: "lock", Key: bare(key), Session: session, ...written(uid) }
  for (;;) {
    signal.throwIfAborted()
    try {
      const pair = await lockAt(consul, key, signal)
      if (pair?.session === session) return // also by a request whose answer was lost
      if (pair !== null && pair.session !== "") {
        await wake.wait(consul.clock, longestNap, signal)
        continue
      }
      const request = transaction([lock])
      const reply = await consul.once(request, signal)
      if (reply.kind === "reply" && applied(request, reply).kind === "done") return
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof StoreError) || !error.retryable) throw error
    }
    await consul.clock.sleep(retryPause, signal)
  }
}
const longestNap = millis(5_000)

/** Notices that somebody took the lock, or removed its key. */
async function guard(
  consul: HttpPool,
  key: string,
  { session, wake }: Candidate,
  end: (why: string) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await wake.wait(consul.clock, longestNap, signal)
      const pair = await lockAt(consul, key, signal)
      if (pair?.session !== session) return end("our lock was taken or removed")
    } catch {
      // Aborted, or no answer: the renewals decide
    }
  }
}
