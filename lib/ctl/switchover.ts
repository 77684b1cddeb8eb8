/**
 * What became of a requested switchover, read from the looks that follow: each phase when it is
 * over, with the time that it took, and how long writes paused.
 *
 * Times are those of the looks. A phase that passes between two of them is told with its neighbours
 * and never given a time of its own, and the pause is called less than something when its beginning
 * was not seen. "done" is said only when the leader's answer says so or clients are led to the new
 * primary.
 */
import { type Millis, millis, never } from "#base/brand.ts"
import type { ClusterData, DB } from "#model/cluster.ts"
import type { DBUID, KeeperUID, Nonce } from "#model/ids.ts"
import type { Json } from "#model/json.ts"
import type { Found } from "./status.ts"

/** In their order. `open`: the new primary is ready, clients are not led to it yet. */
const stages = ["asked", "checkpoint", "hold", "stop", "promote", "open"] as const
export type Stage = (typeof stages)[number]

/** Stages that ended, and what they took together; several when looks missed their borders. */
export interface Span {
  readonly stages: readonly Stage[]
  readonly took: Millis
}

/** What the watcher carries from look to look. */
export interface Watch {
  readonly nonce: Nonce
  /** The primary when the request was written. */
  readonly before: DBUID
  readonly stage: Stage
  /** When it was first seen in this stage, and when it was last looked at. */
  readonly since: Millis
  readonly seenAt: Millis
  readonly spans: readonly Span[]
  /**
   * The gate as it was seen: closed from `at`, and open at `after` still; null: it was never seen
   * closed.
   */
  readonly closed: { readonly after: Millis; readonly at: Millis } | null
}

export const newWatch = (nonce: Nonce, before: DBUID, now: Millis): Watch => ({
  nonce,
  before,
  stage: "asked",
  since: now,
  seenAt: now,
  spans: [],
  closed: null,
})

/** How long clients could not write. `exact`: both ends were seen. */
export interface Pause {
  readonly took: Millis
  readonly exact: boolean
}

export type Progress =
  /**
   * @property why It was given up, and clients are led to nobody yet.
   * @property on What the leader says that it waits for; empty: nothing in particular.
   */
  | { readonly kind: "waiting"; readonly why: string | null; readonly on: string }
  /** @property pause Null when it was never closed, by what was seen. */
  | { readonly kind: "done"; readonly keeper: KeeperUID | null; readonly pause: Pause | null }
  /** Before anything was done. */
  | { readonly kind: "refused"; readonly why: string }
  /** Undone after it had begun, or become a failover: `keeper` has the primary now. */
  | {
      readonly kind: "given-up"
      readonly why: string
      readonly keeper: KeeperUID | null
      readonly pause: Pause | null
    }
  /** The request is gone, and nobody answered it. */
  | { readonly kind: "lost" }

export interface Seen {
  readonly watch: Watch
  readonly progress: Progress
  /** Stages that ended with this look. */
  readonly ended: Span | null
}

export function see(watch: Watch, found: Found & { data: ClusterData }, now: Millis): Seen {
  const { data } = found
  const led = gateOf(data)
  const closed = watch.closed ?? (led === null ? { after: watch.seenAt, at: now } : null)
  const noticed = { ...watch, closed, seenAt: now }
  const pause = pauseOf(noticed, watch.seenAt, led, now)
  const progress = judge(noticed, data, led, pause)
  const next = progress.kind === "waiting" ? stageOf(watch, found) : null
  const ended = spanOf(watch, progress, next, now)
  const moved = next !== null && next !== watch.stage ? { stage: next, since: now } : {}
  const spans = ended === null ? watch.spans : [...watch.spans, ended]
  return { watch: { ...noticed, ...moved, spans }, progress, ended }
}

/** Where clients are led; null: nowhere. */
const gateOf = (data: ClusterData): DBUID | null =>
  data.dbs.has(data.proxy.spec.masterDbUid) ? data.proxy.spec.masterDbUid : null

function stageOf(watch: Watch, { data, infos }: Found & { data: ClusterData }): Stage {
  const { switchover, master, primaryRevoked } = data.cluster.status
  if (master !== watch.before) {
    const db = data.dbs.get(master)
    const state = infos.keepers.get(db?.spec.keeperUID ?? ("" as KeeperUID))?.postgresState
    const ready = db !== undefined && state?.uid === db.uid && isReady(db, state)
    return ready ? "open" : "promote"
  }
  if (switchover?.nonce !== watch.nonce) return watch.stage
  // whoever revokes for another reason in between has stopped it all the same
  return primaryRevoked ? "stop" : later(watch.stage, switchover.phase || "asked")
}

interface Ready {
  readonly healthy: boolean
  readonly generation: number
  readonly inRecovery: boolean
}
const isReady = (db: DB, state: Ready): boolean =>
  state.healthy && !state.inRecovery && state.generation === db.generation

/** A phase is never told twice. */
const later = (a: Stage, b: Stage): Stage => (stages.indexOf(b) > stages.indexOf(a) ? b : a)

function spanOf(watch: Watch, progress: Progress, next: Stage | null, now: Millis): Span | null {
  const from = stages.indexOf(watch.stage)
  const to = ends(progress, from, next)
  if (to <= from) return null
  return { stages: stages.slice(from, to), took: millis(now - watch.since) }
}

function ends(progress: Progress, from: number, next: Stage | null): number {
  switch (progress.kind) {
    case "done":
      return stages.length
    case "given-up":
      return from + 1
    case "waiting":
      return next === null ? from : stages.indexOf(next)
    case "refused":
    case "lost":
      return from
    default:
      return never(progress)
  }
}

function pauseOf(watch: Watch, lookBefore: Millis, led: DBUID | null, now: Millis): Pause | null {
  if (led === null) return null
  if (watch.closed !== null) return { took: millis(now - watch.closed.at), exact: true }
  // closed and opened between two looks
  return led === watch.before ? null : { took: millis(now - lookBefore), exact: false }
}

function judge(watch: Watch, data: ClusterData, led: DBUID | null, pause: Pause | null): Progress {
  const { answered, switchover, master } = data.cluster.status
  const mine = answered?.nonce === watch.nonce ? answered : null
  const keeper = data.dbs.get(master)?.spec.keeperUID ?? null
  if (mine !== null && !mine.done) {
    const why = mine.why === "" ? "the leader gave no reason" : mine.why
    // the gate may still be open in the look in which a primary is deposed
    if (led === null || led !== master || data.cluster.status.primaryRevoked)
      return { kind: "waiting", why, on: "" }
    const begun = watch.closed !== null || master !== watch.before
    return begun ? { kind: "given-up", why, keeper, pause } : { kind: "refused", why }
  }
  if (master !== watch.before && led === master) return { kind: "done", keeper, pause }
  if (mine !== null || switchover?.nonce === watch.nonce || master !== watch.before)
    return { kind: "waiting", why: null, on: switchover?.waiting ?? "" }
  return { kind: "lost" }
}

export const seconds = (ms: Millis): string => `${(ms / 1000).toFixed(2)} s`

/** `hold  0.02 s`; several: what they took together. */
export const spanLine = ({ stages: names, took }: Span): string =>
  names.length === 1
    ? `${(names[0] ?? "").padEnd(12)}${seconds(took)}`
    : `${names.join(", ")}: ${seconds(took)} together (too fast to be seen one by one)`

/** What the leader waits for, as a line of its own. */
export const waitingLine = (on: string): string => `${"waiting".padEnd(12)}${on}`

export const pauseText = (pause: Pause | null): string => {
  if (pause === null) return "writes were not held up"
  const { took, exact } = pause
  return `writes paused for ${exact ? "" : "less than "}${seconds(took)}`
}

/** For programs; field names are an interface. Times in seconds. */
export function switchoverJson({ spans }: Watch, progress: Progress): Json {
  const phases = spans.map(({ stages: names, took }) => ({
    phases: [...names],
    seconds: took / 1000,
  }))
  const pause = "pause" in progress ? progress.pause : null
  const told = pause === null ? null : { seconds: pause.took / 1000, exact: pause.exact }
  const done = progress.kind === "done"
  return {
    done,
    outcome: progress.kind,
    primary: "keeper" in progress ? progress.keeper : null,
    why: "why" in progress ? progress.why : null,
    pause: told,
    phases,
  }
}
