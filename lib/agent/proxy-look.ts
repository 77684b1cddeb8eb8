/**
 * One read of the view as the proxy's brain wants it. Store trouble is a finding, not an exception:
 * the brain knows what each kind means.
 */
import { millis } from "#base/brand.ts"
import { type Store, StoreError } from "#port/store.ts"
import type { View } from "#proxy/brain.ts"

import type { Proxy } from "./proxy.ts"

export async function look(store: Store, signal: AbortSignal): Promise<View> {
  try {
    const reading = await store.read(signal)
    return reading.kind === "absent" ? reading : { kind: "found", data: reading.data }
  } catch (error) {
    const why = message(error)
    if (signal.aborted) return { kind: "unreachable", why } // the caller drops it
    if (!(error instanceof StoreError)) throw error
    if (error.code === "format") return { kind: "unsupported", why }
    return error.code === "malformed" ? { kind: "malformed", why } : { kind: "unreachable", why }
  }
}

export const message = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)

/** What hangs since before the store is back is given up in time for another try (P6). */
export async function timely<T>(
  proxy: Proxy,
  signal: AbortSignal,
  work: (bound: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController()
  const { clock, memory, wake } = proxy
  const end = AbortSignal.any([signal, over.signal])
  const bound = clock.deadline(millis(patience * memory.timeout), end)
  try {
    return await work(bound)
  } finally {
    if (bound.aborted && !signal.aborted) wake.ring()
    over.abort()
  }
}
/** Of proxyTimeout. */
const patience = 0.7
