/**
 * The keeper's side of the guardian: finds the one that guards the data directory or starts one,
 * and speaks to it.
 *
 * A guardian may be lost at any moment (killed, or ended by its own deadline). Then whatever it
 * guarded is stopping or gone, the exit is reported as one of which nothing is known, and the next
 * call starts a new guardian under a new `boot`. A call whose connection broke is never repeated by
 * itself: the keeper looks at the state and decides anew.
 *
 * A guardian that hangs ends nothing at its deadline, so somebody has to look (P1): one that does
 * not answer then is killed, and the kernel ends PostgreSQL with it.
 */
import { realpath } from "node:fs/promises"
import { join, resolve as absolute } from "node:path"
import * as v from "valibot"
import { type Millis, millis } from "#base/brand.ts"
import type { Level } from "#model/events.ts"
import type { Clock } from "#port/clock.ts"
import type { Exit, Postmaster, Supervisor, Will } from "#port/supervision.ts"
import type { Identity } from "#system/libc.ts"
import type { Connection } from "#system/lines.ts"
import { signalProcess } from "#system/process.ts"
import { postmasterSchema, type Question, type Welcome, welcomeSchema } from "#system/protocol.ts"
import { acquireGuardian, type Found, untilDead, untilEmpty } from "./supervisor-find.ts"
import { GuardianError, openTalk, type Talk } from "./supervisor-talk.ts"

export interface SupervisorOptions {
  /** The keeper's data directory. */
  readonly dataDir: string
  /** PostgreSQL's; `postgres` below the keeper's when absent. */
  readonly pgData?: string
  readonly clock: Clock
  /** How long a new guardian waits for the first hold. */
  readonly initialDeadline: Millis
  /** How a new guardian logs; as text from level info when absent. */
  readonly log?: { readonly level: Level; readonly format: "text" | "json" }
  /** Another user for a new guardian and its PostgreSQL; needs root. */
  readonly identity?: Identity
}

/** Everything that changes, in one place. */
interface Side {
  readonly options: SupervisorOptions & { readonly pgData: string }
  readonly listeners: ((exit: Exit) => void)[]
  readonly closing: AbortController
  current: Found | null
  /** A connection being made; whoever needs one waits for the same. */
  attempt: Promise<Found> | null
  boot: string
  /** The last lease that was asked for; null after a plain hold. */
  lease: { readonly until: Millis; readonly lease: { readonly will: Will | null } } | null
  /** Whether PostgreSQL ran when last heard of, so that its end is reported once and only once. */
  running: boolean
  /** The look at the guardian that is due when what it was told last runs out. */
  alarm: AbortController | null
}

const unknownExit: Exit = { code: null, signal: null, asked: false }

/** A connection can break a moment before its process is seen to be dead. */
const dyingMs = millis(2_000)
/** How long before its deadline a guardian is looked at, and how long it then has to answer. */
const frozenMs = 400
const earlyMin = 100

/** Adopts the living guardian of the data directory, or starts one. */
export async function openSupervisor(
  options: SupervisorOptions,
  signal: AbortSignal,
): Promise<Supervisor> {
  const dataDir = await realpath(options.dataDir)
  const pgData = absolute(options.pgData ?? join(dataDir, "postgres"))
  const side: Side = {
    options: { ...options, dataDir, pgData },
    listeners: [],
    closing: new AbortController(),
    current: null,
    attempt: null,
    boot: "",
    lease: null,
    running: false,
    alarm: null,
  }
  const talk = openTalk(
    (exit) => report(side, exit),
    (connection) => void lost(side, connection),
  )
  const found = await connect(side, talk, signal)
  return supervisorOf(side, talk, found)
}

function supervisorOf(side: Side, talk: Talk, { adopted, leased }: Found): Supervisor {
  // Every call takes the same number of turns to the socket, so that a stop never overtakes the
  // start before it (D-17).
  const call = async (question: Question, stop: AbortSignal): Promise<void> => {
    const found = await linked(side, talk, stop)
    if (question.op === "start") side.running = true // from here on an end is news
    await talk.ask(found.connection, question, AbortSignal.any([stop, side.closing.signal]))
    if (question.op === "hold") overlook(side, talk, found, question.until)
  }
  return {
    get boot() {
      return side.boot
    },
    adopted,
    leased: adopted && leased !== null ? millis(leased) : null,
    state: async (stop) => look(side, talk, (await linked(side, talk, stop)).connection, stop),
    start: (what, stop) => call({ op: "start", what, hold: side.lease }, stop),
    stop: (mode, escalateAfter, stop) => call({ op: "stop", mode, escalateAfter }, stop),
    hold: (until, stop) => {
      side.lease = null
      return call({ op: "hold", until, lease: null }, stop)
    },
    lease: (until, will, stop) => {
      side.lease = { until, lease: { will } }
      return call({ op: "hold", ...side.lease }, stop)
    },
    onExit: (callback) => {
      side.listeners.push(callback)
    },
    end: async (escalateAfter, stop) => {
      const { address } = await linked(side, talk, stop)
      await call({ op: "end", escalateAfter }, stop)
      close(side, "the guardian was ended")
      await untilDead(address, side.options.clock, stop)
      stop.throwIfAborted()
    },
    [Symbol.asyncDispose]: async () => close(side, "the supervisor was closed"),
  }
}

function report(side: Side, exit: Exit): void {
  side.running = false
  for (const listener of side.listeners) listener(exit)
}

/**
 * When the guardian is dead, the end of the PostgreSQL that went with it is awaited and reported.
 */
async function lost(side: Side, connection: Connection): Promise<void> {
  const { options, closing } = side
  const before = side.current
  if (before?.connection !== connection) return
  side.current = null
  const patience = options.clock.deadline(dyingMs, closing.signal)
  if (!side.running || !(await untilDead(before.address, options.clock, patience))) return
  const gone = await untilEmpty(options.pgData, options.clock, closing.signal)
  // A new guardian that was started meanwhile watches it too, and reports instead of us.
  if (gone && side.running && side.current === null && side.attempt === null)
    report(side, unknownExit)
}

/** Asks for the state, and reports an end that came while nobody was connected to hear of it. */
async function look(
  side: Side,
  talk: Talk,
  connection: Connection,
  stop: AbortSignal,
): Promise<Postmaster> {
  const signal = AbortSignal.any([stop, side.closing.signal])
  const state = v.parse(postmasterSchema, await talk.ask(connection, { op: "state" }, signal))
  if (side.running && state.kind === "stopped") report(side, state.exit ?? unknownExit)
  side.running = state.kind === "running"
  return state
}

/**
 * Sets the alarm for `until`, in place of the one before. It rings early enough for a guardian that
 * answers nothing to be dead by then; one that lives has begun to stop PostgreSQL at that time, so
 * nobody is killed who would have let it run on.
 */
function overlook(side: Side, talk: Talk, found: Found, until: number): void {
  const { clock } = side.options
  side.alarm?.abort()
  const alarm = new AbortController()
  side.alarm = alarm
  const over = AbortSignal.any([alarm.signal, side.closing.signal])
  const early = Math.min(frozenMs, (until - clock.now().mono) / 4)
  const wait = millis(Math.max(0, until - early - clock.now().mono))
  const inspect = async (): Promise<void> => {
    await clock.sleep(wait, over)
    const patience = clock.deadline(millis(Math.max(earlyMin, early)), over)
    try {
      await talk.ask(found.connection, { op: "state" }, patience)
    } catch {
      if (patience.aborted && !over.aborted && !found.connection.closed)
        signalProcess(found.address, "SIGKILL")
    }
  }
  inspect().catch(() => undefined) // a later word, or the end of the supervisor
}

async function connect(side: Side, talk: Talk, stop: AbortSignal): Promise<Found> {
  const { clock, initialDeadline } = side.options
  const greet = async (connection: Connection, signal: AbortSignal): Promise<Welcome> =>
    v.parse(welcomeSchema, await talk.ask(connection, { op: "hello" }, signal))
  const until = millis(clock.now().mono + initialDeadline)
  const found = await acquireGuardian({ ...side.options, until }, talk.handlers, greet, stop)
  side.current = found
  side.boot = found.address.boot
  if (found.leased !== null) overlook(side, talk, found, found.leased)
  await look(side, talk, found.connection, stop)
  return found
}

/**
 * The connection, made anew when there is none. One attempt serves all callers and outlives those
 * who give up.
 */
async function linked(side: Side, talk: Talk, stop: AbortSignal): Promise<Found> {
  side.closing.signal.throwIfAborted()
  stop.throwIfAborted()
  if (side.current !== null && !side.current.connection.closed) return side.current
  side.attempt ??= connect(side, talk, side.closing.signal).finally(() => {
    side.attempt = null
  })
  const aborted = Promise.withResolvers<never>()
  const abort = (): void => aborted.reject(stop.reason)
  stop.addEventListener("abort", abort, { once: true })
  try {
    return await Promise.race([side.attempt, aborted.promise])
  } finally {
    stop.removeEventListener("abort", abort)
  }
}

function close(side: Side, why: string): void {
  const connection = side.current?.connection
  side.current = null
  side.closing.abort(new GuardianError(why))
  connection?.close()
}
