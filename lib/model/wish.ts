/**
 * What operators ask of a running cluster beside its specification: to keep hands off (`ctl
 * pause`), and single acts on one keeper (`ctl restart`, `reload`, `reclone`). Extensions: a Go
 * leader drops them on its next write, and then nothing is paused and nothing is done, which harms
 * nobody (G2).
 *
 * A wish is fulfilled once. Its nonce says which one it was, in the document, on the keeper's disk
 * and in its info; the leader takes fulfilled wishes out again.
 */
import { type Value, always, flag, id, maybe, omit, struct, text, time } from "./codec.ts"
import type { ClusterData } from "./cluster.ts"
import type { KeeperUID, Nonce } from "./ids.ts"

/** Hands off: nothing is done to PostgreSQL that nobody asked for. Safety is never paused. */
export const Pause = struct({
  since: always(time),
  by: omit(text, "who paused, as user@host"),
  reason: omit(text),
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
export type Wish = Value<typeof Wish>
export type RecloneWish = Value<typeof RecloneWish>
export type Wishes = Value<typeof Wishes>

/** The pause that a keeper is under: its own, else the cluster's; null: none. */
export const pauseOf = (data: ClusterData, keeper: KeeperUID): Pause | null =>
  data.keepers.get(keeper)?.status.paused ?? data.cluster.status.paused ?? null

/** For people: `paused by ann@db1 since 2026-01-01T00:00:00Z (kernel update)`. */
export const describePause = ({ by, since, reason }: Pause): string =>
  `paused by ${by === "" ? "somebody" : by} since ${since}${reason === "" ? "" : ` (${reason})`}`
