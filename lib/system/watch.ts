/**
 * The guardian's hands: keeps an eye on one PostgreSQL, its own child or one that it found running,
 * and carries out what the brain decides (`lib/guardian/decide.ts`).
 *
 * Nothing here reads a disk inside the loop, except the pid file while a start is awaited, and that
 * without blocking: on a disk that hangs the deadline must still be kept.
 */
import { realpath } from "node:fs/promises"
import { type Millis, millis } from "#base/brand.ts"
import {
  type Action,
  decide,
  type Facts,
  firstMemory,
  hold,
  type Memory,
  started,
} from "#guardian/decide.ts"
import { event } from "#model/events.ts"
import type { Exit, Postmaster, Start } from "#port/supervision.ts"
import { findInstance, instanceProcesses, killAll } from "./instance.ts"
import { becomeSubreaper, bootMillis } from "./libc.ts"
import type { ComponentLog } from "./log.ts"
import { clearStalePidFile } from "./pidfile.ts"
import { type Ending, type Launch, pidFileNames, spawnPostmaster } from "./postmaster.ts"
import { isAlive, type ProcessId, signalProcess } from "./process.ts"
import { startReaper } from "./reaper.ts"

export interface WatchOptions {
  /** PostgreSQL's data directory, which need not exist yet; a start may name another one. */
  readonly pgData: string
  readonly until: Millis
  readonly log: ComponentLog
  /** `deadline`: nobody asked, the time was over. */
  readonly onExit: (exit: Exit, deadline: boolean) => void
  /** Nothing runs and nobody will want it to: the guardian may end. */
  readonly onEnd: () => void
}

export interface Watch {
  /** Answers when no start is half-way: "stopped" must not be said of what is about to run. */
  state(): Promise<Postmaster>
  /** `refusal` has the last word, when everything else speaks for the start. */
  start(what: Start, refusal: () => string | null): Promise<void>
  /** Nothing of PostgreSQL is alive, and nothing is about to be. */
  idle(): boolean
  hold(until: Millis): void
  /**
   * Takes an order to stop, given as a change of the brain's memory; resolves when nothing runs.
   */
  stop(order: (memory: Memory, now: Millis) => Memory): Promise<void>
}

/** A postmaster that is watched: our child, or one that was there before us. */
interface Watched {
  readonly id: ProcessId
  readonly directory: string
  readonly own: boolean
  /** How our child ended, once Bun has said so. */
  ending: Ending | null
}

/** Everything that changes, in one place; the functions below are its only writers. */
interface Post {
  readonly options: WatchOptions
  /** Real paths of the data directories whose processes are ours to end. */
  readonly directories: Set<string>
  /** Waiting for nothing to run. */
  readonly waiting: Set<() => void>
  memory: Memory
  watched: Watched | null
  lastExit: Exit | null
  /** Between the decision to start and the child; settles with it. */
  starting: Promise<unknown> | null
  /** Counts starts and stops, so that a start notices a stop that came after it (D-17). */
  orders: number
  ended: boolean
  timer: ReturnType<typeof setTimeout> | null
}

const now = (): Millis => millis(bootMillis())
const self: ReadonlySet<number> = new Set([process.pid])
const pidFilePoll = 10

/** Begins to watch; from now on the deadline counts. */
export async function openWatch(options: WatchOptions): Promise<Watch> {
  // Where a process stands is told as a real path, and `postgres` may be a link to another disk.
  const directory = await realpath(options.pgData).catch(() => options.pgData)
  const post: Post = {
    options,
    directories: new Set([directory]),
    waiting: new Set(),
    memory: firstMemory(now(), options.until),
    watched: null,
    lastExit: null,
    starting: null,
    orders: 0,
    ended: false,
    timer: null,
  }
  becomeSubreaper() // backends without a postmaster become our children, and stay findable
  startReaper()
  tick(post)
  return {
    state: () => stateOf(post),
    start: (what, refusal) => start(post, what, refusal),
    idle: () => {
      discover(post)
      return post.watched === null && post.starting === null
    },
    hold: (until) => {
      post.memory = hold(post.memory, until, now())
      tick(post)
    },
    stop: (order) => stop(post, order),
  }
}

async function stateOf(post: Post): Promise<Postmaster> {
  while (post.starting !== null) await post.starting.catch(() => undefined)
  discover(post)
  tick(post)
  const { watched, memory, lastExit } = post
  if (watched === null) return { kind: "stopped", exit: lastExit }
  const stopping = memory.stop !== null || !isAlive(watched.id)
  return { kind: "running", pid: watched.id.pid, dataDir: watched.directory, stopping }
}

function stop(post: Post, order: (memory: Memory, now: Millis) => Memory): Promise<void> {
  post.orders++
  discover(post)
  post.memory = order(post.memory, now())
  const { promise, resolve } = Promise.withResolvers<void>()
  post.waiting.add(resolve)
  tick(post)
  return promise
}

const remaining = (post: Post): readonly ProcessId[] => instanceProcesses(post.directories, self)

/**
 * Looks for a PostgreSQL that we did not start: left by a Go keeper, or by a guardian that was
 * killed.
 */
function discover(post: Post): void {
  if (post.starting !== null) return
  for (const directory of post.directories) {
    if (post.watched !== null) return
    const id = findInstance(directory)
    if (id !== null) post.watched = { id, directory, own: false, ending: null }
  }
}

function factsOf(post: Post): Facts {
  const { watched, memory } = post
  if (watched === null) return { postmaster: false, others: false, departure: "orderly" }
  if (isAlive(watched.id)) return { postmaster: true, others: false, departure: "orderly" }
  // Our child's end counts once Bun has collected it; until then there is no exit code to report.
  const unreported = watched.own && watched.ending === null
  const torn = watched.own ? (watched.ending?.signal ?? null) !== null : memory.stop === null
  const others = unreported || remaining(post).length > 0
  return { postmaster: false, others, departure: torn ? "torn" : "orderly" }
}

/** One round: look, decide, act, and set the alarm for the next. */
function tick(post: Post): void {
  if (post.ended) return
  if (post.timer !== null) clearTimeout(post.timer)
  const moment = now()
  if (moment >= post.memory.until) discover(post) // nothing may be overlooked at the end
  const facts = factsOf(post)
  if (post.watched !== null && !facts.postmaster && !facts.others) settle(post, post.watched)
  const decision = decide(facts, post.memory, moment)
  post.memory = decision.memory
  for (const action of decision.actions) perform(post, action)
  if (post.watched === null) {
    for (const resolve of post.waiting) resolve()
    post.waiting.clear()
  }
  if (!post.ended) post.timer = setTimeout(() => tick(post), Math.max(1, decision.wake - now()))
}

/** The last process of it is gone. */
function settle(post: Post, gone: Watched): void {
  const ending = gone.ending ?? { code: null, signal: null }
  const { stop: ordered } = post.memory
  post.lastExit = { ...ending, asked: ordered !== null }
  post.watched = null
  post.options.onExit(post.lastExit, ordered?.why === "deadline")
}

function perform(post: Post, action: Action): void {
  const { watched, options } = post
  if (action.kind === "end") {
    // the child that is just being made is not ours to leave behind
    if (post.starting !== null) return
    post.ended = true
    return options.onEnd()
  }
  if (watched === null) return
  const fields = { pid: watched.id.pid }
  if (action.kind === "kill") {
    if (action.why !== "orphans") options.log.event(event("guardian.killed", fields))
    return killAll(watched.id, remaining(post))
  }
  if (action.why === "deadline" && action.stage === "fast")
    options.log.event(event("guardian.deadline", fields))
  signalProcess(watched.id, action.stage === "fast" ? "SIGINT" : "SIGQUIT")
}

async function start(post: Post, what: Start, refusal: () => string | null): Promise<void> {
  discover(post)
  if (post.watched !== null)
    throw new Error(`PostgreSQL is already running (pid ${post.watched.id.pid})`)
  if (post.starting !== null) throw new Error("PostgreSQL is already being started")
  const preparing = prepare(post, what.dataDir, refusal)
  post.starting = preparing
  let launch: Launch
  let mine: Watched
  try {
    const directory = await preparing
    post.memory = started(post.memory)
    launch = spawnPostmaster(what, post.options.log)
    mine = { id: launch.id, directory, own: true, ending: null }
    post.watched = mine
  } finally {
    post.starting = null
  }
  void launch.ended.then((ending) => {
    mine.ending = ending
    tick(post)
  })
  tick(post)
  await named(launch, mine)
}

/**
 * Everything that must hold before a postmaster may be started; resolves with the real path of its
 * directory.
 */
async function prepare(post: Post, dataDir: string, refusal: () => string | null): Promise<string> {
  const order = ++post.orders
  const directory = await realpath(dataDir)
  post.directories.add(directory)
  if (remaining(post).length > 0)
    throw new Error(`processes of another PostgreSQL are still alive in ${directory}`)
  if (await clearStalePidFile(directory))
    post.options.log.line("warn", "removed the pid file of a dead postmaster", { directory })
  if (now() >= post.memory.until || post.memory.ending)
    throw new Error("no keeper holds this guardian")
  if (order !== post.orders) throw new Error("a stop was asked for before PostgreSQL was started")
  const refused = refusal()
  if (refused !== null) throw new Error(refused)
  return directory
}

/** Resolves when the pid file names our child; rejects with its last words when it ends before. */
async function named(launch: Launch, mine: Watched): Promise<void> {
  const over = (): boolean => mine.ending !== null
  while (!over()) {
    if (await pidFileNames(mine.directory, launch.id.pid)) return
    await Bun.sleep(pidFilePoll)
  }
  await launch.drained
  const words = launch.tail()
  throw new Error(
    words === "" ? "postgres exited unexpectedly" : `postgres exited unexpectedly: ${words}`,
  )
}
