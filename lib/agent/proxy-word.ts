/**
 * Asking the primary's keeper for its word while the store is silent (O4), and knowing beforehand
 * where to ask. Both run beside the checks and the watcher, which wait for neither.
 *
 * What must never be: a word that counts from its answer, or one that is kept for another primary
 * than the last good view named (`proxy/word.ts` judges both).
 */
import { type Millis, millis } from "#base/brand.ts"
import { event } from "#model/events.ts"
import { type Watched, needsWord } from "#proxy/brain.ts"
import { type Contact, type Witness, type Word, isOutdated, wordOf } from "#proxy/word.ts"

import type { Proxy } from "./proxy.ts"

/** What is known of the keeper's word. Written here only. */
export interface Vouching {
  word: Word | null
  contact: Contact | null
  /** A question under way, and a reading of the address. */
  asking: Promise<void> | null
  reading: Promise<void> | null
}

export const silent = (): Vouching => ({ word: null, contact: null, asking: null, reading: null })

/** What decides about the timeout. */
export const watched = ({ destination, relay, vouching }: Proxy): Watched => ({
  destination,
  listening: relay.listening,
  word: vouching.word,
})

/** Asks, if there is reason to and no question is under way. */
export function seekWord(proxy: Proxy): void {
  const { vouching, memory, clock } = proxy
  const { witness } = memory
  const address = vouching.contact?.keeper === witness?.keeper ? vouching.contact?.address : ""
  if (vouching.asking !== null || witness === null || address === undefined || address === "")
    return
  if (!needsWord(watched(proxy), memory, clock.now())) return
  // whoever does not answer in a third of the timeout is asked again
  const bound = millis(Math.max(100, memory.timeout / 3))
  vouching.asking = bounded(proxy, bound, (signal) => ask(proxy, witness, address, signal)).finally(
    () => {
      vouching.asking = null
    },
  )
}

async function ask(
  proxy: Proxy,
  witness: Witness,
  address: string,
  signal: AbortSignal,
): Promise<void> {
  const { vouching, clock, peers } = proxy
  const sentAt = clock.now().mono
  const claim = await peers.lease(address, signal)
  const now = clock.now()
  const word = wordOf(claim, witness, sentAt, now)
  if (word === null) return
  if (vouching.word === null || vouching.word.until <= now.mono) {
    const left = Math.round(word.until - now.mono)
    proxy.log.event(event("proxy.vouched", { keeper: witness.keeper, for: left }))
  }
  vouching.word = word
}

/** Reads the keeper's address when it may have changed; never while the store is in trouble. */
export function learnContact(proxy: Proxy): void {
  const { vouching, memory, clock } = proxy
  const { witness } = memory
  if (vouching.reading !== null || witness === null) return
  if (!isOutdated(vouching.contact, witness, clock.now())) return
  vouching.reading = bounded(proxy, memory.timeout, (signal) =>
    read(proxy, witness, signal),
  ).finally(() => {
    vouching.reading = null
  })
}

async function read(proxy: Proxy, { keeper, boot }: Witness, signal: AbortSignal): Promise<void> {
  const readAt = proxy.clock.now().mono
  const { keepers } = await proxy.store.infos(signal)
  const { contact } = proxy.vouching
  // an info that has expired in an outage is no reason to forget where its keeper was
  const known = contact?.keeper === keeper ? contact.address : ""
  const address = keepers.get(keeper)?.peerAddress ?? known
  proxy.vouching.contact = { keeper, boot, address, readAt }
}

/** Trouble is no news here: the store's is told by the checks, and a keeper's has the timeout. */
async function bounded(
  proxy: Proxy,
  bound: Millis,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const over = new AbortController()
  const end = AbortSignal.any([proxy.signal, over.signal])
  try {
    await work(proxy.clock.deadline(bound, end))
  } catch {
    // asked again, or read again, when there is reason to
  } finally {
    over.abort()
  }
}
