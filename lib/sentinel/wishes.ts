/**
 * Operators' wishes for one keeper, as far as they are the leader's: what a keeper has fulfilled is
 * taken out of the document, and `ctl reclone` is carried out by giving the keeper a new DB that is
 * copied afresh.
 *
 * A copy is given up only while the primary is healthy and open to clients, never that of the
 * primary, and never one that commits wait for (P2, P3).
 */
import { sortedValues } from "#base/order.ts"
import { type ClusterData, type Keeper, type KeeperStatus, dbOfKeeper } from "#model/cluster.ts"
import type { Nonce } from "#model/ids.ts"
import { capabilities } from "#model/info.ts"
import { type Wishes, pauseOf } from "#model/wish.ts"
import type { DBFact } from "./facts.ts"
import { isCopying } from "./memory.ts"
import { type Reducer, type Round, withDB, withKeeper, withoutDB } from "./round.ts"
import { newStandby } from "./standbys.ts"

/** A keeper's status without the wishes that it says it has fulfilled. */
export function withoutHandled(status: KeeperStatus, handled: readonly Nonce[]): KeeperStatus {
  const { wishes, ...rest } = status
  if (wishes === undefined) return status
  const open = {
    ...(wishes.restart === undefined || handled.includes(wishes.restart.nonce)
      ? {}
      : { restart: wishes.restart }),
    ...(wishes.reload === undefined || handled.includes(wishes.reload.nonce)
      ? {}
      : { reload: wishes.reload }),
    ...(wishes.reclone === undefined ? {} : { reclone: wishes.reclone }),
  }
  return Object.keys(open).length === 0 ? rest : { ...rest, wishes: open }
}

/** Runs while the primary is healthy and converged. */
export const reclone =
  (primary: DBFact): Reducer =>
  (data, round) => {
    let next = data
    for (const keeper of sortedValues(data.keepers)) {
      const wish = keeper.status.wishes?.reclone
      if (wish === undefined) continue
      const why = objection(next, round, primary, keeper)
      if (why !== null) {
        round.say("reclone.refused", { nonce: wish.nonce, keeper: keeper.uid, why })
        next = withoutReclone(next, keeper)
      } else if (
        !isAwaited(next, keeper, primary) &&
        !isUnderWay(next) &&
        !isReplaced(next, round, keeper)
      )
        next = replace(next, round, keeper)
    }
    return next
  }

/** What stands in the way for good. */
function objection(
  data: ClusterData,
  round: Round,
  primary: DBFact,
  keeper: Keeper,
): string | null {
  const fact = round.facts.keepers.get(keeper.uid)
  const db = dbOfKeeper(data, keeper.uid)
  if (db === undefined) return "it has no database"
  if (db.uid === primary.uid || round.facts.dbs.get(db.uid)?.kind !== "standby")
    return "it has no standby"
  if (fact?.alive !== true) return "it is silent"
  if (fact.info?.capabilities.includes(capabilities.wishes) !== true)
    return "it does not know this request (it is Go stolon's)"
  if (pauseOf(data, keeper.uid) !== null) return "it is paused"
  return data.proxy.spec.masterDbUid === primary.uid
    ? null
    : "the primary is not open to clients, so there is nothing to copy from"
}

/** Commits wait for it: it is asked to go first (sync.ts), and goes when another has its place. */
function isAwaited(data: ClusterData, keeper: Keeper, primary: DBFact): boolean {
  const uid = dbOfKeeper(data, keeper.uid)?.uid
  const listed = data.dbs.get(primary.uid)
  return (
    uid !== undefined &&
    [listed?.spec.synchronousStandbys, listed?.status.synchronousStandbys].some(
      (all) => all?.includes(uid) === true,
    )
  )
}

/** One after the other: each copy in the making is one that nobody can be promoted with. */
const isUnderWay = (data: ClusterData): boolean =>
  [...data.dbs.values()].some((db) => db.spec.freshCopy !== "" && isCopying(db))

/** Others are there or in the making, as many as are wanted: one more would be too many (D-21). */
function isReplaced(data: ClusterData, { facts }: Round, keeper: Keeper): boolean {
  const others = [...data.dbs.values()].filter(({ uid, spec }) => {
    const fact = facts.dbs.get(uid)
    return spec.keeperUID !== keeper.uid && spec.role === "standby" && fact?.verdict !== "failed"
  })
  return others.length >= facts.spec.maxStandbysPerSender
}

function replace(data: ClusterData, round: Round, keeper: Keeper): ClusterData {
  const old = dbOfKeeper(data, keeper.uid)
  if (old === undefined) return data
  const discard = keeper.status.wishes?.reclone?.discardOld === true
  const made = newStandby(keeper.uid, round)
  round.say("db.removed", {
    db: old.uid,
    keeper: keeper.uid,
    why: "an operator asked for a fresh copy",
  })
  round.say("db.added", { db: made.uid, keeper: keeper.uid })
  const db = { ...made, spec: { ...made.spec, freshCopy: discard ? "discard" : "keep" } } as const
  return withDB(withoutDB(withoutReclone(data, keeper), old.uid), db)
}

function withoutReclone(data: ClusterData, keeper: Keeper): ClusterData {
  const { wishes, ...status } = keeper.status
  const { reclone: _, ...rest }: Wishes = wishes ?? {}
  const none = Object.keys(rest).length === 0
  return withKeeper(data, {
    ...keeper,
    status: none ? status : { ...status, wishes: rest },
  })
}
