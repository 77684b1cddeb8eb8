/**
 * Election by one key of etcd's second API (reference 3.3), laid out as Go's: whoever creates it
 * leads, and renews it by naming the index that it left. Go's sentinels and ours wait for the same
 * key.
 *
 * The API has no transactions: a leader's write compares the version of what it replaces, and looks
 * at the key right before. That is weaker than with the other stores; it is here for moving away.
 */
import { type Millis, millis } from "#base/brand.ts"
import { type Leadership, StoreError } from "#port/store.ts"
import {
  type Bell,
  type Candidacy,
  bell,
  electionTtl,
  giveBack,
  hold,
  tokenOf,
} from "./election.ts"
import { deleteKey, isConflict, putKey, readKey } from "./etcdv2-keys.ts"
import type { Node } from "./etcdv2-text.ts"
import { watch } from "./etcdv2-watch.ts"
import { type HttpPool, together } from "./http-pool.ts"
import { linked, within } from "./scope.ts"

/** Elections are asked for by a prefix, of which the lock is the key itself. */
export const lockKey = (prefix: string): string => prefix.replace(/\/+$/, "")

/** Takes the office from `uid`, from exactly the term that it found. */
export async function unseat(
  etcd: HttpPool,
  prefix: string,
  uid: string,
  signal: AbortSignal,
): Promise<boolean> {
  const key = lockKey(prefix)
  const found = await readKey(etcd, key, signal)
  if (found === null || found.value !== uid) return false
  return together(etcd, `unseat ${uid}`, signal, (inTime) => remove(etcd, found, inTime))
}

/** Deletes the key of one term, whatever renewals come between. False: another was quicker. */
async function remove(etcd: HttpPool, term: Node, signal: AbortSignal): Promise<boolean> {
  for (let { index } = term; ;) {
    const answer = await deleteKey(etcd, term.key, { prevIndex: String(index) }, signal)
    if (answer.kind === "node") return true
    const now = await readKey(etcd, term.key, signal)
    if (now === null || now.created !== term.created) return false
    ;({ index } = now)
  }
}

export async function campaign(
  etcd: HttpPool,
  prefix: string,
  uid: string,
  signal: AbortSignal,
): Promise<Leadership> {
  const { clock, timeout, closed } = etcd
  const key = lockKey(prefix)
  const over = new AbortController()
  const end = (why: string, cause?: unknown): void =>
    over.abort(new StoreError("unavailable", `election of ${uid}: ${why}`, { cause }))
  over.signal.addEventListener("abort", linked(over, closed), { once: true })
  const release = linked(over, signal)
  const wake = bell()
  void watch(etcd, [key], wake.ring, over.signal)
  try {
    const { term, sent } = await acquire(etcd, key, uid, wake, over.signal)
    over.signal.throwIfAborted()
    const candidacy = candidacyOf(etcd, uid, term)
    const polls = { clock, timeout, closed }
    void hold(polls, candidacy, sent, end, over.signal)
    void guard(etcd, term, wake, end, over.signal)
    let resigned = false
    const left = (): void => void (resigned || giveBack(polls, candidacy))
    over.signal.addEventListener("abort", left, { once: true })
    return {
      signal: over.signal,
      token: tokenOf(candidacy),
      async resign(own) {
        resigned = true
        end("resigned")
        await remove(etcd, term, own)
      },
    }
  } catch (error) {
    over.abort(error)
    throw over.signal.reason
  } finally {
    release()
  }
}

function candidacyOf(etcd: HttpPool, uid: string, term: Node): Candidacy {
  let { index } = term
  const { clock } = etcd
  async function renew(signal: AbortSignal): Promise<boolean> {
    for (;;) {
      const condition = { prevIndex: String(index) }
      const wish = { ttl: electionTtl, condition }
      const answer = await putKey(etcd, term.key, uid, wish, signal)
      if (answer.kind === "node") {
        index = answer.node.modifiedIndex ?? 0
        return true
      }
      const now = await readKey(etcd, term.key, signal)
      if (now === null || now.created !== term.created) return false
      ;({ index } = now) // an answer of ours was lost
    }
  }
  return {
    key: term.key,
    created: term.created,
    renew: (bound, own) => within(clock, bound, own, renew),
    quit: (bound, own) =>
      within(clock, bound, own, async (inTime) => void (await remove(etcd, term, inTime))),
  }
}

/** Resolves when the key is ours. A store that does not answer is asked again. */
async function acquire(
  etcd: HttpPool,
  key: string,
  uid: string,
  wake: Bell,
  signal: AbortSignal,
): Promise<{ readonly term: Node; readonly sent: Millis }> {
  for (;;) {
    signal.throwIfAborted()
    try {
      const found = await readKey(etcd, key, signal)
      if (found === null) {
        const sent = etcd.clock.now().mono
        const wish = { ttl: electionTtl, condition: { prevExist: "false" } as const }
        const answer = await putKey(etcd, key, uid, wish, signal)
        const term = await readKey(etcd, key, signal)
        if (answer.kind === "node" && term !== null && term.value === uid) return { term, sent }
        if (isConflict(answer)) continue
      } else await wake.wait(etcd.clock, longestNap, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof StoreError) || !error.retryable) throw error
      await etcd.clock.sleep(retryPause, signal)
    }
  }
}
const longestNap = millis(5_000)
const retryPause = millis(200)

/** Notices that somebody took or removed the key. */
async function guard(
  etcd: HttpPool,
  term: Node,
  wake: Bell,
  end: (why: string) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await wake.wait(etcd.clock, longestNap, signal)
      const now = await readKey(etcd, term.key, signal)
      if (now === null || now.created !== term.created) return end("our key was taken or removed")
    } catch {
      // Aborted, or no answer: the renewals decide
    }
  }
}
