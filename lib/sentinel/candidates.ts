/**
 * Who may be promoted, and in which order (protocol W2, T12; defects D-01, D-02, D-09, D-10, D-28).
 *
 * A DB is refused for a named reason or it is a candidate. A pending change of its spec is no
 * reason; a position that is old is: after the fence only what was published since counts, and
 * whoever is alive is waited for. The most advanced wins.
 */
import type { Millis } from "#base/brand.ts"
import { by, byBigint, byNumber, byText, descending, firstOf } from "#base/order.ts"
import type { ClusterData } from "#model/cluster.ts"
import type { DBUID } from "#model/ids.ts"
import { type DBFact, type Facts, knownEnd } from "./facts.ts"
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
 * @param since Positions seen before this moment do not count; null while nothing is fenced yet.
 */
export function candidates(
  data: ClusterData,
  facts: Facts,
  primary: DBFact,
  since: Millis | null,
): Candidates {
  const ready: DBFact[] = []
  const awaited: DBFact[] = []
  const refused: Refusal[] = []
  const wordOf = latest(primary, facts)
  for (const fact of facts.dbs.values()) {
    if (fact.uid === primary.uid || !data.dbs.has(fact.uid)) continue
    const lasting = obstacle(fact, primary, facts)
    const unheard = !fact.keeper.alive || (since !== null && wordOf(fact.keeper) <= since)
    if (lasting === null && since !== null && unheard) awaited.push(fact)
    else {
      const why = lasting ?? shortfall(fact, primary, facts)
      if (why === null) ready.push(fact)
      else refused.push({ db: fact.uid, keeper: fact.keeper.uid, why })
    }
  }
  return { ready: ready.toSorted(byAdvance), awaited, refused }
}

/**
 * Since when a keeper's word is new. Where positions decide, it must have been gathered since: the
 * second publish was, the first may have been under way. Who is confirmed in sync has what counts
 * wherever it is, unless it is measured by a certificate.
 */
const latest = (primary: DBFact, facts: Facts): ((keeper: DBFact["keeper"]) => Millis) => {
  const measured = !bound(primary, facts) || primary.keeper.info?.certificate !== undefined
  return (keeper) => (measured ? keeper.previous : keeper.since)
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

function shortfall(fact: DBFact, primary: DBFact, facts: Facts): string | null {
  if (!fact.keeper.alive) return "its keeper has not been heard yet"
  if (!fact.up) return "its PostgreSQL is not healthy"
  if (fact.validity === "unknown") return "its copy is not complete"
  if (fact.validity === "invalid" && !fact.ahead) return "its history is not the primary's"
  if (!fact.comparable) return "its timeline is too old to be compared with the primary's"
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
