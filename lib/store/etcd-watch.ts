/**
 * A watch that never ends by itself: it moves to another endpoint when its own fails, hangs or
 * loses the leader, and starts again after whatever etcd cancels it for, compaction included.
 *
 * It carries no history: every time it stands again it wakes its caller, who reads. So it can start
 * "now" and cannot miss what happened in between.
 */
import type { IEvent, IWatchResponse } from "etcd3"
import { millis } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"
import type { Endpoint } from "./etcd-endpoint.ts"
import { EtcdError, etcdError } from "./etcd-errors.ts"
import type { Pool } from "./etcd-pool.ts"
import { rangeOf } from "./etcd-text.ts"
import { linked, within } from "./scope.ts"

/** What has changed; nothing: it stands, perhaps again. */
type Changed = (events: readonly IEvent[]) => void

/** A watch that is not confirmed in this time is tried elsewhere. */
const confirmMillis = 2000

export async function watchAll(
  pool: Pool,
  probe: (endpoint: Endpoint, signal: AbortSignal) => Promise<unknown>,
  clock: Clock,
  prefixes: readonly string[],
  changed: Changed,
  signal: AbortSignal,
): Promise<void> {
  let pause = 50
  while (!signal.aborted) {
    const endpoint = pool.current
    const stood = await stand(endpoint, probe, clock, prefixes, changed, signal)
    if (signal.aborted) return
    if (!stood && pool.current === endpoint) pool.distrust(endpoint)
    pause = stood ? 50 : Math.min(pause * 2, 1000)
    // many watchers of a restarted member do not come back at once
    const nap = pause * (0.5 + Math.random() / 2)
    await clock.sleep(millis(nap), signal).catch(() => {})
  }
}

/** Watches through one endpoint until that fails; true when the watch had been confirmed. */
async function stand(
  endpoint: Endpoint,
  probe: (endpoint: Endpoint, signal: AbortSignal) => Promise<unknown>,
  clock: Clock,
  prefixes: readonly string[],
  changed: Changed,
  signal: AbortSignal,
): Promise<boolean> {
  const scope = new AbortController()
  const releases = [linked(scope, signal), linked(scope, endpoint.trusted)]
  let confirmed = false
  try {
    await within(clock, millis(confirmMillis), scope.signal, async (bounded) => {
      // Reachable, has a quorum, and the token is fresh: a stale one would look like missing rights
      await probe(endpoint, bounded)
    })
    const patience = clock.deadline(millis(confirmMillis), scope.signal)
    await stream(endpoint, prefixes, scope.signal, patience, (events) => {
      confirmed = true
      changed(events)
    })
  } catch (error) {
    etcdError(error, endpoint.address) // every reason means the same: start again
  } finally {
    for (const release of releases) release()
    scope.abort()
  }
  return confirmed
}

/** One watch stream with a watcher per prefix. Rejects when it ends. */
async function stream(
  endpoint: Endpoint,
  prefixes: readonly string[],
  signal: AbortSignal,
  patience: AbortSignal,
  wake: Changed,
): Promise<never> {
  const watch = await endpoint.watch(signal)
  let missing = prefixes.length
  try {
    return await new Promise<never>((_, reject) => {
      const fail = (text: string): void => reject(new EtcdError("lost", endpoint.address, text))
      watch.on("error", reject) // stays: the late error of a cancelled stream must find a listener
      watch.on("end", () => fail("the watch stream ended"))
      watch.on("data", (answer: IWatchResponse) => {
        if (answer.canceled) return fail(`the watch was cancelled: ${answer.cancel_reason}`)
        if (answer.created && --missing === 0) wake([])
        if (answer.events.length > 0) wake(answer.events)
      })
      patience.addEventListener("abort", () => {
        if (missing > 0) fail("the watch was not confirmed in time")
      })
      if (signal.aborted) return reject(signal.reason)
      signal.addEventListener("abort", () => reject(signal.reason), { once: true })
      for (const prefix of prefixes) watch.write({ create_request: rangeOf(prefix) })
    })
  } finally {
    watch.cancel()
  }
}
