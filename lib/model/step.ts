/**
 * What a keeper can do to its machine: one kind a step, small enough that a crash between two of
 * them leaves something the next plan understands. Steps are idempotent. The table says which
 * destroy something and which take long.
 */
import type { LSN } from "#base/lsn.ts"
import type { Millis } from "#base/brand.ts"
import type { DBUID, Epoch, Nonce } from "./ids.ts"
import type { Certificate } from "./info.ts"
import type { ConfigFiles, DBState, FencingMode, KeeperState, Mark } from "./local.ts"
import type { NewConfig } from "./spec.ts"

/**
 * Why something is destroyed: a closed list, so that every destruction in the code can be found by
 * its reason.
 */
export type Reason =
  | "a new cluster begins here" // initMode new
  | "the cluster is restored from a backup" // initMode pitr
  | "a half-done copy is worthless" // side directory of an aborted clone
  | "a half-done initialisation is worthless"
  | "a fresh copy replaces it" // resync after a complete copy
  | "an operator needs its space for the fresh copy" // ctl reclone --discard-old
  | "the fresh copy has proved itself" // aside directories

export type Step =
  | { readonly kind: "save-keeper"; readonly state: KeeperState }
  | { readonly kind: "save-db"; readonly state: DBState }
  | { readonly kind: "mark"; readonly mark: Mark }
  | { readonly kind: "unmark" }
  /**
   * Stops PostgreSQL, fast, then by force after `escalateAfter`. `checkpoint` first makes the stop
   * short (D-44).
   */
  | {
      readonly kind: "stop"
      readonly why: string
      readonly escalateAfter: Millis
      readonly checkpoint: boolean
    }
  /** Removes `postgres.new/`. */
  | { readonly kind: "discard-side"; readonly reason: Reason }
  /** Removes `postgres/`. Only for what is marked as half initialised. */
  | { readonly kind: "discard-data"; readonly reason: Reason }
  /**
   * Renames `postgres/` to `postgres.aside-<time>` (N3); moves its content when it is a mount
   * point.
   */
  | { readonly kind: "set-aside"; readonly reason: Reason }
  | { readonly kind: "remove-asides"; readonly names: readonly string[]; readonly reason: Reason }
  /** initdb into `postgres.new/`. */
  | { readonly kind: "initdb"; readonly config: NewConfig | null }
  /** `/bin/sh -c command` fills `postgres.new/`; %d stands for it (4.7). */
  | { readonly kind: "restore"; readonly command: string; readonly timeout: Millis }
  /** pg_basebackup into `postgres.new/` from the DB followed. */
  | { readonly kind: "clone"; readonly from: Source; readonly slot: string }
  /** `postgres.new/` becomes `postgres/`, which must be missing. */
  | { readonly kind: "swap-in" }
  /** Copies the WAL from `since` on to a folder beside before pg_rewind discards it (N3). */
  | { readonly kind: "save-divergent-wal"; readonly since: LSN }
  | { readonly kind: "rewind"; readonly source: Source }
  | { readonly kind: "write-config"; readonly files: ConfigFiles }
  /**
   * pg_hba.conf and the signal files alone, before a start with a temporary configuration: the
   * instance's own postgresql.conf stays, its parameters are still to be captured.
   */
  | { readonly kind: "prepare"; readonly hba: string; readonly signal: ConfigFiles["signal"] }
  /** `temporary`: with the initialisation's own file, which includes postgresql.conf (4.2). */
  | { readonly kind: "start"; readonly temporary: string | null }
  | { readonly kind: "wait-ready"; readonly timeout: Millis }
  /** Waits until archive recovery has reached its target; 0 = no bound. */
  | { readonly kind: "wait-recovered"; readonly timeout: Millis }
  | { readonly kind: "create-roles" }
  /** The same on a primary that is in use, where only what differs is changed (D-53). */
  | { readonly kind: "check-roles" }
  /** Reads pg_file_settings into dbstate's initPGParameters. */
  | { readonly kind: "capture-parameters"; readonly state: DBState }
  /** Resolves when PostgreSQL has left recovery. */
  | { readonly kind: "promote"; readonly timeout: Millis }
  /** Ends the sessions of ordinary clients (W3: those that were on the standby). */
  | { readonly kind: "end-sessions" }
  /** A commit of the keeper's own shows that synchronous_standby_names is in force (W3). */
  | { readonly kind: "prove-sync"; readonly names: string; readonly timeout: Millis }
  /** SIGHUP; resolves when new sessions see `revision`. `wish`: an operator asked for it. */
  | {
      readonly kind: "reload"
      readonly revision: string
      readonly timeout: Millis
      readonly wish?: Nonce
    }
  /** `reserve`: WAL is kept from now on, not from the first use on (D-38). */
  | { readonly kind: "create-slot"; readonly name: string; readonly reserve: boolean }
  | { readonly kind: "drop-slot"; readonly name: string }
  /** PostgreSQL is stopped for good in this epoch; fsynced before it is published. */
  | { readonly kind: "certify"; readonly certificate: Certificate }
  /** The word on self-fencing that counts while nobody says another (L6). */
  | { readonly kind: "save-fencing"; readonly mode: FencingMode }
  /**
   * Resolves when this standby has no WAL receiver and its configuration lets it begin none: it
   * confirms no commit of its former primary any more (L3).
   */
  | { readonly kind: "detach"; readonly epoch: Epoch; readonly timeout: Millis }
  /** Makes the stop of a switchover short; asked for under this nonce (S1). */
  | { readonly kind: "checkpoint"; readonly nonce: Nonce; readonly timeout: Millis }
  /** The last wishes fulfilled; fsynced before they are published. */
  | { readonly kind: "save-handled"; readonly handled: readonly Nonce[] }

export type StepKind = Step["kind"]

/** Where a copy comes from. */
export interface Source {
  readonly db: DBUID
  readonly host: string
  readonly port: string
}

interface Traits {
  /** Something is gone afterwards. */
  readonly destructive: boolean
  /**
   * May take longer than a tick: runs beside the loop and is aborted when the plan no longer begins
   * with it.
   */
  readonly long: boolean
}
const quick: Traits = { destructive: false, long: false }
const long: Traits = { destructive: false, long: true }
const destructive: Traits = { destructive: true, long: false }

export const steps: { readonly [K in StepKind]: Traits } = {
  "save-keeper": quick,
  "save-db": quick,
  mark: quick,
  unmark: quick,
  stop: long,
  "discard-side": destructive,
  "discard-data": destructive,
  "set-aside": destructive,
  "remove-asides": destructive,
  initdb: long,
  restore: long,
  clone: long,
  "swap-in": quick,
  "save-divergent-wal": long,
  rewind: { destructive: true, long: true },
  "write-config": quick,
  prepare: quick,
  start: long,
  "wait-ready": long,
  "wait-recovered": long,
  "create-roles": quick,
  "check-roles": quick,
  "capture-parameters": quick,
  promote: long,
  "end-sessions": quick,
  "prove-sync": long,
  reload: quick,
  "create-slot": quick,
  "drop-slot": quick,
  certify: quick,
  "save-fencing": quick,
  detach: long,
  checkpoint: long,
  "save-handled": quick,
}
