/**
 * Which standbys the cluster has (N1, N8-N15, N20; defects D-21, D-24, D-25). Runs while the
 * primary is healthy and converged: what is removed here is only an assignment; the keeper keeps
 * the files until a new copy has proved itself (N3).
 */
import { by, byNumber, byText, descending, firstOf, sortedValues } from "#base/order.ts"
import { type ClusterData, type DB, emptyDB } from "#model/cluster.ts"
import { type KeeperUID, firstGeneration, newDB } from "#model/ids.ts"
import { byAdvance } from "./candidates.ts"
import { isGone } from "./dead.ts"
import type { DBFact } from "./facts.ts"
import { isPaused, isSetApart } from "./pause.ts"
import { type Reducer, type Round, inOrder, withDB, withSpec, withoutDB } from "./round.ts"

/** Standbys in place of `primary`'s other DBs, as many as wanted. */
export const keepStandbys = (primary: DBFact): Reducer =>
  inOrder(settle, removeUseless(primary), removeSurplus(primary), add(primary), follow(primary))

/** A copy that works needs no way of coming into being any more (N11). */
const settle: Reducer = (data, { facts }) => {
  let next = data
  for (const fact of facts.dbs.values())
    if (fact.kind === "standby" && fact.verdict === "good")
      next = withSpec(next, fact.uid, { initMode: "none", freshCopy: "" })
  return next
}

function remove(data: ClusterData, round: Round, fact: DBFact, why: string): ClusterData {
  round.say("db.removed", { db: fact.uid, keeper: fact.keeper.uid, why })
  return withoutDB(data, fact.uid)
}

/**
 * Old primaries once the new one serves, copies with another history, whose WAL is gone (N8-N10),
 * or that are gone themselves.
 */
const removeUseless =
  (primary: DBFact): Reducer =>
  (data, round) => {
    const serves = data.proxy.spec.masterDbUid === primary.uid
    let next = data
    for (const fact of round.facts.dbs.values()) {
      if (fact.uid === primary.uid) continue
      // an operator's own failover leaves these two behind in a pause, too
      if (fact.kind === "master" && serves && !isSetApart(fact.keeper))
        next = remove(next, round, fact, "it was primary before")
      else if (isPaused(data, fact.keeper.uid) && !hasForked(fact, primary)) continue
      else if (fact.kind === "standby" && fact.validity === "invalid")
        next = remove(next, round, fact, "its history is not the primary's")
      else if (fact.starved)
        next = remove(next, round, fact, "the primary no longer has the WAL that it needs")
      else if (fact.lost) next = remove(next, round, fact, "its keeper has lost the data")
      else if (isGone(data, fact, primary, round))
        next = remove(next, round, fact, "it has been gone for deadKeeperRemovalInterval")
    }
    return next
  }

const standbysOf = (data: ClusterData, round: Round, primary: DBFact): DBFact[] =>
  [...round.facts.dbs.values()].filter(
    (fact) => fact.kind === "standby" && fact.uid !== primary.uid && data.dbs.has(fact.uid),
  )

/**
 * With enough good ones: first who is not good goes, then the good ones above the limit;
 * synchronous ones stay (N13).
 */
const removeSurplus =
  (primary: DBFact): Reducer =>
  (data, round) => {
    const wanted = round.facts.spec.maxStandbysPerSender
    const required = new Set(data.dbs.get(primary.uid)?.spec.synchronousStandbys ?? [])
    const all = standbysOf(data, round, primary).filter((fact) => !isPaused(data, fact.keeper.uid))
    const good = all.filter((fact) => fact.verdict === "good")
    if (good.length < wanted) return data
    let next = data
    for (const fact of all)
      if (fact.verdict !== "good" && !required.has(fact.uid))
        next = remove(next, round, fact, "enough other standbys are good")
    const spare = good.filter((fact) => !required.has(fact.uid)).toSorted(leastUseful)
    for (const fact of spare.slice(0, Math.max(0, good.length - wanted)))
      next = remove(next, round, fact, "there are more standbys than maxStandbysPerSender")
    return next
  }

/** Who may not become primary, then who is furthest behind, then by uid: never by chance (D-25). */
const leastUseful = firstOf<DBFact>(
  by((fact) => Number(fact.keeper.keeper?.status.canBeMaster !== false), byNumber),
  descending(byAdvance),
)

/**
 * Every copy in the making counts, also one that cannot be judged yet (D-24), and the difference
 * never wraps (D-21).
 */
const add =
  (primary: DBFact): Reducer =>
  (data, round) => {
    const present = standbysOf(data, round, primary).filter(
      (fact) => fact.verdict !== "failed" || isPaused(data, fact.keeper.uid),
    )
    // what was made in this very round (`reclone`) is in no fact yet
    const made = [...data.dbs.keys()].filter((uid) => !round.facts.dbs.has(uid)).length
    const missing = Math.max(0, round.facts.spec.maxStandbysPerSender - present.length - made)
    let next = data
    for (const keeper of eligible(data, round).slice(0, missing)) {
      const db = newStandby(keeper, round)
      round.say("db.added", { db: db.uid, keeper })
      next = withDB(next, db)
    }
    return next
  }

/** It went on where the primary's timeline had ended; not another system in its place. */
const hasForked = (fact: DBFact, primary: DBFact): boolean =>
  !isSetApart(fact.keeper) &&
  fact.validity === "invalid" &&
  fact.state?.systemID === primary.db.status.systemdID

/**
 * In a paused cluster only whose DB was taken from it for an operator's failover. Whoever has just
 * been primary comes first: its copy follows at once (S5), another's takes hours to make.
 */
function eligible(data: ClusterData, round: Round): KeeperUID[] {
  const before = new Map([...round.facts.dbs.values()].map((fact) => [fact.keeper.uid, fact.kind]))
  return freeKeepers(data, round)
    .filter((uid) => data.cluster.status.paused === undefined || before.has(uid))
    .toSorted(by((uid) => Number(before.get(uid) !== "master"), byNumber))
}

/** Keepers that are alive, not set apart, and have no DB, by uid. */
export function freeKeepers(data: ClusterData, round: Round): KeeperUID[] {
  const taken = new Set([...data.dbs.values()].map((db) => db.spec.keeperUID))
  return [...round.facts.keepers.values()]
    .filter(
      (fact) =>
        data.keepers.has(fact.uid) &&
        fact.alive &&
        !fact.failed &&
        !isSetApart(fact) &&
        !taken.has(fact.uid),
    )
    .map((fact) => fact.uid)
    .toSorted(byText)
}

export const newStandby = (keeper: KeeperUID, round: Round): DB => ({
  ...emptyDB,
  uid: newDB(round.random),
  generation: firstGeneration,
  spec: { ...emptyDB.spec, keeperUID: keeper, initMode: "resync", role: "standby", followers: [] },
})

/** Every standby follows the primary, and the primary knows all of them (N15, N20). */
const follow =
  (primary: DBFact): Reducer =>
  (data) => {
    let next = data
    const followers: DB[] = []
    for (const db of sortedValues(data.dbs)) {
      if (
        db.uid === primary.uid ||
        db.spec.role === "master" ||
        db.spec.followConfig?.type === "external"
      )
        continue
      followers.push(db)
      next = withSpec(next, db.uid, {
        role: "standby",
        followers: [],
        followConfig: { type: "internal", dbuid: primary.uid },
        synchronousReplication: false,
        synchronousStandbys: null,
        externalSynchronousStandbys: null,
      })
    }
    return withSpec(next, primary.uid, {
      followers: followers.map((db) => db.uid).toSorted(byText),
    })
  }
