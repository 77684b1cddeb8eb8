/**
 * What operators ask of a running cluster beside its specification: to keep hands off (`ctl
 * pause`), to move to another store (`ctl store migrate`), and single acts on one keeper (`ctl
 * restart`, `reload`, `reclone`). Extensions: a Go leader drops them on its next write, and then
 * nothing is paused and nothing is done, which harms nobody (G2); a move does not begin while Go's
 * components are there.
 *
 * A wish is fulfilled once. Its nonce says which one it was, in the document, on the keeper's disk
 * and in its info; the leader takes fulfilled wishes out again.
 */
import { type Value, always, flag, id, maybe, omit, struct, text, time, word } from "./codec.ts"
import type { ClusterData } from "./cluster.ts"
import type { KeeperUID, Nonce } from "./ids.ts"

/** Hands off: nothing is done to PostgreSQL that nobody asked for. Safety is never paused. */
export const Pause = struct({
  since: always(time),
  by: omit(text, "who paused, as user@host"),
  reason: omit(text),
})

/**
 * The cluster is on its way from one store to another, and this document is one of the two. Nobody
 * is deposed by either, because neither sees everybody (M1). The end that it comes from is left for
 * good once its primary is revoked; then this says where the cluster is now.
 */
export const Move = struct({
  nonce: omit(id<Nonce>(), "names the move, the same in both documents"),
  end: omit(word("from", "to"), "which of the two this is"),
  other: omit(text, "the other store, for people: `etcdv3 http://10.0.0.1:2379`"),
  by: omit(text, "who moves it, as user@host"),
  since: always(time),
})

const wish = {
  nonce: omit(id<Nonce>(), "names the wish until it is fulfilled"),
  by: omit(text, "who asked, as user@host"),
  since: always(time),
}
export const Wish = struct(wish)
export const RecloneWish = struct({
  ...wish,
  discardOld: omit(flag, "remove the old copy before the new one is made"),
})
export const Wishes = struct({
  restart: maybe(Wish, "the keeper restarts PostgreSQL"),
  reload: maybe(Wish, "the keeper writes its configuration anew and has it loaded"),
  reclone: maybe(RecloneWish, "the leader gives the keeper a new DB that is copied afresh"),
})
export type Pause = Value<typeof Pause>
export type Move = Value<typeof Move>
export type Wish = Value<typeof Wish>
export type RecloneWish = Value<typeof RecloneWish>
export type Wishes = Value<typeof Wishes>

/** The pause that a keeper is under: its own, else the cluster's; null: none. */
export const pauseOf = (data: ClusterData, keeper: KeeperUID): Pause | null =>
  data.keepers.get(keeper)?.status.paused ?? data.cluster.status.paused ?? null

/** For people: `paused by ann@db1 since 2026-01-01T00:00:00Z (kernel update)`. */
export const describePause = ({ by, since, reason }: Pause): string =>
  `paused by ${by === "" ? "somebody" : by} since ${since}${reason === "" ? "" : ` (${reason})`}`

/** It is on its way, or it has left for good. */
export const hasLeft = ({ cluster: { status } }: ClusterData): boolean =>
  status.move?.end === "from" && status.primaryRevoked

/** For people: `the cluster is on its way to etcdv3 http://10.0.0.1:2379`; null: it is not. */
export function describeMove(data: ClusterData): string | null {
  const { move } = data.cluster.status
  if (move === undefined) return null
  if (hasLeft(data)) return `the cluster has moved to ${move.other}`
  const whither = move.end === "from" ? "to" : "here from"
  return `the cluster is on its way ${whither} ${move.other} (${move.by}, since ${move.since})`
}
