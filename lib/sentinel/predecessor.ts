/**
 * The primary before the present one, as long as it may take its place again.
 *
 * A new primary can die before the gate ever opened to it, while the old one, whose end was
 * certified, is whole. Nothing that counts is lost by going back: no client came through a proxy
 * since, and in synchronous mode nothing was acknowledged at all while the name that never answers
 * was among the names. Anything else forbids it, so the word in the document is dropped as soon as
 * that is no longer certain; a Go leader drops it too, and then nobody goes back.
 */
import { zeroLsn } from "#base/lsn.ts"
import type { ClusterData, DB } from "#model/cluster.ts"
import { type DBUID, fakeStandby, noDB } from "#model/ids.ts"
import type { Certificate } from "#model/info.ts"
import { isSynchronous } from "./spec.ts"
import { isAhead } from "#model/timeline.ts"
import { whyNotElectable } from "./electable.ts"
import { type DBFact, type Facts, knownEnd } from "./facts.ts"
import { isSetApart } from "./pause.ts"
import { type Reducer, withStatus } from "./round.ts"

/** What the write that promotes `best` in place of `old` says. */
export function predecessorOf(
  data: ClusterData,
  facts: Facts,
  old: DBUID,
  names: Pick<DB["spec"], "externalSynchronousStandbys">,
): DBUID {
  const before = data.cluster.status.predecessor
  const silent = !isSynchronous(facts.spec) || waitsForNobody(names)
  return silent ? (before === noDB || !data.dbs.has(before) ? old : before) : noDB
}

/** Every commit waits for a standby that does not exist. */
const waitsForNobody = (names: Pick<DB["spec"], "externalSynchronousStandbys">): boolean =>
  names.externalSynchronousStandbys?.includes(fakeStandby) === true

/** In the write that opens the gate, or that names standbys for whom commits wait, it is over. */
export const keepPredecessor =
  (primary: DBUID): Reducer =>
  (data) => {
    if (data.cluster.status.predecessor === noDB) return data
    const spec = data.dbs.get(primary)?.spec
    const silent = spec?.synchronousReplication !== true || waitsForNobody(spec)
    return data.proxy.spec.masterDbUid === "" && silent
      ? data
      : withStatus(data, { predecessor: noDB })
  }

/**
 * Who may take its place again; null when nobody. Not while the primary itself runs or stopped in
 * good order: clients that came past the proxies may have written to it.
 */
export function restorable(data: ClusterData, facts: Facts, primary: DBFact): DBFact | null {
  const uid = data.cluster.status.predecessor
  const fact = uid === noDB || !data.dbs.has(uid) ? undefined : facts.dbs.get(uid)
  if (fact === undefined || fact.uid === primary.uid || data.proxy.spec.masterDbUid !== "")
    return null
  const present = primary.keeper.alive && !primary.keeper.failed
  if (primary.up || (present && endOf(primary) > 0n)) return null
  const { keeper } = fact
  if (!keeper.alive || keeper.failed || isSetApart(keeper)) return null
  if (keeper.keeper?.status.canBeMaster === false) return null
  // the present one may prolong its lease by the promises of others (O3)
  if (whyNotElectable(data, primary)(fact.uid) !== null) return null
  // where its log ended need not be known, as after a stop by force: it has whatever it
  // acknowledged, and its successor nothing that counts
  const whole = fact.state?.hasData === true && certified(fact) !== null
  return fact.up || whole ? fact : null
}

/**
 * Whether `best` lacks what the predecessor had when it served: it goes first then. Clients had it
 * acknowledged, and nobody else's commits count since.
 */
export function hasMore(predecessor: DBFact, best: DBFact): boolean {
  const { timelineID, timelinesHistory } = predecessor.db.status
  const before = { timelineID, timelinesHistory, xLogPos: knownEnd(predecessor) }
  const { state } = best
  if (state === null || state.timelineID < timelineID) return true
  return state.timelineID === timelineID ? best.position < before.xLogPos : !isAhead(before, state)
}

/** Its end, in whatever epoch, as its keeper tells of it. */
function certified({ keeper, uid }: DBFact): Certificate | null {
  const certificate = keeper.info?.certificate
  return certificate?.dbuid === uid ? certificate : null
}

/** Where its log ended, when it stopped in good order; zero: nobody knows. */
const endOf = (fact: DBFact): bigint => certified(fact)?.finalLSN ?? zeroLsn
