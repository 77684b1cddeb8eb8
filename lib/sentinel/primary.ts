/**
 * The judgement on the primary, and the way from one primary to the next in the order of protocol
 * part 3: close the gate and revoke (W1), wait until the old primary is fenced, choose, promote
 * (W2), and open (gate.ts). Each is a write of its own; a leader that dies in between leaves a
 * document from which the next one goes on.
 */
import { toMillis } from "#base/duration.ts"
import { byText } from "#base/order.ts"
import type { ClusterData, DB } from "#model/cluster.ts"
import { type DBUID, newEpoch, noDB } from "#model/ids.ts"
import { byAdvance, candidates, inSync } from "./candidates.ts"
import { external } from "./derive.ts"
import type { DBFact, Facts } from "./facts.ts"
import type { Fence, Memory } from "./memory.ts"
import {
  type Round,
  closeGate,
  withDBStatus,
  withSpec,
  withStatus,
  withoutFollow,
  withoutRequest,
} from "./round.ts"
import { initialSync } from "./sync.ts"

/** What is to be done about the primary. `explain` prints it. */
export type Judgement =
  | { readonly kind: "keep" }
  | { readonly kind: "depose"; readonly why: string }
  | { readonly kind: "stuck"; readonly why: string; readonly remedy: string }

export function judge(data: ClusterData, facts: Facts, primary: DBFact): Judgement {
  const why = fault(facts, primary)
  if (why === null) return requested(data, facts, primary)
  const { ready, refused } = candidates(data, facts, primary, null)
  const [best] = ready
  // A spec that nobody can apply would send the role round in circles: then the primary stays.
  if (why === notConverged && isServing(data, primary) && best?.convergence !== "converged")
    return { kind: "stuck", why, remedy: "correct the specification, or see the primary's log" }
  if (best !== undefined) return { kind: "depose", why }
  return { kind: "stuck", why: `${why}; ${explain(refused)}`, remedy: remedyFor(primary) }
}

const notConverged = "it has not applied its specification within convergenceTimeout"
export const isServing = (data: ClusterData, primary: DBFact): boolean =>
  data.proxy.spec.masterDbUid === primary.uid

function fault(facts: Facts, primary: DBFact): string | null {
  const { keeper } = primary
  if (keeper.keeper?.status.forceFail === true) return "an operator forced its keeper to fail"
  if (keeper.failed) return `its keeper has been silent for more than ${facts.failInterval} ms`
  if (!primary.healthy) return "its PostgreSQL has not been healthy for failInterval"
  return primary.convergence === "failed" ? notConverged : null
}

function requested(data: ClusterData, facts: Facts, primary: DBFact): Judgement {
  const request = data.cluster.status.failoverRequest
  if (request === undefined || !isServing(data, primary)) return { kind: "keep" }
  const { ready } = candidates(data, facts, primary, null)
  const wanted =
    request.keeper === "" ? ready[0] : ready.find((fact) => fact.keeper.uid === request.keeper)
  return wanted === undefined
    ? { kind: "keep" }
    : { kind: "depose", why: "an operator asked for a failover" }
}

/**
 * A wish that cannot be met is refused at once and with the reason, never kept for later (D-29).
 */
export function answerRequest(data: ClusterData, round: Round, primary: DBFact): ClusterData {
  const request = data.cluster.status.failoverRequest
  if (request === undefined) return data
  if (!isServing(data, primary)) {
    const why = "the primary is not open to clients yet; ask again when it is"
    round.say("failover.refused", { nonce: request.nonce, keeper: request.keeper, why })
    return withoutRequest(data)
  }
  const { refused } = candidates(data, round.facts, primary, null)
  const mine = refused.filter(
    (refusal) => request.keeper === "" || refusal.keeper === request.keeper,
  )
  const why =
    request.keeper === primary.keeper.uid
      ? "it is the primary's keeper"
      : mine.length === 0
        ? `keeper ${request.keeper} has no standby`
        : explain(mine)
  round.say("failover.refused", { nonce: request.nonce, keeper: request.keeper, why })
  return withoutRequest(data)
}

const explain = (refused: readonly { readonly keeper: string; readonly why: string }[]): string =>
  refused.length === 0
    ? "there is no standby"
    : refused
        .map(({ keeper, why }) => `${keeper}: ${why}`)
        .toSorted(byText)
        .join("; ")
const remedyFor = (primary: DBFact): string => {
  const keeper = `bring keeper ${primary.keeper.uid} back`
  return primary.db.spec.synchronousReplication
    ? `${keeper}, or a standby that was in sync; or give the last commits up: stolon ctl update --patch '{"synchronousReplication":false}'`
    : `${keeper}, or a standby`
}

/**
 * W1: one write closes the gate and revokes; nobody is promoted by it. The epoch stays, so that its
 * certificate counts.
 */
export function depose(data: ClusterData, round: Round, primary: DBFact, why: string): ClusterData {
  round.say("primary.failed", { db: primary.uid, keeper: primary.keeper.uid, why })
  round.say("primary.deposed", { db: primary.uid, keeper: primary.keeper.uid })
  const epoch = data.cluster.status.primaryEpoch
  return withStatus(closeGate(data), {
    primaryRevoked: true,
    primaryEpoch: epoch === "" ? newEpoch(round.random) : epoch,
  })
}

/**
 * When the old primary counts as ended without leases (W2, self-fencing off): no proxy sends to it
 * any more, and it has certified, or is silent, or is Go's and will never tell. A keeper that is
 * alive but cannot stop its PostgreSQL is waited for, but not for ever (P5).
 */
export function settleFence(memory: Memory, data: ClusterData, facts: Facts): Memory {
  const { fence, readAt } = memory
  if (fence === null || fence.fencedAt !== null || readAt === null || facts.primary === null)
    return memory
  if (unacknowledged(data, facts).length > 0 || !hasEnded(facts.primary, fence, facts, readAt))
    return memory
  return { ...memory, fence: { ...fence, fencedAt: readAt } }
}

function hasEnded(primary: DBFact, fence: Fence, facts: Facts, mono: number): boolean {
  const { keeper, db } = primary
  const certificate = keeper.info?.certificate
  if (certificate?.epoch === fence.epoch && certificate.dbuid === db.uid) return true
  if (keeper.info === null || keeper.silentFor > facts.failInterval || !keeper.obeys) return true
  return mono - fence.since > toMillis(facts.spec.convergenceTimeout)
}

/** Proxies that may still forward by an older gate. */
export const unacknowledged = (data: ClusterData, facts: Facts): string[] =>
  facts.proxies
    .filter((proxy) => proxy.active && proxy.info.Generation !== data.proxy.generation)
    .map((proxy) => proxy.uid)

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
  const present = primary.keeper.alive && !primary.keeper.failed
  // S4: what a primary that is still there certified is lost by nobody's election
  if (best !== undefined && present && best.position < certifiedEnd(primary, memory.fence))
    return reinstate(data, round, primary, `${best.keeper.uid} lacks what it had acknowledged`)
  if (best !== undefined) return promote(data, round, primary, best)
  if (present) return reinstate(data, round, primary, explain(refused))
  round.sayOnce("primary.stuck", { why: explain(refused), remedy: remedyFor(primary) })
  return data
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
  const others = [...facts.dbs.values()]
    .filter(
      (fact) =>
        fact.uid !== best.uid &&
        fact.uid !== old.uid &&
        fact.kind === "standby" &&
        data.dbs.has(fact.uid),
    )
    .toSorted(byAdvance)
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
  next = crown(next, facts, best.uid)
  next = withSpec(next, best.uid, { followers: others.map((fact) => fact.uid).toSorted(byText) })
  const sync = initialSync(facts, old, best, others, inSync(old))
  next = withSpec(next, best.uid, sync.spec)
  return withDBStatus(next, best.uid, { synchronousStandbys: sync.confirmed })
}

/** The role of a primary: master, or the follower of an external primary in a standby cluster. */
export function crown(data: ClusterData, facts: Facts, uid: DBUID): ClusterData {
  const master = { role: "master", initMode: "none" } as const satisfies Partial<DB["spec"]>
  if (facts.spec.role !== "standby") return withSpec(withoutFollow(data, uid), uid, master)
  const followConfig = { ...external(facts.spec), dbuid: noDB }
  return withSpec(data, uid, { role: "standby", initMode: "none", followConfig })
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
