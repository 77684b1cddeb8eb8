/**
 * From a revoked primary to the next (protocol W2, W7): once it is fenced, choose and promote, or
 * put somebody back in its place. The gate stays closed meanwhile (gate.ts opens it); a leader that
 * dies in between leaves a document from which the next one goes on.
 */
import { byText } from "#base/order.ts"
import type { ClusterData, DB } from "#model/cluster.ts"
import { type DBUID, newEpoch, noDB } from "#model/ids.ts"
import { byAdvance, candidates, inSync } from "./candidates.ts"
import { external } from "./derive.ts"
import type { DBFact, Facts } from "./facts.ts"
import type { Fence } from "./memory.ts"
import { hasMore, predecessorOf, restorable } from "./predecessor.ts"
import { explain, remedyFor, unacknowledged } from "./primary.ts"
import {
  type Round,
  withDBStatus,
  withSpec,
  withStatus,
  withoutFollow,
  withoutRequest,
} from "./round.ts"
import { initialSync } from "./sync.ts"

/** The primary is revoked: wait for the fence, then promote, reinstate, or say what is missing. */
export function succeed(data: ClusterData, round: Round, primary: DBFact): ClusterData {
  const { facts, memory } = round
  const fencedAt = memory.fence?.fencedAt ?? null
  if (fencedAt === null) {
    round.sayOnce("gate.waiting", {
      proxies: unacknowledged(data, facts).join(","),
      keeper: primary.keeper.uid,
    })
    return data
  }
  round.over("gate.waiting")
  round.sayOnce("primary.fenced", { db: primary.uid, epoch: data.cluster.status.primaryEpoch })
  const { ready, awaited, refused } = candidates(data, facts, primary, fencedAt)
  if (awaited.length > 0) return data
  const best = choose(ready, data)
  const before = restorable(data, facts, primary)
  if (before !== null && (best === undefined || hasMore(before, best)))
    return restore(data, round, primary, before)
  const present = primary.keeper.alive && !primary.keeper.failed
  // S4: what a primary that is still there certified is lost by nobody's election
  if (best !== undefined && present && lacks(data, primary, best, memory.fence))
    return reinstate(data, round, primary, `${best.keeper.uid} lacks what it had acknowledged`)
  if (best !== undefined) return promote(data, round, primary, best)
  if (present) return reinstate(data, round, primary, explain(refused))
  round.sayOnce("primary.stuck", { why: explain(refused), remedy: remedyFor(primary) })
  return data
}

/**
 * Whether electing `best` may lose what a primary that is still there has. Where its log ended is
 * not known after a stop by force: enough of a reason when it failed, but no operator's wish is
 * worth an acknowledged commit.
 */
function lacks(data: ClusterData, primary: DBFact, best: DBFact, fence: Fence | null): boolean {
  if (primary.db.spec.role === "standby") return false // the top of a standby cluster
  const end = certifiedEnd(primary, fence)
  if (end > 0n) return best.position < end
  const wished = data.cluster.status.failoverRequest !== undefined
  return wished && primary.keeper.obeys && !primary.db.spec.synchronousReplication
}

/**
 * Where the log ended by the certificate of this epoch; 0 when it has not certified, or did not
 * stop in good order.
 */
function certifiedEnd({ keeper, db }: DBFact, fence: Fence | null): bigint {
  const certificate = keeper.info?.certificate
  const ofNow = certificate?.epoch === fence?.epoch && certificate?.dbuid === db.uid
  return ofNow ? (certificate?.finalLSN ?? 0n) : 0n
}

/** The keeper that was asked for, when nobody is further than it; else the most advanced. */
function choose(ready: readonly DBFact[], data: ClusterData): DBFact | undefined {
  const [best] = ready
  const wanted = data.cluster.status.failoverRequest?.keeper
  const asked = ready.find((fact) => fact.keeper.uid === wanted)
  return asked !== undefined && best !== undefined && asked.position >= best.position ? asked : best
}

/**
 * W2. The others follow the new primary from the same write on, and it knows them as followers:
 * their slots and its synchronous names are there when it opens (D-38).
 */
function promote(data: ClusterData, round: Round, old: DBFact, best: DBFact): ClusterData {
  const { facts } = round
  round.say("primary.elected", {
    db: best.uid,
    keeper: best.keeper.uid,
    position: best.position.toString(),
    instead: old.uid,
  })
  round.over("primary.fenced")
  const others = standbysBut(data, facts, [best.uid, old.uid])
  const sync = initialSync(facts, old, best, others, inSync(old))
  const predecessor = predecessorOf(data, facts, old.uid, sync.spec)
  let next = enthrone(data, round, old, best, others)
  next = withStatus(withSpec(next, best.uid, sync.spec), { predecessor })
  return withDBStatus(next, best.uid, { synchronousStandbys: sync.confirmed })
}

/** One write names the primary of a new epoch, and whom everybody follows. */
function enthrone(
  data: ClusterData,
  round: Round,
  old: DBFact,
  best: DBFact,
  others: readonly DBFact[],
): ClusterData {
  let next = withoutRequest(
    withStatus(data, {
      master: best.uid,
      primaryEpoch: newEpoch(round.random),
      primaryRevoked: false,
    }),
  )
  next = withSpec(next, old.uid, { followers: [] })
  for (const other of others)
    next = withSpec(next, other.uid, { followConfig: { type: "internal", dbuid: best.uid } })
  next = crown(next, round.facts, best.uid)
  return withSpec(next, best.uid, { followers: others.map((fact) => fact.uid).toSorted(byText) })
}

/**
 * The present primary died before the gate opened to it, and the one before is whole: back to that
 * one (W7). Nobody is confirmed with it, and it is not exchanged for the present one again: two
 * that cannot start would stop each other for ever.
 */
function restore(data: ClusterData, round: Round, old: DBFact, before: DBFact): ClusterData {
  const { facts } = round
  round.say("primary.reinstated", {
    db: before.uid,
    keeper: before.keeper.uid,
    why: `${old.keeper.uid} failed before it served`,
  })
  round.over("primary.fenced")
  const sync = initialSync(facts, old, before, [], [])
  const others = standbysBut(data, facts, [old.uid, before.uid])
  const next = enthrone(data, round, old, before, others)
  return withDBStatus(
    withStatus(withSpec(next, before.uid, sync.spec), { predecessor: noDB }),
    before.uid,
    { synchronousStandbys: sync.confirmed },
  )
}

const standbysBut = (data: ClusterData, facts: Facts, except: readonly DBUID[]): DBFact[] =>
  [...facts.dbs.values()]
    .filter(
      (fact) => !except.includes(fact.uid) && fact.kind === "standby" && data.dbs.has(fact.uid),
    )
    .toSorted(byAdvance)

/** The role of a primary: master, or the follower of an external primary in a standby cluster. */
function crown(data: ClusterData, facts: Facts, uid: DBUID): ClusterData {
  const master = { role: "master", initMode: "none" } as const satisfies Partial<DB["spec"]>
  if (facts.spec.role !== "standby") return withSpec(withoutFollow(data, uid), uid, master)
  const followConfig = { ...external(facts.spec), dbuid: noDB }
  return withSpec(data, uid, { role: "standby", initMode: "none", followConfig })
}

/**
 * A standby cluster that becomes a master: its primary follows nobody any more (N6), and with
 * synchronous replication its first commits wait, even if it is heard of only later (W3). It has
 * acknowledged nothing before, so whoever it waits for from the first commit on has everything.
 */
export function release(data: ClusterData, facts: Facts, primary: DBFact): ClusterData {
  const others = standbysBut(data, facts, [primary.uid])
  const sync = initialSync(facts, primary, primary, others, [])
  const confirmed = primary.keeper.obeys ? sync.spec.synchronousStandbys : sync.confirmed
  const next = withSpec(crown(data, facts, primary.uid), primary.uid, sync.spec)
  return withDBStatus(next, primary.uid, { synchronousStandbys: confirmed })
}

/**
 * W7: nobody can take over, so the old primary goes on, in a new epoch that no old certificate
 * speaks of.
 */
function reinstate(data: ClusterData, round: Round, primary: DBFact, why: string): ClusterData {
  round.say("primary.reinstated", { db: primary.uid, keeper: primary.keeper.uid, why })
  round.over("primary.fenced")
  const request = data.cluster.status.failoverRequest
  if (request !== undefined)
    round.say("failover.refused", { nonce: request.nonce, keeper: request.keeper, why })
  return withoutRequest(
    withStatus(data, { primaryRevoked: false, primaryEpoch: newEpoch(round.random) }),
  )
}
