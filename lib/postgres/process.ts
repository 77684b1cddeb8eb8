/**
 * Steps about PostgreSQL's process: start, stop, and waiting for what it does by itself. The
 * process belongs to the guardian; here orders are given and results awaited.
 *
 * Nothing is started in a directory marked as half rewound, nor twice. Waiting notices that
 * PostgreSQL has ended (a failed recovery never "gets ready", Go stolon waited for ever).
 */
import { join } from "node:path"
import * as v from "valibot"
import { type Millis, millis } from "#base/brand.ts"
import type { Step } from "#model/step.ts"
import { EndedError } from "#port/postgres.ts"
import { clearStaleSocketLock } from "#system/pidfile.ts"
import { blockAlterSystem, placeTemporary } from "./config.ts"
import { exists } from "./datadir.ts"
import { receiverGone } from "./detach.ts"
import { signalNames } from "./files.ts"
import { completeBeginnings, shortBeginnings } from "./first-segment.ts"
import { reasonOf, refusals } from "./server.ts"
import type { SqlSession } from "./sessions.ts"
import { codeOf, type Job, program } from "./settings.ts"
import { readMark } from "./state.ts"
import { runTool } from "./tool.ts"
import { settleMove } from "./tree.ts"

type Of<K> = Extract<Step, { kind: K }>

const pollMs = millis(20)

export async function start({ temporary }: Of<"start">, job: Job): Promise<void> {
  const { supervisor, sessions, settings, places, signal } = job
  const state = await supervisor.state(signal)
  if (state.kind === "running" && !state.stopping) return
  await settleMove(places, signal)
  const mark = await readMark(places)
  if (mark?.kind === "rewind")
    throw new Error(`${places.data} is half rewound and must not be started`)
  await blockAlterSystem(places.data)
  const more = await placeTemporary(places.data, temporary)
  sessions.close()
  if (await exists(join(places.data, signalNames.standby)))
    tellCompleted(await completeBeginnings(places.data), job)
  await clearStaleSocketLock(settings.socketDirectory, settings.port)
  const socket = `unix_socket_directories=${settings.socketDirectory}`
  await supervisor.start(
    {
      postgres: program(settings, "postgres"),
      dataDir: places.data,
      args: ["-c", socket, ...more],
    },
    signal,
  )
}

/**
 * The checkpoint beforehand makes the stop short, while clients still work; it may not hold up the
 * stop for long (D-44).
 */
export async function stop(step: Of<"stop">, job: Job): Promise<void> {
  const { supervisor, sessions, signal } = job
  if (step.checkpoint) await tryCheckpoint(job)
  sessions.close()
  await supervisor.stop("fast", step.escalateAfter, signal)
}

const checkpointTime = 60_000
async function tryCheckpoint({ sessions, settings, signal }: Job): Promise<void> {
  try {
    const session = await sessions.own(signal)
    await session.run(
      "checkpoint",
      signal,
      millis(Math.max(checkpointTime, settings.requestTimeout)),
    )
  } catch {
    // Otherwise: it was an attempt, the stop itself writes the checkpoint that counts.
    signal.throwIfAborted()
  }
}

export async function checkpoint({ timeout }: Of<"checkpoint">, job: Job): Promise<void> {
  const session = await job.sessions.own(job.signal)
  await session.run("checkpoint", job.signal, timeout)
}

export async function waitReady({ timeout }: Of<"wait-ready">, job: Job): Promise<void> {
  let why = "not asked yet"
  const ready = async (): Promise<boolean> => {
    try {
      await job.sessions.own(job.signal)
      return true
    } catch (error) {
      job.signal.throwIfAborted()
      why = reasonOf(error)
      // no waiting makes another password of it
      if (refusals.has(codeOf(error)))
        throw new Error(`PostgreSQL refuses its keeper: ${why}`, { cause: error })
      return false
    }
  }
  await until(ready, timeout, () => `PostgreSQL does not accept connections: ${why}`, job)
}

/**
 * PostgreSQL removes recovery.signal when recovery has reached its target and it has become a
 * primary.
 */
export async function waitRecovered({ timeout }: Of<"wait-recovered">, job: Job): Promise<void> {
  const path = join(job.places.data, signalNames.recovery)
  const gone = async (): Promise<boolean> => !(await exists(path))
  await until(gone, timeout, () => "recovery has not reached its target", job)
  job.changed()
}

const standbyRow = v.object({ standby: v.boolean() })
const standbySql = "select pg_is_in_recovery() as standby"

/** How often a promotion is looked at: failover waits for it. */
const promotePoll = millis(4)

export async function promote({ timeout }: Of<"promote">, job: Job): Promise<void> {
  const { signal } = job
  const session = await ownOrNull(job)
  if (session === null) return await promoteUnasked(timeout, job)
  const standby = async (): Promise<boolean> =>
    (await session.query(standbyRow, standbySql, signal))[0]?.standby !== false
  if (!(await standby())) return
  await completeReceived(session, timeout, job)
  await session.run("select pg_promote(wait => false)", signal)
  const done = async (): Promise<boolean> => !(await standby())
  await until(done, timeout, () => "the promotion is not finished", job, promotePoll)
}

const followsRow = v.object({ follows: v.boolean() })
const followsSql = "select current_setting('primary_conninfo') <> '' as follows"

/**
 * PostgreSQL would panic over a first segment that is half received. One that is left alone here is
 * completed by the start that follows the panic: where clients took every connection, where a
 * receiver that began just now brings it, and before PostgreSQL 13, where a standby follows on
 * until it is promoted.
 */
async function completeReceived(session: SqlSession, timeout: Millis, job: Job): Promise<void> {
  const { places, signal } = job
  if ((await shortBeginnings(places.data, "end")).length === 0) return
  if ((await session.query(followsRow, followsSql, signal))[0]?.follows !== false) return
  await receiverGone(timeout > 0 ? millis(Math.max(timeout, receiverTime)) : timeout, job)
  tellCompleted(await completeBeginnings(places.data), job)
}

/** A look that finds it gone twice takes a tenth of that. */
const receiverTime = 1_000

function tellCompleted(names: readonly string[], { progress }: Job): void {
  for (const name of names) progress(`completed ${name}, which was half received`)
}

async function ownOrNull({ sessions, signal }: Job): Promise<SqlSession | null> {
  try {
    return await sessions.own(signal)
  } catch {
    signal.throwIfAborted()
    return null
  }
}

/**
 * When no connection is to be had (clients took them all, D-81): pg_ctl, and the signal file tells
 * when it is done.
 */
async function promoteUnasked(timeout: Millis, job: Job): Promise<void> {
  const { places } = job
  const path = join(places.data, signalNames.standby)
  const done = async (): Promise<boolean> => !(await exists(path))
  if (await done()) throw new Error("PostgreSQL accepts no connection and is no standby")
  await runTool(
    { name: "pg_ctl", what: "promote", args: ["promote", "-W", "-D", places.data] },
    job,
  )
  await until(done, timeout, () => "the promotion is not finished", job, promotePoll)
}

/** Polls; throws after `timeout` (0: never), and as soon as PostgreSQL has ended. */
async function until(
  met: () => Promise<boolean>,
  timeout: Millis,
  what: () => string,
  job: Job,
  every: Millis = pollMs,
): Promise<void> {
  const { supervisor, settings, signal } = job
  const { clock } = settings
  const end = timeout > 0 ? clock.now().mono + timeout : Number.POSITIVE_INFINITY
  let looked = clock.now().mono
  while (!(await met())) {
    const now = clock.now().mono
    if (now >= looked + pollMs) {
      looked = now
      const state = await supervisor.state(signal)
      if (state.kind === "stopped" && !(await met()))
        throw new EndedError(`${what()}: PostgreSQL has ended; its log says why`)
    }
    if (now >= end) throw new Error(`${what()} (after ${Math.round(timeout)} ms)`)
    await clock.sleep(every, signal)
  }
}
