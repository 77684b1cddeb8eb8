/**
 * Builders for the keeper's tests: a cluster of one primary and one standby, small enough that a
 * case says only what matters to it.
 */
import { lsn } from "#base/lsn.ts"
import type { Time } from "#base/brand.ts"
import { type ClusterData, type DB, emptyDB, emptyKeeper, newClusterData } from "#model/cluster.ts"
import type { ClusterUID, Epoch, KeeperUID } from "#model/ids.ts"
import { bootUUID, dbUID, generation, keeperUID } from "#model/ids.ts"
import { type Spec, emptySpec } from "#model/spec.ts"
import type { Settings } from "#keeper/settings.ts"

export const boot = bootUUID("boot-1")
export const me = keeperUID("k1")
export const systemID = "7001"

export const settings: Settings = {
  uid: me,
  boot,
  listenAddress: "10.0.0.11",
  port: "5432",
  advertiseAddress: "10.0.0.11",
  advertisePort: "5432",
  socketDirectory: "/tmp",
  superuser: { name: "postgres", method: "md5", password: "superpw" },
  replication: { name: "repluser", method: "md5", password: "replpw" },
  canBeMaster: true,
  canBeSynchronousReplica: true,
  zone: "",
}

/** A DB as a leader writes it. */
export function db(
  uid: string,
  change: Partial<DB["spec"]> = {},
  status: Partial<DB["status"]> = {},
): DB {
  return {
    ...emptyDB,
    uid: dbUID(uid),
    generation: generation(1),
    spec: {
      ...emptyDB.spec,
      keeperUID: me,
      maxStandbys: 20,
      additionalWalSenders: 5,
      initMode: "none",
      role: "master",
      followers: [],
      ...change,
    },
    status: { ...emptyDB.status, ...status },
  }
}

/** A healthy primary elsewhere, on timeline 2 since 1000. */
export const other = (
  change: Partial<DB["spec"]> = {},
  status: Partial<DB["status"]> = {},
): DB => ({
  ...db(
    "db2",
    { keeperUID: keeperUID("k2"), ...change },
    {
      healthy: true,
      currentGeneration: generation(3),
      listenAddress: "10.0.0.12",
      port: "5433",
      systemdID: systemID,
      timelineID: 2,
      xLogPos: lsn(2000n),
      timelinesHistory: [
        { timelineID: 1, switchPoint: lsn(1000n), reason: "no recovery target specified" },
      ],
      ...status,
    },
  ),
  generation: generation(3),
})

export interface Wish {
  readonly spec?: Partial<Spec>
  readonly dbs?: readonly DB[]
  readonly epoch?: string
  readonly master?: string
  readonly revoked?: boolean
  readonly boot?: string
}

export function view({
  spec = {},
  dbs = [],
  epoch = "",
  master = "db1",
  revoked = false,
  ...rest
}: Wish = {}): ClusterData {
  const data = newClusterData(
    "c1" as ClusterUID,
    { ...emptySpec, initMode: "new", ...spec },
    "2026-01-01T00:00:00Z" as Time,
  )
  const keepers = [me, keeperUID("k2")].map((uid): [KeeperUID, typeof emptyKeeper] => [
    uid,
    {
      ...emptyKeeper,
      uid,
      status: { ...emptyKeeper.status, healthy: true, bootUUID: bootUUID(rest.boot ?? boot) },
    },
  ])
  return {
    ...data,
    cluster: {
      ...data.cluster,
      status: {
        ...data.cluster.status,
        phase: "normal",
        master: dbUID(master),
        primaryEpoch: epoch as Epoch,
        primaryRevoked: revoked,
      },
    },
    keepers: new Map(keepers),
    dbs: new Map(dbs.map((one) => [one.uid, one])),
  }
}

export const followsOther = {
  role: "standby",
  followConfig: { type: "internal", dbuid: dbUID("db2") },
} as const
