/**
 * Making a running PostgreSQL load its files, and knowing that it did.
 *
 * SIGHUP is answered by nobody. The postmaster reads the files, tells its children, and forks every
 * new session with what it has: so a new session that shows `stolon.revision` proves that the
 * postmaster is done and has told everybody. What PostgreSQL would refuse is asked beforehand,
 * because it says so only in its log: a syntax error or an unknown name makes it drop the whole
 * file, one wrong value only that parameter (the others are applied, and this throws afterwards).
 */
import * as v from "valibot"
import { type Millis, millis } from "#base/brand.ts"
import type { Step } from "#model/step.ts"
import type { SqlSession } from "./sessions.ts"
import { reasonOf } from "./server.ts"
import type { Job } from "./settings.ts"

const pollMs = millis(10)

export async function reload(step: Extract<Step, { kind: "reload" }>, job: Job): Promise<void> {
  const { supervisor, signal } = job
  const problems = await check(job)
  if (problems.hard.length > 0)
    throw new Error(`PostgreSQL would not load its configuration: ${problems.hard.join("; ")}`)
  const state = await supervisor.state(signal)
  if (state.kind !== "running") throw new Error("PostgreSQL is not running: nothing to reload")
  process.kill(state.pid, "SIGHUP")
  await awaitRevision(step.revision, step.timeout, job)
  if (problems.soft.length > 0)
    throw new Error(`PostgreSQL loaded its configuration but for: ${problems.soft.join("; ")}`)
}

async function awaitRevision(revision: string, timeout: Millis, job: Job): Promise<void> {
  const { sessions, settings, signal } = job
  const { clock } = settings
  const end = clock.now().mono + timeout
  let seen = ""
  for (;;) {
    try {
      const session = await sessions.fresh(signal)
      session.close()
      if (session.revision === revision) return
      seen = `new sessions still see ${JSON.stringify(session.revision)}`
    } catch (error) {
      signal.throwIfAborted()
      seen = reasonOf(error)
    }
    if (clock.now().mono >= end)
      throw new Error(`PostgreSQL has not loaded revision ${revision} after ${timeout} ms: ${seen}`)
    await clock.sleep(pollMs, signal)
  }
}

interface Problems {
  /** Nothing of the file would be loaded. */
  readonly hard: readonly string[]
  /** The parameter would keep its old value. */
  readonly soft: readonly string[]
}

const problemRow = v.object({ place: v.string(), line: v.nullable(v.number()), text: v.string() })

/**
 * A parameter that needs a restart says so, or "could not be applied" like a wrong value; neither
 * is a mistake.
 */
const softError = "setting could not be applied"
const restartError = "cannot be changed without restarting the server"
const confSql = `select coalesce(f.sourcefile, 'postgresql.conf') as place, f.sourceline as line,
    concat_ws(': ', f.name, f.error) as text
  from pg_file_settings f left join pg_settings s on lower(s.name) = lower(f.name)
  where f.error is not null and f.error not like '%${restartError}'
    and not (f.error = '${softError}' and s.context is not distinct from 'postmaster')
    and not (f.error = '${softError}' and exists (select from pg_file_settings g
      where lower(g.name) = lower(f.name) and g.seqno > f.seqno))
  order by f.seqno`
const hbaSql = `select 'pg_hba.conf' as place, line_number as line, error as text
  from pg_hba_file_rules where error is not null order by line_number`

/**
 * Without a session (its own rule may be what the new pg_hba.conf repairs) nothing is known
 * beforehand.
 */
async function check({ sessions, signal }: Job): Promise<Problems> {
  let session: SqlSession
  try {
    session = await sessions.own(signal)
  } catch {
    signal.throwIfAborted()
    return { hard: [], soft: [] }
  }
  const conf = await session.query(problemRow, confSql, signal)
  const hba = await session.query(problemRow, hbaSql, signal)
  const isSoft = ({ text }: { readonly text: string }): boolean => text.endsWith(softError)
  return {
    hard: [...conf.filter((row) => !isSoft(row)), ...hba].map(describe),
    soft: conf.filter(isSoft).map(describe),
  }
}

const describe = ({ place, line, text }: v.InferOutput<typeof problemRow>): string =>
  `${place.split("/").at(-1) ?? place}${line === null ? "" : ` line ${line}`}: ${text}`
