/**
 * Cluster data: the one document that everybody reads and only the leader and `ctl` write (G1,
 * reference 3.4).
 *
 * A document that lacks what every component needs (`cluster`, its spec, `proxy`, maps) is refused
 * here, at the border, with the path of what is wrong: Go's programs crash on such documents, ours
 * keep the last good view (D-23, D-79).
 */
import type { Json } from "./json.ts"
import {
  type Value,
  DocumentError,
  always,
  count,
  decodeJson,
  dictionary,
  flag,
  id,
  int,
  list,
  maybe,
  named,
  nullableList,
  omit,
  position,
  span,
  struct,
  text,
  time,
  uint,
  word,
  zeroTime,
} from "./codec.ts"
import type {
  BootUUID,
  ClusterUID,
  DBUID,
  Epoch,
  Generation,
  KeeperUID,
  Nonce,
  ProxyUID,
} from "./ids.ts"
import { goUint } from "./go-type.ts"
import { isObject, parseJson, printJson } from "./json.ts"
import { Move, Pause, Wishes } from "./wish.ts"
import { ArchiveRecoverySettings, NewConfig, PITRConfig, Spec, StandbySettings } from "./spec.ts"
import type { Time } from "#base/brand.ts"

/** `ctl failover`: a wish that the leader fulfils or refuses, and then removes. An extension. */
export const FailoverRequest = struct({
  nonce: omit(id<Nonce>(), "names the request in events and in `ctl failover`'s report"),
  keeper: omit(id<KeeperUID>(), "the keeper to promote; empty lets the leader choose"),
})

/**
 * O3: who may be promoted. The primary acknowledges a set by its word, and prolongs its lease in a
 * store outage only when every keeper of the set promises.
 */
export const Electable = struct({
  word: omit(id<Nonce>(), "names this very set, new with every change"),
  dbs: always(list(id<DBUID>())),
  joining: omit(list(id<DBUID>()), "of these, who are new and not known to the primary yet"),
  ended: omit(flag, "the primary is to ask nobody any more; the set goes once it has said so"),
})

/** `ctl switchover`: a wish that the leader leads from phase to phase (protocol part 6). */
export const Switchover = struct({
  nonce: omit(id<Nonce>(), "names the request in events and in what `ctl` reports"),
  keeper: omit(id<KeeperUID>(), "the keeper to promote; empty until the leader has chosen"),
  drain: always(span, "how long begun transactions may take to end"),
  phase: omit(word("asked", "checkpoint", "hold", "stop", "promote")),
  waiting: maybe(text, "what the present phase waits for, for people"),
})

/** What became of the last request of `ctl failover` and `ctl switchover`. */
export const Answered = struct({
  nonce: omit(id<Nonce>()),
  done: omit(flag),
  why: omit(text, "why it was refused or given up"),
})

export const ClusterStatus = struct(
  {
    currentGeneration: omit(count<Generation>()),
    phase: omit(named("cluster.ClusterPhase", word("initializing", "normal"))),
    master: omit(id<DBUID>()),
    // extensions (protocol part 8); a Go leader drops them, the rules of part 3 say why that is
    // harmless
    primaryEpoch: omit(id<Epoch>(), "new with every promotion and reinstatement"),
    primaryRevoked: omit(flag, "W1: the primary may not acknowledge writes any more"),
    electable: maybe(Electable, "O3; absent: no primary prolongs its lease by promises"),
    detach: omit(flag, "L3: standbys end their WAL receivers, so that nobody confirms a commit"),
    fencedBy: omit(
      word("certificate", "lease", "standbys", "proxies"),
      "what proved the end of the primary before this one (L3); proxies: no lease was there",
    ),
    switchover: maybe(Switchover),
    answered: maybe(Answered),
    writer: omit(id<Nonce>(), "W5: marks the last write"),
    predecessor: omit(
      id<DBUID>(),
      "the primary before; nothing was acknowledged since, so it may take its place again (W7)",
    ),
    failoverRequest: maybe(FailoverRequest),
    paused: maybe(Pause, "no automatic failover, and keepers leave PostgreSQL as it is"),
    move: maybe(Move, "the cluster is moving from one store to another"),
  },
  "cluster.ClusterStatus",
)
const clusterFields = {
  uid: omit(id<ClusterUID>()),
  generation: omit(count<Generation>()),
  changeTime: always(time),
  spec: always(Spec),
  status: always(ClusterStatus),
}
export const Cluster = struct(clusterFields, "cluster.Cluster")

export const BinaryVersion = struct({ Maj: always(int), Min: always(int) })
export const KeeperStatus = struct(
  {
    healthy: omit(flag),
    lastHealthyTime: always(time),
    bootUUID: omit(id<BootUUID>()),
    postgresBinaryVersion: always(BinaryVersion),
    forceFail: omit(flag),
    canBeMaster: maybe(flag),
    canBeSynchronousReplica: maybe(flag),
    // extensions; a Go leader drops them
    paused: maybe(Pause, "this keeper leaves PostgreSQL as it is"),
    wishes: maybe(Wishes),
    /** Where its peer endpoint answers, for who cannot ask the store; empty: it has none. */
    peerAddress: omit(text),
  },
  "cluster.KeeperStatus",
)
export const Keeper = struct(
  {
    uid: omit(id<KeeperUID>()),
    generation: omit(count<Generation>()),
    changeTime: always(time),
    spec: always(struct({})),
    status: always(KeeperStatus),
  },
  "cluster.Keeper",
)

export const FollowConfig = struct(
  {
    type: omit(named("cluster.FollowType", word("internal", "external"))),
    dbuid: omit(id<DBUID>()),
    standbySettings: maybe(StandbySettings),
    archiveRecoverySettings: maybe(ArchiveRecoverySettings),
  },
  "cluster.FollowConfig",
)
export const DBSpec = struct(
  {
    keeperUID: omit(id<KeeperUID>()),
    requestTimeout: always(span),
    maxStandbys: omit(uint(16)),
    synchronousReplication: omit(flag),
    usePgrewind: omit(flag),
    additionalWalSenders: always(uint(16)),
    additionalReplicationSlots: always(nullableList(text)),
    initMode: omit(named("cluster.DBInitMode", word("none", "existing", "new", "pitr", "resync"))),
    newConfig: maybe(NewConfig),
    pitrConfig: maybe(PITRConfig),
    pgParameters: omit(dictionary<string, string>(text)),
    pgHBA: always(nullableList(text)),
    role: omit(named("common.Role", word("master", "standby", "undefined"))),
    followConfig: maybe(FollowConfig),
    followers: always(nullableList(id<DBUID>())),
    includePreviousConfig: omit(flag),
    synchronousStandbys: always(nullableList(id<DBUID>())),
    externalSynchronousStandbys: always(nullableList(text)),
    // extension; Go never sees it, and without it the old copy may be followed or rewound (G8)
    freshCopy: omit(word("keep", "discard"), "copy afresh; what becomes of the old copy first"),
  },
  "cluster.DBSpec",
)
export const TimelineHistory = struct(
  {
    timelineID: omit(uint(64)),
    switchPoint: omit(position),
    reason: omit(text),
  },
  "cluster.PostgresTimelineHistory",
)
export const DBStatus = struct(
  {
    healthy: omit(flag),
    currentGeneration: omit(count<Generation>()),
    listenAddress: omit(text),
    port: omit(text),
    systemdID: omit(text),
    timelineID: omit(uint(64)),
    xLogPos: omit(position),
    timelinesHistory: omit(list(TimelineHistory)),
    pgParameters: omit(dictionary<string, string>(text)),
    synchronousStandbys: always(nullableList(id<DBUID>())),
    olderWalFile: omit(text),
    lineage: omit(text, "extension, W9: which DB began each timeline"),
  },
  "cluster.DBStatus",
)
export const DB = struct(
  {
    uid: omit(id<DBUID>()),
    generation: omit(count<Generation>()),
    changeTime: always(time),
    spec: always(DBSpec),
    status: always(DBStatus),
  },
  "cluster.DB",
)

export const ProxySpec = struct(
  {
    masterDbUid: omit(id<DBUID>()),
    enabledProxies: omit(list(id<ProxyUID>())),
  },
  "cluster.ProxySpec",
)
export const Proxy = struct(
  {
    uid: omit(text),
    generation: omit(count<Generation>()),
    changeTime: always(time),
    spec: always(ProxySpec),
    status: always(struct({})),
  },
  "cluster.Proxy",
)

export const ClusterData = struct(
  {
    formatVersion: always({ ...int, go: goUint(64) }),
    changeTime: always(time),
    cluster: always(Cluster),
    keepers: always(named("cluster.Keepers", dictionary<KeeperUID, Keeper>(Keeper))),
    dbs: always(named("cluster.DBs", dictionary<DBUID, DB>(DB))),
    proxy: always(Proxy),
  },
  "cluster.ClusterData",
)

export type ClusterData = Value<typeof ClusterData>
export type Cluster = Value<typeof Cluster>
export type ClusterStatus = Value<typeof ClusterStatus>
export type Electable = Value<typeof Electable>
export type Switchover = Value<typeof Switchover>
export type Answered = Value<typeof Answered>
export type FailoverRequest = Value<typeof FailoverRequest>
export type Keeper = Value<typeof Keeper>
export type KeeperStatus = Value<typeof KeeperStatus>
export type BinaryVersion = Value<typeof BinaryVersion>
export type DB = Value<typeof DB>
export type DBSpec = Value<typeof DBSpec>
export type DBStatus = Value<typeof DBStatus>
export type FollowConfig = Value<typeof FollowConfig>
export type TimelineHistory = Value<typeof TimelineHistory>
export type Proxy = Value<typeof Proxy>

export const formatVersion = 1

/** Another format than ours: components do nothing, proxies cut (G4). */
export class FormatError extends DocumentError {}

/**
 * Decodes the value of the clusterdata key. JSON null is legal and means "no cluster data" (G10).
 * Throws `JsonError`, `FormatError` or `DocumentError`.
 */
export function decodeClusterData(source: string): ClusterData | null {
  const json = parseJson(source)
  if (json === null) return null
  const [missing] = missingParts(json)
  if (missing !== undefined) throw new DocumentError(missing, "is missing or null")
  return decodeJson(ClusterData, json)
}

/** Parts that may be null for Go's stolonctl, though not for its components. */
const replaceable = ["keepers", "dbs", "proxy"] as const
export type Part = (typeof replaceable)[number]

/**
 * The same for the go dialect, which can repair a document that lacks keepers, dbs or proxy; the
 * cluster and its specification must be there.
 */
export function decodeLoosely(source: string): {
  readonly data: ClusterData
  readonly missing: readonly Part[]
} {
  const json = parseJson(source)
  const parts = missingParts(json)
  const missing = replaceable.filter((part) => parts.includes(part))
  if (missing.length < parts.length) throw new DocumentError(parts[0] ?? "", "is missing or null")
  const filler = Object.fromEntries(missing.map((part) => [part, {}]))
  return { data: decodeJson(ClusterData, { ...(isObject(json) ? json : {}), ...filler }), missing }
}

/** The paths that every component needs and that are not there, in the order of the document. */
export function missingParts(json: Json): readonly string[] {
  if (!isObject(json)) throw new DocumentError("", "expected an object")
  const get = (object: Json | undefined, key: string): Json | undefined =>
    object !== undefined && isObject(object)
      ? Object.entries(object).findLast(([k]) => k.toLowerCase() === key.toLowerCase())?.[1]
      : undefined
  const version = get(json, "formatVersion") ?? 0
  if (version !== formatVersion)
    throw new FormatError(
      "formatVersion",
      `unsupported cluster data format version ${printJson(version)}`,
    )
  const cluster = get(json, "cluster")
  const needed: readonly [string, Json | undefined][] = [
    ["cluster", cluster],
    ["cluster.spec", get(cluster, "spec")],
    ...replaceable.map((part): [string, Json | undefined] => [part, get(json, part)]),
  ]
  return needed.filter(([, value]) => value === undefined || value === null).map(([path]) => path)
}

export const encodeClusterData = (data: ClusterData): string => printJson(ClusterData.encode(data))

/** A brand-new document, as `ctl init` and `--initial-cluster-spec` write it. */
export function newClusterData(uid: ClusterUID, spec: Spec, now: Time): ClusterData {
  const zero = decodeJson(ClusterStatus, {})
  return {
    formatVersion,
    changeTime: zeroTime,
    cluster: {
      uid,
      generation: 1 as Generation,
      changeTime: now,
      spec,
      status: { ...zero, phase: "initializing" },
    },
    keepers: new Map(),
    dbs: new Map(),
    proxy: decodeJson(Proxy, {}),
  }
}

/** A DB with nothing but Go's zero values, to be spread over. */
export const emptyDB: DB = decodeJson(DB, {})
export const emptyKeeper: Keeper = decodeJson(Keeper, {})

/**
 * A primary by its spec: role master, or the top of a standby cluster, which follows an external
 * primary (5.5).
 */
export const isMasterType = (db: DB): boolean =>
  db.spec.role === "master" ||
  (db.spec.role === "standby" && db.spec.followConfig?.type === "external")

/** The DB assigned to a keeper. */
export const dbOfKeeper = (data: ClusterData, keeper: KeeperUID): DB | undefined =>
  [...data.dbs.values()].find((db) => db.spec.keeperUID === keeper)

/**
 * True when our leader looks after this view: then `primaryRevoked` and `primaryEpoch` mean what
 * they say.
 */
export const isLedByUs = (data: ClusterData): boolean => data.cluster.status.primaryEpoch !== ""
