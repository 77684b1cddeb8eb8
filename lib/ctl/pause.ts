/**
 * `ctl pause` and `ctl resume`: hands off, of the whole cluster or of one keeper (what that means
 * is in `sentinel/pause.ts` and `keeper/pause.ts`). Refused where nobody would heed it: a Go
 * leader drops the mark at its next write.
 */
import { type ClusterData, isLedByUs } from "#model/cluster.ts"
import type { KeeperUID } from "#model/ids.ts"
import { type Infos, capabilities } from "#model/info.ts"
import { type Pause, describePause } from "#model/wish.ts"
import type { Change, Edited } from "./edit.ts"
import { noKeeper } from "./edit.ts"
import type { Found } from "./status.ts"

const refused = (message: string): Edited => ({ kind: "refused", message })

/** Why this cluster does not know what `stolon` asks of it beyond Go; null: it does. */
export function strangers(data: ClusterData): string | null {
  const { phase, master } = data.cluster.status
  if (phase !== "normal" || master === "")
    return "the cluster has no primary yet; see: stolon ctl status"
  return isLedByUs(data)
    ? null
    : "the leading sentinel does not know this request and would drop it (it is Go stolon's); stop the Go sentinels first"
}

/**
 * The same of what publishes now: an older sentinel of ours keeps the mark, but does not heed it.
 */
export function deafLeader({ infos, leader }: Found): string | null {
  const info = leader === null ? undefined : infos.sentinels.get(leader)
  return info === undefined || info.capabilities.includes(capabilities.pause)
    ? null
    : `the leading sentinel ${leader} is older and does not know this request; update the sentinels first`
}

/** Keepers that will not heed a pause: they restart PostgreSQL by themselves. */
export const deafKeepers = (infos: Infos, only: KeeperUID | null): readonly KeeperUID[] =>
  [...infos.keepers.values()]
    .filter(
      (info) =>
        (only === null || info.uid === only) && !info.capabilities.includes(capabilities.wishes),
    )
    .map(({ uid }) => uid)
    .toSorted()

export const pauseChange = (keeper: KeeperUID | null, pause: Pause): Change => ({
  edit: (data) => pausing(data, keeper, pause),
  inForce: (data) => pausedNow(data, keeper) !== undefined,
  once: false,
  repairs: false,
})

export const resumeChange = (keeper: KeeperUID | null): Change => ({
  edit: (data) => resuming(data, keeper),
  inForce: (data) => pausedNow(data, keeper) === undefined,
  once: false,
  repairs: false,
})

const pausedNow = (data: ClusterData, keeper: KeeperUID | null): Pause | undefined =>
  keeper === null ? data.cluster.status.paused : data.keepers.get(keeper)?.status.paused

function pausing(data: ClusterData, uid: KeeperUID | null, pause: Pause): Edited {
  const strange = strangers(data)
  if (strange !== null) return refused(strange)
  if (uid !== null && !data.keepers.has(uid)) return refused(noKeeper(data, uid, "strict"))
  const now = pausedNow(data, uid)
  if (now !== undefined)
    return { kind: "unchanged", message: `${whatOf(uid)} is ${describePause(now)} already` }
  return marked(data, uid, pause)
}

function resuming(data: ClusterData, uid: KeeperUID | null): Edited {
  if (uid !== null && !data.keepers.has(uid)) return refused(noKeeper(data, uid, "strict"))
  if (pausedNow(data, uid) === undefined) {
    const whole = uid !== null && data.cluster.status.paused !== undefined
    const named = [...data.keepers.values()].filter(({ status }) => status.paused !== undefined)
    const message = whole
      ? `keeper ${uid} is paused with the whole cluster; resume that: stolon ctl resume`
      : uid === null && named.length > 0
        ? `the cluster is not paused, but ${named.map((one) => one.uid).join(", ")}: stolon ctl resume KEEPER`
        : `${whatOf(uid)} is not paused`
    return whole ? refused(message) : { kind: "unchanged", message }
  }
  return marked(data, uid, null)
}

export const whatOf = (uid: KeeperUID | null): string =>
  uid === null ? "the cluster" : `keeper ${uid}`

function marked(data: ClusterData, uid: KeeperUID | null, pause: Pause | null): Edited {
  const mark = pause === null ? {} : { paused: pause }
  if (uid === null) {
    const { paused: _, ...status } = data.cluster.status
    const cluster = { ...data.cluster, status: { ...status, ...mark } }
    return { kind: "edited", data: { ...data, cluster } }
  }
  const keeper = data.keepers.get(uid)
  if (keeper === undefined) return refused(noKeeper(data, uid, "strict"))
  const { paused: _, ...status } = keeper.status
  const changed = { ...keeper, status: { ...status, ...mark } }
  return { kind: "edited", data: { ...data, keepers: new Map(data.keepers).set(uid, changed) } }
}
