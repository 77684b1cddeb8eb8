/**
 * When the old primary counts as fenced (protocol L3), by the strongest proof there is. Evidence
 * never counts as one (L4): whoever refuses connections may live.
 *
 * Behind a certificate, a lease or detached standbys no proxy has to be waited for: what it may
 * still lead to acknowledges nothing (P1 is about writes; for the moments until the lease of a
 * primary that detached standbys ended has run out, such a proxy may still lead to its reads).
 * Without a lease the proxies are all there is, as in Go stolon.
 */
import { toMillis } from "#base/duration.ts"
import { zeroLsn } from "#base/lsn.ts"
import type { ClusterData } from "#model/cluster.ts"
import type { Certificate } from "#model/info.ts"
import { inSync } from "./candidates.ts"
import type { DBFact, Facts } from "./facts.ts"
import type { Fence, FencedBy } from "./lease.ts"
import type { Memory } from "./memory.ts"

/** Notes the first read that proved the end. */
export function settleFence(memory: Memory, data: ClusterData, facts: Facts): Memory {
  const { fence, readAt } = memory
  if (fence === null || readAt === null || facts.primary === null) return memory
  // standbys that let go bind the choice to themselves; a proof that does not is worth more
  if (fence.fencedAt !== null && fence.by !== "standbys") return memory
  const by = proof(fence, data, facts, facts.primary, readAt)
  if (by === null || by === fence.by) return memory
  return { ...memory, fence: { ...fence, fencedAt: readAt, by } }
}

function proof(
  fence: Fence,
  data: ClusterData,
  facts: Facts,
  primary: DBFact,
  mono: number,
): FencedBy | null {
  if (certificateOf(primary, fence) !== null) return "certificate"
  if (fence.leaseEnd !== null && mono >= fence.leaseEnd) return "lease"
  if ([...facts.dbs.values()].some((fact) => letsGo(fact, primary, fence))) return "standbys"
  const ended = fence.leaseEnd === null && hasEnded(primary, fence, facts, mono)
  return ended && unacknowledged(data, facts).length === 0 ? "proxies" : null
}

/** The certificate of this DB and epoch; any other proves nothing. */
export function certificateOf(
  { keeper, uid }: DBFact,
  fence: Pick<Fence, "epoch"> | null,
): Certificate | null {
  const certificate = keeper.info?.certificate
  const ofNow = fence !== null && fence.epoch !== "" && certificate?.epoch === fence.epoch
  return ofNow && certificate.dbuid === uid ? certificate : null
}

/** Where the log ended by it; 0: no certificate, or the end was no good order. */
export const certifiedEnd = (primary: DBFact, fence: Pick<Fence, "epoch"> | null): bigint =>
  certificateOf(primary, fence)?.finalLSN ?? zeroLsn

/** L3.3: each acknowledgement needs it, by any list in force, and it receives nothing more. */
export const letsGo = (fact: DBFact, primary: DBFact, { epoch }: Pick<Fence, "epoch">): boolean =>
  detachable(primary) &&
  epoch !== "" &&
  fact.state?.detached === epoch &&
  inSync(primary).includes(fact.uid)

/**
 * Whether standbys can end it by letting go. A Go keeper may have other names in force than it says
 * (D-03, D-06).
 */
export const detachable = (primary: DBFact): boolean =>
  primary.keeper.obeys && primary.db.spec.synchronousReplication && inSync(primary).length > 0

/**
 * Without leases (W2): it is silent, or is Go's and will never tell. A keeper that is alive but
 * cannot stop its PostgreSQL is waited for, but not for ever (P5).
 */
function hasEnded(primary: DBFact, fence: Fence, facts: Facts, mono: number): boolean {
  const { keeper, db } = primary
  // the top of a standby cluster is in recovery: no view ever asked it to write
  if (db.spec.role === "standby") return true
  if (keeper.info === null) return neverHeard(primary, fence, facts, mono)
  if (keeper.silentFor > facts.failInterval || !keeper.obeys) return true
  return mono - fence.since > toMillis(facts.spec.convergenceTimeout)
}

/**
 * Its info has expired. It outlives the lease that it stated (`ttlOf`); a store that was away may
 * still have let it go early, so what the specification says is waited for besides. Without leases
 * it has to have been silent while this leader watched (W6).
 */
function neverHeard(
  { keeper }: DBFact,
  fence: Fence,
  { spec, failInterval }: Facts,
  mono: number,
): boolean {
  if (spec.selfFencing !== true) return keeper.silentFor > failInterval
  const lease = spec.fencingLease === undefined ? 0 : toMillis(spec.fencingLease)
  return mono - fence.since > 1.05 * Math.max(failInterval, lease)
}

/** Proxies that may still forward by an older gate. */
export const unacknowledged = (data: ClusterData, facts: Facts): string[] =>
  facts.proxies
    .filter((proxy) => proxy.active && proxy.info.Generation !== data.proxy.generation)
    .map((proxy) => proxy.uid)

/** The proxies that have to acknowledge before the gate opens: none, behind a fence of its own. */
export function awaitedProxies(data: ClusterData, facts: Facts): string[] {
  const { fencedBy } = data.cluster.status
  return fencedBy === "" || fencedBy === "proxies" ? unacknowledged(data, facts) : []
}
