/**
 * Wishes for one keeper as changes of the cluster data (`ctl restart`, `reload`, `reclone`), and
 * what every such command checks before it writes one. A wish that its command no longer waits for
 * is taken back, so that nothing restarts an hour later.
 */
import { type ClusterData, type DB, dbOfKeeper } from "#model/cluster.ts"
import { sortedKeys } from "#base/order.ts"
import type { KeeperUID, Nonce } from "#model/ids.ts"
import { type KeeperInfo, capabilities } from "#model/info.ts"
import { type RecloneWish, type Wishes, describePause, pauseOf } from "#model/wish.ts"
import type { Change, Edited } from "./edit.ts"
import { noKeeper } from "./edit.ts"
import { strangers } from "./pause.ts"
import type { Found } from "./status.ts"

export type WishKind = keyof Wishes

/** Writes the wish; refused while another of its kind is open, which somebody else waits for. */
export const wishChange = (kind: WishKind, uid: KeeperUID, wish: RecloneWish): Change => ({
  edit: (data) => {
    const strange = strangers(data)
    if (strange !== null) return { kind: "refused", message: strange }
    const open = data.keepers.get(uid)?.status.wishes?.[kind]
    if (open !== undefined && open.nonce !== wish.nonce)
      return {
        kind: "refused",
        message: `another ${kind} of keeper ${uid} is pending (asked for by ${open.by} at ${open.since})`,
      }
    return withWishes(data, uid, (wishes) => ({ ...wishes, [kind]: wish }))
  },
  inForce: (data) => data.keepers.get(uid)?.status.wishes?.[kind]?.nonce === wish.nonce,
  once: true,
  repairs: false,
})

/** Takes an own wish back; unchanged when it is gone. */
export const withdrawal = (kind: WishKind, uid: KeeperUID, nonce: Nonce): Change => ({
  edit: (data) =>
    data.keepers.get(uid)?.status.wishes?.[kind]?.nonce === nonce
      ? withWishes(data, uid, (wishes) => without(wishes, kind))
      : { kind: "unchanged", message: "the request is gone" },
  inForce: (data) => data.keepers.get(uid)?.status.wishes?.[kind]?.nonce !== nonce,
  once: false,
  repairs: true,
})

function without(wishes: Wishes, kind: WishKind): Wishes {
  const { [kind]: _, ...rest } = wishes
  return rest
}

function withWishes(data: ClusterData, uid: KeeperUID, change: (wishes: Wishes) => Wishes): Edited {
  const keeper = data.keepers.get(uid)
  if (keeper === undefined) return { kind: "refused", message: noKeeper(data, uid, "strict") }
  const { wishes, ...status } = keeper.status
  const next = change(wishes ?? {})
  const none = Object.keys(next).length === 0
  const changed = { ...keeper, status: none ? status : { ...status, wishes: next } }
  return { kind: "edited", data: { ...data, keepers: new Map(data.keepers).set(uid, changed) } }
}

/** A keeper that can be asked, with its DB and what it says of it. */
export interface Asked {
  readonly uid: KeeperUID
  readonly db: DB
  readonly info: KeeperInfo
}

/** The keeper, or why it cannot be asked. */
export function ask(found: Found & { readonly data: ClusterData }, uid: KeeperUID): Asked | string {
  const { data, infos } = found
  const keeper = data.keepers.get(uid)
  if (keeper === undefined) return noKeeper(data, uid, "strict")
  const db = dbOfKeeper(data, uid)
  if (db === undefined) return `keeper ${uid} has no database; see: stolon ctl status`
  const info = infos.keepers.get(uid)
  if (info === undefined || !keeper.status.healthy)
    return `keeper ${uid} is silent; it could not do it`
  if (!info.capabilities.includes(capabilities.wishes))
    return `keeper ${uid} does not know this request (it is Go stolon's, or older)`
  return { uid, db, info }
}

/** Why nothing that disturbs is done now; null: nothing is in the way. */
export function disturbance(data: ClusterData, uid: KeeperUID | null): string | null {
  const strange = strangers(data)
  if (strange !== null) return strange
  const { status } = data.cluster
  if (status.primaryRevoked || status.failoverRequest !== undefined)
    return "a failover is in progress; try again when it is over: stolon ctl status"
  const pause = uid === null ? status.paused : pauseOf(data, uid)
  return pause === null || pause === undefined
    ? null
    : `${uid === null || status.paused !== undefined ? "the cluster" : `keeper ${uid}`} is ${describePause(pause)}; first: stolon ctl resume`
}

/** PostgreSQL of the keeper is up, has applied what is wanted, and does its part. */
export function isWell({ data, infos }: Found, uid: KeeperUID): boolean {
  const db = data === null ? undefined : dbOfKeeper(data, uid)
  const state = infos.keepers.get(uid)?.postgresState
  if (data === null || db === undefined || state === undefined) return false
  const applied = state.uid === db.uid && state.healthy && state.generation === db.generation
  if (!applied) return false
  return db.uid === data.cluster.status.master
    ? state.acceptsClients && db.status.healthy && data.proxy.spec.masterDbUid === db.uid
    : state.streaming && db.status.healthy
}

export type Reloads =
  | {
      readonly kind: "targets"
      readonly keepers: readonly KeeperUID[]
      /** Why others are left out. */
      readonly skipped: readonly string[]
    }
  | { readonly kind: "refused"; readonly message: string }

/** Whom `ctl reload` asks: the named one, else all that can be asked. A pause is no hindrance. */
export function reloadTargets(
  found: Found & { readonly data: ClusterData },
  uid: KeeperUID | null,
): Reloads {
  const strange = strangers(found.data)
  if (strange !== null) return { kind: "refused", message: strange }
  const all = uid === null ? sortedKeys(found.data.keepers) : [uid]
  const answers = all.map((one) => ask(found, one))
  const skipped = answers.filter((answer) => typeof answer === "string")
  const [first] = skipped
  if (skipped.length === answers.length)
    return { kind: "refused", message: first ?? "there is no keeper" }
  const keepers = answers.flatMap((answer) => (typeof answer === "string" ? [] : [answer.uid]))
  return { kind: "targets", keepers, skipped }
}
