/**
 * Infos: what each component publishes of itself under its own key, with a time to live (reference
 * 3.4).
 *
 * Unknown keys are ignored by Go readers and rewritten by nobody but the owner (G2), so our
 * extensions live here: `capabilities` tells others which of our rules this component follows.
 */
import {
  type Value,
  always,
  count,
  dictionary,
  flag,
  id,
  list,
  maybe,
  nullableList,
  omit,
  position,
  struct,
  text,
  uint,
} from "./codec.ts"
import { BinaryVersion, TimelineHistory } from "./cluster.ts"
import type {
  BootUUID,
  ClusterUID,
  DBUID,
  Epoch,
  Generation,
  InfoUID,
  KeeperUID,
  Nonce,
  ProxyUID,
  SentinelUID,
} from "./ids.ts"

export const PostgresState = struct({
  uid: omit(id<DBUID>()),
  generation: omit(count<Generation>()),
  listenAddress: omit(text),
  port: omit(text),
  healthy: omit(flag),
  systemID: omit(text),
  timelineID: omit(uint(64)),
  xLogPos: omit(position),
  timelinesHistory: omit(list(TimelineHistory)),
  pgParameters: omit(dictionary<string, string>(text)),
  synchronousStandbys: always(nullableList(id<DBUID>())),
  olderWalFile: omit(text),
  // extensions
  inRecovery: omit(flag, "PostgreSQL runs as a standby"),
  streaming: omit(flag, "a standby whose WAL receiver is connected"),
  acceptsClients: omit(flag, "pg_hba.conf lets ordinary clients in"),
  work: omit(text, "long work in progress, for people: `clone 41%`"),
  pendingRestart: omit(flag, "a parameter waits for a restart"),
  /** Without it olderWalFile is read as if segments had 16 MiB, as Go reads it (D-39). */
  walSegmentSize: omit(uint(64), "bytes in a WAL segment; 0: not known, taken for 16 MiB"),
})

/** PostgreSQL, primary in this epoch, is stopped for good (protocol part 1). */
export const Certificate = struct({
  epoch: omit(id<Epoch>()),
  bootUUID: omit(id<BootUUID>()),
  dbuid: omit(id<DBUID>()),
  finalLSN: omit(position),
  reason: omit(text),
})

export const KeeperInfo = struct({
  infoUID: omit(id<InfoUID>()),
  uid: omit(id<KeeperUID>()),
  clusterUID: omit(id<ClusterUID>()),
  bootUUID: omit(id<BootUUID>()),
  postgresBinaryVersion: always(BinaryVersion),
  postgresState: maybe(PostgresState),
  canBeMaster: maybe(flag),
  canBeSynchronousReplica: maybe(flag),
  capabilities: omit(list(text)),
  certificate: maybe(Certificate),
  handled: omit(list(id<Nonce>()), "the last wishes fulfilled"),
})
export const SentinelInfo = struct({
  UID: omit(id<SentinelUID>()),
  capabilities: omit(list(text)),
})
export const ProxyInfo = struct({
  infoUID: omit(id<InfoUID>()),
  UID: omit(id<ProxyUID>()),
  Generation: always(count<Generation>()),
  /** Nanoseconds. Zero makes a Go leader drop the proxy. */
  ProxyTimeout: always(uint(64)),
  capabilities: omit(list(text)),
  listenAddress: omit(text, "where clients connect, for `status`"),
})
export type PostgresState = Value<typeof PostgresState>
export type Certificate = Value<typeof Certificate>
export type KeeperInfo = Value<typeof KeeperInfo>
export type SentinelInfo = Value<typeof SentinelInfo>
export type ProxyInfo = Value<typeof ProxyInfo>

/**
 * What a component may advertise. A behaviour that a Go component could misread is used only
 * towards those who do.
 */
export const capabilities = {
  /** keeper: stops a revoked primary and publishes a certificate. */
  certificate: "certificate",
  /** keeper: runs as primary only the DB that `cluster.status.master` names. */
  obeysMaster: "obeys-master",
  /**
   * proxy: forwards by no view older than the timeout that it publishes, counted from the start of
   * the read.
   */
  boundedView: "bounded-view",
  /** keeper: fulfils wishes, and leaves PostgreSQL as it is while paused. */
  wishes: "wishes",
  /** sentinel: deposes nobody in a paused cluster, and keeps the pause. */
  pause: "pause",
} as const

/** Everything published by the components of a cluster, keyed by the UID inside the value. */
export interface Infos {
  readonly keepers: ReadonlyMap<KeeperUID, KeeperInfo>
  readonly sentinels: ReadonlyMap<SentinelUID, SentinelInfo>
  readonly proxies: ReadonlyMap<ProxyUID, ProxyInfo>
  /** Values that could not be decoded: one bad value must not silence the others (3.1). */
  readonly broken: readonly { readonly key: string; readonly error: string }[]
}
