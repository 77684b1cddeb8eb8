/**
 * What clients may take each keeper for, as a platform's labels show it: the primary is the one
 * that the gate leads to, and while the gate is closed there is none. Follows from the document
 * alone. Nothing that decides may read it back.
 */
import { sortedValues } from "#base/order.ts"
import type { ClusterData } from "#model/cluster.ts"
import type { KeeperUID } from "#model/ids.ts"

type Role = "primary" | "standby"

export function rolesOf(data: ClusterData): ReadonlyMap<KeeperUID, Role> {
  const { masterDbUid } = data.proxy.spec
  const roles = new Map<KeeperUID, Role>()
  for (const { uid, spec } of sortedValues(data.dbs)) {
    if (masterDbUid !== "" && uid === masterDbUid) roles.set(spec.keeperUID, "primary")
    else if (spec.role === "standby" && roles.get(spec.keeperUID) === undefined)
      roles.set(spec.keeperUID, "standby")
  }
  return roles
}
