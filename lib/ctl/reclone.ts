/**
 * `ctl reclone`: whether a standby's copy may be given up for a fresh one, and how far that is. The
 * leader checks the same again when it acts; here a person learns beforehand what is in the way.
 */
import type { ClusterData } from "#model/cluster.ts"
import { dbOfKeeper } from "#model/cluster.ts"
import type { DBUID, KeeperUID, Nonce } from "#model/ids.ts"
import { withDefaults } from "#model/spec.ts"
import type { Found } from "./status.ts"
import { ask, disturbance, isWell } from "./wishes.ts"

/** Why not; null: it may be. */
export function recloneRefusal(
  found: Found & { readonly data: ClusterData },
  uid: KeeperUID,
): string | null {
  const { data } = found
  const hindrance = disturbance(data, uid)
  if (hindrance !== null) return hindrance
  const asked = ask(found, uid)
  if (typeof asked === "string") return asked
  const { master } = data.cluster.status
  if (asked.db.uid === master)
    return `keeper ${uid} has the primary; move it first: stolon ctl switchover`
  if (asked.db.spec.role !== "standby") return `keeper ${uid} has no standby`
  const primary = data.dbs.get(master)
  const source = primary?.spec.keeperUID
  if (primary === undefined || source === undefined || !isWell(found, source))
    return "there is no healthy primary to copy from; this may be the last good copy"
  return indispensable(found, asked.db.uid)
}

/** Commits wait for it, and nobody could take its place. */
function indispensable({ data }: { readonly data: ClusterData }, db: DBUID): string | null {
  const primary = data.dbs.get(data.cluster.status.master)
  const named = primary?.spec.synchronousStandbys ?? []
  if (primary?.spec.synchronousReplication !== true || !named.includes(db)) return null
  const { minSynchronousStandbys: min } = withDefaults(data.cluster.spec)
  const others = [...data.dbs.values()].filter(
    ({ uid, spec, status }) =>
      uid !== db &&
      spec.role === "standby" &&
      status.healthy &&
      data.keepers.get(spec.keeperUID)?.status.canBeSynchronousReplica !== false,
  )
  return others.length >= Math.max(1, min)
    ? null
    : "commits wait for this synchronous standby and no other could take its place; add a standby first"
}

/** For the question: what is at stake. */
export const atStake = (uid: KeeperUID, discardOld: boolean): string =>
  discardOld
    ? `WARNING: The copy of keeper ${uid} is removed before the new one is made; until that is complete there is one copy less. What only this copy has, such as commits of an old primary that no standby got, is gone for good.\n`
    : `The copy of keeper ${uid} is replaced by a fresh one of the primary; the old one is set aside until that has proved itself.\n`

export type Progress =
  | { readonly kind: "waiting"; readonly line: string }
  | { readonly kind: "done" }
  | { readonly kind: "refused" }

/** @param before The DB that the keeper had. */
export function recloneProgress(
  found: Found,
  uid: KeeperUID,
  before: DBUID,
  nonce: Nonce,
): Progress {
  const { data, infos } = found
  if (data === null) return { kind: "waiting", line: "there is no cluster data" }
  const db = dbOfKeeper(data, uid)
  const wish = data.keepers.get(uid)?.status.wishes?.reclone
  if (db === undefined || db.uid === before)
    return wish?.nonce === nonce
      ? { kind: "waiting", line: "waiting for the leading sentinel" }
      : { kind: "refused" }
  if (isWell(found, uid)) return { kind: "done" }
  const state = infos.keepers.get(uid)?.postgresState
  const work = state?.uid === db.uid ? state.work : ""
  return {
    kind: "waiting",
    line: `keeper ${uid}: ${work === "" ? "gets ready" : work}`,
  }
}
