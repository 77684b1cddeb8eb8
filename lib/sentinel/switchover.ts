/**
 * `ctl switchover` from phase to phase (protocol part 6): check, checkpoint, hold, stop; then
 * succession.ts goes on as after any W1, and the gate opens to the target.
 *
 * The view alone says how far it is, so whoever leads goes on from there. Until the stop nothing
 * has happened to the primary: every failure opens the gate again as if nothing had been asked.
 * Each phase is bounded, counted from when this leader first saw it. A document that a Go leader
 * rewrote has no switchover in it: then the gate is opened by the usual rules. Clients wait from
 * `hold` until the gate opens.
 */
import { millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import { byText } from "#base/order.ts"
import type { ClusterData, Switchover } from "#model/cluster.ts"
import { capabilities } from "#model/info.ts"
import { candidates } from "./candidates.ts"
import type { DBFact, Facts } from "./facts.ts"
import { unacknowledged } from "./fence.ts"
import { unready } from "./gate.ts"
import { explain, isServing, revoke } from "./primary.ts"
import {
  type Round,
  answered,
  closeGate,
  withGate,
  withStatus,
  withoutSwitchover,
} from "./round.ts"
import { inTouch } from "./sync.ts"

/** Clients are held, and the gate must not be opened to a primary that is about to stop. */
export const isHolding = (data: ClusterData): boolean =>
  data.cluster.status.switchover?.phase === "hold"

/** One step further, as far as this round allows; the primary is not revoked and not ill. */
export function leadSwitchover(data: ClusterData, round: Round, primary: DBFact): ClusterData {
  const { switchover: it } = data.cluster.status
  if (it === undefined) return data
  if (it.phase !== "promote" && isUnheard(data, round, primary, it)) return data
  switch (it.phase) {
    case "asked":
      return begin(data, round, primary, it)
    case "checkpoint":
      return checkpoint(data, round, primary, it)
    case "hold":
      return hold(data, round, primary, it)
    case "promote":
      return promoted(data, round, primary, it)
    default: // `stop` without a revocation: somebody else wrote in between
      return giveUp(data, round, primary, it, "it was interrupted")
  }
}

/**
 * A leader that has just come has heard nobody yet. That is no reason to give up: within
 * failInterval each of them speaks or has failed.
 */
function isUnheard(data: ClusterData, { facts }: Round, primary: DBFact, it: Switchover): boolean {
  const sides = [...facts.dbs.values()].filter(
    (fact) => fact.uid === primary.uid || fact.keeper.uid === it.keeper,
  )
  return sides.some(({ uid, keeper }) => data.dbs.has(uid) && !keeper.alive && !keeper.failed)
}

/** How long this leader has seen the present phase. */
const passed = ({ memory, now }: Round): number =>
  memory.phase === null ? 0 : now.mono - memory.phase.since

/** When the present phase is given up, after it began. */
export function phaseLimit({ phase, drain }: Switchover, { spec }: Facts): number {
  const most = toMillis(spec.convergenceTimeout)
  // proxies cut when the bound is over, or are silent for their timeout
  return phase === "hold" ? millis(toMillis(drain) + 2 * toMillis(spec.proxyTimeout)) : most
}

function giveUp(
  data: ClusterData,
  round: Round,
  primary: DBFact,
  it: Switchover,
  why: string,
): ClusterData {
  round.say("switchover.given-up", { nonce: it.nonce, keeper: it.keeper, why })
  const next = answered(withoutSwitchover(data), it.nonce, why)
  const { masterDbUid, enabledProxies } = next.proxy.spec
  // it is the primary that the gate was open to: no proxy can lead anywhere else
  if (masterDbUid !== "" || it.phase !== "hold" || unready(primary, round.facts).length > 0)
    return next
  round.say("gate.opened", {
    db: primary.uid,
    keeper: primary.keeper.uid,
    proxies: enabledProxies.join(","),
  })
  return withGate(next, { masterDbUid: primary.uid, enabledProxies })
}

export type Choice =
  | { readonly kind: "target"; readonly fact: DBFact }
  | { readonly kind: "wait"; readonly why: string }
  | { readonly kind: "none"; readonly why: string }

/** The keeper that was asked for, or the most advanced of those that may be. */
export function choose(data: ClusterData, facts: Facts, primary: DBFact, wanted: string): Choice {
  const { ready, refused } = candidates(data, facts, primary, null)
  const connected = ready.filter(inTouch)
  const fact = wanted === "" ? connected[0] : connected.find(({ keeper }) => keeper.uid === wanted)
  if (fact !== undefined) return { kind: "target", fact }
  const apart = ready
    .filter((one) => !inTouch(one))
    .map(({ keeper }) => ({ keeper: keeper.uid, why: "it is not connected to the primary" }))
  const mine = [...refused, ...apart].filter(({ keeper }) => wanted === "" || keeper === wanted)
  const lags = refused.some((one) => one.lags && (wanted === "" || one.keeper === wanted))
  const why = wanted !== "" && mine.length === 0 ? `keeper ${wanted} has no standby` : explain(mine)
  return { kind: lags ? "wait" : "none", why }
}

/** What no waiting would change. */
export function objection(
  data: ClusterData,
  { facts }: Pick<Round, "facts">,
  primary: DBFact,
  it: Switchover,
): string | null {
  const { keeper, db } = primary
  if (it.keeper === keeper.uid) return "it is the primary's keeper"
  if (db.spec.role !== "master")
    return "the cluster follows another one, and has no primary of its own"
  if (!keeper.obeys)
    return `keeper ${keeper.uid} is Go stolon's: it does not say where its log ended`
  const missing = unready(primary, facts)
  if (missing.length > 0) return `the primary lacks ${missing.join(", ")}`
  return isServing(data, primary) || it.phase === "hold"
    ? null
    : "the primary is not open to clients yet; ask again when it is"
}

/** S1, first part. */
function begin(data: ClusterData, round: Round, primary: DBFact, it: Switchover): ClusterData {
  const stop = (why: string): ClusterData => giveUp(data, round, primary, it, why)
  const why = objection(data, round, primary, it)
  if (why !== null) return stop(why)
  const choice = choose(data, round.facts, primary, it.keeper)
  if (choice.kind === "wait" && passed(round) <= phaseLimit(it, round.facts)) return data
  if (choice.kind !== "target") return stop(choice.why)
  const { uid } = choice.fact.keeper
  round.say("switchover.asked", { nonce: it.nonce, keeper: uid, instead: primary.keeper.uid })
  return withStatus(data, { switchover: { ...it, keeper: uid, phase: "checkpoint" } })
}

/** The target as it is now, or why it cannot be one any more. */
function target(data: ClusterData, round: Round, primary: DBFact, it: Switchover): Choice {
  const why = objection(data, round, primary, it)
  return why === null ? choose(data, round.facts, primary, it.keeper) : { kind: "none", why }
}

/** S1, second part: what is written out now need not be written while clients wait. */
function checkpoint(data: ClusterData, round: Round, primary: DBFact, it: Switchover): ClusterData {
  const choice = target(data, round, primary, it)
  if (choice.kind === "none") return giveUp(data, round, primary, it, choice.why)
  const sides = choice.kind === "target" ? [primary, choice.fact] : [primary]
  const busy = sides.filter(
    ({ keeper: { info } }) =>
      info?.capabilities.includes(capabilities.switchover) === true &&
      !info.handled.includes(it.nonce),
  )
  if (choice.kind === "wait" || busy.length > 0) {
    for (const { keeper } of sides) round.awaits(keeper.uid)
    if (passed(round) <= phaseLimit(it, round.facts)) return data
    const names = busy.map(({ keeper }) => keeper.uid).toSorted(byText)
    const late = `the checkpoint of ${names.join(", ")} takes too long`
    return giveUp(data, round, primary, it, choice.kind === "wait" ? choice.why : late)
  }
  const cutting = round.facts.proxies
    .filter(({ active, info }) => active && !info.capabilities.includes(capabilities.switchover))
    .map(({ uid }) => uid)
  if (cutting.length > 0)
    round.say("switchover.cuts", { nonce: it.nonce, proxies: cutting.join(",") })
  round.say("switchover.holding", { nonce: it.nonce, keeper: it.keeper })
  return withStatus(closeGate(data), { switchover: { ...it, phase: "hold" } })
}

/** S2, and S3 once no client is left: W1 without a failure. The old primary sends its last WAL. */
function hold(data: ClusterData, round: Round, primary: DBFact, it: Switchover): ClusterData {
  const choice = target(data, round, primary, it)
  if (choice.kind === "none") return giveUp(data, round, primary, it, choice.why)
  const held = unacknowledged(data, round.facts)
  if (held.length > 0) {
    if (passed(round) <= phaseLimit(it, round.facts)) return data
    const why = `proxies that did not let their clients go in time: ${held.join(", ")}`
    return giveUp(data, round, primary, it, why)
  }
  round.say("switchover.stopping", { nonce: it.nonce, keeper: primary.keeper.uid })
  return withStatus(revoke(data, round, primary, false), { switchover: { ...it, phase: "stop" } })
}

/** S5: after the gate was kept in this round. */
function promoted(data: ClusterData, round: Round, primary: DBFact, it: Switchover): ClusterData {
  if (isServing(data, primary)) {
    round.say("switchover.done", { nonce: it.nonce, keeper: primary.keeper.uid })
    return answered(withoutSwitchover(data), it.nonce, "")
  }
  if (passed(round) <= phaseLimit(it, round.facts)) return data
  const missing = unready(primary, round.facts).join(", ")
  return giveUp(
    data,
    round,
    primary,
    it,
    `${it.keeper} is the primary and does not open: ${missing}`,
  )
}
