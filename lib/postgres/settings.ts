/**
 * What the PostgreSQL adapter is told, and where things lie below the keeper's data directory
 * (reference 4.1). Data only.
 *
 * Passwords travel in here; they go to PostgreSQL and into password files for its programs, never
 * into arguments or events.
 */
import { join, resolve } from "node:path"
import type { Millis } from "#base/brand.ts"
import type { BinaryVersion } from "#model/cluster.ts"
import type { Clock } from "#port/clock.ts"
import type { Log } from "#port/log.ts"
import type { StoreSettings } from "#port/store.ts"
import type { Exit, Supervisor } from "#port/supervision.ts"
import type { Baseline } from "./baseline.ts"
import type { Sessions } from "./sessions.ts"

/** A PostgreSQL user of the keeper's own. */
export interface Account {
  readonly name: string
  readonly method: "md5" | "scram-sha-256" | "trust"
  /** Empty with `trust`. */
  readonly password: string
}

export interface PostgresSettings {
  /** The keeper's data directory; PostgreSQL's is `postgres` below it. */
  readonly dataDir: string
  /** Directory of PostgreSQL's programs; empty: those in PATH. */
  readonly binPath: string
  /** As in the generated configuration: it names the socket too. */
  readonly port: string
  /** Where the unix socket lies; `/tmp` as with Go, unless chosen otherwise (D-67). */
  readonly socketDirectory: string
  readonly superuser: Account
  readonly replication: Account
  /** Bound for one request to PostgreSQL. */
  readonly requestTimeout: Millis
  /** How long a new guardian waits for the first `hold`. */
  readonly initialDeadline: Millis
  /** For the guardian's herald, which publishes its certificate; null: nobody does. */
  readonly store: StoreSettings | null
  readonly clock: Clock
  readonly log: Log
}

/** The password to use, null when none is asked for. */
export const passwordOf = ({ method, password }: Account): string | null =>
  method === "trust" ? null : password

export interface Places {
  readonly root: string
  readonly keeperState: string
  readonly dbState: string
  readonly mark: string
  readonly certificate: string
  /** Wishes of operators that were fulfilled. */
  readonly handled: string
  /** The last word on self-fencing. */
  readonly fencing: string
  /** The last promise to promote nobody. */
  readonly promise: string
  /** A content move that was under way (`tree.ts`). */
  readonly move: string
  /** A pg_rewind that was begun (`rewind.ts`). */
  readonly rewind: string
  /** PGDATA. */
  readonly data: string
  /** PGDATA while it is being made. */
  readonly side: string
  /** Tablespaces that were copied by us and have no place of their own. */
  readonly tablespaces: string
}

export const placesBelow = (root: string): Places => ({
  root,
  keeperState: join(root, "keeperstate"),
  dbState: join(root, "dbstate"),
  mark: join(root, "stolon-work"),
  certificate: join(root, "stolon-certificate"),
  handled: join(root, "stolon-handled"),
  fencing: join(root, "stolon-fencing"),
  promise: join(root, "stolon-promise"),
  move: join(root, "stolon-move"),
  rewind: join(root, "stolon-rewind"),
  data: join(root, "postgres"),
  side: join(root, "postgres.new"),
  tablespaces: join(root, "tablespaces"),
})

export const asidePrefix = "postgres.aside-"
export const divergentPrefix = "divergent-wal-"
export const passPrefix = "stolon-pass-"

/** What every part of the adapter works with. */
export interface Context {
  readonly settings: PostgresSettings
  readonly places: Places
  readonly supervisor: Supervisor
  readonly sessions: Sessions
  /** From where on standbys may be called synchronous. */
  readonly baseline: Baseline
  /** Of the installed programs. */
  readonly version: (signal: AbortSignal) => Promise<BinaryVersion>
  /** How the last PostgreSQL ended, as far as this keeper was told; guardians come and go. */
  readonly exit: () => Exit | null
  /** Tells the keeper that something changed by itself. */
  readonly changed: () => void
}

/** One step under way. */
export interface Job extends Context {
  readonly progress: (text: string) => void
  readonly signal: AbortSignal
}

/** The path of one of PostgreSQL's programs. */
export const program = ({ binPath }: PostgresSettings, name: string): string =>
  binPath === "" ? (Bun.which(name) ?? name) : resolve(binPath, name)

/** Wall time as part of a file name that sorts: `20251122T160000.123Z`. */
export const stamp = ({ clock }: PostgresSettings): string => clock.now().wall.replace(/[-:]/g, "")

/** The message of whatever was thrown. */
export const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)

/** The `code` of an error: a SQLSTATE or a system error's name; empty when there is none. */
export const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : ""
