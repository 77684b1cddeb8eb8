/**
 * Whether a keeper has the last copy that could still become the primary (N4, P3). While the
 * primary is down, forgetting it would leave the cluster with nothing to elect, and its data only
 * in a directory that nobody looks after.
 */
import { type ClusterData, type DB, dbOfKeeper } from "#model/cluster.ts"
import type { KeeperUID } from "#model/ids.ts"

/** Why `removekeeper` refuses; null: it may go. */
export function lastHope(data: ClusterData, uid: KeeperUID): string | null {
  const { master, primaryRevoked } = data.cluster.status
  const primary = data.dbs.get(master)
  const db = dbOfKeeper(data, uid)
  if (primary === undefined || db === undefined || db.uid === master) return null
  const serves =
    !primaryRevoked &&
    primary.status.healthy &&
    data.keepers.get(primary.spec.keeperUID)?.status.healthy === true
  if (serves || !mayBeElected(data, primary, db)) return null
  const other = [...data.dbs.values()].some(
    (one) =>
      one.uid !== db.uid &&
      one.status.healthy &&
      data.keepers.get(one.spec.keeperUID)?.status.healthy === true &&
      mayBeElected(data, primary, one),
  )
  return other
    ? null
    : `the primary is down, and keeper ${uid} has the only copy that could take over; bring the primary back first (to give these data up: --i-understand-data-loss)`
}

/** Complete, allowed, and in synchronous mode confirmed to have every acknowledged commit. */
function mayBeElected(data: ClusterData, primary: DB, db: DB): boolean {
  if (db.uid === primary.uid || db.spec.role !== "standby" || db.status.currentGeneration === 0)
    return false
  if (data.keepers.get(db.spec.keeperUID)?.status.canBeMaster === false) return false
  if (!primary.spec.synchronousReplication) return true
  return [primary.spec.synchronousStandbys, primary.status.synchronousStandbys].every(
    (all) => all?.includes(db.uid) === true,
  )
}
