/**
 * What a proxy shows of itself to whoever watches it: where it leads clients and by what right. A
 * snapshot after each check and each cut; nothing is decided by it.
 */
import type { Millis } from "#base/brand.ts"
import type { DBUID, Generation, KeeperUID } from "#model/ids.ts"
import { validUntil } from "#proxy/brain.ts"
import { type Destination, gate } from "#proxy/gate.ts"
import { target } from "#proxy/target.ts"

import { watched } from "./proxy-word.ts"
import type { Proxy } from "./proxy.ts"

export interface ProxyState {
  /** When it last came round; this and all times by the monotonic clock. */
  readonly lookedAt: Millis
  readonly gate: "open" | "draining" | "closed"
  /** Why clients are led nowhere, or nobody new is; empty while they are. */
  readonly why: string
  readonly destination: Destination | null
  /** Whom the view names as the primary; null: nobody. */
  readonly primary: { readonly keeper: KeeperUID; readonly db: DBUID } | null
  /** The last one that others were told. */
  readonly generation: Generation | null
  /** The start of the last good check; null before the first. */
  readonly goodAt: Millis | null
  /** Until when clients may stay where they are. */
  readonly validUntil: Millis
  /** It was asked to end. */
  readonly retiring: boolean
}

export function stateOf(proxy: Proxy): ProxyState {
  const { memory, destination, seen, drain, told, retiring } = proxy
  const wanted = seen === null ? null : target(seen)
  const draining = drain?.underWay === true
  return {
    lookedAt: proxy.clock.now().mono,
    gate: destination === null ? "closed" : draining ? "draining" : "open",
    why: destination !== null && !draining ? "" : whyClosed(proxy),
    destination,
    primary: wanted === null ? null : { keeper: wanted.keeper, db: wanted.db },
    generation: told,
    goodAt: seen === null ? null : memory.goodAt,
    validUntil: validUntil(watched(proxy), memory),
    retiring,
  }
}

function whyClosed({ memory, refused, retiring, seen, self }: Proxy): string {
  if (retiring) return "this proxy was asked to end"
  if (refused !== null) return refused
  const { trouble } = memory
  if (trouble !== null) return `${trouble.code} ${String(trouble.fields["error"] ?? "")}`.trim()
  if (seen === null) return "the store has not been read yet"
  const wanted = gate(seen, self)
  return wanted.kind === "open" ? "the view has run out" : wanted.why
}
