/**
 * Asking the primary's keeper for its word while the store is silent (O4), where the last good view
 * said that it answers. Runs beside the checks and the watcher, which do not wait for it.
 *
 * What must never be: a word that counts from its answer, or one that is kept for another primary
 * than the last good view named (`proxy/word.ts` judges both).
 */
import { type Millis, millis } from "#base/brand.ts"
import { event } from "#model/events.ts"
import {
  type Memory,
  type Reads as BrainReads,
  type Watched,
  needsWord,
  validUntil,
} from "#proxy/brain.ts"
import { type Witness, type Word, wordOf } from "#proxy/word.ts"

import type { Proxy } from "./proxy.ts"

/** What is known of the keeper's word. Written here only. */
export interface Vouching {
  word: Word | null
  /** A question under way. */
  asking: Promise<unknown> | null
}

export const silent = (): Vouching => ({ word: null, asking: null })

/** What decides about the timeout. */
export const watched = (proxy: Proxy): Watched => ({
  destination: proxy.destination,
  listening: proxy.relay.listening,
  reads: readsOf(proxy),
  word: proxy.vouching.word,
})
export const readsOf = ({ reads }: Proxy): BrainReads =>
  reads === null ? "none" : reads.view === null ? "closed" : "open"

/**
 * The data plane keeps the time by itself, too: the watcher may be suspended together with it, and
 * wake up after it.
 */
export function allow(proxy: Proxy, memory: Memory): void {
  const until = validUntil(watched(proxy), memory)
  proxy.relay.allow(until)
  proxy.reads?.relay.allow(until)
}

/** Asks, if there is reason to and no question is under way. */
export function seekWord(proxy: Proxy): void {
  const { vouching, memory, clock } = proxy
  const { witness } = memory
  if (vouching.asking !== null || witness === null || witness.address === "") return
  if (!needsWord(watched(proxy), memory, clock.now())) return
  // whoever does not answer in a third of the timeout is asked again
  const bound = millis(Math.max(100, memory.timeout / 3))
  vouching.asking = bounded(proxy, bound, (signal) => ask(proxy, witness, signal)).finally(() => {
    vouching.asking = null
  })
}

async function ask(proxy: Proxy, witness: Witness, signal: AbortSignal): Promise<void> {
  const { vouching, clock, peers } = proxy
  const sentAt = clock.now().mono
  const claim = await peers.lease(witness.address, signal)
  const now = clock.now()
  const word = wordOf(claim, witness, sentAt, now)
  if (word === null) return
  if (vouching.word === null || vouching.word.until <= now.mono) {
    const left = Math.round(word.until - now.mono)
    proxy.log.event(event("proxy.vouched", { keeper: witness.keeper, for: left }))
  }
  vouching.word = word
  allow(proxy, proxy.memory)
}

/**
 * Null when it failed. Trouble is no news here: the store's is told by the checks, and a keeper's
 * has the timeout.
 */
export async function bounded<T>(
  proxy: Proxy,
  bound: Millis,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | null> {
  const over = new AbortController()
  const end = AbortSignal.any([proxy.signal, over.signal])
  try {
    return await work(proxy.clock.deadline(bound, end))
  } catch {
    return null // asked again, or read again, when there is reason to
  } finally {
    over.abort()
  }
}
