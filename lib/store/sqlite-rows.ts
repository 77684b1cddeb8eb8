/**
 * The statements of the sqlite backend. Each runs inside a transaction that its caller began; none
 * waits for anything.
 *
 * Whatever ran out is absent for every statement here, whether or not somebody has removed its row
 * yet.
 */
import type { Database } from "bun:sqlite"
import type { Millis } from "#base/brand.ts"
import type { Version } from "#port/store.ts"
import type { Entry } from "./keyvalue.ts"

/** Events kept for watches that are late. */
const eventsKept = 1024

const live = "(expires IS NULL OR (expires > ?1 AND boot = ?2))"

interface Row {
  readonly key: string
  readonly value: string
  readonly created: number
  readonly modified: number
}

export interface Rows {
  find(key: string): Entry | null
  below(prefix: string): readonly Entry[]
  /** Writes a key, for ever or for `ttl`, and returns the revision. */
  put(key: string, value: string, ttl: Millis | null): number
  /** Gives a key its time to live again; false when it is not the one created then. */
  renew(key: string, created: number, ttl: Millis): boolean
  drop(key: string): void
  /** Removes what ran out, as events for the watches. */
  sweep(): void
}

/** `boot` names the boot that `now` counts in. */
export function rowsOf(db: Database, now: () => number, boot: string): Rows {
  return {
    find(key) {
      const row = db
        .query<Row, [number, string, string]>(
          `SELECT key, value, created, modified FROM kv WHERE ${live} AND key = ?3`,
        )
        .get(now(), boot, key)
      return row === null ? null : entryOf(row)
    },
    below: (prefix) =>
      db
        .query<Row, [number, string, string]>(
          `SELECT key, value, created, modified FROM kv
           WHERE ${live} AND key >= ?3 AND substr(key, 1, length(?3)) = ?3 ORDER BY key`,
        )
        .all(now(), boot, prefix)
        .map(entryOf),
    put(key, value, ttl) {
      const revision = record(db, key)
      const [expires, until] = ttl === null ? [null, null] : [now() + ttl, boot]
      db.query<unknown, [string, string, number, number | null, string | null]>(
        `INSERT INTO kv(key, value, created, modified, expires, boot) VALUES(?1, ?2, ?3, ?3, ?4, ?5)
         ON CONFLICT(key) DO UPDATE SET value = ?2, modified = ?3, expires = ?4, boot = ?5`,
      ).run(key, value, revision, expires, until)
      return revision
    },
    renew: (key, created, ttl) =>
      db
        .query<unknown, [number, string, number, string, number]>(
          `UPDATE kv SET expires = ?3 WHERE ${live} AND key = ?4 AND created = ?5`,
        )
        .run(now(), boot, now() + ttl, key, created).changes > 0,
    drop(key) {
      const removed = db.query<unknown, [string]>("DELETE FROM kv WHERE key = ?").run(key)
      if (removed.changes > 0) record(db, key)
    },
    sweep() {
      const gone = db
        .query<{ readonly key: string }, [number, string]>(
          `DELETE FROM kv WHERE NOT ${live} RETURNING key`,
        )
        .all(now(), boot)
      for (const { key } of gone) record(db, key)
    },
  }
}

/** Notes a change of `key` and returns its revision. */
function record(db: Database, key: string): number {
  const event = db
    .query<{ readonly revision: number }, [string]>(
      "INSERT INTO event(key) VALUES(?) RETURNING revision",
    )
    .get(key)
  const revision = event?.revision ?? 0
  if (revision % 256 === 0)
    db.query<unknown, [number]>("DELETE FROM event WHERE revision <= ?").run(revision - eventsKept)
  return revision
}

const entryOf = (row: Row): Entry => ({
  key: row.key,
  value: row.value,
  version: versionOf(row.modified),
  created: BigInt(row.created),
})

// Versions are minted by the backends
export const versionOf = (revision: number): Version => String(revision) as Version
