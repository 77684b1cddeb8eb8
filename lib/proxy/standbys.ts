/**
 * Who may be read from, by the view alone. What a standby is worth is judged elsewhere
 * (`readers.ts`); safety rests on this half.
 *
 * Why reads cannot make two writers. A session that was led to standby X becomes a writer's when X
 * is promoted. That is no harm while X is the primary; before another one is promoted it must not
 * be able to write any more. Where primaries run under leases X ends itself, and it is all one who
 * still leads to it (W2). Elsewhere a closed gate that each listed proxy has acknowledged, or was
 * silent for its timeout, is all there is, and a primary that falls before its gate was open closes
 * none. So there reads last no longer than the open gate: all of them end before the generation
 * that closes it is said, and with a view that has run out. Nobody waits for a proxy that is not
 * listed; it leads nobody. In both cases sessions at X end with the first view that names it.
 */
import { sortedValues } from "#base/order.ts"
import { type ClusterData, type DB, isMasterType } from "#model/cluster.ts"
import type { DBUID, KeeperUID, ProxyUID } from "#model/ids.ts"

import { type Destination, destinationOf, sameDestination } from "./gate.ts"

/** A DB that is a standby by the view, and where it is. */
export interface Standby extends Destination {
  readonly uid: DBUID
  readonly keeper: KeeperUID
}

/** Primaries end by themselves when they are deposed, and a leader of ours counts on that alone. */
export const isLeased = ({ cluster }: ClusterData): boolean =>
  cluster.spec.selfFencing === true && cluster.status.primaryEpoch !== ""

/** The standbys, by uid. None at the address of a primary, present or deposed. */
export function permitted(data: ClusterData, self: ProxyUID): readonly Standby[] {
  const { enabledProxies, masterDbUid } = data.proxy.spec
  if (!enabledProxies.includes(self)) return []
  if (!isLeased(data) && !data.dbs.has(masterDbUid)) return []
  const dbs = sortedValues(data.dbs)
  const others = dbs.filter((db) => !isStandby(data, db)).map(destinationOf)
  return dbs.flatMap((db): readonly Standby[] => {
    const at = destinationOf(db)
    if (!isStandby(data, db) || typeof at === "string") return []
    if (others.some((other) => typeof other !== "string" && sameDestination(other, at))) return []
    return [{ uid: db.uid, keeper: db.spec.keeperUID, ...at }]
  })
}

const isStandby = ({ cluster, proxy }: ClusterData, db: DB): boolean =>
  db.uid !== cluster.status.master &&
  db.uid !== proxy.spec.masterDbUid &&
  db.spec.role === "standby" &&
  !isMasterType(db) &&
  db.spec.followConfig?.type === "internal"

/** Whether `after` permits somebody whom `before` did not. */
export function permitsMore(
  before: ClusterData | null,
  after: ClusterData | null,
  self: ProxyUID,
): boolean {
  if (after === null) return false
  const known = before === null ? [] : permitted(before, self)
  return permitted(after, self).some((one) => !known.some((each) => sameStandby(each, one)))
}

/** The same DB at the same place: what is known of the one holds for the other. */
export const sameStandby = (a: Standby, b: Standby): boolean =>
  a.uid === b.uid && a.keeper === b.keeper && sameDestination(a, b)
