/**
 * What a keeper knows of its own machine at the start of a tick: files, processes, and one look
 * into PostgreSQL.
 *
 * A value, read once (`Postgres.observe`), given to the pure plan. The simulator's model PostgreSQL
 * makes the same value.
 */
import type { Millis } from "#base/brand.ts"
import type { LSN } from "#base/lsn.ts"
import type { BinaryVersion, TimelineHistory } from "./cluster.ts"
import type { ClusterUID, DBUID, Epoch, Generation, KeeperUID, Nonce } from "./ids.ts"
import type { Certificate } from "./info.ts"

/** The file `keeperstate`, as Go has it (4.1). */
export interface KeeperState {
  readonly uid: KeeperUID
  readonly clusterUID: ClusterUID
}

/**
 * The file `dbstate`, as Go has it (4.1). `initializing` = an init or copy for `uid` is in flight.
 */
export interface DBState {
  readonly uid: DBUID
  readonly generation: Generation
  readonly initializing: boolean
  readonly initPGParameters: ReadonlyMap<string, string> | null
}

/**
 * The file `stolon-work`, ours: names a directory that is half done, so that PostgreSQL is never
 * started in it (N3). Fsynced before the work begins, removed after it ended.
 */
export type Mark =
  /** `postgres/` is being initialised: it holds nothing that anybody needs. */
  | { readonly kind: "setup"; readonly db: DBUID }
  /** pg_rewind is at work in `postgres/`: neither the old copy nor the new one. */
  | { readonly kind: "rewind"; readonly db: DBUID }
  /** `postgres.new/` is a complete copy for this DB and waits to be swapped in. */
  | { readonly kind: "copied"; readonly db: DBUID }

/**
 * The file `stolon-fencing`: the last word on self-fencing that this keeper saw. A Go leader drops
 * the settings when it rewrites the specification; they stay in force here (L6).
 */
export interface FencingMode {
  readonly on: boolean
  /** L: how long after the start of a renewal a primary may acknowledge. */
  readonly lease: Millis
}

/**
 * The file `stolon-promise`: written before a promise is given (O2). How much of it is left is not
 * known after a restart, so its full length counts again.
 */
export interface PromiseMade {
  readonly epoch: Epoch
  readonly keeper: KeeperUID
  readonly width: Millis
}

/** From pg_controldata; read only while PostgreSQL is stopped. */
export interface Control {
  readonly systemID: string
  /** "shut down", "shut down in recovery", "in production", "in archive recovery", … */
  readonly state: string
  /** Latest checkpoint location, and its timeline. */
  readonly checkpoint: LSN
  readonly timeline: number
  /** Minimum recovery ending location; 0 on a primary. */
  readonly minRecoveryEnd: LSN
  /** pg_rewind needs one of them. */
  readonly checksums: boolean
  readonly walLogHints: boolean
}

export type DataDir =
  | { readonly kind: "missing" } // or empty
  | { readonly kind: "partial" } // something is there, but not a whole instance (4.8)
  | {
      readonly kind: "initialized"
      /** By the signal file (4.8). */
      readonly role: "master" | "standby"
      readonly systemID: string
      /** The major version in PG_VERSION. */
      readonly major: number
      readonly control: Control | null
      /** The newest timeline of which a history is there; 1: none is. */
      readonly newest: number
      /** From pg_wal/*.history, oldest first. */
      readonly history: readonly TimelineHistory[]
    }

/** What the generated files say now. Null: not there, or not ours. */
export interface ConfigFiles {
  readonly conf: string
  readonly hba: string
  readonly signal: "none" | "standby" | "recovery"
}

/** Where the `postgresql.auto.conf` of an instance that is taken over is kept. */
export const formerAutoConf = "stolon-former-auto.conf"

export interface Slot {
  readonly name: string
  readonly active: boolean
  /** The WAL that it kept is gone (`wal_status = 'lost'`): nobody can go on from it (D-37). */
  readonly lost: boolean
}

/** What PostgreSQL was started with of what the keeper's flags decide. */
export interface Place {
  readonly listenAddress: string
  readonly port: string
  readonly socketDirectory: string
}

/** One look into PostgreSQL through the keeper's own connection, which stays open (D5). */
export type Server =
  | { readonly kind: "down" } // no postmaster
  /** A postmaster that does not answer yet. `refused`: it answers, but not to our password. */
  | { readonly kind: "starting"; readonly why: string; readonly refused?: true }
  | {
      readonly kind: "up"
      readonly inRecovery: boolean
      readonly systemID: string
      readonly timeline: number
      /** Primary: flushed. Standby: the greater of received and replayed (6.2). */
      readonly position: LSN
      /** Standby: what its readers see. Primary: 0/0. */
      readonly replayed: LSN
      readonly history: readonly TimelineHistory[]
      /** `sync_state = 'sync'`, only our names, prefix removed. */
      readonly syncStandbys: readonly DBUID[]
      /** A standby's WAL receiver is connected. */
      readonly streaming: boolean
      /**
       * The value of `stolon.revision` that new sessions see: which generated configuration is
       * loaded.
       */
      readonly revision: string
      readonly pendingRestart: boolean
      readonly slots: readonly Slot[]
      /** Lasting slots of every kind: PostgreSQL does not start with room for fewer (D-49). */
      readonly slotsUsed: number
      /** What it really listens on; a keeper started with other flags finds the old (T11). */
      readonly place: Place
      /** The cluster's `wal_segment_size` (D-39). */
      readonly segmentBytes: number
      /** From pg_file_settings, everything; the plan filters. */
      readonly fileParameters: ReadonlyMap<string, string>
      readonly olderWalFile: string
    }

/** A parameter that the installed PostgreSQL would not start with. */
export interface Unfit {
  readonly name: string
  /** The line of the generated file that holds the wrong value; null: the name is unknown. */
  readonly line: string | null
  readonly why: string
}

export interface Local {
  readonly keeper: KeeperState
  readonly db: DBState
  readonly mark: Mark | null
  readonly data: DataDir
  /** `postgres.new/` exists. */
  readonly side: boolean
  /**
   * `postgres.aside-<time>` directories with the system identifier of `postgres/`, oldest first.
   * What was another system (before `ctl init` over a living cluster) is a person's to remove (N4).
   */
  readonly asides: readonly string[]
  readonly files: ConfigFiles | null
  /** A postmaster process of this data directory is alive. */
  readonly postmaster: boolean
  /** It is down because it was told to end: by a step, or by the guardian at its deadline. */
  readonly asked: boolean
  readonly server: Server
  readonly binary: BinaryVersion
  /** As far as PostgreSQL was asked about what was generated. */
  readonly unfit: readonly Unfit[]
  /**
   * By pg_control: the least that a standby must have of the parameters that its primary's WAL
   * demands (D-46). Null: not known; then what its file has stands.
   */
  readonly floors: ReadonlyMap<string, number> | null
  /** The instance's `wal_segment_size`; null: not known. */
  readonly walSegmentBytes: number | null
  /** Size of the file system with the WAL; null: not known. */
  readonly diskBytes: number | null
  /** Why a running primary cannot write its data (D-43); null: it can, or nobody knows. */
  readonly unwritable: string | null
  /** The last certificate, from disk. */
  readonly certificate: Certificate | null
  /** Null: no word on self-fencing was ever seen. */
  readonly fencing: FencingMode | null
  /** The last promise given; null: none. */
  readonly promise: PromiseMade | null
  /** Wishes fulfilled by this keeper, the latest last (`stolon-handled`). */
  readonly handled: readonly Nonce[]
}
