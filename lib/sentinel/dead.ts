/**
 * Who has been gone for so long that nobody waits any more (N1; D-35, D-37). Only an assignment or
 * an entry is taken away: a keeper that comes back later is taken in again and brought up to date
 * from what it has. Never the primary, and never a standby that commits wait for.
 */
import { millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import { sortedValues } from "#base/order.ts"
import type { ClusterData, Keeper } from "#model/cluster.ts"
import type { DBFact, KeeperFact } from "./facts.ts"
import { isPaused } from "./pause.ts"
import type { Reducer, Round } from "./round.ts"

/** Keepers that have been dead for long and hold no DB are forgotten. */
export const forgetDead: Reducer = (data, round) => {
  const taken = new Set([...data.dbs.values()].map((db) => db.spec.keeperUID))
  const keepers = new Map(data.keepers)
  for (const keeper of sortedValues(data.keepers)) {
    const fact = round.facts.keepers.get(keeper.uid)
    if (taken.has(keeper.uid) || fact === undefined || isPaused(data, keeper.uid)) continue
    if (!isLongDead(keeper, fact, round)) continue
    round.say("keeper.removed", { keeper: keeper.uid })
    keepers.delete(keeper.uid)
  }
  return keepers.size === data.keepers.size ? data : { ...data, keepers }
}

/**
 * By the wall clocks of leaders for deadKeeperRemovalInterval, and silent for this sentinel as long
 * as it has looked without a gap, a while at least: a clock that jumps buries nobody (D-35).
 */
function isLongDead(keeper: Keeper, fact: KeeperFact, { facts, memory, now }: Round): boolean {
  const limit = toMillis(facts.spec.deadKeeperRemovalInterval)
  const seen = Math.min(fact.silentFor, now.mono - memory.watchingSince)
  if (!fact.failed || seen <= Math.min(limit, lookMin)) return false
  return wallMillis(now.wall) - wallMillis(keeper.status.lastHealthyTime) > limit
}
const lookMin = 600_000

/**
 * A standby that has failed for so long: its slot keeps WAL on the primary's disk (D-37), and its
 * keeper could never be forgotten (D-35).
 */
export function isGone(data: ClusterData, fact: DBFact, primary: DBFact, round: Round): boolean {
  const { keeper } = fact
  // commits wait for it: without it they would wait all the same, and it may be confirmed (5.8)
  const required = data.dbs.get(primary.uid)?.spec.synchronousStandbys?.includes(fact.uid) === true
  if (fact.kind !== "standby" || fact.verdict !== "failed" || required) return false
  if (keeper.keeper !== null && keeper.failed) return isLongDead(keeper.keeper, keeper, round)
  const ailing = round.memory.ailing.get(fact.uid)
  const limit = toMillis(round.facts.spec.deadKeeperRemovalInterval)
  return ailing !== undefined && round.now.mono - ailing > limit
}

/**
 * Milliseconds since 1970 of an RFC 3339 time; `Date` is banned on this floor, so the calendar is
 * computed (civil days).
 */
export function wallMillis(time: string): number {
  const match =
    /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):(\d\d))$/.exec(time)
  if (match === null) return millis(0)
  const [, y, mo, d, h, mi, s, fraction = "0", sign = "+", oh = "0", om = "0"] = match
  const month = Number(mo)
  const year = Number(y) - (month <= 2 ? 1 : 0)
  const era = Math.floor(year / 400)
  const yearOfEra = year - era * 400
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + Number(d) - 1
  const days =
    era * 146_097 +
    yearOfEra * 365 +
    Math.floor(yearOfEra / 4) -
    Math.floor(yearOfEra / 100) +
    dayOfYear -
    719_468
  const offset = (Number(oh) * 60 + Number(om)) * (sign === "-" ? -1 : 1)
  const seconds = days * 86_400 + Number(h) * 3600 + (Number(mi) - offset) * 60 + Number(s)
  return seconds * 1000 + Math.floor(Number(`0.${fraction}`) * 1000)
}
