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
  span,
  struct,
  text,
  uint,
  word,
} from "./codec.ts"
import { BinaryVersion, Electable, TimelineHistory } from "./cluster.ts"
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
  hasData: omit(flag, "the DB's data directory is there and whole, also while it is stopped"),
  lineage: omit(text, "W9: which DB began each timeline: `2:4ab1 3:?`"),
  detached: omit(id<Epoch>(), "a standby that receives no WAL of this epoch any more (L3)"),
  replayed: omit(position, "a standby: what its readers see; 0/0: not known"),
})

/** A primary here acknowledges nothing later than `lease` after a renewal began (L1). */
export const Fencing = struct({ lease: always(span) })

/** A promise that this keeper is bound by: it promotes nobody (O2). */
export const Promised = struct({
  epoch: omit(id<Epoch>()),
  keeper: omit(id<KeeperUID>(), "to whom"),
})

/** What one sentinel found at the primary's doors (D2). */
export const Found = struct({
  keeper: omit(id<KeeperUID>()),
  /** The keeper's last info before the look: what was found is about that run of it. */
  infoUID: omit(id<InfoUID>()),
  peer: omit(word("open", "refused", "silent")),
  postgres: omit(word("open", "refused", "silent")),
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
  peerAddress: omit(text, "host:port of its endpoint for peers; empty: none"),
  evidence: omit(word("stopping", "failed"), "D2: what it says of its own PostgreSQL"),
  fencing: maybe(Fencing, "L3: present when a primary here runs under a lease"),
  electable: maybe(Electable, "O3: the set that this primary would ask for promises"),
  promise: maybe(Promised),
  ended: omit(flag, "said by a herald: the keeper of this run is dead"),
  zone: omit(text, "where its machine is; proxies of the same zone prefer it for reads"),
})
export const SentinelInfo = struct({
  UID: omit(id<SentinelUID>()),
  infoUID: omit(id<InfoUID>()),
  capabilities: omit(list(text)),
  peerAddress: omit(text, "host:port of its endpoint for peers; empty: none"),
  evidence: omit(list(Found)),
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
export type Fencing = Value<typeof Fencing>
export type Promised = Value<typeof Promised>
export type Found = Value<typeof Found>
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
  /** sentinel: deposes nobody in a cluster that moves between stores, and keeps the mark. */
  move: "move",
  /** keeper: while `selfFencing` is on its primary runs under a lease, and `fencing` says so. */
  lease: "lease",
  /** keeper and sentinel: follow protocol part 4 on promises and the electable set. */
  promise: "promise",
  /** keeper: ends its WAL receiver when the view says `detach`, and reports it. */
  detach: "detach",
  /** sentinel: looks at the primary's doors and publishes what it found; may be unseated (D4). */
  evidence: "evidence",
  /** keeper: checkpoints when a switchover asks; proxy: lets begun transactions end. */
  switchover: "switchover",
} as const

/** Everything published by the components of a cluster, keyed by the UID inside the value. */
export interface Infos {
  readonly keepers: ReadonlyMap<KeeperUID, KeeperInfo>
  readonly sentinels: ReadonlyMap<SentinelUID, SentinelInfo>
  readonly proxies: ReadonlyMap<ProxyUID, ProxyInfo>
  /** Values that could not be decoded: one bad value must not silence the others (3.1). */
  readonly broken: readonly { readonly key: string; readonly error: string }[]
}
