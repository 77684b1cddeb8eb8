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
  /** Whether it may pass by waiting; who is unconfirmed has to be named first (sync.ts). */
  readonly kind: "lasting" | "passing" | "unconfirmed" | "lags"
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
    const first =
      obstacle(fact) ??
      unconfirmed(fact, primary, facts) ??
      reason("passing", whyNot(fact.uid) ?? holding(fact, primary, fence))
    if (first === null && isOld(fact)) awaited.push(fact)
    else {
      const against = first ?? shortfall(fact) ?? reason("lags", lagOf(fact, primary, facts))
      if (against === null) ready.push(fact)
      else refused.push({ db: fact.uid, keeper: fact.keeper.uid, ...against })
    }
  }
  return { ready: ready.toSorted(byAdvance), awaited, refused }
}

type Reason = Pick<Refusal, "kind" | "why">
const reason = (kind: Refusal["kind"], why: string | null): Reason | null =>
  why === null ? null : { kind, why }

/** Behind standbys that let go, only those follow, whatever else an operator allows (L3.3). */
function holding(fact: DBFact, primary: DBFact, fence: Fence | null): string | null {
  if (fence?.by !== "standbys") return null
  if (!inSync(primary).includes(fact.uid)) return "the old primary may go on without it"
  return fact.state?.detached === fence.epoch
    ? null
    : "it may still confirm commits of the old primary"
}

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
function obstacle(fact: DBFact): Reason | null {
  if (fact.keeper.failed) return reason("lasting", "its keeper is silent")
  if (isSetApart(fact.keeper)) return reason("lasting", "its keeper is paused")
  return fact.keeper.keeper?.status.canBeMaster === false
    ? reason("lasting", "its keeper may not be master")
    : null
}

const unconfirmed = (fact: DBFact, primary: DBFact, facts: Facts): Reason | null =>
  bound(primary, facts) && !inSync(primary).includes(fact.uid)
    ? reason("unconfirmed", "it is not confirmed in sync")
    : null

function shortfall(fact: DBFact): Reason | null {
  if (!fact.keeper.alive) return reason("passing", "its keeper has not been heard yet")
  if (!fact.up) return reason("passing", "its PostgreSQL is not healthy")
  if (fact.validity === "unknown") return reason("passing", "its copy is not complete")
  if (fact.validity === "invalid" && !fact.ahead)
    return reason("lasting", "its history is not the primary's")
  return fact.comparable
    ? null
    : reason("passing", "its timeline is too old to be compared with the primary's")
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
