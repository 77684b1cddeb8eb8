/**
 * The database file of the sqlite backend: created private, recognised by its application id,
 * opened in WAL with every commit synced, so that an acknowledged write survives power loss.
 *
 * A file of another program, a damaged one, or one that was replaced under a running process is
 * refused, never repaired and never created anew: an empty store looks like a cluster that was
 * never initialised.
 */
import { Database } from "bun:sqlite"
import { closeSync, mkdirSync, openSync, readFileSync, statSync } from "node:fs"
import { dirname } from "node:path"
import { StoreError } from "#port/store.ts"
import { message } from "./scope.ts"

/** "Stln", in the header of the file (PRAGMA application_id). */
const applicationId = 0x53_74_6c_6e
const schemaVersion = 1

const schema = `
  CREATE TABLE kv(
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    created INTEGER NOT NULL,  -- revision
    modified INTEGER NOT NULL, -- revision
    expires INTEGER,           -- milliseconds of CLOCK_BOOTTIME in the boot below; null: never
    boot TEXT                  -- the boot that the time above belongs to
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE event(          -- which key changed at which revision; compacted, for watches only
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL
  ) STRICT;
  PRAGMA application_id = ${applicationId};
  PRAGMA user_version = ${schemaVersion};
`

/** An open database file. */
export interface File {
  readonly db: Database
  /** A second connection: `PRAGMA data_version` sees only the commits of others. */
  readonly reader: Database
  /** Throws when the path does not name the opened file any more. */
  verify(): void
  close(): void
}

/**
 * The kernel's name for the time since it was started; leases of another boot have ended (the clock
 * starts anew).
 */
export const bootId = (): string => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()

/**
 * Opens or creates. Throws `StoreError`, or SQLite's own error while another process holds a lock
 * (`isBusy`).
 */
export function openFile(path: string): File {
  create(path)
  const inode = inodeOf(path)
  const db = connect(path)
  try {
    prepare(db, path)
    const reader = connect(path)
    return {
      db,
      reader,
      verify() {
        if (inodeOf(path) !== inode)
          throw new StoreError("unavailable", `${path} was removed or replaced while in use`)
      },
      close() {
        reader.close()
        db.close()
      },
    }
  } catch (error) {
    db.close()
    throw error
  }
}

function create(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    closeSync(openSync(path, "a", 0o600)) // -wal and -shm get the same mode from SQLite
  } catch (cause) {
    throw new StoreError("denied", `cannot open the store's file: ${message(cause)}`, { cause })
  }
}

function inodeOf(path: string): string | null {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  return found === undefined ? null : `${found.dev}:${found.ino}`
}

function connect(path: string): Database {
  const db = new Database(path, { readwrite: true, create: false, strict: true })
  // Locked: come back later instead of blocking the event loop, see `sqlite.ts`
  db.run("PRAGMA busy_timeout = 0")
  db.run("PRAGMA synchronous = FULL")
  return db
}

function prepare(db: Database, path: string): void {
  try {
    if (number(db, "PRAGMA application_id") !== applicationId) initialize(db, path)
    const version = number(db, "PRAGMA user_version")
    if (version !== schemaVersion)
      throw new StoreError("format", `${path}: unsupported version ${version} of the file`)
    db.run("PRAGMA journal_size_limit = 4194304")
    const check = db.query<{ readonly quick_check: string }, []>("PRAGMA quick_check(1)").get()
    if (check?.quick_check !== "ok")
      throw new StoreError("malformed", `${path} is damaged: ${check?.quick_check ?? "no answer"}`)
  } catch (error) {
    throw isBusy(error) ? error : asStoreError(error, path)
  }
}

/** Several processes may come here at once; the transaction lets one of them in. */
function initialize(db: Database, path: string): void {
  const tables = number(db, "SELECT count(*) AS n FROM sqlite_schema")
  // another process was here just now
  if (number(db, "PRAGMA application_id") === applicationId) return
  if (tables > 0) throw new StoreError("invalid", `${path} is a database of another program`)
  const mode = db.query<{ readonly journal_mode: string }, []>("PRAGMA journal_mode = WAL").get()
  if (mode?.journal_mode !== "wal")
    throw new StoreError("invalid", `${path}: its file system cannot carry a shared database`)
  db.transaction(() => {
    if (number(db, "PRAGMA application_id") === applicationId) return
    db.run(schema)
  }).immediate()
}

function number(db: Database, sql: string): number {
  const row = db.query<Readonly<Record<string, number>>, []>(sql).get()
  return Object.values(row ?? {})[0] ?? 0
}

const primary = (error: unknown): number =>
  error instanceof Error && "errno" in error && typeof error.errno === "number"
    ? error.errno & 0xff
    : 0

/** Another process holds a lock: worth another try soon. */
export const isBusy = (error: unknown): boolean => primary(error) === 5 || primary(error) === 6

/** SQLite's result codes in the port's words. */
export function asStoreError(error: unknown, path: string): StoreError {
  if (error instanceof StoreError) return error
  const text = `${path}: ${message(error)}`
  switch (primary(error)) {
    case 3: // PERM
    case 8: // READONLY
    case 23: // AUTH
      return new StoreError("denied", text, { cause: error })
    case 11: // CORRUPT
      return new StoreError("malformed", `${path} is damaged: ${message(error)}`, { cause: error })
    case 26: // NOTADB
      return new StoreError("invalid", `${path} is not a database of stolon: ${message(error)}`, {
        cause: error,
      })
    default: // FULL, IOERR, CANTOPEN, NOMEM and whatever else
      return new StoreError("unavailable", text, { cause: error })
  }
}
