/**
 * What a scripted Go keeper does to its machine, and what it sees there: reference 4 and 6 need no
 * more than this. One body stands on the simulator's model PostgreSQL, another on a real one.
 */
import type { GoPostgresState } from "./documents.ts"
import type { NewConfig } from "#model/spec.ts"

/** postgresql.conf, pg_hba.conf and the signal file, as a Go keeper writes them (4.2 to 4.4). */
export interface GoFiles {
  readonly conf: string
  readonly hba: string
  readonly signal: "none" | "standby"
}

export interface GoSource {
  readonly host: string
  readonly port: string
}

/** What the probe of 6.2 finds, beyond address and state. */
export type GoProbe = Pick<
  GoPostgresState,
  | "systemID"
  | "timelineID"
  | "xLogPos"
  | "timelinesHistory"
  | "pgParameters"
  | "synchronousStandbys"
  | "olderWalFile"
>

export interface GoMachine {
  readonly version: { readonly Maj: number; readonly Min: number }
  /** The files `keeperstate` and `dbstate`; null while there is none. */
  load(file: "keeperstate" | "dbstate"): Promise<string | null>
  save(file: "keeperstate" | "dbstate", text: string): Promise<void>
  isInitialized(): Promise<boolean>
  /** By the signal file (4.8). */
  isStandby(): Promise<boolean>
  systemID(): Promise<string>
  isRunning(): Promise<boolean>
  write(files: GoFiles): Promise<void>
  /** `temporary`: the file of the init flows, whose own postgresql.conf is still initdb's. */
  start(temporary: string | null): Promise<void>
  waitReady(ms: number): Promise<void>
  /** `pg_ctl stop -m fast`; nothing when it does not run. */
  stop(): Promise<void>
  reload(): Promise<void>
  promote(): Promise<void>
  /** Removes PGDATA: before initdb and before every base backup (D-08). */
  remove(): Promise<void>
  initdb(config: NewConfig | null): Promise<void>
  setUpRoles(): Promise<void>
  /** Everything that the files set, unfiltered. */
  fileParameters(): Promise<Map<string, string>>
  baseBackup(from: GoSource, slot: string): Promise<void>
  rewind(from: GoSource): Promise<void>
  /** Throws while PostgreSQL does not answer. */
  probe(): Promise<GoProbe>
  slots(): Promise<readonly string[]>
  createSlot(name: string): Promise<void>
  dropSlot(name: string): Promise<void>
  pendingRestart(): Promise<boolean>
}
