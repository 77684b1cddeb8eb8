/**
 * What `status` says of the machinery that keeps the primary the only one: fencing, promises, the
 * endpoint for peers, and what operators asked of the leader last. A line each, and none where
 * there is nothing to say; `explain` has the rest.
 */
import type { Millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import { sortedValues } from "#base/order.ts"
import type { Answered, ClusterData, Switchover } from "#model/cluster.ts"
import type { KeeperUID } from "#model/ids.ts"
import { type Infos, type KeeperInfo, capabilities } from "#model/info.ts"
import type { Json } from "#model/json.ts"
import type { Found } from "./status.ts"

export interface Safety {
  /** What the specification says; null: nothing. */
  readonly fencing: boolean | null
  /** The lease that the primary claims to run under; null: none. */
  readonly lease: Millis | null
  /** Keepers fence themselves, but the specification has lost the setting (L6). */
  readonly dropped: boolean
  /** Keepers of ours without an endpoint for peers. */
  readonly mute: readonly KeeperUID[]
  /** Who has promised whom to promote nobody (O2). */
  readonly promises: readonly { readonly by: KeeperUID; readonly to: KeeperUID }[]
  readonly switchover: Switchover | null
  readonly answered: Answered | null
}

export function safetyOf({ data, infos }: Found): Safety {
  const keepers = sortedValues(infos.keepers)
  const fencing = data?.cluster.spec.selfFencing ?? null
  const lease = data === null ? null : leaseOf(data, infos)
  const fenced = keepers.some((info) => info.fencing !== undefined)
  return {
    fencing,
    lease,
    dropped: fencing === null && fenced,
    mute: keepers.filter(isMute).map(({ uid }) => uid),
    promises: keepers.flatMap(({ uid, promise }) =>
      promise === undefined ? [] : [{ by: uid, to: promise.keeper }],
    ),
    switchover: data?.cluster.status.switchover ?? null,
    answered: data?.cluster.status.answered ?? null,
  }
}

function leaseOf(data: ClusterData, infos: Infos): Millis | null {
  const keeper = data.dbs.get(data.cluster.status.master)?.spec.keeperUID
  const fencing = keeper === undefined ? undefined : infos.keepers.get(keeper)?.fencing
  return fencing === undefined ? null : toMillis(fencing.lease)
}

const isMute = (info: KeeperInfo): boolean =>
  info.capabilities.includes(capabilities.promise) && info.peerAddress === ""

/** Lines below the primary's. */
export function safetyLines(safety: Safety): readonly string[] {
  const { mute, promises, switchover, answered } = safety
  const peers =
    mute.length === 0 || safety.fencing !== true
      ? []
      : [
          `Peers: off on ${mute.join(", ")}; without them the primary stops when the store is gone (no replication password?)`,
        ]
  const promised = promises.map(
    ({ by, to }) => `Promise: ${by} promotes nobody while ${to} cannot reach the store`,
  )
  return [
    fencingLine(safety),
    ...peers,
    ...promised,
    ...(switchover === null ? [] : [switchoverLine(switchover)]),
    ...(answered === null || answered.done ? [] : [`Last request: not as asked: ${answered.why}`]),
  ]
}

function fencingLine({ fencing, lease, dropped }: Safety): string {
  const under = lease === null ? "" : `, the primary runs under a lease of ${lease / 1000} s`
  if (dropped)
    return `Fencing: on${under}, but the specification has lost the setting (a Go sentinel dropped it); our leader restores it`
  if (fencing === true)
    return `Fencing: on${under === "" ? ", no primary runs under a lease yet" : under}`
  return fencing === false ? "Fencing: off, by the specification" : "Fencing: off, as in Go stolon"
}

export const switchoverLine = ({ keeper, phase, nonce }: Switchover): string =>
  `Switchover: ${keeper === "" ? "to whom is not chosen yet" : `to ${keeper}`}, ${phase || "asked"} (request ${nonce})`

/** For programs; field names are an interface. */
export const safetyValue = (safety: Safety): Json => ({
  selfFencing: safety.fencing,
  leaseSeconds: safety.lease === null ? null : safety.lease / 1000,
  dropped: safety.dropped,
  withoutPeers: [...safety.mute],
  promises: safety.promises.map(({ by, to }) => ({ by, to })),
  switchover: switchoverValue(safety.switchover),
  answered: answeredValue(safety.answered),
})

export const switchoverValue = (switchover: Switchover | null): Json =>
  switchover === null
    ? null
    : {
        request: switchover.nonce,
        keeper: switchover.keeper,
        phase: switchover.phase || "asked",
        waiting: switchover.waiting ?? null,
      }

const answeredValue = (answered: Answered | null): Json =>
  answered === null ? null : { request: answered.nonce, done: answered.done, why: answered.why }
