/**
 * Showing that commits really wait for the synchronous standbys (W3).
 *
 * A reload is asynchronous, and the settings that a session shows prove nothing about it. Two
 * processes matter. A committing backend waits when a flag in shared memory says so, and only the
 * *checkpointer* sets that flag, when it gets round to its own reload. A walsender decides whether
 * a standby's answer releases a waiter, by its own copy of the names.
 *
 * The walsenders need no proof. A new session that shows the names was forked after the postmaster
 * had told every child; a child has taken a signal before it runs on, and a walsender reads its
 * configuration at the head of the loop that takes answers. So the answer to anything that is
 * written from now on is judged by the new names.
 *
 * The flag does need proof. A commit of our own that is *seen waiting* (`SyncRep` in
 * pg_stat_activity) proves it, and is then cancelled. A commit that returns quickly proves nothing:
 * the standby may have been quick, or nobody waited. So meanwhile a CHECKPOINT is asked for: the
 * checkpointer looks at its pending reload before it begins the checkpoint that was asked for, so
 * when the CHECKPOINT has returned, the flag is set. Whichever proof comes first is enough.
 */
import * as v from "valibot"
import { millis } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"
import type { Step } from "#model/step.ts"
import type { SqlSession } from "./sessions.ts"
import { codeOf, type Job } from "./settings.ts"

const stateRow = v.object({ names: v.string(), standby: v.boolean() })
const stateSql = `select current_setting('synchronous_standby_names') as names, pg_is_in_recovery() as standby`
const waitRow = v.object({ waits: v.boolean() })

/** How long a waiting commit is looked for before the checkpoint, which costs I/O, is begun. */
const quickMs = 150

export async function proveSync(
  step: Extract<Step, { kind: "prove-sync" }>,
  job: Job,
): Promise<void> {
  const { sessions, settings, baseline } = job
  if (step.names === "") return
  const signal = settings.clock.deadline(step.timeout, job.signal)
  const watcher = await sessions.own(signal)
  const prover = await sessions.fresh(signal)
  try {
    const [state] = await prover.query(stateRow, stateSql, signal)
    if (state?.standby !== false)
      throw new Error("a standby commits nothing: there is nothing to prove")
    if (state.names !== step.names)
      throw new Error(
        `synchronous_standby_names is ${JSON.stringify(state.names)}, not ${JSON.stringify(step.names)}`,
      )
    await prover.run("set synchronous_commit = on", signal)
    if (!(await seenWaiting(prover, watcher, job, signal)))
      await throughCheckpoint(prover, watcher, job, signal)
    baseline.renew() // what went by the old list lies before this moment
  } catch (error) {
    job.signal.throwIfAborted()
    if (!signal.aborted) throw error
    throw new Error(`not proved within ${step.timeout} ms that commits wait for ${step.names}`, {
      cause: error,
    })
  } finally {
    prover.close()
  }
}

/** Commits for a moment and watches. */
async function seenWaiting(
  prover: SqlSession,
  watcher: SqlSession,
  { settings }: Job,
  signal: AbortSignal,
  over: () => boolean = () => false,
): Promise<boolean> {
  const { clock } = settings
  const end = clock.now().mono + quickMs
  while (clock.now().mono < end && !over())
    if (await commitWaits(prover, watcher, clock, signal)) return true
  return false
}

/** Goes on looking while the checkpoint is made. */
async function throughCheckpoint(
  prover: SqlSession,
  watcher: SqlSession,
  job: Job,
  signal: AbortSignal,
): Promise<void> {
  const { sessions } = job
  const pusher = await sessions.fresh(signal)
  let done = false
  const pushed = pusher.run("checkpoint", signal, forever).finally(() => (done = true))
  pushed.catch(() => undefined)
  try {
    while (!done) if (await seenWaiting(prover, watcher, job, signal, () => done)) return
    await pushed
  } finally {
    pusher.close() // the checkpoint itself goes on; nobody waits for it any more
  }
}

const looksMax = 100
const forever = millis(3_600_000)

/** One commit; true when it was seen waiting, and then cancelled. */
async function commitWaits(
  prover: SqlSession,
  watcher: SqlSession,
  clock: Clock,
  signal: AbortSignal,
): Promise<boolean> {
  let done = false
  let looks = 0
  // It must write more than its commit record: a transaction that only has a number commits without
  // waiting for anybody.
  const commit = prover
    .run("select pg_logical_emit_message(true, 'stolon', 'do commits wait?')", signal, forever)
    .finally(() => (done = true))
  commit.catch(() => undefined)
  const sql = `select coalesce(bool_or(wait_event = 'SyncRep'), false) as waits from pg_stat_activity where pid = ${prover.pid}`
  while (!done) {
    const [row] = await watcher.query(waitRow, sql, signal)
    if (row?.waits !== true) {
      // A short wait is found only by looking all the time; what takes longer is a slow disk.
      if (++looks > looksMax) await clock.sleep(millis(5), signal)
      continue
    }
    await watcher.run(`select pg_cancel_backend(${prover.pid})`, signal)
    await commit.catch((error: unknown) => {
      // Cancelled, the commit itself stands: it is our own, and empty.
      if (codeOf(error) !== queryCanceled) throw error
    })
    return true
  }
  await commit
  return false
}

const queryCanceled = "57014"
