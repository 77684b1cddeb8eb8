/**
 * The judgement on the primary, and the first steps from one primary to the next in the order of
 * protocol part 3: close the gate and revoke (W1), wait until the old primary is fenced. What
 * follows is in succession.ts.
 */
import { byText } from "#base/order.ts"
import type { ClusterData } from "#model/cluster.ts"
import { newEpoch } from "#model/ids.ts"
import { candidates } from "./candidates.ts"
import type { DBFact, Facts } from "./facts.ts"
import { certificateOf, detachable } from "./fence.ts"
import { heldBack } from "./pause.ts"
import { restorable } from "./predecessor.ts"
import { inTouch } from "./sync.ts"
import {
  type Round,
  answered,
  closeGate,
  withStatus,
  withoutRequest,
  withoutSwitchover,
} from "./round.ts"

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

export function fault(facts: Facts, primary: DBFact): string | null {
  const { keeper } = primary
  if (keeper.keeper?.status.forceFail === true) return "an operator forced its keeper to fail"
  if (keeper.failed) return `its keeper has been silent for more than ${facts.failInterval} ms`
  if (facts.evidence !== null) return facts.evidence.why
  if (!primary.healthy) return "its PostgreSQL has not been healthy for failInterval"
  return primary.convergence === "failed" ? notConverged : null
}

function requested(data: ClusterData, facts: Facts, primary: DBFact): Judgement {
  const request = data.cluster.status.failoverRequest
  const moving = data.cluster.status.switchover !== undefined
  if (request === undefined || moving || !isServing(data, primary))
    return { kind: "keep", why: null }
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
  const why = refusalOf(request.keeper, data, round.facts, primary)
  round.say("failover.refused", { nonce: request.nonce, keeper: request.keeper, why })
  return answered(withoutRequest(data), request.nonce, why)
}

function refusalOf(wanted: string, data: ClusterData, facts: Facts, primary: DBFact): string {
  if (data.cluster.status.switchover !== undefined) return "a switchover is under way"
  if (!isServing(data, primary))
    return "the primary is not open to clients yet; ask again when it is"
  if (wanted === primary.keeper.uid) return "it is the primary's keeper"
  const { refused } = candidates(data, facts, primary, null)
  const mine = refused.filter((refusal) => wanted === "" || refusal.keeper === wanted)
  return wanted !== "" && mine.length === 0 ? `keeper ${wanted} has no standby` : explain(mine)
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
 * certificate counts. A switchover that is under way ends here: what follows is a failover.
 */
export function depose(data: ClusterData, round: Round, primary: DBFact, why: string): ClusterData {
  round.say("primary.failed", { db: primary.uid, keeper: primary.keeper.uid, why })
  const { switchover } = data.cluster.status
  const next = revoke(data, round, primary, isGone(primary, round.facts))
  if (switchover === undefined) return next
  const failed = `${primary.keeper.uid}, the primary, failed meanwhile: ${why}`
  round.say("switchover.given-up", { nonce: switchover.nonce, why: failed })
  return answered(withoutSwitchover(next), switchover.nonce, failed)
}

/**
 * A primary that has certified its end runs again only in another epoch. Where nobody takes its
 * place, because nobody may or an operator paused, it gets one at once (W7): nothing else would
 * ever bring it back.
 */
export function restarted(data: ClusterData, round: Round, primary: DBFact): ClusterData {
  const { primaryEpoch: epoch } = data.cluster.status
  if (certificateOf(primary, { epoch }) === null) return data
  const why = "it has certified its end, and nobody takes its place"
  round.say("primary.reinstated", { db: primary.uid, keeper: primary.keeper.uid, why })
  return withStatus(data, { primaryEpoch: newEpoch(round.random) })
}

/** @param detach Standbys let go at once, or only when the old primary takes long to end. */
export function revoke(
  data: ClusterData,
  round: Round,
  primary: DBFact,
  detach: boolean,
): ClusterData {
  round.say("primary.deposed", { db: primary.uid, keeper: primary.keeper.uid })
  const epoch = data.cluster.status.primaryEpoch
  return withStatus(closeGate(data), {
    primaryRevoked: true,
    primaryEpoch: epoch === "" ? newEpoch(round.random) : epoch,
    detach: detach && detachable(primary),
  })
}

/**
 * Nobody is there to stop PostgreSQL in good order. Else it sends its standbys the last of its WAL
 * before it ends, and they had better listen.
 */
const isGone = ({ keeper }: DBFact, { failInterval, evidence }: Facts): boolean =>
  keeper.silentFor > failInterval || evidence?.gone === true
