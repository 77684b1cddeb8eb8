/**
 * What became of a requested failover, read from the views that follow. `ctl failover` shows each
 * new line and ends with the outcome; it never says "done" before clients get through to the new
 * primary.
 */
import type { ClusterData } from "#model/cluster.ts"
import type { DBUID, Epoch, KeeperUID, Nonce } from "#model/ids.ts"

/** What the watcher carries from view to view. */
export interface Watch {
  readonly nonce: Nonce
  /** The primary when the request was written. */
  readonly before: DBUID
  /** Its epoch then: another one tells of a reinstatement that nobody saw happen. */
  readonly epoch: Epoch
  readonly target: KeeperUID | null
  /** The leader took the request up: the old primary was seen deposed, or another primary named. */
  readonly begun: boolean
  /** The last line shown. */
  readonly line: string
}

export type Progress =
  | { readonly kind: "waiting" }
  | { readonly kind: "done"; readonly keeper: KeeperUID | null }
  /** Nothing was changed. `why` is the leader's answer; null: the request is gone without one. */
  | { readonly kind: "refused"; readonly why: string | null }
  /** The old primary was deposed and then reinstated: nobody could take over. */
  | { readonly kind: "reinstated"; readonly why: string | null }
  /** Another keeper than the wanted one. */
  | { readonly kind: "other"; readonly keeper: KeeperUID | null }

export interface Seen {
  readonly watch: Watch
  readonly progress: Progress
  /** A new line to show, or null. */
  readonly line: string | null
}

export function see(watch: Watch, data: ClusterData): Seen {
  const { status } = data.cluster
  const pending = status.failoverRequest?.nonce === watch.nonce
  const moved = status.master !== watch.before
  const renewed = status.primaryEpoch !== watch.epoch
  const begun = watch.begun || moved || renewed || status.primaryRevoked
  const text = describe(watch, data, pending)
  const line = text === watch.line ? null : text
  return {
    watch: { ...watch, begun, line: text },
    progress: judge(watch, data, pending, begun),
    line,
  }
}

function judge(watch: Watch, data: ClusterData, pending: boolean, begun: boolean): Progress {
  const { master, primaryRevoked, answered } = data.cluster.status
  const keeper = keeperOf(data, master)
  const why = answered?.nonce === watch.nonce && answered.why !== "" ? answered.why : null
  if (master !== watch.before) {
    if (master === "" || primaryRevoked || !isServing(data, master)) return { kind: "waiting" }
    const wanted = watch.target === null || watch.target === keeper
    return wanted ? { kind: "done", keeper } : { kind: "other", keeper }
  }
  if (pending || primaryRevoked) return { kind: "waiting" }
  return { kind: begun ? "reinstated" : "refused", why }
}

/** The gate leads to it and it has applied its role. */
function isServing(data: ClusterData, master: DBUID): boolean {
  const db = data.dbs.get(master)
  if (db === undefined) return false
  const converged = db.status.healthy && db.status.currentGeneration === db.generation
  return converged && data.proxy.spec.masterDbUid === master
}

function describe(watch: Watch, data: ClusterData, pending: boolean): string {
  const { master, primaryRevoked } = data.cluster.status
  const keeper = keeperOf(data, master) ?? master
  if (master !== watch.before && master !== "")
    return isServing(data, master)
      ? `keeper ${keeper} is the primary`
      : `keeper ${keeper} is chosen and becomes the primary`
  if (primaryRevoked) return `keeper ${keeper} is deposed; waiting until it is provably stopped`
  return pending
    ? "the request is written; waiting for the leading sentinel"
    : "the request is gone"
}

const keeperOf = (data: ClusterData, db: DBUID): KeeperUID | null =>
  data.dbs.get(db)?.spec.keeperUID ?? null
