/**
 * What a usable view says about this proxy's gate. The rules X6 to X10 of the reference as one
 * value; no order of acts, no memory.
 *
 * The gate is open only to the DB that the view names for clients, only for a proxy that the view
 * lists, and never to a primary that the view has revoked (W1).
 */
import type { Millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import type { ClusterData, DB } from "#model/cluster.ts"
import type { ProxyUID } from "#model/ids.ts"

/** Where clients go. The host is a name or an IP literal without brackets. */
export interface Destination {
  readonly host: string
  readonly port: number
}

export type Gate =
  | { readonly kind: "open"; readonly to: Destination }
  /** The view names nobody: closing and saying so is the fencing acknowledgement (X7). */
  | { readonly kind: "leaderless"; readonly why: string }
  /** S2: nothing new begins, and what has begun at `from` may end within `bound`. */
  | {
      readonly kind: "hold"
      readonly from: Destination
      readonly bound: Millis
      readonly why: string
    }
  /** The view names somebody, but not for us, or not yet with an address. */
  | { readonly kind: "closed"; readonly why: string }
  /** The address makes no sense: closed, and no generation is published for it (X8). */
  | { readonly kind: "unresolved"; readonly why: string }

export function gate(data: ClusterData, self: ProxyUID): Gate {
  const { masterDbUid, enabledProxies } = data.proxy.spec
  const db = data.dbs.get(masterDbUid)
  if (db === undefined) return hold(data) ?? { kind: "leaderless", why: "no primary is set" }
  // A leader closes the gate in the write that revokes; a document that says both is trusted in
  // the safer half.
  if (data.cluster.status.primaryRevoked && data.cluster.status.master === masterDbUid)
    return { kind: "leaderless", why: "the primary is revoked" }
  const to = destinationOf(db)
  if (to === "unresolved")
    return {
      kind: "unresolved",
      why: `the primary's port ${JSON.stringify(db.status.port)} is not a port`,
    }
  if (!enabledProxies.includes(self)) return { kind: "closed", why: "this proxy is not enabled" }
  if (to === "none") return { kind: "closed", why: "the primary has no address" }
  return { kind: "open", to }
}

/** A switchover holds only what is primary still: a revoked one is cut, whatever else is said. */
function hold({ cluster, dbs }: ClusterData): Gate | null {
  const { switchover, master, primaryRevoked } = cluster.status
  const db = dbs.get(master)
  if (switchover?.phase !== "hold" || primaryRevoked || db === undefined) return null
  const from = destinationOf(db)
  const bound = toMillis(switchover.drain)
  if (from === "none" || from === "unresolved" || bound <= 0) return null
  return { kind: "hold", from, bound, why: "a switchover holds the clients" }
}

/** An empty address or port is "not known yet" and no error (X8). */
export function destinationOf(db: DB): Destination | "none" | "unresolved" {
  const { listenAddress: host, port: text } = db.status
  if (host === "" || text === "") return "none"
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  return port >= 1 && port <= 65_535 ? { host, port } : "unresolved"
}

export const sameDestination = (a: Destination | null, b: Destination | null): boolean =>
  a === null || b === null ? a === b : a.host === b.host && a.port === b.port
