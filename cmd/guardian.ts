/**
 * `stolon guardian`: PostgreSQL's parent (protocol part 1). Hidden; `lib/postgres/supervisor.ts`
 * starts it, detached from the keeper.
 *
 * It is small on purpose: while keepers hang, crash and are replaced, this process must keep one
 * word, that PostgreSQL is gone when its deadline has passed. So after start-up it touches no disk
 * in its loop (a disk may hang), writes to no descriptor that could block, and asks nobody. What
 * it certifies when PostgreSQL has ended and no keeper is there goes its way beside the loop. When
 * it is itself killed, the kernel sends PostgreSQL SIGQUIT (see `lib/system/postmaster.ts`).
 */
import { writeSync } from "node:fs"
import { lstat, mkdir, realpath, rm } from "node:fs/promises"
import { isAbsolute, join } from "node:path"
import * as v from "valibot"
import { millis, never } from "#base/brand.ts"
import { askEnd, askStop } from "#guardian/decide.ts"
import {
  type Address,
  addressFile,
  lockFileName,
  type Ready,
  type Request,
  requestSchema,
  socketName,
  type Welcome,
} from "#system/protocol.ts"
import type { Level } from "#model/events.ts"
import type { Start } from "#port/supervision.ts"
import { realChance } from "#system/chance.ts"
import { writeAtomic } from "#system/files.ts"
import { type Connection, listenLines } from "#system/lines.ts"
import { LockError, takeLock } from "#system/lock.ts"
import { type ComponentLog, openLog } from "#system/log.ts"
import { type Notary, openNotary } from "#system/notary.ts"
import { openWatch, type Watch } from "#system/watch.ts"
import { bootId, readProcess } from "#system/process.ts"
import { bootMillis } from "#system/libc.ts"

/**
 * For SIGTERM: as long as Go stolon's `pg_ctl stop` waits. The deadline goes on counting meanwhile.
 */
const termEscalate = millis(60_000)

interface Orders {
  readonly dataDir: string
  readonly pgData: string
  readonly until: number
  readonly level: Level
  readonly format: "text" | "json"
}

/** Runs until there is nothing to guard any more; resolves with the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  process.umask(0o077)
  try {
    const orders = parse(argv)
    const { level, format } = orders
    const log = openLog({ component: "guardian", level, format, colour: false })
    crashQuietly(log)
    process.chdir("/") // no file system is kept busy by our mere being there
    return await guard(orders, log)
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    tell({ failed: text, held: error instanceof LockError && error.held })
    return 1
  }
}

async function guard(orders: Orders, log: ComponentLog): Promise<number> {
  const dataDir = await realpath(orders.dataDir)
  lock(dataDir, log)
  const ended = Promise.withResolvers<void>()
  const boot = realChance.uuid()
  const clients = new Set<Connection>()
  const notary = openNotary(
    {
      running: () => !watch.idle(),
      keeper: () => clients.size > 0,
      started: () => room.started,
    },
    log,
  )
  const watch = await openWatch({
    pgData: orders.pgData,
    until: millis(orders.until),
    log,
    onExit: (exit, deadline) => {
      for (const client of clients) client.send({ exit })
      notary.ended(exit, deadline)
    },
    onEnd: () => ended.resolve(),
  })
  const room: Room = { boot, watch, clients, notary, started: null, leased: null }
  ignoreTerminal(watch)
  const socket = await listen(dataDir, (path) =>
    listenLines(path, {
      message: (client, message) => {
        void answer(client, message, room)
      },
      closed: (client) => {
        if (clients.delete(client)) notary.look()
      },
    }),
  )
  const address = describe(boot, socket.path)
  await writeAtomic(join(dataDir, addressFile), JSON.stringify(address))
  tell({ ready: address })
  await ended.promise
  socket.listener.stop() // also removes the socket file
  await notary.settled()
  await Promise.race([rm(join(dataDir, addressFile), { force: true }), Bun.sleep(1_000)])
  await log.flush(200)
  return 0
}

/**
 * A bug ends the guardian, and by the parent-death signal PostgreSQL: better than to guard in an
 * unknown state. Bun would print the error itself, to a descriptor on which that may wait for ever.
 */
function crashQuietly(log: ComponentLog): void {
  const crash = (error: unknown): void => {
    log.line("error", "the guardian failed", {
      error: error instanceof Error ? `${error.stack}` : String(error),
    })
    void log.flush(200).then(() => process.exit(70))
  }
  process.on("uncaughtException", crash)
  process.on("unhandledRejection", crash)
}

type Starting = Extract<Request, { op: "start" }>
type Held = NonNullable<Starting["hold"]>

interface Room {
  readonly boot: string
  readonly watch: Watch
  readonly clients: Set<Connection>
  readonly notary: Notary
  /** What was started last. */
  started: Start | null
  /** Until when PostgreSQL runs under a lease; null: the last hold was none. */
  leased: number | null
}

async function answer(client: Connection, message: unknown, room: Room): Promise<void> {
  const parsed = v.safeParse(requestSchema, message)
  if (!parsed.success) return client.close()
  const request = parsed.output
  try {
    // Only the newest keeper speaks: what an older one left in the socket's buffer no longer
    // counts.
    if (request.op !== "hello" && !room.clients.has(client))
      throw new Error("not the keeper in charge")
    const result = await carryOut(client, request, room)
    client.send({ id: request.id, result: result ?? null })
  } catch (error) {
    client.send({ id: request.id, error: error instanceof Error ? error.message : String(error) })
  }
}

async function carryOut(client: Connection, request: Request, room: Room): Promise<unknown> {
  const { watch, clients, boot, notary } = room
  switch (request.op) {
    case "hello": {
      for (const other of clients) if (other !== client) other.close()
      clients.clear()
      clients.add(client)
      await notary.greeted()
      const welcome: Welcome = { boot, pid: process.pid, leased: room.leased }
      return welcome
    }
    case "state":
      return await watch.state()
    case "start":
      return await start(request, room)
    case "hold":
      return hold(request, room)
    case "stop":
      return await watch.stop((memory, now) =>
        askStop(memory, request.mode, millis(request.escalateAfter), now),
      )
    case "end":
      notary.hold(null) // who ends it says so itself, or wants it unsaid
      return await watch.stop((memory, now) => askEnd(memory, millis(request.escalateAfter), now))
    default:
      return never(request)
  }
}

/** The last word counts; what it says of leases and wills replaces what was said before. */
function hold({ until, lease }: Held, room: Room): void {
  room.leased = lease === null ? null : until
  room.notary.hold(lease?.will ?? null)
  room.watch.hold(millis(until))
}

/** With the hold that it rests on, which may have been given to a guardian that is no more. */
async function start({ what, hold: held }: Starting, room: Room): Promise<void> {
  const { watch, notary } = room
  if (held !== null) hold(held, room)
  room.started = what
  const word = held?.lease?.will?.epoch ?? null
  const refusal = (): string | null =>
    word !== null && notary.isOver(word) ? "the end of this primary is certified already" : null
  try {
    await watch.start(what, refusal)
  } catch (error) {
    notary.look() // its keeper may be gone by now
    throw error
  }
}

/**
 * SIGTERM and SIGQUIT are for us and mean PostgreSQL too; what a terminal sends is for the keeper.
 */
function ignoreTerminal(watch: Watch): void {
  const end = (escalateAfter: number): void => {
    void watch.stop((memory, now) => askEnd(memory, millis(escalateAfter), now))
  }
  process.on("SIGHUP", () => {})
  process.on("SIGINT", () => {})
  process.on("SIGTERM", () => end(termEscalate))
  process.on("SIGQUIT", () => end(0))
}

/** One guardian per data directory. Where locks do not work, the keeper's own checks have to do. */
function lock(dataDir: string, log: ComponentLog): void {
  const path = join(dataDir, lockFileName)
  try {
    takeLock(path) // held until the process ends, however it ends
  } catch (error) {
    if (!(error instanceof LockError) || error.held) throw error
    log.line("warn", "the file system offers no locks, going on without", { error: error.message })
  }
}

/**
 * Listens in the data directory; in a private directory below /tmp when its file system takes no
 * sockets.
 */
async function listen<T>(dataDir: string, open: (path: string) => T) {
  const path = join(dataDir, socketName)
  await rm(path, { force: true }) // we hold the lock: whoever left it is dead
  try {
    return { path, listener: open(path) }
  } catch (error) {
    const spare = await spareDirectory(dataDir)
    const other = join(spare, socketName)
    await rm(other, { force: true })
    try {
      return { path: other, listener: open(other) }
    } catch {
      throw new Error(`cannot listen on ${path}: ${String(error)}`, { cause: error })
    }
  }
}

/** A directory that is ours alone, or an error: in /tmp anybody may have made it first. */
async function spareDirectory(dataDir: string): Promise<string> {
  const uid = process.getuid?.() ?? 0
  const path = `/tmp/stolon-${uid}-${Bun.hash(dataDir).toString(16)}`
  try {
    await mkdir(path, { mode: 0o700 })
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error
  }
  const status = await lstat(path)
  if (status.isDirectory() && status.uid === uid && (status.mode & 0o077) === 0) return path
  throw new Error(`${path} is not a private directory of this user`)
}

function describe(boot: string, socket: string): Address {
  const self = readProcess(process.pid)
  if (self === null) throw new Error("cannot read /proc: is it mounted?")
  return { pid: process.pid, start: self.start, machineBoot: bootId(), boot, socket }
}

/** One line for the keeper that started us, if it still listens; afterwards nobody writes there. */
function tell(ready: Ready): void {
  try {
    writeSync(1, `${JSON.stringify(ready)}\n`)
  } catch {
    // The keeper is gone already; the next one reads guardian.json.
  }
}

function parse(argv: readonly string[]): Orders {
  const values = new Map<string, string>()
  for (let i = 0; i < argv.length; i += 2) values.set(argv[i] ?? "", argv[i + 1] ?? "")
  const dataDir = values.get("--data-dir") ?? ""
  const until = Number(values.get("--until") ?? Number.NaN)
  if (!isAbsolute(dataDir) || !Number.isFinite(until))
    throw new Error("usage: stolon guardian --data-dir DIR --until MILLISECONDS [--pg-data DIR]")
  const level = levels.find((each) => each === values.get("--log-level")) ?? "info"
  return {
    dataDir,
    pgData: values.get("--pg-data") ?? join(dataDir, "postgres"),
    until: Math.min(until, bootMillis() + maxInitial),
    level,
    format: values.get("--log-format") === "json" ? "json" : "text",
  }
}

const levels = ["debug", "info", "warn", "error"] as const

/** No keeper needs longer to say hello. */
const maxInitial = 3_600_000

if (import.meta.main) process.exit(await main(process.argv.slice(2)))
