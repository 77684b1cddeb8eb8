/**
 * What a proxy says of itself: the generation of the gate that is in force here, and how long it
 * forwards without a good check. A leader rests on both: nothing is said before it is so, and how
 * long it counts is reckoned from the start of the publish.
 */
import { millis } from "#base/brand.ts"
import { event } from "#model/events.ts"
import { infoUID } from "#model/ids.ts"
import { type ProxyInfo, capabilities } from "#model/info.ts"
import { type Act, type Announcement, heardUntil, lapsed } from "#proxy/brain.ts"

import { message, timely } from "./proxy-look.ts"
import type { Outcome, Proxy } from "./proxy.ts"

/**
 * This proxy forwards on no view older than the timeout that it publishes, counted from the start
 * of the read, and publishes a generation only after its cut: a leader may count its silence from
 * that timeout.
 */
const proxyCapabilities: readonly string[] = [capabilities.boundedView, capabilities.switchover]

const withdrawTimeout = millis(5_000)

type Publish = Extract<Act, { readonly kind: "publish" }>

export async function publish(proxy: Proxy, act: Publish, signal: AbortSignal): Promise<Outcome> {
  const startedAt = proxy.clock.now().mono
  try {
    const info = proxyInfo(proxy, act.info)
    await timely(proxy, signal, (bound) =>
      proxy.store.publish({ kind: "proxy", info }, act.info.ttl, bound),
    )
  } catch (error) {
    if (signal.aborted) return { kind: "failed", why: "aborted" }
    const why = `the proxy info could not be published: ${message(error)}`
    if (act.required) return { kind: "failed", why }
    proxy.log.event(event("store.failed", { error: why }))
    return { kind: "done" }
  }
  proxy.told = act.info.generation
  const late = lapsed(proxy.heardUntil, proxy.clock.now())
  proxy.heardUntil = heardUntil(act.info, startedAt)
  return late && act.required ? { kind: "lapsed" } : { kind: "done" }
}

const proxyInfo = ({ chance, options, self }: Proxy, announced: Announcement): ProxyInfo => ({
  infoUID: infoUID(chance.uid()),
  UID: self,
  Generation: announced.generation,
  // Nanoseconds in Go's documents; no longer than a number holds exactly.
  ProxyTimeout: Math.min(Math.round(announced.timeout * 1e6), Number.MAX_SAFE_INTEGER),
  capabilities: proxyCapabilities,
  listenAddress: options.listenAddress,
})

/**
 * Leaves the active set at once instead of after the info's time to live; when that fails, the
 * time to live does it.
 */
export async function withdraw({ store, clock, log, self }: Proxy): Promise<void> {
  const over = new AbortController()
  try {
    await store.withdraw({ kind: "proxy", uid: self }, clock.deadline(withdrawTimeout, over.signal))
  } catch (error) {
    const why = `the proxy info could not be withdrawn: ${message(error)}`
    log.event(event("store.failed", { error: why }))
  } finally {
    over.abort()
  }
}
