/**
 * Promises in a store outage (protocol part 4): whom a primary asks, until when that prolongs its
 * lease, and when a keeper may promise. Pure; the loops are `agent/keeper-promise.ts`.
 *
 * What makes it safe is the order of moments. The asker counts from before its question is sent,
 * whoever promises counts from when it answers, and 1.05 times as long: on clocks whose rates
 * differ by less than that, the lease has ended before anybody who promised may promote. All of the
 * electable set have to promise, and nobody outside of it is ever elected (O3).
 */
import { type Millis, millis } from "#base/brand.ts"
import { type ClusterData, type Electable, dbOfKeeper } from "#model/cluster.ts"
import type { KeeperUID } from "#model/ids.ts"
import type { Promised } from "#model/info.ts"
import type { Local, PromiseMade } from "#model/local.ts"
import type { Asker } from "./desire.ts"
import { type Lease, type Rule, leasable, renewBound, renewEvery, widthOf } from "./lease.ts"

/** How much longer than the lease a promise binds: what the rates of two clocks may differ by. */
const drift = 1.05

/**
 * O3: the set that this keeper's primary would ask, by the newest view that it has read. It counts
 * from the moment it was read, before it is published: a set that others take for acknowledged is
 * asked already.
 */
export const electableOf = (view: ClusterData | null, asker: Asker): Electable | null =>
  view === null || leasable(view, asker) === null ? null : (view.cluster.status.electable ?? null)

/** Whom to ask, and for which lease. */
export interface Appeal {
  readonly lease: Omit<Lease, "until">
  /** Everybody who could be elected; with none of them the lease goes on by itself. */
  readonly keepers: readonly KeeperUID[]
  readonly width: Millis
}

/** Null: there is nothing to prolong, or no way to. */
export function appealOf(
  view: ClusterData | null,
  asker: Asker,
  lease: Lease | null,
  rule: Rule,
  now: Millis,
): Appeal | null {
  const given = leasable(view, asker)
  if (view === null || given === null || lease === null || !rule.used.on) return null
  if (lease.until <= now || given.epoch === "") return null
  if (lease.db !== given.db || lease.epoch !== given.epoch) return null
  const { electable } = view.cluster.status
  if (electable === undefined || electable.ended) return null
  const keepers: KeeperUID[] = []
  for (const uid of electable.dbs.toSorted()) {
    const db = view.dbs.get(uid)
    // nobody knows whom to ask: whoever has it, might be elected
    if (db === undefined) return null
    if (uid !== given.db) keepers.push(db.spec.keeperUID)
  }
  const width = widthOf(rule)
  return Number.isFinite(width) ? { lease: given, keepers, width } : null
}

/**
 * When to ask next: as soon as a renewal that should have succeeded has failed, then thrice a
 * width.
 *
 * @param renewed The start of the last renewal that succeeded.
 * @param asked When it was last asked; null: not since that renewal.
 */
export function appealAt(rule: Rule, renewed: Millis, asked: Millis | null): Millis {
  const late = renewed + renewEvery(rule) + renewBound(rule)
  return millis(asked === null ? late : Math.max(late, asked + widthOf(rule) / 3))
}

/** How long the answers may take: two tries fit into what is left of the lease then. */
export const appealBound = (width: Millis): Millis => millis(width / 5)
/** How long whoever is asked may take to find out whether it reaches the store. */
export const probeBound = (width: Millis): Millis => millis(width / 10)

export const promisedUntil = (width: Millis, now: Millis): Millis => millis(now + drift * width)

/** A promise in force. */
export interface Bound extends Promised {
  readonly until: Millis
}

/** One more promise extends what binds already, and never shortens it. */
export function bound(before: Bound | null, made: PromiseMade, now: Millis): Bound {
  const until = Math.max(before?.until ?? 0, promisedUntil(made.width, now))
  return { epoch: made.epoch, keeper: made.keeper, until: millis(until) }
}

/** What is written down: after a restart the whole width counts again, also an older promise's. */
export function toKeep(before: Bound | null, made: PromiseMade, now: Millis): PromiseMade {
  const left = before === null ? 0 : (before.until - now) / drift
  return { ...made, width: millis(Math.max(made.width, left)) }
}

/** The words of a question (`port/peer.ts`). */
export interface Question {
  readonly cluster: string
  readonly epoch: string
  readonly db: string
  readonly asker: string
  readonly asked: string
  readonly width: Millis
}

/** What the keeper that is asked knows. */
export interface Answerer {
  readonly uid: KeeperUID
  readonly view: ClusterData | null
  readonly local: Local | null
  /** It takes writes or is about to, or its plan wants to. */
  readonly promoting: boolean
}

/**
 * Why it does not promise; null: it may, if it cannot reach the store. A question that somebody
 * replays names another epoch or another primary by now, or one more wait that harms nobody.
 */
export function refusal(
  question: Question,
  { uid, view, local, promoting }: Answerer,
): string | null {
  if (question.asked !== uid) return `this is keeper ${uid}`
  if (view === null || local === null) return "it has not read the cluster's view yet"
  if (question.cluster !== view.cluster.uid) return "it belongs to another cluster"
  const { master, primaryEpoch, primaryRevoked } = view.cluster.status
  if (primaryRevoked) return "its last view says that the primary is revoked"
  if (primaryEpoch === "" || primaryEpoch !== question.epoch)
    return "its last view is of another epoch"
  const primary = view.dbs.get(master)
  if (master !== question.db || primary?.spec.keeperUID !== question.asker)
    return "its last view names another primary"
  if (dbOfKeeper(view, uid)?.uid === master) return "it is the primary itself"
  if (promoting) return "it is being promoted"
  return null
}
