/**
 * Bringing a diverged data directory back onto the source's timeline with pg_rewind (D-52).
 *
 * The plan has set the mark `rewind` before and saved the WAL: from the first byte on the directory
 * is neither the old copy nor the new one, and is not started until this has succeeded. A failure
 * throws; the plan then falls back to a fresh copy. The file `stolon-rewind` keeps a second
 * pg_rewind from being run over the remains of a first: PostgreSQL's documentation warns of that.
 */
import { realpath } from "node:fs/promises"
import { join } from "node:path"
import * as v from "valibot"
import type { Source, Step } from "#model/step.ts"
import { millis } from "#base/brand.ts"
import { readIfPresent, removeDurably, syncDirectory, writeAtomic } from "#system/files.ts"
import { instanceProcesses } from "#system/instance.ts"
import { clearStalePidFile } from "#system/pidfile.ts"
import { sourceTarget } from "./clone.ts"
import { addSignal, unblockAlterSystem } from "./config.ts"
import { assertStopped } from "./directories.ts"
import { signalNames, temporaryName } from "./files.ts"
import { type Session, newSession } from "./session.ts"
import { type Job, passwordOf } from "./settings.ts"
import { readMark } from "./state.ts"
import { conninfo, runTool } from "./tool.ts"
import { unlinkIfPresent } from "./tree.ts"

export async function rewind(
  { source }: Extract<Step, { kind: "rewind" }>,
  job: Job,
): Promise<void> {
  const { settings, places, signal } = job
  const { superuser } = settings
  await assertStopped(job, signal)
  const db = (await readMark(places))?.db ?? ""
  const before = await readIfPresent(places.rewind)
  if (before === `done ${db}`) return flushAt(source, job)
  if (before === `begun ${db}`)
    throw new Error(`an earlier pg_rewind of ${places.data} broke off: only a fresh copy helps`)
  await checkpointAt(source, job)
  await writeAtomic(places.rewind, `begun ${db}`)
  await unblockAlterSystem(places.data)
  // pg_rewind recovers a crashed target itself, alone; PostgreSQL cannot do that as a standby. The
  // mark forbids any other start.
  await removeDurably(join(places.data, signalNames.standby))
  await removeDurably(join(places.data, signalNames.recovery))
  // a server of a single user looks only whether the pid exists, and a zombie's does (D-77)
  const real = await realpath(places.data)
  if (instanceProcesses(new Set([real])).length === 0) await clearStalePidFile(real)
  const server = conninfo({
    host: source.host,
    port: source.port,
    user: superuser.name,
    dbname: "postgres",
    application_name: "stolon-rewind",
    sslmode: "prefer",
    connect_timeout: "10",
    options: "-c synchronous_commit=off",
  })
  await runTool(
    {
      name: "pg_rewind",
      what: "rewind",
      password: passwordOf(superuser),
      args: ["-D", places.data, "--source-server", server, "-P"],
    },
    job,
  )
  // Its configuration is the source's now, its signal file is gone: a standby from here on,
  // whatever happens.
  await addSignal(places.data, "standby")
  await unlinkIfPresent(join(places.data, temporaryName))
  await syncDirectory(places.data)
  await writeAtomic(places.rewind, `done ${db}`)
  await flushAt(source, job)
}

/**
 * The rewound copy counts as consistent from the end of what its source had *written*, and is sent
 * only what the source has flushed. Where every commit hangs until a standby is in sync again,
 * which may be this very one, nobody flushes the last records for up to fifteen seconds. A commit
 * that waits for no standby does. Without it the copy gets there all the same, later.
 */
async function flushAt(source: Source, job: Job): Promise<void> {
  const flush = "select pg_logical_emit_message(true, 'stolon', 'flush')"
  try {
    await onPrimary(source, job, { synchronous_commit: "local" }, ({ run }) =>
      run(flush, job.signal),
    )
  } catch {
    job.signal.throwIfAborted()
  }
}

const recoveryRow = v.object({ standby: v.boolean() })

/**
 * Right after a promotion the source's control file still names the old timeline, and pg_rewind
 * would find nothing to do (#644). Its checkpoint may take as long as it likes; only aborting ends
 * the wait.
 */
const checkpointAt = (source: Source, job: Job): Promise<void> =>
  onPrimary(source, job, {}, ({ run }) => run("checkpoint", job.signal, checkpointMax))

const checkpointMax = millis(600_000)

/** `work` in a session with the source, unless that is a standby itself. */
async function onPrimary(
  source: Source,
  { settings, signal }: Job,
  parameters: Readonly<Record<string, string>>,
  work: (session: Session) => Promise<void>,
): Promise<void> {
  const own = { application_name: "stolon-rewind", ...parameters }
  const target = sourceTarget(source, settings.superuser, own)
  const session = newSession(target, settings.clock, settings.requestTimeout)
  try {
    const [row] = await session.query(recoveryRow, "select pg_is_in_recovery() as standby", signal)
    if (row?.standby === false) await work(session)
  } finally {
    session.close()
  }
}
