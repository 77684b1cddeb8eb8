/**
 * Copies the cluster specification into the DBs and stamps what changed: generations, change times,
 * the writer's nonce (reference 5.9, G5).
 */
import type { Time } from "#base/brand.ts"
import { sortedValues } from "#base/order.ts"
import {
  Cluster,
  type ClusterData,
  DB,
  DBSpec,
  Keeper,
  Proxy,
  isMasterType,
} from "#model/cluster.ts"
import { same } from "#model/codec.ts"
import { type Nonce, nextGeneration } from "#model/ids.ts"
import { type FullSpec, withDefaults } from "#model/spec.ts"
import type { Reducer } from "./round.ts"

export const deriveSpecs: Reducer = (data) => {
  // the specification as this round leaves it: initialisation merges parameters in the same write
  const spec = withDefaults(data.cluster.spec)
  const dbs = new Map(data.dbs)
  for (const db of sortedValues(data.dbs)) dbs.set(db.uid, { ...db, spec: derived(db, spec) })
  return { ...data, dbs }
}

function derived(db: DB, spec: FullSpec): DBSpec {
  const { followConfig } = db.spec
  const master = isMasterType(db)
  return {
    ...db.spec,
    requestTimeout: spec.requestTimeout,
    maxStandbys: spec.maxStandbys,
    usePgrewind: spec.usePgrewind,
    pgParameters: spec.pgParameters,
    pgHBA: spec.pgHBA,
    additionalWalSenders: spec.additionalWalSenders,
    additionalReplicationSlots: master ? spec.additionalMasterReplicationSlots : null,
    ...(followConfig?.type === "external"
      ? { followConfig: { ...external(spec), dbuid: followConfig.dbuid } }
      : {}),
  }
}
type FollowConfig = NonNullable<DBSpec["followConfig"]>
/** What the primary of a standby cluster follows. */
export function external(
  spec: FullSpec,
): Omit<FollowConfig, "dbuid"> & { readonly type: "external" } {
  const config = spec.standbyConfig
  return {
    type: "external",
    ...(config?.standbySettings === undefined ? {} : { standbySettings: config.standbySettings }),
    ...(config?.archiveRecoverySettings === undefined
      ? {}
      : { archiveRecoverySettings: config.archiveRecoverySettings }),
  }
}

/**
 * A DB whose spec differs from the one that was read is one generation further. One that does not
 * differ stays the same object: nobody has to compare it again.
 */
export function raiseGenerations(before: ClusterData, after: ClusterData): ClusterData {
  const dbs = new Map(after.dbs)
  for (const db of sortedValues(after.dbs)) {
    const old = before.dbs.get(db.uid)
    if (old === undefined) continue
    const generation = nextGeneration(old.generation)
    dbs.set(
      db.uid,
      same(DBSpec, old.spec, db.spec) ? { ...db, spec: old.spec } : { ...db, generation },
    )
  }
  return { ...after, dbs }
}

/** Change times of what differs (5.2 step 8) and the nonce of this write (W5). */
export function stamp(
  before: ClusterData,
  after: ClusterData,
  nonce: Nonce,
  now: Time,
): ClusterData {
  const marked: ClusterData = {
    ...after,
    cluster: { ...after.cluster, status: { ...after.cluster.status, writer: nonce } },
  }
  return {
    ...marked,
    changeTime: now,
    // the nonce alone is no change of the cluster
    cluster: same(Cluster, before.cluster, after.cluster)
      ? marked.cluster
      : { ...marked.cluster, changeTime: now },
    proxy: same(Proxy, before.proxy, after.proxy)
      ? after.proxy
      : { ...after.proxy, changeTime: now },
    keepers: new Map(
      [...after.keepers].map(([uid, keeper]) => {
        const old = before.keepers.get(uid)
        return [
          uid,
          old !== undefined && same(Keeper, old, keeper) ? keeper : { ...keeper, changeTime: now },
        ]
      }),
    ),
    dbs: new Map(
      [...after.dbs].map(([uid, db]) => {
        const old = before.dbs.get(uid)
        return [uid, old !== undefined && same(DB, old, db) ? db : { ...db, changeTime: now }]
      }),
    ),
  }
}
