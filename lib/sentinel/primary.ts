/**
 * The judgement on the primary, and the first steps from one primary to the next in the order of
 * protocol part 3: close the gate and revoke (W1), wait until the old primary is fenced. What
 * follows is in succession.ts.
 */
import { toMillis } from "#base/duration.ts"
import { byText } from "#base/order.ts"
import type { ClusterData } from "#model/cluster.ts"
import { newEpoch } from "#model/ids.ts"
import { candidates } from "./candidates.ts"
import type { DBFact, Facts } from "./facts.ts"
import type { Fence, Memory } from "./memory.ts"
import { heldBack } from "./pause.ts"
import { restorable } from "./predecessor.ts"
import { inTouch } from "./sync.ts"
import { type Round, closeGate, withStatus, withoutRequest } from "./round.ts"

/** What is to be done about the primary. `explain` prints it. */
export type Judgement =
  /** `why`: something is wrong, and it stays all the same. */
  | { readonly kind: "keep"; readonly why: string | null }
  | { readonly kind: "depose"; readonly why: string }
  | { readonly kind: "stuck"; readonly why: string; readonly remedy: string }

export function judge(data: ClusterData, facts: Facts, primary: DBFact): Judgement {
  const why = fault(facts, primary)
  if (why === null) return requested(data, facts, primary)
  const before = restorable(data, facts, primary)
  const held = heldBack(data, primary, why)
  // a primary that never served is part of what an operator began, and that is finished
  if (held !== null && before === null) {
    const asked = requested(data, facts, primary)
    return asked.kind === "depose" ? asked : { kind: "keep", why: held }
  }
  const { ready, refused } = candidates(data, facts, primary, null)
  const [best] = ready
  // A spec that nobody can apply would send the role round in circles, and one that is stopped for
  // a standby that lags could not open its gate again: then the primary stays.
  const fit = best?.convergence === "converged" && inTouch(best)
  if (why === notConverged && isServing(data, primary) && !fit)
    return { kind: "stuck", why, remedy: "correct the specification, or see the primary's log" }
  if (best !== undefined || before !== null) return { kind: "depose", why }
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
  if (request === undefined || !isServing(data, primary)) return { kind: "keep", why: null }
  const { ready } = candidates(data, facts, primary, null)
  const wanted =
    request.keeper === "" ? ready[0] : ready.find((fact) => fact.keeper.uid === request.keeper)
  return wanted === undefined
    ? { kind: "keep", why: null }
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

export const explain = (
  refused: readonly { readonly keeper: string; readonly why: string }[],
): string =>
  refused.length === 0
    ? "there is no standby"
    : refused
        .map(({ keeper, why }) => `${keeper}: ${why}`)
        .toSorted(byText)
        .join("; ")
export const remedyFor = (primary: DBFact): string => {
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
  // the top of a standby cluster is in recovery: no view ever asked it to write
  if (db.spec.role === "standby") return true
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
