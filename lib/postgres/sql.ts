/**
 * Steps that are SQL on the lasting superuser session: slots, parameters, sessions of clients
 * (reference 6.2, 6.5).
 *
 * The session does not wait for standbys (`synchronous_commit = local`): a keeper that hangs on its
 * own commit helps nobody.
 */
import * as v from "valibot"
import { millis } from "#base/brand.ts"
import type { Step } from "#model/step.ts"
import { temporaryName } from "./files.ts"
import { literal } from "./session.ts"
import { codeOf, type Job } from "./settings.ts"
import { writeDBState } from "./state.ts"

type Of<K> = Extract<Step, { kind: K }>

const parameterRow = v.object({ name: v.string(), setting: v.string() })
const parametersSql = `select name, setting from pg_file_settings
  where name is not null and setting is not null
    and sourcefile not like '%/${temporaryName}' order by seqno`

/**
 * The last row of a name wins, as in PostgreSQL. What our temporary file adds is nobody's parameter
 * but ours.
 */
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

/** Go's slots reserve no WAL before their first use; a standby that is late then finds none. */
export async function createSlot({ name, reserve }: Of<"create-slot">, job: Job): Promise<void> {
  const session = await job.sessions.own(job.signal)
  const slot = literal(name)
  const sql = `select pg_create_physical_replication_slot(${slot}, ${reserve})
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
