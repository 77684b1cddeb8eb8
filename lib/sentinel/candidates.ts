/**
 * Who may be promoted, and in which order (protocol W2, O3, T12; defects D-01, D-02, D-09, D-10,
 * D-28).
 *
 * A DB is refused for a named reason or it is a candidate. A pending change of its spec is no
 * reason; a position that is old is: after the fence only what was published since counts, and
 * whoever is alive is waited for. A position is final without that where nothing more can come: a
 * standby that has let go, or one that has what the certificate says. The most advanced wins.
 */
import { by, byBigint, byNumber, byText, descending, firstOf } from "#base/order.ts"
import type { ClusterData } from "#model/cluster.ts"
import type { DBUID } from "#model/ids.ts"
import { whyNotElectable } from "./electable.ts"
import { type DBFact, type Facts, knownEnd } from "./facts.ts"
import type { Fence } from "./lease.ts"
import { isSetApart } from "./pause.ts"
import { isSynchronous } from "./spec.ts"

export interface Candidates {
  /** May be promoted now, the best first. */
  readonly ready: readonly DBFact[]
  /** Alive and perhaps better, but not heard since the fence. */
  readonly awaited: readonly DBFact[]
  readonly refused: readonly Refusal[]
}
export interface Refusal {
  readonly db: DBUID
  readonly keeper: string
  readonly why: string
  /** It may pass by waiting. */
  readonly lags: boolean
}

/**
 * The furthest first; of equals the one with the smaller uid, so that every leader chooses alike.
 */
export const byAdvance = firstOf<DBFact>(
  descending(by((fact) => fact.state?.timelineID ?? 0, byNumber)),
  descending(by((fact) => fact.position, byBigint)),
  by((fact) => fact.uid, byText),
)

/**
 * @param fence Null while nothing is fenced: then positions count as they are.
 */
export function candidates(
  data: ClusterData,
  facts: Facts,
  primary: DBFact,
  fence: Fence | null,
): Candidates {
  const ready: DBFact[] = []
  const awaited: DBFact[] = []
  const refused: Refusal[] = []
  const isOld = outdated(primary, facts, fence)
  const whyNot = whyNotElectable(data, primary)
  for (const fact of facts.dbs.values()) {
    if (fact.uid === primary.uid || !data.dbs.has(fact.uid)) continue
    const lasting = obstacle(fact, primary, facts) ?? whyNot(fact.uid) ?? holding(fact, fence)
    if (lasting === null && isOld(fact)) awaited.push(fact)
    else {
      const lag = lasting === null ? lagOf(fact, primary, facts) : null
      const why = lasting ?? shortfall(fact) ?? lag
      if (why === null) ready.push(fact)
      else refused.push({ db: fact.uid, keeper: fact.keeper.uid, why, lags: why === lag })
    }
  }
  return { ready: ready.toSorted(byAdvance), awaited, refused }
}

/** Fenced by standbys that let go, only those may follow (L3.3). */
const holding = (fact: DBFact, fence: Fence | null): string | null =>
  fence?.by === "standbys" && fact.state?.detached !== fence.epoch
    ? "it may still confirm commits of the old primary"
    : null

/**
 * Whether more may come than what a keeper said last. Where positions decide, its word must have
 * been gathered since the fence: the second publish was, the first may have been under way. Who is
 * confirmed in sync has what counts wherever it is, unless it is measured by a certificate.
 */
function outdated(primary: DBFact, facts: Facts, fence: Fence | null): (fact: DBFact) => boolean {
  if (fence === null || fence.fencedAt === null) return () => false
  const { fencedAt, epoch } = fence
  const letGo = fence.by === "standbys"
  const certificate = primary.keeper.info?.certificate
  const measured = !bound(primary, facts) || certificate !== undefined
  const end = certificate?.epoch === epoch && certificate.dbuid === primary.uid
  const final = end && certificate.finalLSN > 0n ? certificate.finalLSN : null
  return (fact) => {
    const { keeper } = fact
    if (!keeper.alive) return true
    // the end of the log is the shutdown checkpoint, which begins there: further is all of it
    if (letGo || (final !== null && fact.up && fact.position > final)) return false
    return (measured ? keeper.previous : keeper.since) <= fencedAt
  }
}

/** What no further report of the same kind would change soon. */
function obstacle(fact: DBFact, primary: DBFact, facts: Facts): string | null {
  if (fact.keeper.failed) return "its keeper is silent"
  if (isSetApart(fact.keeper)) return "its keeper is paused"
  if (fact.keeper.keeper?.status.canBeMaster === false) return "its keeper may not be master"
  if (bound(primary, facts) && !inSync(primary).includes(fact.uid))
    return "it is not confirmed in sync"
  return null
}

function shortfall(fact: DBFact): string | null {
  if (!fact.keeper.alive) return "its keeper has not been heard yet"
  if (!fact.up) return "its PostgreSQL is not healthy"
  if (fact.validity === "unknown") return "its copy is not complete"
  if (fact.validity === "invalid" && !fact.ahead) return "its history is not the primary's"
  return fact.comparable ? null : "its timeline is too old to be compared with the primary's"
}

function lagOf(fact: DBFact, primary: DBFact, facts: Facts): string | null {
  const lag = knownEnd(primary) - fact.position
  if (!bound(primary, facts) && lag > BigInt(facts.spec.maxStandbyLag))
    return `it lags ${lag} bytes, more than maxStandbyLag`
  return null
}

/**
 * Whether only a confirmed standby may be elected: the primary waited for standbys, and the
 * operator still wants that. Who switches synchronous replication off while nobody confirmed is
 * left has said that losing the last commits is better than waiting (P5).
 */
const bound = (primary: DBFact, facts: Facts): boolean =>
  primary.db.spec.synchronousReplication && isSynchronous(facts.spec)

/** Confirmed and still required: every acknowledged commit is on each of them (5.8). */
export const inSync = (primary: DBFact): readonly DBUID[] => {
  const { status, spec } = primary.db
  return (status.synchronousStandbys ?? []).filter(
    (uid) => spec.synchronousStandbys?.includes(uid) === true,
  )
}
