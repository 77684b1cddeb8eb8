/**
 * The electable set (protocol O3, O5): who may be elected, agreed on with the primary, which
 * prolongs its lease in a store outage by the promises of all of them.
 *
 * The primary may know the view's set or the one before, never a third: the next set is written
 * only when it has published the word of the present one. So who is elected must be in both. A
 * leader that finds the primary's info expired does not know which it was; those who have just come
 * in (`joining`) are no candidates before the primary is known to have taken them in.
 */
import { toMillis } from "#base/duration.ts"
import { byText, sameSet } from "#base/order.ts"
import type { ClusterData, Electable } from "#model/cluster.ts"
import { type DBUID, newNonce } from "#model/ids.ts"
import { type KeeperInfo, type SentinelInfo, capabilities } from "#model/info.ts"
import type { DBFact, Facts } from "./facts.ts"
import { type Reducer, type Round, withStatus } from "./round.ts"

/** Why not, by the set; null: no reason. */
export function whyNotElectable(data: ClusterData, primary: DBFact): (uid: DBUID) => string | null {
  const { electable } = data.cluster.status
  const told = primary.keeper.info?.electable
  if (electable === undefined && told === undefined) return () => null
  const inView = (uid: DBUID): boolean => electable?.dbs.includes(uid) !== false
  const known = (uid: DBUID): boolean => {
    if (told?.ended === true && (electable === undefined || electable.word === told.word))
      return true
    if (electable === undefined) return told?.dbs.includes(uid) === true
    // who is not new was in the set before, which it had taken in; what it says now may be an info
    // that came late, and names an older one
    return told?.word === electable.word || !electable.joining.includes(uid)
  }
  return (uid) => {
    if (!inView(uid)) return "it is not in the electable set"
    return known(uid) ? null : "the primary has not taken it into its electable set"
  }
}

/** Why no primary may prolong its lease by promises; null: it may. */
export function whyNoPromises(facts: Facts): string | null {
  if (facts.spec.selfFencing !== true) return "selfFencing is off"
  if (facts.spec.role === "standby") return "the cluster has no primary of its own"
  for (const { uid, info } of facts.keepers.values())
    if (info !== null && !promises(info)) return `keeper ${uid} gives no promises`
  for (const { uid, info } of facts.sentinels)
    if (!follows(info)) return `sentinel ${uid} does not know of promises`
  return null
}
const promises = ({ capabilities: able, peerAddress }: KeeperInfo): boolean =>
  able.includes(capabilities.promise) && peerAddress !== ""
const follows = (info: SentinelInfo): boolean => info.capabilities.includes(capabilities.promise)

/** Takes in who is well and leaves out who failed, one word after the other. */
export const keepElectable =
  (primary: DBFact): Reducer =>
  (data, round) => {
    const before = data.cluster.status.electable
    const { alive, info } = primary.keeper
    if (round.facts.spec.role === "standby") return withoutElectable(data) // it takes no writes
    if (!alive || info === null) return data
    // a keeper that could not ask has taken the place of the one that knew the set
    if (!promises(info)) return withoutElectable(data)
    if (info.electable?.word !== before?.word) return data
    if (whyNoPromises(round.facts) !== null) return ending(data, round)
    if (isInDoubt(primary, round.facts)) return data
    const wanted = members(data, round, primary, before)
    if (before?.ended === false && sameSet(wanted, before.dbs)) {
      if (before.joining.length === 0) return data
      return withStatus(data, { electable: { ...before, joining: [] } })
    }
    // a primary that knows of no set asks nobody, so there is nobody who could be left out
    const joining = before === undefined ? [] : wanted.filter((uid) => !before.dbs.includes(uid))
    const word = newNonce(round.random)
    round.say("electable.changed", { db: primary.uid, electable: wanted.join(",") })
    return withStatus(data, { electable: { word, dbs: wanted, joining, ended: false } })
  }

/**
 * O5: the end of promises is a change like any other, or a primary that has not heard of it, and
 * lives on by the promises of its set, would not be asked for the others. So the set stays, as what
 * may be elected from, until the primary has published that it asks nobody any more.
 */
function ending(data: ClusterData, round: Round): ClusterData {
  const { electable: before } = data.cluster.status
  if (before === undefined || before.ended) return withoutElectable(data)
  const electable = { ...before, word: newNonce(round.random), joining: [], ended: true }
  return withStatus(data, { electable })
}

/**
 * A primary that may be gone takes in no other set. Whoever fell silent together with it, as in a
 * pause of the store, would be left out for good: nobody could be elected any more.
 */
const isInDoubt = ({ keeper }: DBFact, { evidence, failInterval, spec }: Facts): boolean =>
  evidence !== null ||
  keeper.silentFor > Math.max(failInterval / 2, 2 * toMillis(spec.sleepInterval))

/** Who is in stays until it has failed; who is not comes in when its copy is good. */
function members(
  data: ClusterData,
  { facts }: Round,
  primary: DBFact,
  before: Electable | undefined,
): DBUID[] {
  const { predecessor } = data.cluster.status
  return [...facts.dbs.values()]
    .filter((fact) => {
      if (fact.uid === primary.uid || !data.dbs.has(fact.uid)) return false
      if (fact.uid === predecessor) return mayReturn(fact)
      if (!isAble(fact)) return false
      if (fact.kind !== "standby" || fact.validity === "invalid") return false
      return before?.dbs.includes(fact.uid) === true || fact.verdict === "good"
    })
    .map((fact) => fact.uid)
    .toSorted(byText)
}

const isAble = ({ keeper, verdict }: DBFact): boolean =>
  verdict !== "failed" &&
  keeper.keeper?.status.canBeMaster !== false &&
  keeper.keeper?.status.paused === undefined

/** The one before is down as a rule; what counts is that its keeper can promise. */
const mayReturn = ({ keeper }: DBFact): boolean => keeper.alive && !keeper.failed

/**
 * The first set of a new primary, in the write that promotes it: it has acknowledged no other.
 *
 * @param before Who may have to take its place back (W7); null: nobody.
 */
export function firstElectable(
  data: ClusterData,
  round: Round,
  others: readonly DBFact[],
  before: DBFact | null,
): ClusterData {
  if (whyNoPromises(round.facts) !== null) return withoutElectable(data)
  const back = before !== null && mayReturn(before) ? [before] : []
  const dbs = [...others.filter(isAble), ...back].map((fact) => fact.uid).toSorted(byText)
  const electable = { word: newNonce(round.random), dbs, joining: [], ended: false }
  return withStatus(data, { electable })
}

function withoutElectable(data: ClusterData): ClusterData {
  const { electable, ...status } = data.cluster.status
  if (electable === undefined) return data
  return { ...data, cluster: { ...data.cluster, status } }
}
