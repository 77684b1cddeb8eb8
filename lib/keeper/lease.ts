/**
 * Self-fencing (protocol part 2): which word on it counts, what a renewal proves, what the guardian
 * is told, what is claimed towards leaders, and which steps need a lease. Pure; the loop that
 * renews is `agent/keeper-lease.ts`.
 *
 * Two promises meet here. PostgreSQL takes writes only while a lease runs (L1, L5), and no leader
 * ever reckons with a lease shorter than the one in force (L3). So a longer lease, or none, is
 * first said and then used, and an info that comes late must not take the word back.
 */
import { type Millis, millis } from "#base/brand.ts"
import { duration, toMillis } from "#base/duration.ts"
import { type ClusterData, dbOfKeeper } from "#model/cluster.ts"
import type { DBUID, Epoch } from "#model/ids.ts"
import type { KeeperInfo } from "#model/info.ts"
import type { FencingMode, Local } from "#model/local.ts"
import { type Spec, withDefaults } from "#model/spec.ts"
import type { Step } from "#model/step.ts"
import type { Asker } from "./desire.ts"
import type { Outline } from "./outline.ts"
import { temporaryRevision } from "./render.ts"
import { glance } from "./settings.ts"

/** The right to take writes as this DB in this epoch, until a moment on the boot clock. */
export interface Lease {
  readonly db: DBUID
  /** Empty under a Go leader. */
  readonly epoch: Epoch
  readonly until: Millis
}

/** L2. */
const leaseMargin = 500
const leaseMin = 500
export function leaseOf(spec: Spec): Millis {
  if (spec.fencingLease !== undefined) return toMillis(spec.fencingLease)
  const { failInterval } = withDefaults(spec)
  return millis(Math.max(leaseMin, toMillis(failInterval) - leaseMargin))
}

const neverSeen: FencingMode = { on: false, lease: millis(Infinity) }

/**
 * L6: what the view says, and where it says nothing, what was seen last. Without the words of the
 * specification the lease only becomes shorter: that needs nobody's consent.
 */
export function modeOf(view: ClusterData | null, kept: FencingMode | null): FencingMode {
  if (view === null) return kept ?? neverSeen
  const { spec } = view.cluster
  const lease = leaseOf(spec)
  if (spec.selfFencing !== undefined) return { on: spec.selfFencing, lease }
  if (kept === null) return neverSeen
  return { on: kept.on, lease: millis(Math.min(kept.lease, lease)) }
}

/** What is to be written down, or null: it is. Nothing is, where nothing was ever said. */
export function modeToKeep(view: ClusterData | null, kept: FencingMode | null): FencingMode | null {
  const mode = modeOf(view, kept)
  if (mode === neverSeen || view === null) return null
  return kept?.on === mode.on && kept.lease === mode.lease ? null : mode
}

/** The rule in use, and the one that is to be used. */
export interface Rule {
  readonly used: FencingMode
  readonly wanted: FencingMode
  /** Since when an acknowledged info has said what `wanted` comes to. */
  readonly said: Millis | null
}

/**
 * A keeper's first rule. A PostgreSQL that was found under a lease goes on under one, whatever the
 * file says by now.
 */
export const firstRule = (underLease: boolean): Rule => ({
  used: { ...neverSeen, on: underLease },
  wanted: { ...neverSeen, on: underLease },
  said: null,
})

/** A stricter rule is used at once, a laxer one only later (`renewed`). */
export function want(rule: Rule, wanted: FencingMode): Rule {
  if (rule.wanted.on === wanted.on && rule.wanted.lease === wanted.lease) return rule
  const stricter = wanted.on && (!rule.used.on || wanted.lease <= rule.used.lease)
  return { used: stricter ? wanted : rule.used, wanted, said: null }
}

/** An info that was made by this rule is in the store since `now` at the latest. */
export const said = (rule: Rule, now: Millis): Rule =>
  rule.said === null ? { ...rule, said: now } : rule

/**
 * A put that hangs in the network may still arrive after later ones (the store has forgotten
 * nothing, the wire has). So the laxer word must have stood for this long before it is used.
 */
export const lateMost = millis(30_000)

/**
 * A renewal by this rule succeeded: whoever revokes from now on reads what was said. Then a laxer
 * rule may be used.
 */
export const renewed = (rule: Rule, now: Millis): Rule =>
  rule.said !== null && now - rule.said >= lateMost ? { ...rule, used: rule.wanted } : rule

/** How long a renewal lasts from its start. */
export const widthOf = ({ used, wanted }: Rule): Millis =>
  millis(Math.min(used.lease, wanted.lease))

/**
 * L1: what a view read after a publish gives to this keeper; null: nothing. As in `desire`, the
 * leader must have seen this run of supervision, or a copied machine could renew for the original.
 */
export function leasable(
  view: ClusterData | null,
  { uid, boot, certificate }: Asker,
): Omit<Lease, "until"> | null {
  if (view === null || view.keepers.get(uid)?.status.bootUUID !== boot) return null
  const db = dbOfKeeper(view, uid)
  const { master, primaryEpoch: epoch, primaryRevoked } = view.cluster.status
  if (db === undefined || db.uid !== master || db.spec.role !== "master") return null
  if (primaryRevoked) return null
  const ended = epoch !== "" && certificate?.epoch === epoch && certificate.dbuid === db.uid
  return ended ? null : { db: db.uid, epoch }
}

/**
 * How much of its lease a primary may have used up before it renews (L2), and how long that may
 * take.
 */
export const renewEvery = (rule: Rule): Millis => millis(widthOf(rule) / 3)
export const renewBound = (rule: Rule): Millis => millis(widthOf(rule) / 4)

/** The lease after a renewal that began at `start`; never shorter than one that runs (O1). */
export function prolonged(
  before: Lease | null,
  given: Omit<Lease, "until">,
  start: Millis,
  rule: Rule,
): Lease {
  const until = millis(start + widthOf(rule))
  const same = before?.db === given.db && before.epoch === given.epoch
  return { ...given, until: same ? millis(Math.max(until, before.until)) : until }
}

/**
 * Whether PostgreSQL takes, or may take, the writes of clients, as far as a look tells; null: as
 * before. A temporary start is no such thing: only the owner of its socket gets in, who is us.
 */
export function takesWrites({ data, server, postmaster }: Local): boolean | null {
  switch (server.kind) {
    case "up":
      return !server.inRecovery && server.revision !== temporaryRevision
    case "starting":
      return data.kind === "initialized" && data.role === "standby" ? false : null
    default:
      return postmaster ? null : false
  }
}

/** What the guardian is told; null: nothing, what it was told last runs on. */
export type Hold =
  | { readonly kind: "free"; readonly until: Millis }
  | { readonly kind: "lease"; readonly until: Millis }

export function holdOf(
  rule: Rule,
  writes: boolean,
  lease: Lease | null,
  failInterval: Millis,
  now: Millis,
): Hold | null {
  if (!rule.used.on || !writes) return { kind: "free", until: millis(now + failInterval) }
  return lease === null || lease.until <= now ? null : { kind: "lease", until: lease.until }
}

/**
 * What leaders may reckon with (L3): a PostgreSQL here acknowledges nothing later than this after
 * the info was first seen. True of every keeper that is bound to start and promote under leases
 * only; of one that took writes before, once its guardian has taken a lease for a hold.
 *
 * @param bound Until when the guardian lets PostgreSQL live under the last lease that it took.
 */
export function claimOf(
  rule: Rule,
  writes: boolean,
  bound: Millis | null,
  now: Millis,
): KeeperInfo["fencing"] {
  if (!rule.wanted.on || !rule.used.on || (writes && bound === null)) return undefined
  const left = bound === null ? 0 : bound - now
  const most = Math.max(left, widthOf(rule), rule.wanted.lease)
  return Number.isFinite(most) ? { lease: duration(Math.ceil(most)) } : undefined
}

/** What a plan has to keep to. */
export interface Fence {
  /** Whether writes need a lease. */
  readonly on: boolean
  readonly lease: Lease | null
  /** Until then this keeper has promised to promote nobody (O2). */
  readonly promised: Millis | null
}
export const noFence: Fence = { on: false, lease: null, promised: null }

/** After this step clients may write: a promotion, or the regular start of a primary. */
export const makesPrimary = (step: Step, { data }: Local): boolean =>
  step.kind === "promote" ||
  (step.kind === "start" &&
    step.temporary === null &&
    data.kind === "initialized" &&
    data.role === "master")

/** L5 and O2: the outline, or the wait for a lease that it would need now. */
export function fenced(
  full: Outline,
  local: Local,
  { on, lease, promised }: Fence,
  role: Omit<Lease, "until">,
  now: Millis,
): Outline {
  const [step] = full.steps
  const { working } = full.memory
  if (step === undefined || step.kind === working || !makesPrimary(step, local)) return full
  const wait = (why: string, resolve: string, wake: number): Outline => ({
    ...full,
    steps: [],
    blocked: { why, resolve, usual: true },
    wake: millis(wake),
  })
  if (promised !== null && promised > now)
    return wait("it has promised to promote nobody", "the promise lapses by itself", promised)
  const has = lease?.db === role.db && lease.epoch === role.epoch && lease.until > now
  if (!on || has) return full
  const why = "its right to take writes is not renewed yet"
  return wait(why, "it goes on when the store confirms it", now + glance)
}
