/**
 * From a revoked primary to the next (protocol W2, W7): once it is fenced, choose and promote, or
 * put somebody back in its place. The gate stays closed meanwhile (gate.ts opens it); a leader that
 * dies in between leaves a document from which the next one goes on.
 */
import { toMillis } from "#base/duration.ts"
import { byText } from "#base/order.ts"
import type { ClusterData, DB } from "#model/cluster.ts"
import { type DBUID, newEpoch, noDB } from "#model/ids.ts"
import { byAdvance, candidates, inSync } from "./candidates.ts"
import { external } from "./derive.ts"
import { firstElectable } from "./electable.ts"
import type { DBFact, Facts } from "./facts.ts"
import { certificateOf, certifiedEnd, detachable, unacknowledged } from "./fence.ts"
import type { Fence } from "./lease.ts"
import { hasMore, predecessorOf, restorable } from "./predecessor.ts"
import { explain, remedyFor } from "./primary.ts"
import {
  type Round,
  answered,
  withDBStatus,
  withSpec,
  withStatus,
  withoutFollow,
  withoutRequest,
  withoutSwitchover,
} from "./round.ts"
import { initialSync } from "./sync.ts"

/** The primary is revoked: wait for the fence, then promote, reinstate, or say what is missing. */
export function succeed(given: ClusterData, round: Round, primary: DBFact): ClusterData {
  const { facts } = round
  const { fence } = round.memory
  const data = stillPlanned(given, round, primary)
  if (fence === null || fence.fencedAt === null) return unfenced(data, round, primary, fence)
  round.over("gate.waiting")
  round.sayOnce("primary.fenced", { db: primary.uid, epoch: fence.epoch, by: fence.by ?? "" })
  const { ready, awaited, refused } = candidates(data, facts, primary, fence)
  const best = choose(ready, data, certifiedEnd(primary, fence))
  // the one that was asked for is waited for, though another has everything already
  const { switchover, failoverRequest } = data.cluster.status
  const asked = ready.find(({ keeper }) => keeper.uid === switchover?.keeper)
  if (hasToWait(data, round, primary, switchover === undefined ? best : asked, fence))
    return ask(data, round, [primary, ...awaited, ...ready])
  const named = awaited.filter(({ keeper }) => keeper.uid === failoverRequest?.keeper)
  if (named.length > 0) return ask(data, round, named)
  if (awaited.length > 0 && !hasAll(best, primary, fence)) return ask(data, round, awaited)
  const before = restorable(data, facts, primary)
  if (before !== null && (best === undefined || hasMore(before, best)))
    return restore(data, round, primary, before)
  const present = isPresent(data, primary, fence)
  // S4: what a primary that is still there certified is lost by nobody's election
  if (best !== undefined && present && lacks(data, round, primary, best, fence))
    return reinstate(data, round, primary, whatLacks(data, primary, best, fence))
  if (best !== undefined) return promote(data, round, primary, best)
  if (present) return reinstate(data, round, primary, explain(refused))
  round.sayOnce("primary.stuck", { why: explain(refused), remedy: remedyFor(primary) })
  return data
}

/**
 * One that has not said a word since its lease was left to run out may be frozen: an operator who
 * asked for another primary does not get this one back.
 */
function isPresent(data: ClusterData, { keeper }: DBFact, fence: Fence): boolean {
  if (!keeper.alive || keeper.failed) return false
  const wanted = data.cluster.status.failoverRequest !== undefined
  return !(wanted && fence.by === "lease" && keeper.since <= fence.since)
}

function ask(data: ClusterData, round: Round, whom: readonly DBFact[]): ClusterData {
  for (const { keeper } of whom) round.awaits(keeper.uid)
  return data
}

/** The end of the old primary is waited for; standbys that let go may be quicker (L3.3). */
function unfenced(
  data: ClusterData,
  round: Round,
  primary: DBFact,
  fence: Fence | null,
): ClusterData {
  const { facts, now } = round
  const { detach, switchover } = data.cluster.status
  round.sayOnce("gate.waiting", {
    proxies: unacknowledged(data, facts).join(","),
    keeper: primary.keeper.uid,
  })
  const late = fence !== null && now.mono - fence.since >= detachAfter
  // a switchover wants the old primary's last WAL on its target
  if (detach || !late || switchover !== undefined || !detachable(primary)) return data
  return withStatus(data, { detach: true })
}
/** A fast stop takes less, when nothing is wrong. */
export const detachAfter = 1_000

/** A switchover whose primary died is a failover from here on, and its asker is told. */
function stillPlanned(data: ClusterData, round: Round, primary: DBFact): ClusterData {
  const { switchover } = data.cluster.status
  if (switchover === undefined || !primary.keeper.failed) return data
  const why = `${primary.keeper.uid}, the primary, fell silent meanwhile`
  round.say("switchover.given-up", { nonce: switchover.nonce, why })
  return answered(withoutSwitchover(data), switchover.nonce, why)
}

/**
 * Nobody is exchanged for a primary whose end is still coming: in a switchover its certificate says
 * what the target has to have, and what the target's next word may have by then. A leader that has
 * not heard it yet does not know either. None of it lasts: the keeper speaks, or is silent for
 * failInterval.
 */
function hasToWait(
  data: ClusterData,
  round: Round,
  primary: DBFact,
  best: DBFact | undefined,
  fence: Fence,
): boolean {
  const { keeper } = primary
  if (keeper.failed || hasAll(best, primary, fence)) return false
  const certificate = certificateOf(primary, fence)
  if (!keeper.alive) return best !== undefined && best.position < certifiedEnd(primary, fence)
  if (data.cluster.status.switchover === undefined) return false
  const since = certificate === null ? fence.since : (fence.fencedAt ?? fence.since)
  const { convergenceTimeout, failInterval } = round.facts.spec
  const limit = certificate === null ? convergenceTimeout : failInterval
  if (certificate?.finalLSN === 0n) return false // it never says where its log ended
  return round.now.mono - since <= Math.min(toMillis(limit), toMillis(convergenceTimeout))
}

/** All that the old primary had, by its certificate: then there is nothing to wait for. */
function hasAll(fact: DBFact | undefined, primary: DBFact, fence: Fence): boolean {
  const end = certifiedEnd(primary, fence)
  return fact !== undefined && end > 0n && fact.position > end
}

/**
 * Whether electing `best` may lose what a primary that is still there has. Where its log ended is
 * not known after a stop by force: enough of a reason when it failed, but no operator's wish is
 * worth an acknowledged commit.
 */
function lacks(
  data: ClusterData,
  { memory: { revivals } }: Round,
  primary: DBFact,
  best: DBFact,
  fence: Fence,
): boolean {
  if (primary.db.spec.role === "standby") return false // the top of a standby cluster
  const end = certifiedEnd(primary, fence)
  const { failoverRequest, switchover } = data.cluster.status
  const wished = failoverRequest !== undefined || switchover !== undefined
  // put back once and not up again: then its place is not kept for what nobody can get at (P5)
  if (end > 0n) return best.position < end && (wished || revivals === 0)
  return wished && primary.keeper.obeys && !primary.db.spec.synchronousReplication
}

function whatLacks(data: ClusterData, primary: DBFact, best: DBFact, fence: Fence): string {
  const [{ uid: old }, { uid: next }] = [primary.keeper, best.keeper]
  if (certifiedEnd(primary, fence) > 0n) return `${next} lacks what ${old} had acknowledged`
  const why = `${old} had to be stopped by force, so nobody knows what ${next} lacks of what it had acknowledged`
  const sick = data.cluster.status.failoverRequest !== undefined
  return sick ? `${why}; to give that up: stolon ctl failkeeper ${old}` : why
}

/** The keeper that was asked for, when nobody has more that counts; else the most advanced. */
function choose(ready: readonly DBFact[], data: ClusterData, end: bigint): DBFact | undefined {
  const [best] = ready
  const { failoverRequest, switchover } = data.cluster.status
  const wanted = switchover?.keeper ?? failoverRequest?.keeper
  const asked = ready.find((fact) => fact.keeper.uid === wanted)
  if (asked === undefined || best === undefined) return best
  const enough = end > 0n && asked.position >= end
  return enough || asked.position >= best.position ? asked : best
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
  const back = round.facts.dbs.get(predecessor) ?? null
  next = firstElectable(fulfilled(next, round, best), round, others, back)
  return withDBStatus(next, best.uid, { synchronousStandbys: sync.confirmed })
}

/** What operators asked for: a failover is done, a switchover is when its gate opens. */
function fulfilled(data: ClusterData, round: Round, best: DBFact): ClusterData {
  const { failoverRequest: request, switchover } = data.cluster.status
  const { uid } = best.keeper
  let next = data
  if (request !== undefined) {
    const other = request.keeper !== "" && request.keeper !== uid
    const why = other ? `${uid} was elected: it had more` : ""
    next = answered(withoutRequest(next), request.nonce, why)
  }
  if (switchover === undefined) return next
  if (switchover.keeper === uid)
    return withStatus(next, { switchover: { ...switchover, phase: "promote" } })
  const why = `${uid} was elected: ${switchover.keeper} had not received everything`
  round.say("switchover.given-up", { nonce: switchover.nonce, why })
  return answered(withoutSwitchover(next), switchover.nonce, why)
}

/** One write names the primary of a new epoch, and whom everybody follows. */
function enthrone(
  data: ClusterData,
  round: Round,
  old: DBFact,
  best: DBFact,
  others: readonly DBFact[],
): ClusterData {
  let next = withStatus(data, {
    master: best.uid,
    primaryEpoch: newEpoch(round.random),
    primaryRevoked: false,
    detach: false,
    fencedBy: round.memory.fence?.by ?? "",
  })
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
  const failed = unfulfilled(data, round, `${old.keeper.uid} failed before it served`)
  const next = enthrone(failed, round, old, before, others)
  const crowned = withStatus(withSpec(next, before.uid, sync.spec), { predecessor: noDB })
  return withDBStatus(firstElectable(crowned, round, others, null), before.uid, {
    synchronousStandbys: sync.confirmed,
  })
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
  return withStatus(unfulfilled(data, round, why), {
    primaryRevoked: false,
    primaryEpoch: newEpoch(round.random),
    detach: false,
  })
}

/** Whatever operators asked for did not come about. */
function unfulfilled(data: ClusterData, round: Round, why: string): ClusterData {
  const { failoverRequest: request, switchover } = data.cluster.status
  let next = data
  if (request !== undefined) {
    round.say("failover.refused", { nonce: request.nonce, keeper: request.keeper, why })
    next = answered(withoutRequest(next), request.nonce, why)
  }
  if (switchover === undefined) return next
  round.say("switchover.given-up", { nonce: switchover.nonce, why })
  return answered(withoutSwitchover(next), switchover.nonce, why)
}
