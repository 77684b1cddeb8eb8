/**
 * The phase `initializing`: one keeper gets the first DB and brings the data into being (reference
 * 5.6; D-28, D-30, D-31). Standbys and gate come after it.
 */
import { toMillis } from "#base/duration.ts"
import { type ClusterData, type DB, type DBSpec, emptyDB } from "#model/cluster.ts"
import { type KeeperUID, firstGeneration, keeperUID, newDB, newEpoch, noDB } from "#model/ids.ts"
import { external } from "./derive.ts"
import type { DBFact } from "./facts.ts"
import { type Reducer, type Round, withDB, withSpec, withStatus } from "./round.ts"

export const initialize: Reducer = (data, round) => {
  const uid = data.cluster.status.master
  const fact = round.facts.dbs.get(uid)
  if (uid === "" || !data.dbs.has(uid)) return begin(data, round)
  if (fact === undefined) return data
  if (fact.convergence === "converged" && fact.up) return finish(data, round, fact)
  return hasLasted(fact, round) ? late(data, round, fact) : data
}

function begin(data: ClusterData, round: Round): ClusterData {
  const keeper = chooseKeeper(data, round)
  if (keeper === null) return data
  round.over("cluster.waiting")
  round.say("cluster.initializing", { keeper, mode: round.facts.spec.initMode ?? "" })
  const db: DB = {
    ...emptyDB,
    uid: newDB(round.random),
    generation: firstGeneration,
    spec: firstSpec(keeper, round),
  }
  return withStatus(withDB(data, db), { master: db.uid })
}

/** By uid, so that it is no matter of chance; keepers on which it failed before come last. */
function chooseKeeper(data: ClusterData, round: Round): KeeperUID | null {
  const { facts, memory } = round
  const named =
    facts.spec.initMode === "existing" ? facts.spec.existingConfig?.keeperUID : undefined
  const able = [...facts.keepers.values()].filter(
    (fact) =>
      data.keepers.has(fact.uid) &&
      fact.alive &&
      !fact.failed &&
      (named === undefined
        ? fact.keeper?.status.canBeMaster !== false && fact.info?.canBeMaster !== false
        : fact.uid === named),
  )
  const [first] = able.toSorted(
    (a, b) =>
      Number(memory.failedInit.has(a.uid)) - Number(memory.failedInit.has(b.uid)) ||
      (a.uid < b.uid ? -1 : 1),
  )
  if (first !== undefined) return first.uid
  const why = "there is no keeper yet that may begin"
  round.sayOnce("cluster.waiting", { keeper: keeperUID(named ?? "any"), why })
  return null
}

function firstSpec(keeper: KeeperUID, { facts }: Round): DBSpec {
  const { spec } = facts
  const base: DBSpec = {
    ...emptyDB.spec,
    keeperUID: keeper,
    followers: [],
    includePreviousConfig: spec.mergePgParameters,
    initMode: spec.initMode === "existing" ? "existing" : spec.initMode === "pitr" ? "pitr" : "new",
    role: "master",
    ...(spec.initMode === "new" && spec.newConfig !== undefined
      ? { newConfig: spec.newConfig }
      : {}),
    ...(spec.initMode === "pitr" && spec.pitrConfig !== undefined
      ? { pitrConfig: spec.pitrConfig }
      : {}),
  }
  if (spec.role !== "standby") return base
  return { ...base, role: "standby", followConfig: { ...external(spec), dbuid: noDB } }
}

/**
 * The first primary works: its own parameters become the cluster's where asked (6.7), and the
 * normal phase begins.
 */
function finish(data: ClusterData, round: Round, fact: DBFact): ClusterData {
  const { spec } = round.facts
  round.over("cluster.waiting")
  round.say("cluster.initialized", { db: fact.uid, keeper: fact.keeper.uid })
  const merged: ClusterData =
    spec.mergePgParameters && fact.state !== null
      ? {
          ...data,
          cluster: {
            ...data.cluster,
            spec: { ...data.cluster.spec, pgParameters: fact.state.pgParameters },
          },
        }
      : data
  return withStatus(
    withSpec(merged, fact.uid, { initMode: "none", includePreviousConfig: false }),
    {
      phase: "normal",
      primaryEpoch: newEpoch(round.random),
    },
  )
}

function hasLasted(fact: DBFact, { facts, memory, now }: Round): boolean {
  const since = memory.converging.get(fact.uid)?.since ?? memory.ailing.get(fact.uid)
  return since !== undefined && now.mono - since > toMillis(facts.spec.initTimeout)
}

/**
 * It takes longer than initTimeout (D-30). A new cluster has nothing to lose and begins again. An
 * operator's data is never given up by a timer: a restore may take hours, so it moves only away
 * from a keeper that is gone, and an existing instance is where it is; what is waited for is said.
 */
function late(data: ClusterData, round: Round, fact: DBFact): ClusterData {
  const mode = round.facts.spec.initMode
  const { keeper } = fact
  if (mode === "new" || (mode === "pitr" && keeper.failed)) return giveUp(data, round, fact)
  const work = keeper.info?.postgresState?.work ?? ""
  const why = keeper.failed
    ? "its keeper is silent"
    : fact.convergence === "converged"
      ? "its PostgreSQL does not answer; see the keeper's log"
      : `the keeper is not done; ${work === "" ? "see its log" : `it is at: ${work}`}`
  round.sayOnce("cluster.waiting", { keeper: keeper.uid, why })
  return data
}

function giveUp(data: ClusterData, round: Round, fact: DBFact): ClusterData {
  round.say("cluster.failed", { db: fact.uid, keeper: fact.keeper.uid })
  round.initFailedOn(fact.keeper.uid)
  return withStatus({ ...data, dbs: new Map() }, { master: noDB })
}
