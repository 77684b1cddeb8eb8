/**
 * The end of a proxy that was asked to end: nobody new is let in, and sessions may come to theirs
 * for a while, each when it is idle.
 *
 * Meanwhile it is a proxy like any other, under the same promises: it checks, publishes, cuts when
 * the primary changes and when the view runs out. Only what would let clients in is left undone.
 */
import { type Millis, millis } from "#base/brand.ts"
import { event } from "#model/events.ts"

import { retireReads } from "./proxy-reads.ts"
import type { Proxy } from "./proxy.ts"

/** Before the sessions are counted again. */
const glance = millis(50)

/** Returns when no session is left, or the time for it is over. */
export async function retire(proxy: Proxy, drain: (bound: Millis) => void): Promise<void> {
  const { options, relay, reads, clock, destination } = proxy
  const { shutdownTimeout: bound = millis(0), hurry = new AbortController().signal } = options
  proxy.retiring = true
  if (bound === 0) return
  await relay.unlisten()
  await reads?.relay.unlisten()
  const sessions = (): number => relay.stats().sessions + (reads?.relay.stats().sessions ?? 0)
  if (sessions() === 0) return
  proxy.log.event(event("proxy.retiring", { sessions: sessions(), bound }))
  const until = clock.now().mono + bound
  if (destination !== null && proxy.drain?.underWay !== true) drain(bound)
  if (reads !== null) await retireReads(proxy, reads)
  while (sessions() > 0 && clock.now().mono < until && !hurry.aborted)
    await clock.sleep(glance, hurry).catch(() => {})
}
