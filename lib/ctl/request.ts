/**
 * What `ctl failover` and `ctl switchover` write: a wish for the leader, which it carries out or
 * refuses and answers under its nonce. Refused here already where it is plain that it cannot be
 * fulfilled, where nobody would answer, and while another wish is under way.
 */
import type { Millis } from "#base/brand.ts"
import { duration } from "#base/duration.ts"
import { type ClusterData, dbOfKeeper, isLedByUs } from "#model/cluster.ts"
import { type KeeperUID, type Nonce, keeperUID } from "#model/ids.ts"
import { capabilities } from "#model/info.ts"
import { type Change, type Edit, type Edited, noKeeper } from "./edit.ts"
import { strangers } from "./pause.ts"
import type { Found } from "./status.ts"

export const failoverChange = (nonce: Nonce, target: KeeperUID | null): Change => ({
  edit: requestFailover(nonce, target),
  repairs: false,
  inForce: (data) => data.cluster.status.failoverRequest?.nonce === nonce,
  once: true,
})

export const switchoverChange = (
  nonce: Nonce,
  target: KeeperUID | null,
  drain: Millis,
): Change => ({
  edit: requestSwitchover(nonce, target, drain),
  repairs: false,
  inForce: ({ cluster: { status } }) =>
    status.switchover?.nonce === nonce || status.answered?.nonce === nonce,
  once: true,
})

const refused = (message: string): Edited => ({ kind: "refused", message })

const withStatus = (
  data: ClusterData,
  change: Partial<ClusterData["cluster"]["status"]>,
): Edited => {
  const { cluster } = data
  const status = { ...cluster.status, ...change }
  return { kind: "edited", data: { ...data, cluster: { ...cluster, status } } }
}

/** `failover`: for a primary that is dead or sick. */
export const requestFailover =
  (nonce: Nonce, target: KeeperUID | null): Edit =>
  (data) => {
    const { status } = data.cluster
    if (status.phase !== "normal" || status.master === "")
      return refused("the cluster has no primary yet; see: stolon ctl status")
    if (!isLedByUs(data))
      return refused(
        "the leading sentinel does not know this request (it is Go stolon's); use: stolon ctl failkeeper",
      )
    const broken = underWay(data, nonce) ?? noTarget(data, target)
    if (broken !== null) return refused(broken)
    return withStatus(data, { failoverRequest: { nonce, keeper: target ?? keeperUID("") } })
  }

/** `switchover`: for a primary that is well. */
export const requestSwitchover =
  (nonce: Nonce, target: KeeperUID | null, drain: Millis): Edit =>
  (data) => {
    const broken = strangers(data) ?? underWay(data, nonce) ?? noTarget(data, target)
    if (broken !== null) return refused(broken)
    if (data.cluster.status.primaryRevoked)
      return refused("a failover is in progress; try again when it is over: stolon ctl status")
    const keeper = target ?? keeperUID("")
    return withStatus(data, {
      switchover: { nonce, keeper, drain: duration(drain), phase: "asked" },
    })
  }

/** A sentinel of ours that is older keeps the wish and never answers it. */
export function cannotSwitch({ infos, leader }: Found): string | null {
  const info = leader === null ? undefined : infos.sentinels.get(leader)
  return info === undefined || info.capabilities.includes(capabilities.promise)
    ? null
    : `the leading sentinel ${leader} is older and does not know this request; update the sentinels first`
}

function underWay({ cluster: { status } }: ClusterData, nonce: Nonce): string | null {
  const { failoverRequest, switchover } = status
  if (failoverRequest !== undefined && failoverRequest.nonce !== nonce)
    return `another failover is pending (request ${failoverRequest.nonce}); see: stolon ctl status`
  if (switchover === undefined || switchover.nonce === nonce) return null
  const to = switchover.keeper === "" ? "" : ` to ${switchover.keeper}`
  return `a switchover${to} is under way (request ${switchover.nonce}, ${switchover.phase}); see: stolon ctl status`
}

function noTarget(data: ClusterData, target: KeeperUID | null): string | null {
  if (target === null)
    return data.dbs.size < 2 ? "there is no standby that could become the primary" : null
  const keeper = data.keepers.get(target)
  if (keeper === undefined) return noKeeper(data, target, "strict")
  const db = dbOfKeeper(data, target)
  if (db === undefined) return `keeper ${target} has no database; see: stolon ctl status`
  if (db.uid === data.cluster.status.master) return `keeper ${target} already has the primary`
  if (keeper.status.canBeMaster === false)
    return `keeper ${target} was started with --can-be-master=false`
  return null
}
