/**
 * One transaction of a client: what it sends, and what its answers prove. Kept apart from the
 * client's loop because the whole checker rests on this judgement: before COMMIT is sent a
 * transaction that breaks off has not happened; after that only the answer to COMMIT tells.
 */
import postgres from "postgres"
import type { Random } from "#base/random.ts"
import { bootMillis } from "#system/libc.ts"
import { type Connected, type Door, connectTo } from "#test/e2e/writer.ts"
import type { Draft } from "./history.ts"

export interface Session {
  readonly sql: Connected
  /** Commits that returned without their standby (N2). */
  cancelled: number
  /** Of the server, null until asked. */
  server: string | null
  system: string | null
}

export interface Wish {
  readonly readOnly: boolean
  /** Unique; the next number is its own too. */
  readonly value: number
  readonly random: Random
}

export interface Done {
  /** The session may serve the next transaction. */
  readonly reusable: boolean
  /** The server refused because it is a standby. */
  readonly standby: boolean
}

/** Lists in use at a time, and how long each: lists stay short, and are fought over. */
const listsAtOnce = 8
const listMs = 1_500
export const listsMax = 100_000

/** `onclose` is called when the server, or who is in between, closes it. */
export function dial(door: Door, onclose: () => void): Session {
  const session: Session = {
    sql: connectTo(door, {
      onnotice: ({ message }) => {
        if (message?.includes("canceling wait for synchronous replication") === true)
          session.cancelled++
      },
      onclose,
    }),
    cancelled: 0,
    server: null,
    system: null,
  }
  return session
}

/** Runs it; `draft` tells at every moment what is known of it. */
export async function transact(session: Session, draft: Draft, wish: Wish): Promise<Done> {
  const before = session.cancelled
  try {
    await work(session, draft, wish)
    draft.sent = bootMillis()
    const { command } = await session.sql.unsafe("commit")
    draft.outcome = command === "COMMIT" ? "ok" : "fail"
    return { reusable: true, standby: false }
  } catch (error) {
    const code = codeOf(error)
    draft.error = code
    draft.outcome = draft.sent === null || aborted.has(code) ? "fail" : "unknown"
    const reusable = await rollBack(session, error)
    return { reusable, standby: refusedByStandby.has(code) }
  } finally {
    draft.cancelled = session.cancelled > before
    draft.end = bootMillis()
  }
}

/** A write on a standby, and serializable on one. */
const refusedByStandby: ReadonlySet<string> = new Set(["25006", "0A000"])
/** Answers to COMMIT that say it did not happen. */
const aborted: ReadonlySet<string> = new Set(["40001", "40P01"])

async function work(session: Session, draft: Draft, wish: Wish): Promise<void> {
  const { sql } = session
  const { random } = wish
  if (session.server === null) {
    const [row] = await sql.unsafe(
      "select system_identifier::text as system, host(inet_server_addr()) as server from pg_control_system()",
    )
    session.system = String(row?.["system"])
    session.server = String(row?.["server"])
  }
  draft.server = session.server
  draft.system = session.system
  // A standby knows no serializable; what it reads is judged as a standby's anyway.
  const level = wish.readOnly ? "repeatable read" : draft.level
  await sql.unsafe(`begin isolation level ${level}`)
  draft.begun = true
  const round = Math.floor(bootMillis() / listMs)
  const draw = (): number => ((round * listsAtOnce) % listsMax) + random.below(listsAtOnce)
  if (wish.readOnly || random.below(2) === 0) await read(sql, draft, draw())
  if (wish.readOnly) return
  const [first, second] = [draw(), draw()].toSorted((a, b) => a - b)
  if (first !== undefined) await append(sql, draft, first, wish.value)
  if (second !== undefined && second !== first && random.below(2) === 0)
    await append(sql, draft, second, wish.value + 1)
}

async function read(sql: Connected, draft: Draft, key: number): Promise<void> {
  const [row] = await sql.unsafe(
    "select array_to_json(items)::text as items, pg_is_in_recovery() as recovery from lists where k = $1",
    [key],
  )
  draft.recovery = row?.["recovery"] === true
  const values: unknown = JSON.parse(String(row?.["items"] ?? "[]"))
  if (Array.isArray(values)) draft.actions.push({ kind: "read", key, values: values.map(Number) })
}

async function append(sql: Connected, draft: Draft, key: number, value: number): Promise<void> {
  const action = { kind: "append" as const, key, value, position: null }
  draft.actions.push(action)
  const [row] = await sql.unsafe(
    "update lists set items = items || $1::int where k = $2 returning cardinality(items) as position, timeline()",
    [value, key],
  )
  if (row === undefined) throw new Error(`there is no list ${key}`)
  draft.actions[draft.actions.indexOf(action)] = { ...action, position: Number(row["position"]) }
  draft.timeline = Number(row["timeline"])
}

/** Whether the session is as good as new. */
async function rollBack(session: Session, error: unknown): Promise<boolean> {
  if (!(error instanceof postgres.PostgresError) || error.severity !== "ERROR") return false
  try {
    await session.sql.unsafe("rollback")
    return true
  } catch {
    return false
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : String(error)

/** What the superuser makes before clients begin. */
export const setup = (password: string): readonly string[] => [
  `create role app login password '${password}'`,
  "create table lists (k int primary key, items int[] not null default '{}') with (fillfactor = 50)",
  `insert into lists select generate_series(0, ${listsMax - 1})`,
  `create function timeline() returns int language sql volatile as
     $$ select ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int $$`,
  "grant select, update on lists to app",
]
