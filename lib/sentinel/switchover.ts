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
import type { ClusterData, ClusterStatus, Switchover } from "#model/cluster.ts"
import { capabilities } from "#model/info.ts"
import { type Refusal, candidates } from "./candidates.ts"
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
import { able as canBeNamed, inTouch, maySync } from "./sync.ts"

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
  /** On what: the primary, the standby, its lag, or that commits wait for it too (sync.ts). */
  | {
      readonly kind: "wait"
      readonly on: "primary" | "standby" | "lag" | "name"
      readonly why: string
    }
  | { readonly kind: "none"; readonly why: string }

/** The keeper that was asked for, or the most advanced of those that may be. */
export function choose(data: ClusterData, facts: Facts, primary: DBFact, wanted: string): Choice {
  const { ready, refused } = candidates(data, facts, primary, null)
  const isMeant = (keeper: string): boolean => wanted === "" || keeper === wanted
  const fact = ready.find((one) => inTouch(one) && isMeant(one.keeper.uid))
  if (fact !== undefined) return { kind: "target", fact }
  const apart = ready.map(({ uid, keeper }): Refusal => ({
    db: uid,
    keeper: keeper.uid,
    why: "it is not connected to the primary",
    kind: "passing",
  }))
  const against = [...refused, ...apart].filter(({ keeper }) => isMeant(keeper))
  const why =
    wanted !== "" && against.length === 0 ? `keeper ${wanted} has no standby` : explain(against)
  const [only] = against
  if (wanted !== "" && only?.kind === "unconfirmed") return naming(data, facts, only, why)
  if (against.some(({ kind }) => kind === "lags")) return { kind: "wait", on: "lag", why }
  const passes = against.some(({ kind }) => kind !== "lasting")
  return passes ? { kind: "wait", on: "standby", why } : { kind: "none", why }
}

/** Synchronous replication: the target has to be one that every commit is on. */
function naming(data: ClusterData, facts: Facts, { db, keeper }: Refusal, why: string): Choice {
  const fact = facts.dbs.get(db)
  if (fact === undefined || !maySync(fact))
    return { kind: "none", why: `${keeper}: its keeper may not be a synchronous standby` }
  const able = canBeNamed(data, facts).some(({ uid }) => uid === db)
  return { kind: "wait", on: able ? "name" : "standby", why }
}

/** What no waiting would change. */
function objection({ keeper, db }: DBFact, it: Switchover): string | null {
  if (it.keeper === keeper.uid) return "it is the primary's keeper"
  if (db.spec.role !== "master")
    return "the cluster follows another one, and has no primary of its own"
  if (keeper.info === null) return `keeper ${keeper.uid} is not running`
  return keeper.obeys
    ? null
    : `keeper ${keeper.uid} is Go stolon's: it does not say where its log ended`
}

/** What passes as a rule. */
function pending(data: ClusterData, facts: Facts, primary: DBFact, it: Switchover): string | null {
  const missing = unready(primary, facts)
  if (missing.length > 0) return `the primary lacks ${missing.join(", ")}`
  return isServing(data, primary) || it.phase === "hold"
    ? null
    : "the primary is not open to clients yet"
}

/** The target as it is now, what is waited for, or why there is none. */
export function look(data: ClusterData, facts: Facts, primary: DBFact, it: Switchover): Choice {
  const never = objection(primary, it)
  if (never !== null) return { kind: "none", why: never }
  const why = pending(data, facts, primary, it)
  const choice = choose(data, facts, primary, it.keeper)
  return why === null || choice.kind === "none" ? choice : { kind: "wait", on: "primary", why }
}

const inPhase = (
  { nonce, keeper, drain }: Switchover,
  phase: Switchover["phase"],
): Pick<ClusterStatus, "switchover"> => ({ switchover: { nonce, keeper, drain, phase } })

/** The view says what for; who asked may want to do something about it. */
const waitFor = (data: ClusterData, it: Switchover, why: string): ClusterData =>
  withStatus(data, { switchover: { ...it, waiting: why } })

/** S1, first part. */
function begin(data: ClusterData, round: Round, primary: DBFact, it: Switchover): ClusterData {
  const choice = look(data, round.facts, primary, it)
  if (choice.kind === "target") {
    const { uid } = choice.fact.keeper
    round.say("switchover.asked", { nonce: it.nonce, keeper: uid, instead: primary.keeper.uid })
    return withStatus(data, inPhase({ ...it, keeper: uid }, "checkpoint"))
  }
  const late = passed(round) > phaseLimit(it, round.facts)
  if (choice.kind === "none" || late) return giveUp(data, round, primary, it, choice.why)
  if (choice.on === "name") round.awaits(primary.keeper.uid)
  return waitFor(data, it, choice.why)
}

/** S1, second part: what is written out now need not be written while clients wait. */
function checkpoint(data: ClusterData, round: Round, primary: DBFact, it: Switchover): ClusterData {
  const choice = look(data, round.facts, primary, it)
  if (choice.kind === "none") return giveUp(data, round, primary, it, choice.why)
  const sides = choice.kind === "target" ? [primary, choice.fact] : [primary]
  const busy = sides.filter(
    ({ keeper: { info } }) =>
      info?.capabilities.includes(capabilities.switchover) === true &&
      !info.handled.includes(it.nonce),
  )
  if (choice.kind === "wait" || busy.length > 0) {
    for (const { keeper } of sides) round.awaits(keeper.uid)
    const names = busy.map(({ keeper }) => keeper.uid).toSorted(byText)
    const what = `the checkpoint of ${names.join(", ")}`
    if (passed(round) <= phaseLimit(it, round.facts))
      return waitFor(data, it, choice.kind === "wait" ? choice.why : what)
    const late = `${what} takes too long`
    return giveUp(data, round, primary, it, choice.kind === "wait" ? choice.why : late)
  }
  const cutting = round.facts.proxies
    .filter(({ active, info }) => active && !info.capabilities.includes(capabilities.switchover))
    .map(({ uid }) => uid)
  if (cutting.length > 0)
    round.say("switchover.cuts", { nonce: it.nonce, proxies: cutting.join(",") })
  round.say("switchover.holding", { nonce: it.nonce, keeper: it.keeper })
  return withStatus(closeGate(data), inPhase(it, "hold"))
}

/** S2, and S3 once no client is left: W1 without a failure. The old primary sends its last WAL. */
function hold(data: ClusterData, round: Round, primary: DBFact, it: Switchover): ClusterData {
  const choice = look(data, round.facts, primary, it)
  // clients wait: a standby that has to come back first is none now
  const lost = choice.kind === "wait" && (choice.on === "standby" || choice.on === "name")
  if (choice.kind === "none" || lost) return giveUp(data, round, primary, it, choice.why)
  const held = unacknowledged(data, round.facts)
  const unfit = choice.kind === "wait" && choice.on === "primary" ? choice.why : null
  if (held.length > 0 || unfit !== null) {
    if (passed(round) <= phaseLimit(it, round.facts)) return data
    const late = `proxies that did not let their clients go in time: ${held.join(", ")}`
    return giveUp(data, round, primary, it, unfit ?? late)
  }
  round.say("switchover.stopping", { nonce: it.nonce, keeper: primary.keeper.uid })
  return withStatus(revoke(data, round, primary, false), inPhase(it, "stop"))
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
