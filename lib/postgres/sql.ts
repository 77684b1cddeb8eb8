/**
 * Steps that are SQL on the lasting superuser session: roles, slots, parameters, sessions of
 * clients (reference 4.6, 6.2, 6.5).
 *
 * The session does not wait for standbys (`synchronous_commit = local`): a keeper that hangs on its
 * own commit helps nobody.
 */
import * as v from "valibot"
import { millis } from "#base/brand.ts"
import type { Step } from "#model/step.ts"
import { identifier, literal } from "./session.ts"
import type { SqlSession } from "./sessions.ts"
import { type Account, codeOf, type Job, passwordOf } from "./settings.ts"
import { writeDBState } from "./state.ts"

type Of<K> = Extract<Step, { kind: K }>

/**
 * Nothing of a statement with a password in any log, whatever the specification asks to be logged.
 */
const discreet = `begin; set local log_statement = 'none'; set local log_min_duration_statement = -1;
  set local log_min_error_statement = 'panic'; set local log_transaction_sample_rate = 0;
  set local log_min_duration_sample = -1; set local pg_stat_statements.track_utility = off`

/** The superuser's password and the replication role (4.6), in one transaction. */
export async function createRoles(_: Of<"create-roles">, job: Job): Promise<void> {
  const { settings, sessions, signal } = job
  const { superuser, replication } = settings
  // Its own session: nobody else's question may get into the transaction.
  const session = await sessions.fresh(signal)
  try {
    await session.run(discreet, signal)
    if (superuser.name === replication.name) {
      await alterRole(session, superuser, "login replication", signal)
    } else {
      await alterRole(session, superuser, "", signal)
      await ensureRole(session, replication, signal)
    }
    await session.run("commit", signal)
  } finally {
    session.close() // which rolls back what is not committed
  }
}

async function ensureRole(
  session: SqlSession,
  account: Account,
  signal: AbortSignal,
): Promise<void> {
  const name = literal(account.name)
  const rows = await session.query(
    anyRow,
    `select 1 as one from pg_roles where rolname = ${name}`,
    signal,
  )
  if (rows.length === 0) await session.run(`create role ${identifier(account.name)}`, signal)
  await alterRole(session, account, "login replication", signal)
}

const anyRow = v.object({ one: v.number() })

/**
 * With `scram-sha-256` the secret must be of that kind; otherwise the server's default stands, as
 * with Go.
 */
async function alterRole(
  session: SqlSession,
  account: Account,
  options: string,
  signal: AbortSignal,
): Promise<void> {
  const password = passwordOf(account)
  if (account.method === "scram-sha-256")
    await session.run("set local password_encryption = 'scram-sha-256'", signal)
  const secret = password === null ? "" : ` password ${literal(password)}`
  if (options === "" && secret === "") return
  await session.run(`alter role ${identifier(account.name)} with ${options}${secret}`, signal)
}

const parameterRow = v.object({ name: v.string(), setting: v.string() })
const parametersSql = `select name, setting from pg_file_settings
  where name is not null and setting is not null order by seqno`

/** The last row of a name wins, as in PostgreSQL. What is ours alone is nobody's parameter. */
export async function captureParameters(
  { state }: Of<"capture-parameters">,
  job: Job,
): Promise<void> {
  const session = await job.sessions.own(job.signal)
  const rows = await session.query(parameterRow, parametersSql, job.signal)
  const all = rows
    .filter(({ name }) => !name.startsWith("stolon."))
    .map(({ name, setting }): [string, string] => [name, setting])
  await writeDBState(job.places, { ...state, initPGParameters: new Map(all) })
}

/** As Go does, the slot reserves no WAL before its first use. */
export async function createSlot({ name }: Of<"create-slot">, job: Job): Promise<void> {
  const session = await job.sessions.own(job.signal)
  const slot = literal(name)
  const sql = `select pg_create_physical_replication_slot(${slot})
    where not exists (select from pg_replication_slots where slot_name = ${slot})`
  try {
    await session.run(sql, job.signal)
  } catch (error) {
    if (codeOf(error) !== duplicateObject) throw error
  }
}

/** An active slot is not dropped: that throws, and is tried again. */
export async function dropSlot({ name }: Of<"drop-slot">, job: Job): Promise<void> {
  const session = await job.sessions.own(job.signal)
  const sql = `select pg_drop_replication_slot(slot_name) from pg_replication_slots
    where slot_name = ${literal(name)}`
  try {
    await session.run(sql, job.signal)
  } catch (error) {
    if (codeOf(error) !== undefinedObject) throw error
  }
}

const duplicateObject = "42710"
const undefinedObject = "42704"

const pidRow = v.object({ pid: v.number() })

/**
 * Ends the sessions that are there now, of everybody but superusers, replication and the keepers,
 * and waits for their end.
 */
export async function endSessions(_: Of<"end-sessions">, job: Job): Promise<void> {
  const { settings, sessions, signal } = job
  const { clock, requestTimeout, superuser, replication } = settings
  const session = await sessions.own(signal)
  const ours = [superuser.name, replication.name].map(literal).join()
  const rows = await session.query(
    pidRow,
    `select a.pid, pg_terminate_backend(a.pid) from pg_stat_activity a join pg_roles r on r.oid = a.usesysid
      where a.backend_type = 'client backend' and not r.rolsuper and r.rolname not in (${ours})`,
    signal,
  )
  if (rows.length === 0) return
  const pids = rows.map(({ pid }) => pid).join()
  const left = `select pid from pg_stat_activity where pid in (${pids}) and backend_type = 'client backend'`
  const end = clock.now().mono + requestTimeout
  for (;;) {
    const remaining = await session.query(pidRow, left, signal)
    if (remaining.length === 0) return
    if (clock.now().mono >= end)
      throw new Error(`${remaining.length} sessions of clients do not end`)
    await clock.sleep(millis(10), signal)
  }
}
