/**
 * Asks the keeper of a new destination whether it is the primary that the view means, before the
 * first client is led there (D-15). Asked in vain, for whatever reason, the view is believed; the
 * question never takes longer than its bound and never changes what is open already.
 */
import { millis } from "#base/brand.ts"
import { type Target, contradiction } from "#proxy/target.ts"
import type { Proxy } from "./proxy.ts"

/** A keeper that is there answers in a few. */
const bound = millis(500)
/** Clients wait meanwhile, for a PostgreSQL that is starting as a rule. */
const refusedPause = millis(300)

/** Why nobody may be led there; null: nothing speaks against it. */
export async function verify(
  proxy: Proxy,
  wanted: Target | null,
  signal: AbortSignal,
): Promise<string | null> {
  if (wanted === null || wanted.address === "") return null
  const { clock, peers } = proxy
  const over = new AbortController()
  const within = clock.deadline(bound, AbortSignal.any([signal, over.signal]))
  try {
    return contradiction(wanted, await peers.lease(wanted.address, within))
  } catch {
    return null
  } finally {
    over.abort()
  }
}

/**
 * Asks until nothing speaks against it, and has the view looked at again then. Nothing is written
 * for that. A check that begins meanwhile asks for itself.
 */
export async function askAgain(proxy: Proxy, wanted: Target | null): Promise<void> {
  const { checking, clock, wake } = proxy
  const signal = AbortSignal.any([proxy.signal, checking.signal])
  try {
    do await clock.sleep(refusedPause, signal)
    while (proxy.checking === checking && (await verify(proxy, wanted, signal)) !== null)
    if (proxy.checking === checking) wake.ring()
  } catch {} // aborted
}
