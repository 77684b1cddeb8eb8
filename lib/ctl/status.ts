/**
 * The facts of `status`: what a reader wants to know of a cluster, computed once from the cluster
 * data, the infos and the leader's name. Renderers (`status-text.ts`, `status-go.ts`) only lay them
 * out.
 *
 * Nothing here guesses: what nobody reported is null, and shown as unknown.
 */
import type { ClusterData, DB, Keeper } from "#model/cluster.ts"
import { dbOfKeeper, isMasterType } from "#model/cluster.ts"
import type { DBUID, Generation, KeeperUID, ProxyUID, SentinelUID } from "#model/ids.ts"
import type { Infos, KeeperInfo } from "#model/info.ts"
import { withDefaults } from "#model/spec.ts"
import { type Pause, describeMove } from "#model/wish.ts"
import type { LSN } from "#base/lsn.ts"
import { sortedKeys, sortedSet, sortedValues } from "#base/order.ts"
import { type Safety, safetyOf } from "./safety.ts"
import { warnings } from "./warning.ts"
import { type Waiting, waiting } from "./waiting.ts"

/** What one read of the store found. */
export interface Found {
  readonly data: ClusterData | null
  readonly infos: Infos
  readonly leader: SentinelUID | null
}

export type Role =
  | "primary"
  /** Deposed: may not acknowledge writes any more. */
  | "revoked primary"
  | "synchronous standby"
  | "standby"
  | "none"

/** One keeper and its PostgreSQL. */
export interface Member {
  readonly keeper: KeeperUID
  /** Null: known from its info only, the leader has not taken it in yet. */
  readonly healthy: boolean | null
  readonly reporting: boolean
  readonly db: DBUID | null
  readonly role: Role
  readonly postgresHealthy: boolean
  /** `addr:port`, null while unknown. */
  readonly address: string | null
  readonly wanted: Generation | null
  readonly applied: Generation | null
  readonly timeline: number | null
  readonly position: LSN | null
  /** Bytes behind the primary's last reported position. */
  readonly lagBytes: bigint | null
  readonly follows: KeeperUID | null
  readonly version: string | null
  /** Long work in progress, in the keeper's words. */
  readonly work: string | null
  readonly forceFail: boolean
  readonly canBeMaster: boolean
  /** Its own pause, not the cluster's. */
  readonly paused: Pause | null
  /** A parameter waits for a restart of its PostgreSQL. */
  readonly pendingRestart: boolean
}

export interface Sentinel {
  readonly uid: SentinelUID
  readonly leader: boolean
}
export interface ProxyFact {
  readonly uid: ProxyUID
  readonly generation: Generation
  /** It may forward: the leader listed it. */
  readonly enabled: boolean
  /** It has applied the latest routes. */
  readonly current: boolean
  readonly address: string | null
}

/** The primary by the view: which keeper, whether it may write, whether clients get through. */
export interface Primary {
  readonly db: DBUID
  readonly keeper: KeeperUID | null
  readonly revoked: boolean
  readonly gateOpen: boolean
}

export interface Facts {
  readonly clusterName: string
  readonly clusterUID: string | null
  readonly phase: string
  readonly role: string
  readonly synchronous: boolean
  /** The pause of the whole cluster. */
  readonly paused: Pause | null
  /** On its way from one store to another, or gone; for people. */
  readonly moving: string | null
  readonly primary: Primary | null
  readonly members: readonly Member[]
  readonly sentinels: readonly Sentinel[]
  readonly leader: SentinelUID | null
  readonly proxies: readonly ProxyFact[]
  readonly safety: Safety
  readonly waiting: readonly Waiting[]
  readonly warnings: readonly string[]
}

export function facts(clusterName: string, found: Found): Facts {
  const { data, infos, leader } = found
  const spec = data === null ? null : withDefaults(data.cluster.spec)
  const partial = {
    clusterName,
    clusterUID: data?.cluster.uid ?? null,
    phase: data === null ? "no cluster" : data.cluster.status.phase || "unknown",
    role: spec?.role ?? "",
    synchronous: spec?.synchronousReplication ?? false,
    paused: data?.cluster.status.paused ?? null,
    moving: data === null ? null : describeMove(data),
    primary: data === null ? null : primaryOf(data),
    members: data === null ? unclaimed(infos) : members(data, infos),
    sentinels: sentinels(infos, leader),
    leader,
    proxies: proxies(data, infos),
    safety: safetyOf(found),
  }
  return { ...partial, waiting: waiting(found, partial), warnings: warnings(found) }
}

function primaryOf(data: ClusterData): Primary | null {
  const { master, primaryRevoked } = data.cluster.status
  if (master === "") return null
  return {
    db: master,
    keeper: data.dbs.get(master)?.spec.keeperUID ?? null,
    revoked: primaryRevoked,
    gateOpen: data.proxy.spec.masterDbUid === master,
  }
}

/** Keepers that report while there is no cluster data. */
const unclaimed = (infos: Infos): readonly Member[] =>
  sortedValues(infos.keepers).map((info) => newcomer(info))

const nothing = {
  db: null,
  role: "none",
  postgresHealthy: false,
  address: null,
  wanted: null,
  applied: null,
  timeline: null,
  position: null,
  lagBytes: null,
  follows: null,
  work: null,
  forceFail: false,
  paused: null,
  pendingRestart: false,
} as const

const newcomer = (info: KeeperInfo): Member => ({
  ...nothing,
  keeper: info.uid,
  healthy: null,
  reporting: true,
  version: versionOf(info.postgresBinaryVersion),
  canBeMaster: info.canBeMaster ?? true,
})

function members(data: ClusterData, infos: Infos): readonly Member[] {
  const uids = sortedSet<KeeperUID>([...sortedKeys(data.keepers), ...sortedKeys(infos.keepers)])
  const primary = data.dbs.get(data.cluster.status.master)
  const top =
    primary === undefined ? null : freshest(primary, infos.keepers.get(primary.spec.keeperUID))
  return uids.flatMap((uid) => {
    const keeper = data.keepers.get(uid)
    const info = infos.keepers.get(uid)
    if (keeper === undefined) return info === undefined ? [] : [newcomer(info)]
    return [member(data, keeper, info, top)]
  })
}

function member(
  data: ClusterData,
  keeper: Keeper,
  info: KeeperInfo | undefined,
  top: LSN | null,
): Member {
  const { uid, status } = keeper
  const db = dbOfKeeper(data, uid)
  const common = {
    keeper: uid,
    healthy: status.healthy,
    reporting: info !== undefined,
    version: versionOf(info?.postgresBinaryVersion ?? status.postgresBinaryVersion),
    forceFail: status.forceFail,
    canBeMaster: status.canBeMaster ?? true,
    paused: status.paused ?? null,
  }
  if (db === undefined) return { ...nothing, ...common }
  const state = info?.postgresState?.uid === db.uid ? info.postgresState : undefined
  const position = freshest(db, info)
  const role = roleOf(data, db)
  const behind = role === "primary" || role === "revoked primary" ? null : top
  const work = state?.work ?? info?.postgresState?.work ?? ""
  return {
    ...common,
    db: db.uid,
    role,
    postgresHealthy: db.status.healthy,
    address: addressOf(db),
    wanted: db.generation,
    applied: db.status.currentGeneration,
    timeline: state?.timelineID || db.status.timelineID || null,
    position,
    lagBytes:
      behind === null || position === null ? null : behind > position ? behind - position : 0n,
    follows: followed(data, db),
    work: work === "" ? null : work,
    pendingRestart: state?.pendingRestart ?? false,
  }
}

/** The keeper's own last report of this DB, else what the leader noted; null: nobody knows. */
function freshest(db: DB, info: KeeperInfo | undefined): LSN | null {
  const state = info?.postgresState
  const position =
    state !== undefined && state.uid === db.uid && state.xLogPos > 0n
      ? state.xLogPos
      : db.status.xLogPos
  return position === 0n ? null : position
}

function roleOf(data: ClusterData, db: DB): Role {
  const { master, primaryRevoked } = data.cluster.status
  if (db.uid === master) return primaryRevoked ? "revoked primary" : "primary"
  if (db.spec.role !== "standby" || isMasterType(db)) return "none"
  const inSync = data.dbs.get(master)?.status.synchronousStandbys ?? []
  const synchronous = withDefaults(data.cluster.spec).synchronousReplication
  return synchronous && inSync.includes(db.uid) ? "synchronous standby" : "standby"
}

const addressOf = (db: DB): string | null => {
  const { listenAddress, port } = db.status
  if (listenAddress === "") return null
  return listenAddress.includes(":") ? `[${listenAddress}]:${port}` : `${listenAddress}:${port}`
}

function followed(data: ClusterData, db: DB): KeeperUID | null {
  const follow = db.spec.followConfig
  if (follow?.type !== "internal") return null
  return data.dbs.get(follow.dbuid)?.spec.keeperUID ?? null
}

const versionOf = (version: { readonly Maj: number; readonly Min: number }): string | null =>
  version.Maj === 0 ? null : `${version.Maj}.${version.Min}`

const sentinels = (infos: Infos, leader: SentinelUID | null): readonly Sentinel[] =>
  sortedKeys(infos.sentinels).map((uid) => ({ uid, leader: uid === leader }))

const proxies = (data: ClusterData | null, infos: Infos): readonly ProxyFact[] =>
  sortedValues(infos.proxies).map((info) => ({
    uid: info.UID,
    generation: info.Generation,
    enabled: data?.proxy.spec.enabledProxies.includes(info.UID) ?? false,
    current: data !== null && info.Generation === data.proxy.generation,
    address: info.listenAddress === "" ? null : info.listenAddress,
  }))
