/**
 * Carries what the components publish into the document: keepers found and lost, health, positions
 * (reference 5.3). Decides nothing about roles.
 */
import { sortedKeys, sortedValues } from "#base/order.ts"
import type { ClusterData, DB, Keeper } from "#model/cluster.ts"
import { emptyKeeper } from "#model/cluster.ts"
import { firstGeneration } from "#model/ids.ts"
import type { DBFact, KeeperFact } from "./facts.ts"
import { type Reducer, type Round, inOrder, withDB, withKeeper } from "./round.ts"
import { withoutHandled } from "./wishes.ts"

/**
 * A keeper that was removed by hand comes back only when it publishes again: what lies in the store
 * may be its last words (5.3 R3), so only those count who published while we watched.
 */
const discover: Reducer = (data, round) => {
  let next = data
  for (const fact of sortedValues(round.facts.keepers)) {
    if (fact.info === null || data.keepers.has(fact.uid) || !fact.alive) continue
    round.say("keeper.discovered", { keeper: fact.uid })
    next = withKeeper(next, {
      ...emptyKeeper,
      uid: fact.uid,
      generation: firstGeneration, // the only one a keeper ever has
      status: {
        ...emptyKeeper.status,
        healthy: true,
        lastHealthyTime: round.now.wall,
        bootUUID: fact.info.bootUUID,
        peerAddress: fact.info.peerAddress,
        postgresBinaryVersion: fact.info.postgresBinaryVersion,
      },
    })
  }
  return next
}

const keepers: Reducer = (data, round) => {
  let next = data
  const doubles = sortedValues(round.facts.keepers).filter((fact) => fact.double)
  if (doubles.length > 0)
    round.sayOnce("keeper.duplicate", { keeper: doubles.map((fact) => fact.uid).join(", ") })
  else round.over("keeper.duplicate")
  for (const keeper of sortedValues(data.keepers)) {
    const fact = round.facts.keepers.get(keeper.uid)
    next = withKeeper(next, fact === undefined ? keeper : keeperStatus(keeper, fact, round))
  }
  return next
}

function keeperStatus(keeper: Keeper, fact: KeeperFact, round: Round): Keeper {
  const { info } = fact
  // timers begin anew after a gap: nobody who was down is well again before it was heard
  const healthy = !fact.failed && (keeper.status.healthy || fact.alive)
  if (keeper.status.healthy && !healthy)
    round.say("keeper.failed", { keeper: keeper.uid, forced: keeper.status.forceFail })
  if (!keeper.status.healthy && healthy) round.say("keeper.recovered", { keeper: keeper.uid })
  const reported =
    info === null
      ? {}
      : {
          // a leftover, or another keeper's word, starts nobody (G6, D-16)
          ...(fact.alive ? { bootUUID: info.bootUUID, peerAddress: info.peerAddress } : {}),
          postgresBinaryVersion: info.postgresBinaryVersion,
          ...(info.canBeMaster === undefined ? {} : { canBeMaster: info.canBeMaster }),
          ...(info.canBeSynchronousReplica === undefined
            ? {}
            : { canBeSynchronousReplica: info.canBeSynchronousReplica }),
        }
  return {
    ...keeper,
    status: {
      ...withoutHandled(keeper.status, info?.handled ?? []),
      ...reported,
      healthy,
      forceFail: false, // heard: the judgement of this round has it
      lastHealthyTime: healthy && fact.alive ? round.now.wall : keeper.status.lastHealthyTime,
    },
  }
}

const dbs: Reducer = (data, round) => {
  let next = data
  for (const uid of sortedKeys(data.dbs)) {
    const db = data.dbs.get(uid)
    const fact = round.facts.dbs.get(uid)
    if (db !== undefined && fact !== undefined) next = withDB(next, dbStatus(db, fact, round))
  }
  return next
}

function dbStatus(db: DB, fact: DBFact, round: Round): DB {
  const { state } = fact
  const healthy = fact.healthy && (db.status.healthy || fact.keeper.alive)
  if (db.status.healthy && !healthy) round.say("db.failed", { db: db.uid, keeper: fact.keeper.uid })
  if (!db.status.healthy && healthy && db.status.currentGeneration !== 0)
    round.say("db.recovered", { db: db.uid, keeper: fact.keeper.uid })
  if (state === null || fact.keeper.failed) return { ...db, status: { ...db.status, healthy } }
  const address = {
    healthy,
    listenAddress: state.listenAddress,
    port: state.port,
    currentGeneration: state.generation,
  }
  if (!fact.trusted) return { ...db, status: { ...db.status, ...address } }
  return {
    ...db,
    status: {
      ...db.status,
      ...address,
      systemdID: db.status.systemdID === "" ? state.systemID : db.status.systemdID, // for good
      timelineID: state.timelineID,
      xLogPos: state.xLogPos,
      timelinesHistory: state.timelinesHistory,
      pgParameters: state.pgParameters,
      olderWalFile: state.olderWalFile,
      lineage: state.lineage,
    },
  }
}

/** Keepers named by no document and DBs of keepers that are gone: Go crashes on them (D-23). */
const dangling: Reducer = (data, round) => {
  const kept = [...data.dbs].filter(([, db]) => data.keepers.has(db.spec.keeperUID))
  if (kept.length === data.dbs.size) return data
  for (const [uid, db] of data.dbs)
    if (!data.keepers.has(db.spec.keeperUID))
      round.say("db.removed", { db: uid, why: "its keeper does not exist" })
  return { ...data, dbs: new Map(kept) } satisfies ClusterData
}

export const status: Reducer = inOrder(discover, keepers, dangling, dbs)
