/**
 * Synchronous standbys (reference 5.8).
 *
 * `spec.synchronousStandbys` of the primary is what it must wait for, all of them;
 * `status.synchronousStandbys` holds those confirmed: every acknowledged commit is on each that is
 * in both, so any of them may be elected. A change goes in two steps, old -> old + new -> new, and
 * each waits for the primary's report from the generation that asked for it (W8). A switchover to
 * one that is not named names it besides the others, until clients are held or it is given up.
 */
import { by, byNumber, byText, firstOf, sameSet } from "#base/order.ts"
import type { ClusterData, DBSpec } from "#model/cluster.ts"
import { type DBUID, fakeStandby } from "#model/ids.ts"
import type { FullSpec } from "#model/spec.ts"
import { byAdvance } from "./candidates.ts"
import type { DBFact, Facts } from "./facts.ts"
import { isSynchronous } from "./spec.ts"
import { type Reducer, type Round, withDBStatus, withSpec } from "./round.ts"

type SyncSpec = Pick<
  DBSpec,
  "synchronousReplication" | "synchronousStandbys" | "externalSynchronousStandbys"
>

/**
 * The names that a new primary starts with, and which of them are confirmed already: who was in
 * sync with the old primary has every acknowledged commit, and the new one acknowledges nothing
 * without the names it starts with (W3).
 */
export function initialSync(
  facts: Facts,
  old: DBFact,
  best: DBFact,
  others: readonly DBFact[],
  common: readonly DBUID[],
): { readonly spec: SyncSpec; readonly confirmed: DBSpec["synchronousStandbys"] } {
  const { spec } = facts
  if (!isSynchronous(spec)) return { spec: asynchronous, confirmed: null }
  // nobody confirms commits of a primary whose timeline it has left behind (W9)
  const follows = ({ state }: DBFact): boolean =>
    best.state === null || state === null || state.timelineID <= best.state.timelineID
  const able = others.filter(
    (fact) => maySync(fact) && fact.up && fact.validity === "valid" && follows(fact),
  )
  const wanted = able
    .toSorted(
      (a, b) =>
        Number(common.includes(b.uid)) - Number(common.includes(a.uid)) || bySuitability(a, b),
    )
    .slice(0, spec.maxSynchronousStandbys)
    .map((fact) => fact.uid)
    .toSorted(byText)
  const confirmed =
    best.keeper.obeys && old.db.spec.synchronousReplication
      ? wanted.filter((uid) => common.includes(uid))
      : []
  return { spec: synchronous(wanted, spec), confirmed }
}

const asynchronous: SyncSpec = {
  synchronousReplication: false,
  synchronousStandbys: null,
  externalSynchronousStandbys: null,
}
/**
 * With fewer names than the minimum the name that never answers is added: the primary then waits
 * rather than lose (minSynchronousStandbys).
 */
const synchronous = (wanted: readonly DBUID[], spec: FullSpec): SyncSpec => ({
  synchronousReplication: true,
  synchronousStandbys: wanted.toSorted(byText),
  externalSynchronousStandbys: wanted.length < spec.minSynchronousStandbys ? [fakeStandby] : [],
})

export const maySync = (fact: DBFact): boolean =>
  fact.keeper.keeper?.status.canBeSynchronousReplica !== false

/** An operator wants its copy made afresh: another takes its place first. */
const isLeaving = ({ keeper }: DBFact): boolean =>
  keeper.keeper?.status.wishes?.reclone !== undefined

/** Connected to the primary (D-09). A Go keeper does not say; its health is all there is. */
export const inTouch = (fact: DBFact): boolean =>
  !fact.keeper.obeys || fact.state?.streaming === true

/** Who could also succeed the primary goes first, then the most advanced. */
const bySuitability = firstOf<DBFact>(
  by((fact) => Number(fact.keeper.keeper?.status.canBeMaster === false), byNumber),
  byAdvance,
)

/** Keeps the primary's list; called while the primary is healthy and converged. */
export const keepSync =
  (primary: DBFact): Reducer =>
  (data, round) => {
    const { spec } = round.facts
    const db = data.dbs.get(primary.uid)
    if (db === undefined) return data
    if (!isSynchronous(spec))
      return withDBStatus(withSpec(data, primary.uid, asynchronous), primary.uid, {
        synchronousStandbys: null,
      })
    const { confirmed, wanted } = confirm(data, round, primary)
    const settled = sameSet(confirmed, wanted)
    const next = settled ? choose(data, round, wanted) : wanted
    if (!sameSet(next, db.spec.synchronousStandbys ?? []))
      round.say("sync.changed", { db: primary.uid, standbys: next.toSorted(byText).join(",") })
    if (settled && !sameSet(confirmed, db.status.synchronousStandbys ?? []))
      round.say("sync.confirmed", { db: primary.uid, standbys: confirmed.join(",") })
    reportDegraded(round, next, spec)
    return withDBStatus(withSpec(data, primary.uid, synchronous(next, spec)), primary.uid, {
      synchronousStandbys: confirmed.filter((uid) => next.includes(uid)),
    })
  }

function reportDegraded(round: Round, wanted: readonly DBUID[], spec: FullSpec): void {
  const good = wanted.filter((uid) => round.facts.dbs.get(uid)?.verdict === "good").length
  if (
    good < spec.minSynchronousStandbys ||
    (spec.minSynchronousStandbys === 0 && wanted.length === 0)
  )
    round.sayOnce("sync.degraded", { good, wanted: Math.max(1, spec.minSynchronousStandbys) })
  else round.over("sync.degraded")
}

/**
 * S1: the confirmed grow by what the primary reports in sync; a wanted one that is gone or not
 * good, and was never confirmed, is given up so that another can be chosen.
 */
function confirm(
  data: ClusterData,
  round: Round,
  primary: DBFact,
): { confirmed: DBUID[]; wanted: DBUID[] } {
  const db = data.dbs.get(primary.uid)
  const wanted = [...(db?.spec.synchronousStandbys ?? [])]
  const before = (db?.status.synchronousStandbys ?? []).filter((uid) => wanted.includes(uid))
  if (sameSet(before, wanted)) return { confirmed: before, wanted }
  const current =
    primary.state?.generation === db?.generation ? (primary.state?.synchronousStandbys ?? []) : []
  const confirmed = [
    ...before,
    ...current.filter((uid) => wanted.includes(uid) && !before.includes(uid)),
  ]
  const another = able(data, round.facts).some((fact) => !wanted.includes(fact.uid))
  const hopeless = wanted.some((uid) => {
    const fact = round.facts.dbs.get(uid)
    const lost = fact?.verdict !== "good" || (another && !inTouch(fact))
    return lost && !confirmed.includes(uid)
  })
  const given = hopeless || isNeedless(data, round, confirmed, wanted)
  return { confirmed, wanted: given ? confirmed.toSorted(byText) : wanted }
}

/** Named for a switchover that was given up before it was confirmed: the others are enough. */
function isNeedless(
  data: ClusterData,
  { facts }: Round,
  confirmed: readonly DBUID[],
  wanted: readonly DBUID[],
): boolean {
  const asked = target(data, facts)
  const sound = able(data, facts).filter(({ uid }) => confirmed.includes(uid))
  return (
    sound.length >= facts.spec.maxSynchronousStandbys &&
    wanted.some((uid) => uid !== asked && !confirmed.includes(uid))
  )
}

/** The DB that a switchover shall go to, while its clients are not held yet. */
function target(data: ClusterData, facts: Facts): DBUID | null {
  const { switchover } = data.cluster.status
  if (switchover?.phase !== "asked" && switchover?.phase !== "checkpoint") return null
  const fact = [...facts.dbs.values()].find(({ keeper }) => keeper.uid === switchover.keeper)
  return fact?.uid ?? null
}

const good = (data: ClusterData, facts: Facts): DBFact[] =>
  [...facts.dbs.values()]
    .filter(
      (fact) =>
        data.dbs.has(fact.uid) &&
        fact.kind === "standby" &&
        fact.verdict === "good" &&
        fact.validity === "valid" &&
        !isLeaving(fact),
    )
    .toSorted(bySuitability)

/** Who could be named now, the best first. */
export const able = (data: ClusterData, facts: Facts): DBFact[] =>
  good(data, facts).filter((fact) => maySync(fact) && fact.up && inTouch(fact))

/**
 * S3: the wanted set anew: without who is gone, failed or too many; filled up with the most
 * advanced; merged while it changes.
 */
function choose(data: ClusterData, round: Round, before: readonly DBUID[]): DBUID[] {
  const { facts } = round
  const { minSynchronousStandbys: min, maxSynchronousStandbys: max } = facts.spec
  const present = before.filter((uid) => data.dbs.has(uid))
  const listed = good(data, facts).filter((fact) => present.includes(fact.uid))
  const fresh = able(data, facts).filter((fact) => !present.includes(fact.uid))
  // who is listed stays, but one that lost the primary makes room for one that has it
  const next = [...listed.filter(inTouch), ...fresh, ...listed.filter((fact) => !inTouch(fact))]
    .slice(0, max)
    .map((fact) => fact.uid)
  const asked = target(data, facts)
  const named = [...listed, ...fresh].some((fact) => fact.uid === asked && inTouch(fact))
  if (asked !== null && named && !next.includes(asked)) next.push(asked)
  for (const uid of present) if (next.length < min && !next.includes(uid)) next.push(uid)
  const grows = next.some((uid) => !before.includes(uid))
  return grows ? [...new Set([...present, ...next])] : next
}
