/**
 * The structs that Go components keep in the store, field by field in the order of reference 2.1
 * and 3.4. Written from those tables alone; nothing of ours beyond Go's fields may ever appear
 * here, because what a Go component drops is exactly what this table does not name.
 */
import {
  type Value,
  GoPanic,
  always,
  bool,
  dictionary,
  duration,
  int,
  list,
  marshal,
  omit,
  pointer,
  struct,
  text,
  time,
  uint,
  uint16,
  uint32,
  uint64,
  unmarshal,
} from "./codec.ts"

const NewConfig = struct({
  locale: omit(text),
  encoding: omit(text),
  dataChecksums: omit(bool),
})
const ArchiveRecoverySettings = struct({ restoreCommand: omit(text) })
const RecoveryTargetSettings = struct({
  recoveryTarget: omit(text),
  recoveryTargetLsn: omit(text),
  recoveryTargetName: omit(text),
  recoveryTargetTime: omit(text),
  recoveryTargetXid: omit(text),
  recoveryTargetTimeline: omit(text),
})
const PITRConfig = struct({
  dataRestoreCommand: omit(text),
  archiveRecoverySettings: omit(pointer(ArchiveRecoverySettings)),
  recoveryTargetSettings: omit(pointer(RecoveryTargetSettings)),
})
const StandbySettings = struct({
  primaryConninfo: omit(text),
  primarySlotName: omit(text),
  recoveryMinApplyDelay: omit(text),
})
const StandbyConfig = struct({
  standbySettings: omit(pointer(StandbySettings)),
  archiveRecoverySettings: omit(pointer(ArchiveRecoverySettings)),
})

export const GoSpec = struct({
  sleepInterval: omit(pointer(duration)),
  requestTimeout: omit(pointer(duration)),
  convergenceTimeout: omit(pointer(duration)),
  initTimeout: omit(pointer(duration)),
  syncTimeout: omit(pointer(duration)),
  dbWaitReadyTimeout: omit(pointer(duration)),
  failInterval: omit(pointer(duration)),
  deadKeeperRemovalInterval: omit(pointer(duration)),
  proxyCheckInterval: omit(pointer(duration)),
  proxyTimeout: omit(pointer(duration)),
  maxStandbys: omit(pointer(uint16)),
  maxStandbysPerSender: omit(pointer(uint16)),
  maxStandbyLag: omit(pointer(uint32)),
  synchronousReplication: omit(pointer(bool)),
  minSynchronousStandbys: omit(pointer(uint16)),
  maxSynchronousStandbys: omit(pointer(uint16)),
  additionalWalSenders: always(pointer(uint16)),
  additionalMasterReplicationSlots: always(list(text)),
  usePgrewind: omit(pointer(bool)),
  initMode: omit(pointer(text)),
  mergePgParameters: omit(pointer(bool)),
  role: omit(pointer(text)),
  newConfig: omit(pointer(NewConfig)),
  pitrConfig: omit(pointer(PITRConfig)),
  existingConfig: omit(pointer(struct({ keeperUID: omit(text) }))),
  standbyConfig: omit(pointer(StandbyConfig)),
  defaultSUReplAccessMode: omit(pointer(text)),
  pgParameters: omit(dictionary(text)),
  pgHBA: always(list(text)),
  automaticPgRestart: always(pointer(bool)),
})

const Cluster = struct({
  uid: omit(text),
  generation: omit(int),
  changeTime: always(time),
  spec: omit(pointer(GoSpec)),
  status: always(struct({ currentGeneration: omit(int), phase: omit(text), master: omit(text) })),
})
const BinaryVersion = struct({ Maj: always(int), Min: always(int) })
export const GoKeeper = struct({
  uid: omit(text),
  generation: omit(int),
  changeTime: always(time),
  spec: always(struct({})),
  status: always(
    struct({
      healthy: omit(bool),
      lastHealthyTime: always(time),
      bootUUID: omit(text),
      postgresBinaryVersion: always(BinaryVersion),
      forceFail: omit(bool),
      canBeMaster: omit(pointer(bool)),
      canBeSynchronousReplica: omit(pointer(bool)),
    }),
  ),
})
const FollowConfig = struct({
  type: omit(text),
  dbuid: omit(text),
  standbySettings: omit(pointer(StandbySettings)),
  archiveRecoverySettings: omit(pointer(ArchiveRecoverySettings)),
})
export const GoDBSpec = struct({
  keeperUID: omit(text),
  requestTimeout: always(duration),
  maxStandbys: omit(uint16),
  synchronousReplication: omit(bool),
  usePgrewind: omit(bool),
  additionalWalSenders: always(uint16),
  additionalReplicationSlots: always(list(text)),
  initMode: omit(text),
  newConfig: omit(pointer(NewConfig)),
  pitrConfig: omit(pointer(PITRConfig)),
  pgParameters: omit(dictionary(text)),
  pgHBA: always(list(text)),
  role: omit(text),
  followConfig: omit(pointer(FollowConfig)),
  followers: always(list(text)),
  includePreviousConfig: omit(bool),
  synchronousStandbys: always(list(text)),
  externalSynchronousStandbys: always(list(text)),
})
const TimelineHistory = struct({
  timelineID: omit(uint),
  switchPoint: omit(uint64),
  reason: omit(text),
})
const GoDBStatus = struct({
  healthy: omit(bool),
  currentGeneration: omit(int),
  listenAddress: omit(text),
  port: omit(text),
  systemdID: omit(text),
  timelineID: omit(uint),
  xLogPos: omit(uint64),
  timelinesHistory: omit(list(TimelineHistory)),
  pgParameters: omit(dictionary(text)),
  synchronousStandbys: always(list(text)),
  olderWalFile: omit(text),
})
export const GoDB = struct({
  uid: omit(text),
  generation: omit(int),
  changeTime: always(time),
  spec: always(GoDBSpec),
  status: always(GoDBStatus),
})
const GoProxy = struct({
  uid: omit(text),
  generation: omit(int),
  changeTime: always(time),
  spec: always(struct({ masterDbUid: omit(text), enabledProxies: omit(list(text)) })),
  status: always(struct({})),
})
export const GoClusterData = struct({
  formatVersion: always(uint),
  changeTime: always(time),
  cluster: always(pointer(Cluster)),
  keepers: always(dictionary(GoKeeper)),
  dbs: always(dictionary(GoDB)),
  proxy: always(pointer(GoProxy)),
})

export const GoPostgresState = struct({
  uid: omit(text),
  generation: omit(int),
  listenAddress: omit(text),
  port: omit(text),
  healthy: omit(bool),
  systemID: omit(text),
  timelineID: omit(uint),
  xLogPos: omit(uint64),
  timelinesHistory: omit(list(TimelineHistory)),
  pgParameters: omit(dictionary(text)),
  synchronousStandbys: always(list(text)),
  olderWalFile: omit(text),
})
export const GoKeeperInfo = struct({
  infoUID: omit(text),
  uid: omit(text),
  clusterUID: omit(text),
  bootUUID: omit(text),
  postgresBinaryVersion: always(BinaryVersion),
  postgresState: omit(pointer(GoPostgresState)),
  canBeMaster: omit(pointer(bool)),
  canBeSynchronousReplica: omit(pointer(bool)),
})
export const GoSentinelInfo = struct({ UID: always(text) })
export const GoProxyInfo = struct({
  infoUID: omit(text),
  UID: always(text),
  Generation: always(int),
  ProxyTimeout: always(uint),
})
/** The keeper's files: no tags, so every key is capitalised and always there (4.1). */
export const GoKeeperState = struct({ UID: always(text), ClusterUID: always(text) })
export const GoDBState = struct({
  UID: always(text),
  Generation: always(int),
  Initializing: always(bool),
  InitPGParameters: always(dictionary(text)),
})

export type GoSpec = Value<typeof GoSpec>
export type GoKeeper = Value<typeof GoKeeper>
export type GoDB = Value<typeof GoDB>
export type GoDBSpec = Value<typeof GoDBSpec>
export type GoDBStatus = Value<typeof GoDBStatus>
export type GoPostgresState = Value<typeof GoPostgresState>
export type GoKeeperInfo = Value<typeof GoKeeperInfo>
export type GoProxyInfo = Value<typeof GoProxyInfo>
export type GoKeeperState = Value<typeof GoKeeperState>
export type GoDBState = Value<typeof GoDBState>

/** A document whose parts are there: what every Go component takes for granted. */
type Whole = Value<typeof GoClusterData>
export interface GoData extends Omit<Whole, "cluster" | "keepers" | "dbs" | "proxy"> {
  cluster: Omit<NonNullable<Whole["cluster"]>, "spec"> & { spec: GoSpec }
  keepers: Map<string, GoKeeper>
  dbs: Map<string, GoDB>
  proxy: NonNullable<Whole["proxy"]>
}

/**
 * What a Go component holds after a read; null: no cluster data (G10). Panics where Go dereferences
 * nil (G13).
 */
export function readGo(source: string | null): GoData | null {
  const data = source === null || source === "null" ? null : unmarshal(GoClusterData, source)
  if (data === null) return null
  const { cluster, keepers, dbs, proxy } = data
  if (cluster === null || cluster.spec === null) throw new GoPanic("nil pointer: cluster or spec")
  if (proxy === null) throw new GoPanic("nil pointer: proxy")
  if (keepers === null || dbs === null) throw new GoPanic("assignment to entry in nil map")
  return { ...data, cluster: { ...cluster, spec: cluster.spec }, keepers, dbs, proxy }
}

export const writeGo = (data: GoData): string => marshal(GoClusterData, data)
/** A document as it comes out of the hands of any Go component that rewrites it. */
export const throughGo = (source: string): string =>
  marshal(GoClusterData, unmarshal(GoClusterData, source))
