/**
 * Which standbys serve reads, in which order, and why the others do not.
 *
 * Only those that the view permits are looked at (`standbys.ts`). One that was never read from, or
 * not since it was something else, comes in only once its keeper has applied the very specification
 * that makes it a standby: older words of that keeper may be about another role. Who is in stays
 * through small trouble; who has to leave is left between transactions, and after `leaveWithin`
 * cut. Nobody is led by what was not heard: silence, an unknown position or another timeline keep a
 * standby out.
 */
import { type Millis, millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import { byNumber } from "#base/order.ts"
import type { ClusterData, DB } from "#model/cluster.ts"
import { type Event, event } from "#model/events.ts"
import type { DBUID, ProxyUID } from "#model/ids.ts"
import { type KeeperInfo, type PostgresState, capabilities } from "#model/info.ts"
import { withDefaults } from "#model/spec.ts"

import { type Hearing, type KeeperInfos, type Sign, hear, heardNothing, lagOf } from "./hearing.ts"
import { type Standby, isLeased, permitted, sameStandby } from "./standbys.ts"

export type ReadPolicy = "least-lag" | "round-robin" | "synchronous"

export interface ReadRules {
  readonly policy: ReadPolicy
  /** In bytes; 0: any. */
  readonly lagMax: bigint
  /** Standbys of this zone come first; empty: all are the same. */
  readonly zone: string
}

/** A standby as it was judged. */
export interface Target extends Standby {
  readonly zone: string
  /** Bytes that its readers do not see yet; null: not known. */
  readonly lag: bigint | null
  /** Why nobody is led there; empty: reads are. */
  readonly why: string
}

/** What has to be remembered of one that was found worth reading from, but for its lag. */
interface Past {
  readonly at: Standby
  /** `leaving`: sessions there end as they become idle. */
  readonly kind: "in" | "leaving" | "out"
  /** Until when sessions there may come to their end. */
  readonly until: Millis
  /** It was put out for its lag, and has to catch up well to come back. */
  readonly lagged: boolean
  /** When its lag was last known. */
  readonly knownAt: Millis
}

export interface ReadersMemory {
  readonly hearing: Hearing
  readonly past: ReadonlyMap<DBUID, Past>
  /** As last judged, by uid. */
  readonly targets: readonly Target[]
  /** Those that reads are led to, in groups of equals, the best first. */
  readonly ranks: readonly (readonly Standby[])[]
}

export const noReaders: ReadersMemory = {
  hearing: heardNothing,
  past: new Map(),
  targets: [],
  ranks: [],
}

/** Where sessions may be. */
export interface Spread {
  readonly to: readonly (readonly Standby[])[]
  readonly leaving: readonly Standby[]
}

/** How long sessions at a standby that has left may take to end by themselves. */
export const leaveWithin = millis(30_000)
/** Who follows a new primary says nothing comparable for a moment. */
const unknownFor = 10_000

/** What the memory stands for. */
export const spreadOf = ({ past, ranks }: ReadersMemory): Spread => ({
  to: ranks,
  leaving: [...past.values()].filter(({ kind }) => kind === "leaving").map(({ at }) => at),
})

/**
 * Another view: who is no standby by it any more is forgotten, at once and with all that was known
 * of it. Null: no view counts any more.
 */
export function confine(
  before: ReadersMemory,
  data: ClusterData | null,
  self: ProxyUID,
): Judgement {
  const standbys = data === null ? [] : permitted(data, self)
  const stays = (one: Standby): boolean => standbys.some((each) => sameStandby(each, one))
  const memory = {
    hearing: data === null ? heardNothing : before.hearing,
    past: new Map([...before.past].filter(([, { at }]) => stays(at))),
    targets: before.targets.filter(stays),
    ranks: before.ranks.map((rank) => rank.filter(stays)).filter(({ length }) => length > 0),
  }
  return { memory, events: report(before, memory) }
}

export interface Judgement {
  readonly memory: ReadersMemory
  readonly events: readonly Event[]
}

/** What the infos say now. */
export interface Heard {
  readonly self: ProxyUID
  readonly data: ClusterData
  readonly keepers: KeeperInfos
  /** The start of the read. */
  readonly readAt: Millis
}

/** One reading of the infos. */
export function judge(heard: Heard, rules: ReadRules, before: ReadersMemory): Judgement {
  const { self, data, keepers, readAt } = heard
  const hearing = hear(before.hearing, data, keepers, readAt)
  const kept = confine(before, data, self).memory.past
  const past = new Map<DBUID, Past>()
  const targets: Target[] = []
  for (const at of permitted(data, self)) {
    const db = data.dbs.get(at.uid)
    if (db === undefined) continue
    const facts = factsOf(heard, hearing, at, db, kept.get(at.uid) ?? null)
    const unfit = objections.map((rule) => rule(facts, rules)).find((one) => one !== null) ?? null
    const far = unfit === null ? tooFar(facts, rules) : null
    targets.push({ ...at, zone: facts.zone, lag: facts.lag, why: unfit ?? far ?? "" })
    const next = pastOf(facts, unfit !== null, far !== null)
    if (next !== null) past.set(at.uid, next)
  }
  const memory = { hearing, past, targets, ranks: ranksOf(targets, rules) }
  return { memory, events: report(before, memory) }
}

interface Facts {
  readonly at: Standby
  readonly data: ClusterData
  readonly db: DB
  readonly info: KeeperInfo | null
  readonly state: PostgresState | null
  readonly sign: Sign | null
  readonly now: Millis
  readonly zone: string
  readonly lag: bigint | null
  readonly past: Past | null
}

function factsOf(
  { data, keepers, readAt: now }: Heard,
  hearing: Hearing,
  at: Standby,
  db: DB,
  past: Past | null,
): Facts {
  const info = keepers.get(at.keeper) ?? null
  const state = info?.postgresState ?? null
  const sign = hearing.signs.get(at.keeper) ?? null
  const lag = state === null || sign === null ? null : lagOf(hearing, sign, state)
  return { at, data, db, info, state, sign, now, zone: info?.zone ?? "", lag, past }
}

/** Why reads are not led there; the first that applies is told. */
const objections: readonly ((facts: Facts, rules: ReadRules) => string | null)[] = [
  ({ data, at }) => {
    const { switchover, failoverRequest } = data.cluster.status
    const next = [switchover?.keeper, failoverRequest?.keeper].includes(at.keeper)
    if (next) return "it is to become the primary"
    // all have to end with the gate
    return switchover !== undefined && !isLeased(data) ? "the primary is being switched over" : null
  },
  ({ data, info }) =>
    info === null || !isLeased(data) || info.capabilities.includes(capabilities.lease)
      ? null
      : "its keeper would run it without a lease",
  ({ data, db, at }) => {
    const well = db.status.healthy && data.keepers.get(at.keeper)?.status.healthy === true
    return well ? null : "it has failed, by the sentinel's word"
  },
  ({ sign, data }) => {
    if (sign === null) return "its keeper publishes nothing"
    const longest = toMillis(withDefaults(data.cluster.spec).failInterval)
    return sign.quiet < longest ? null : `its keeper has been silent for ${seconds(sign.quiet)}`
  },
  ({ state, db }) => (state?.uid === db.uid ? null : "its copy is being made"),
  ({ state }) => (state?.healthy === true ? null : "PostgreSQL is down"),
  ({ state, info }) =>
    state?.inRecovery === true || isGo(info) ? null : "PostgreSQL is not in recovery",
  ({ state, info }) =>
    state?.acceptsClients === true || isGo(info) ? null : "PostgreSQL lets no clients in",
  ({ state, db, past }) =>
    past !== null || state?.generation === db.generation
      ? null
      : "it has not applied its specification",
  ({ data, db }, { policy }) =>
    policy !== "synchronous" || isSynchronous(data, db.uid)
      ? null
      : "it is not a synchronous standby",
  ({ lag, past, now }) =>
    lag !== null || (past?.kind === "in" && now - past.knownAt < unknownFor)
      ? null
      : "how far it lags is not known",
]

/** Who was put out for its lag comes back at half of it: one that hovers does not flap. */
function tooFar({ lag, past }: Facts, { lagMax }: ReadRules): string | null {
  const limit = past?.lagged === true ? lagMax / 2n : lagMax
  if (lagMax === 0n || lag === null || lag <= limit) return null
  return `it lags ${lag} bytes, and may ${limit}`
}

/** A Go keeper says none of our words; that it has applied its specification is all there is. */
const isGo = (info: KeeperInfo | null): boolean => info?.capabilities.length === 0

const seconds = (span: Millis): string => `${(span / 1000).toFixed(1)} s`

/** Every commit waits for it: it is asked for, and confirmed. */
function isSynchronous(data: ClusterData, uid: DBUID): boolean {
  const primary = data.dbs.get(data.cluster.status.master)
  const lists = [primary?.spec.synchronousStandbys, primary?.status.synchronousStandbys]
  return lists.every((list) => list?.includes(uid) === true)
}

/** Null: nothing has to be remembered. */
function pastOf(facts: Facts, unfit: boolean, far: boolean): Past | null {
  const { at, past, now, lag, state, info } = facts
  // somebody promoted it past us: it is left at once, sessions there could write
  const writes = state?.healthy === true && !state.inRecovery && !isGo(info)
  const knownAt = lag === null ? (past?.knownAt ?? now) : now
  if (!unfit && !far) return { at, kind: "in", until: now, lagged: false, knownAt }
  if ((past === null && unfit) || writes) return null
  const lagged = far || past?.lagged === true
  const until = past?.kind === "in" ? millis(now + leaveWithin) : (past?.until ?? now)
  if (until <= now && !lagged) return null
  return { at, kind: until > now ? "leaving" : "out", until, lagged, knownAt }
}

/** First who is near, and with least-lag who is least behind. */
function ranksOf(targets: readonly Target[], rules: ReadRules): readonly (readonly Target[])[] {
  const fit = targets.filter(({ why }) => why === "")
  const rank = (one: Target): number =>
    (rules.zone === "" || one.zone === rules.zone ? 0 : elsewhere) +
    (rules.policy === "least-lag" ? step(one.lag) : 0)
  const keys = [...new Set(fit.map(rank))].toSorted(byNumber)
  return keys.map((key) => fit.filter((one) => rank(one) === key))
}
const elsewhere = 1000

/** Lags of the same step are equal: up to 1 MiB, and then each time the double. */
const step = (lag: bigint | null): number =>
  lag === null ? elsewhere / 2 : lag >> 20n === 0n ? 0 : (lag >> 20n).toString(2).length

function report(before: ReadersMemory, after: ReadersMemory): readonly Event[] {
  const led = (memory: ReadersMemory): readonly Target[] =>
    memory.targets.filter(({ why }) => why === "")
  const [was, is] = [led(before), led(after)]
  const isIn = (list: readonly Target[], { uid }: Target): boolean =>
    list.some((one) => one.uid === uid)
  const why = ({ uid }: Target): string =>
    after.targets.find((one) => one.uid === uid)?.why ?? "the view permits it no more"
  const joined = is.filter((one) => !isIn(was, one))
  const left = was.filter((one) => !isIn(is, one))
  return [
    ...joined.map((one) => event("reads.joined", { db: one.uid, keeper: one.keeper })),
    ...left.map((one) =>
      event("reads.left", { db: one.uid, keeper: one.keeper, reason: why(one) }),
    ),
  ]
}
