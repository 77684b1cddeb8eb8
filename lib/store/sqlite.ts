/**
 * The store for one machine: a file that several processes share, through SQLite's own locking.
 *
 * SQLite works synchronously, so nothing here waits inside it: a locked database is tried again
 * from the event loop until the store's timeout. Times to live are on CLOCK_BOOTTIME with the
 * kernel's boot id beside them, so they end with the machine too. Whatever ran out is absent for
 * every reader at once, whoever gets to remove it.
 */
import type { Database } from "bun:sqlite"
import { randomBytes } from "node:crypto"
import { type Millis, millis, never } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"
import { type Expected, StoreError, type Written } from "#port/store.ts"
import { type Candidacy, type Polls, byAge, campaign, parseToken } from "./election.ts"
import type { Entry, KeyValue } from "./keyvalue.ts"
import { aborted, within } from "./scope.ts"
import { type File, asStoreError, bootId, isBusy, openFile } from "./sqlite-file.ts"
import { type Rows, rowsOf, versionOf } from "./sqlite-rows.ts"
import { type Changes, changesOf } from "./sqlite-watch.ts"

export interface SqliteSettings {
  readonly file: string
  readonly timeout: Millis
}

/** The open file as the store works with it. */
interface Access {
  readonly path: string
  readonly timeout: Millis
  readonly clock: Clock
  readonly changes: Changes
  readonly closed: AbortSignal
  /** All of one moment. */
  read<T>(work: (rows: Rows) => T, signal: AbortSignal): Promise<T>
  /** One write transaction; keys that ran out are gone before `work` looks. */
  change<T>(work: (rows: Rows) => T, signal: AbortSignal): Promise<T>
  close(): void
}

/** Opens the file (creating it when there is none) and fails when it cannot be used. */
export async function openSqlite(
  settings: SqliteSettings,
  clock: Clock,
  signal: AbortSignal,
): Promise<KeyValue> {
  const access = await openAccess(settings, clock, signal)
  const { path, changes, closed, read, change } = access
  const store: KeyValue = {
    get: (key, signal) => read((rows) => rows.find(key), signal),
    list: (prefixes, signal) => read((rows) => prefixes.map((p) => rows.below(p)), signal),
    swap: (key, value, expected, guard, signal) =>
      unlessUnknown(change((rows) => swap(rows, key, value, expected, guard), signal)),
    async put(key, value, ttl, signal) {
      await change((rows) => rows.put(key, value, ttl), signal)
    },
    remove: (key, signal) => change((rows) => rows.drop(key), signal),
    async watch(prefixes, changed, signal) {
      if (signal.aborted) return
      if (closed.aborted) throw new StoreError("unavailable", `${path} is closed`)
      const stop = changes.subscribe(prefixes, changed)
      changed()
      await Promise.race([aborted(signal), aborted(closed)])
      stop()
    },
    async leader(prefix, signal) {
      const entries = await read((rows) => rows.below(prefix), signal)
      return byAge(entries)[0]?.value ?? null
    },
    unseat: (prefix, value, signal) =>
      access.change((rows) => {
        const first = byAge(rows.below(prefix))[0]
        if (first?.value !== value) return false
        rows.drop(first.key)
        return true
      }, signal),
    campaign: (prefix, value, signal) => campaign(polls, prefix, value, signal),
    async [Symbol.asyncDispose]() {
      access.close()
    },
  }
  const polls: Polls = { ...access, list: store.list, watch: store.watch, stand: standIn(access) }
  return store
}

async function openAccess(
  { file: path, timeout }: SqliteSettings,
  clock: Clock,
  signal: AbortSignal,
): Promise<Access> {
  const closing = new AbortController()
  const now = (): number => Math.floor(clock.now().mono)
  const patiently = patience(path, timeout, clock)
  const file: File = await patiently(() => openFile(path), signal)
  const rows = rowsOf(file.db, now, bootId())
  const opened = (): Database => {
    closing.signal.throwIfAborted()
    file.verify()
    return file.db
  }
  const change: Access["change"] = async (work, signal) => {
    const swept = (): ReturnType<typeof work> => {
      rows.sweep()
      return work(rows)
    }
    const result = await patiently(() => transact(opened(), swept), signal)
    changes.announce()
    return result
  }
  const changes = changesOf(
    () => (closing.signal.aborted ? null : file.reader),
    clock,
    () => change(() => {}, closing.signal),
  )
  return {
    path,
    timeout,
    clock,
    changes,
    closed: closing.signal,
    change,
    read: (work, signal) =>
      patiently(
        () =>
          opened()
            .transaction(() => work(rows))
            .deferred(),
        signal,
      ),
    close() {
      if (closing.signal.aborted) return
      closing.abort(new StoreError("unavailable", `${path} is closed`))
      changes.close()
      file.close()
    },
  }
}

/** Runs work on the file until no other process's lock stands in its way. */
const patience =
  (path: string, timeout: Millis, clock: Clock) =>
  <T>(work: () => T, signal: AbortSignal): Promise<T> =>
    within(clock, timeout, signal, async (bounded) => {
      // A caller's loop over nothing but this would otherwise never let timers run
      await new Promise<void>((resolve) => setImmediate(resolve))
      signal.throwIfAborted()
      for (let pause = 1; ; pause = Math.min(pause * 2, 16)) {
        try {
          return work()
        } catch (error) {
          if (!isBusy(error)) throw asStoreError(error, path)
        }
        // Uneven pauses: processes that collided do not collide again
        await clock.sleep(millis(pause * (0.5 + Math.random())), bounded).catch(() => {})
        signal.throwIfAborted()
        if (bounded.aborted)
          throw new StoreError("unavailable", `${path} is locked by another process`)
      }
    })

/** The commit itself failed: nobody knows whether it will be found after all. */
class CommitError extends StoreError {}

function transact<T>(db: Database, work: () => T): T {
  db.run("BEGIN IMMEDIATE")
  let result: T
  try {
    result = work()
  } catch (error) {
    if (db.inTransaction) db.run("ROLLBACK")
    throw error
  }
  try {
    db.run("COMMIT")
  } catch (cause) {
    if (db.inTransaction) db.run("ROLLBACK")
    throw new CommitError("unavailable", `the commit failed: ${String(cause)}`, { cause })
  }
  return result
}

async function unlessUnknown(written: Promise<Written>): Promise<Written> {
  try {
    return await written
  } catch (error) {
    if (error instanceof CommitError) return { kind: "unknown", why: error.message }
    throw error
  }
}

function swap(
  rows: Rows,
  key: string,
  value: string,
  expected: Expected,
  guard: string | null,
): Written {
  const standing = guard === null || isStanding(rows.find(parseToken(guard).key), guard)
  if (!standing || !isExpected(rows.find(key), expected)) return { kind: "conflict" }
  return { kind: "written", version: versionOf(rows.put(key, value, null)) }
}

const isStanding = (entry: Entry | null, token: string): boolean =>
  entry !== null && String(entry.created) === parseToken(token).created

function isExpected(entry: Entry | null, expected: Expected): boolean {
  switch (expected.kind) {
    case "anything":
      return true
    case "absent":
      return entry === null
    case "version":
      return entry?.version === expected.version
    default:
      return never(expected)
  }
}

/** A candidate: a key with a random name and a time to live. */
const standIn =
  ({ change }: Access): Polls["stand"] =>
  async (prefix, value, ttl, signal): Promise<Candidacy> => {
    const key = `${prefix}${randomBytes(8).toString("hex")}`
    const created = await change((rows) => rows.put(key, value, ttl), signal)
    return {
      key,
      created: BigInt(created),
      renew: (_timeout, signal) => change((rows) => rows.renew(key, created, ttl), signal),
      quit: (_timeout, signal) => change((rows) => rows.drop(key), signal),
    }
  }
