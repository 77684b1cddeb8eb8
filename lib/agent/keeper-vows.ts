/**
 * What the keeper's other loops note for promises (protocol part 4): views, renewals, and what was
 * on disk. Apart from the loops that use it, because they use the lease's in turn.
 */
import type { Millis } from "#base/brand.ts"
import type { Asker } from "#keeper/desire.ts"
import { bound, electableOf } from "#keeper/promise.ts"
import type { ClusterData } from "#model/cluster.ts"
import { event } from "#model/events.ts"
import type { ClusterUID } from "#model/ids.ts"
import type { Local } from "#model/local.ts"
import type { Keeper } from "./keeper-state.ts"

/** Empty before the keeper belongs to one. */
export const clusterOf = ({ local }: Keeper): ClusterUID | "" => local?.keeper.clusterUID ?? ""

/** Whether this keeper can do its part of it; others count on what it advertises (O5). */
export const canPromise = ({ ports }: Keeper): boolean =>
  ports.peers.signs && ports.endpoint.address !== ""

/** Who this keeper is, to whatever judges views. */
export const asker = (keeper: Keeper): Asker => ({
  uid: keeper.options.uid,
  boot: keeper.ports.postgres.boot,
  certificate: keeper.local?.certificate ?? null,
})

/**
 * After a view was read, by whomever: what it says about electing counts from now (O3). Of two
 * reads that overlap nobody knows which saw the newer view, and a set that was published must not
 * be forgotten for an older one: only a read counts that began after the last that counted ended.
 */
export function noteView(keeper: Keeper, data: ClusterData | null, readAt: Millis): void {
  const { promises, ports } = keeper
  if (promises.newest !== null && readAt < promises.newest.notedAt) return
  promises.newest = { data, notedAt: ports.clock.now().mono }
  keeper.electable = electableOf(data, asker(keeper))
}

/** After a renewal that succeeded and was begun at `start`. */
export function noteRenewal({ promises }: Keeper, start: Millis): void {
  promises.renewed = start
  promises.asked = null
  promises.said = ""
  promises.due.ring()
}

/**
 * Before the first plan: a promise that was on disk binds for its whole width again, since nobody
 * knows how long this keeper was away.
 */
export function recall(keeper: Keeper, { promise }: Local): void {
  const { promises, ports } = keeper
  if (promises.recalled) return
  promises.recalled = true
  if (promise === null) return
  keeper.promised = bound(keeper.promised, promise, ports.clock.now().mono)
  ports.log.event(event("promise.recalled", { to: promise.keeper, epoch: promise.epoch }))
  promises.made.ring()
}
