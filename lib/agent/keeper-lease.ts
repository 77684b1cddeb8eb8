/**
 * The loops behind a lease (protocol part 2): one renews it at the store, one passes it on to the
 * guardian. They share nothing with the tick but what they note; a tick that hangs in PostgreSQL
 * delays no renewal, and a renewal that hangs in the store delays no word to the guardian.
 *
 * A lease counts from before its renewal began, never from an answer. Nothing but a renewal and the
 * promises of all (`prolong`) makes it longer.
 */
import { type Millis, millis } from "#base/brand.ts"
import { hasHeirs } from "#keeper/desire.ts"
import {
  type Lease,
  holdOf,
  leasable,
  makesPrimary,
  modeOf,
  prolonged,
  renewBound,
  renewEvery,
  renewed,
  takesWrites,
  want,
} from "#keeper/lease.ts"
import { orphanTime } from "#keeper/settings.ts"
import type { ClusterData } from "#model/cluster.ts"
import { event } from "#model/events.ts"
import type { Local } from "#model/local.ts"
import type { Step } from "#model/step.ts"
import { validate } from "#model/validation.ts"
import type { Testament } from "#port/postgres.ts"
import { StoreError } from "#port/store.ts"
import { infoOf, publishNow, ttlOf } from "./keeper-publish.ts"
import type { Keeper } from "./keeper-state.ts"
import { noteRenewal, noteView } from "./keeper-vows.ts"
import { forever } from "./loop.ts"

/**
 * After a look of the tick, before anything is planned from it: whether writes are taken. While a
 * step that brings them about is under way, they are; and a promotion that was asked for cannot be
 * called back, so whoever still looks like a standby then is none.
 */
export function noteLook(keeper: Keeper, local: Local): void {
  const { work } = keeper
  if (work !== null && makesPrimary(work.step, work.local)) return
  if (local.server.kind === "down" && !local.postmaster) keeper.promoting = false
  const seen = takesWrites(local)
  if (seen !== null && seen !== keeper.writes && (seen || !keeper.promoting)) {
    keeper.writes = seen
    keeper.grip.ring()
  }
  noteMode(keeper, keeper.view?.data ?? null, keeper.view?.readAt ?? keeper.ruled)
}

/** After a view was read, by whomever; an older one has nothing to say. */
function noteMode(keeper: Keeper, view: ClusterData | null, readAt: Millis): void {
  const { local, rule, ruled } = keeper
  if (local === null || readAt < ruled) return
  keeper.ruled = readAt
  keeper.rule = want(rule, modeOf(view, local.fencing))
  if (keeper.rule === rule) return
  keeper.grip.ring()
  keeper.renewal.ring()
}

/** After a plan: a primary that needs a lease does not wait for the next beat. */
export function noteDesired(keeper: Keeper): void {
  if (needsLease(keeper) && !runs(keeper)) keeper.renewal.ring()
}

/** A lease in force may be prolonged by the promises of all (O1); `until` counts from asking. */
export function prolong(keeper: Keeper, lease: Omit<Lease, "until">, until: Millis): void {
  const { lease: present } = keeper
  if (present?.db !== lease.db || present.epoch !== lease.epoch) return
  if (until <= present.until || keeper.ports.clock.now().mono >= present.until) return
  keeper.lease = { ...present, until }
  keeper.grip.ring()
}

const runs = ({ lease, ports }: Keeper): boolean =>
  lease !== null && lease.until > ports.clock.now().mono

const asker = (keeper: Keeper) => ({
  uid: keeper.options.uid,
  boot: keeper.ports.postgres.boot,
  certificate: keeper.local?.certificate ?? null,
})

/** The view makes it a primary, or it takes writes for whatever reason. */
const needsLease = (keeper: Keeper): boolean =>
  keeper.claim.kind === "mine" &&
  keeper.rule.used.on &&
  keeper.local !== null &&
  (keeper.writes || leasable(keeper.view?.data ?? null, asker(keeper)) !== null)

/** Renews for as long as there is need. */
export const renewing = (keeper: Keeper, signal: AbortSignal): Promise<void> => {
  const { clock } = keeper.ports
  let begun = clock.now().mono
  let well = true
  return forever(
    async () => {
      begun = clock.now().mono
      well = false
      well = !needsLease(keeper) || (await renewal(keeper, begun, signal))
    },
    () => keeper.renewal.wait(clock, pauseOf(keeper, begun, well), signal),
    keeper.ports.log,
    signal,
  )
}

/** From start to start; after a failure sooner, a lease has room for two or three of them. */
function pauseOf(keeper: Keeper, begun: Millis, well: boolean): Millis {
  if (!needsLease(keeper)) return keeper.sleepInterval
  const every = renewEvery(keeper.rule)
  const passed = keeper.ports.clock.now().mono - begun
  return millis(well ? Math.max(every / 20, every - passed) : every / 20)
}

/** True when it succeeded. A store that does not answer is no surprise; it is said once. */
async function renewal(keeper: Keeper, start: Millis, signal: AbortSignal): Promise<boolean> {
  const bounded = keeper.ports.clock.deadline(renewBound(keeper.rule), signal)
  try {
    return await renew(keeper, start, bounded)
  } catch (error) {
    if (signal.aborted || !(bounded.aborted || error instanceof StoreError)) throw error
    return false
  } finally {
    if (!signal.aborted) say(keeper)
  }
}

/** Changes of the lease, for people. */
function say(keeper: Keeper): void {
  const { lease, writes, heard, leaseSaid: before, ports } = keeper
  if (lease === null) return
  const now = ports.clock.now().mono
  const late = heard === null || now - heard > renewEvery(keeper.rule) + renewBound(keeper.rule)
  const text = lease.until <= now ? "lapsed" : late ? "unconfirmed" : "granted"
  if (text === before || (text !== "granted" && !writes)) return
  keeper.leaseSaid = text
  const left = Math.max(0, Math.round(lease.until - now))
  ports.log.event(event(`lease.${text}`, { db: lease.db, epoch: lease.epoch, left }))
}

/** L1, in this order: publish, then read, and what is read counts from before the publish. */
async function renew(keeper: Keeper, start: Millis, bounded: AbortSignal): Promise<boolean> {
  const { clock, store } = keeper.ports
  // without an info in the store nobody could reckon with the lease
  if (!(await publishNow(keeper, bounded))) return false
  const { rule } = keeper
  const reads = clock.now().mono
  const reading = await store.read(bounded)
  keeper.heard = reads
  const view = reading.kind === "found" ? reading.data : null
  // who is primary does not hang on a specification that breaks a rule, only its settings do (D-23)
  if (view === null || validate(view.cluster.spec) === null) noteMode(keeper, view, reads)
  noteView(keeper, view, reads)
  keeper.absent = reading.kind === "found" ? null : (keeper.absent ?? reads)
  const given = view === null ? unnamed(keeper, reads) : leasable(view, asker(keeper))
  if (given === null) return true
  // a word that changed meanwhile was not in what was published
  if (keeper.rule === rule) keeper.rule = renewed(rule, clock.now().mono)
  const before = keeper.lease
  keeper.lease = prolonged(before, given, start, keeper.rule)
  noteRenewal(keeper, start)
  keeper.grip.ring()
  const ready = before?.db === given.db && before.epoch === given.epoch && before.until > start
  if (!ready) keeper.wake.ring()
  return true
}

/**
 * T17, D-19: cluster data that an operator deleted, to write it anew, names nobody, so nobody else
 * can begin meanwhile. Whoever was the last to be named goes on for as long as it would without
 * fencing; only a lease in force is prolonged, none begins.
 */
function unnamed(keeper: Keeper, now: Millis): Omit<Lease, "until"> | null {
  const { lease, absent } = keeper
  return runs(keeper) && absent !== null && now - absent < orphanTime ? lease : null
}

/** Tells the guardian, at every change and in time before what it knows runs out. */
export function holding(keeper: Keeper, signal: AbortSignal): Promise<void> {
  const third = (): Millis => millis(keeper.failInterval / 3)
  return forever(
    async () => {
      await tell(keeper, signal)
    },
    () => keeper.grip.wait(keeper.ports.clock, third(), signal),
    keeper.ports.log,
    signal,
  )
}

/**
 * One word to the guardian at a time, decided when its turn has come: a free hold that is under way
 * cannot overtake the lease that follows it. A call that hangs is given up, so that the next comes
 * in time. Who finds its uid taken is no keeper. True when a lease was taken.
 */
async function tell(keeper: Keeper, signal: AbortSignal): Promise<boolean> {
  const { clock, postgres, log } = keeper.ports
  while (keeper.telling !== null) await keeper.telling
  if (keeper.claim.kind === "taken") return false
  const { rule, writes, lease, failInterval } = keeper
  const hold = holdOf(rule, writes, lease, failInterval, clock.now().mono)
  if (hold === null) return false
  const over = Promise.withResolvers<void>()
  keeper.telling = over.promise
  const bounded = clock.deadline(millis(failInterval / 3), signal)
  try {
    if (hold.kind === "free") {
      await postgres.hold(hold.until, bounded)
      keeper.bound = null
      return false
    }
    await postgres.lease(hold.until, testament(keeper), bounded)
    if (keeper.bound === null) keeper.news.ring() // now it can be claimed
    keeper.bound = hold.until
    return true
  } catch (error) {
    if (signal.aborted || !bounded.aborted) throw error
    log.event(event("guardian.silent", { after: millis(failInterval / 3) }))
    return false
  } finally {
    keeper.telling = null
    over.resolve()
  }
}

/**
 * What the guardian says if nobody else can, where it serves anybody. The epoch is named always:
 * what was certified before, when somebody could still take over, is over for good.
 */
function testament(keeper: Keeper): Testament | null {
  const { lease, promises, seen } = keeper
  if (lease === null || lease.epoch === "") return null
  const info = infoOf(keeper, seen?.local ?? null)
  if (info === null) return null
  const data = promises.newest?.data ?? null
  const db = data?.dbs.get(lease.db)
  const present = data?.cluster.status.primaryEpoch === lease.epoch
  const certify = data !== null && db !== undefined && present && hasHeirs(data, db)
  return { epoch: lease.epoch, db: lease.db, certify, info, ttl: ttlOf(keeper, info) }
}

/**
 * Before a step after which clients may write (L5): the guardian has to know by when it ends.
 * Frozen after this, and thawed after the lease, the step finds a guardian that starts nothing, or
 * that has ended what was promoted.
 */
export async function arm(keeper: Keeper, step: Step, signal: AbortSignal): Promise<void> {
  const { local } = keeper
  if (local === null || !makesPrimary(step, local)) return
  keeper.writes = true
  if (step.kind === "promote") keeper.promoting = true
  if (!keeper.rule.used.on) return
  if (!(await tell(keeper, signal)))
    throw new Error("its right to take writes has run out, or its guardian does not answer")
}
