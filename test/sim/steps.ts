/**
 * The keeper's steps on the model: one executor per kind, and each takes its time. Long ones move
 * in pieces, so that a kill or an abort finds them half-way; what they leave then is what the real
 * tools leave.
 */
import { never } from "#base/brand.ts"
import { millis } from "#base/brand.ts"
import { dbUID } from "#model/ids.ts"
import type { ConfigFiles } from "#model/local.ts"
import type { Source, Step } from "#model/step.ts"
import { virtual } from "./clock.ts"
import { parseNames, readConf } from "./conf.ts"
import { type Dir, copyDir, newDir } from "./disk.ts"
import { type Host, noRoom, startOn } from "./host.ts"
import {
  type Instance,
  checkpoint,
  endSessions,
  promote,
  reload,
  stopFast,
  stopNow,
} from "./server.ts"
import { append, copyWal, endOf } from "./wal.ts"
import type { Process } from "./world.ts"

export interface Run {
  readonly host: Host
  readonly process: Process
  readonly progress: (text: string) => void
  readonly signal: AbortSignal
  /** Waits in the keeper's process. */
  readonly pause: (ms: number) => Promise<void>
}

/** Carries one step out, or throws. */
export async function runStep(step: Step, run: Run): Promise<void> {
  const { host } = run
  const { disk } = host
  // Files are written, fsynced and renamed: either it was reached, or nothing happened.
  await run.pause(host.world.between(1, 12 + host.slowDisk))
  if (host.machine.full && writes.has(step.kind)) throw new Error(noRoom)
  switch (step.kind) {
    case "save-keeper":
      return void (disk.keeper = step.state)
    case "save-db":
      return void (disk.db = step.state)
    case "mark":
      return void (disk.mark = step.mark)
    case "unmark":
      return void (disk.mark = null)
    case "certify":
      return void (disk.certificate = step.certificate)
    case "save-handled":
      return void (disk.handled = step.handled)
    case "save-fencing":
      return void (disk.fencing = step.mode)
    case "discard-side":
      return discardSide(host)
    case "discard-data":
      return discardData(host)
    case "set-aside":
      return setAside(host)
    case "remove-asides":
      return removeAsides(host, step.names)
    case "swap-in":
      return swapIn(host)
    case "write-config":
      return configure(host, step.files)
    case "prepare":
      return void prepare(host, step.hba, step.signal)
    default:
      return runServerStep(step, run)
  }
}

/** What cannot be done on a full disk. */
const writes: ReadonlySet<Step["kind"]> = new Set([
  "save-keeper",
  "save-db",
  "mark",
  "certify",
  "save-handled",
  "save-fencing",
  "write-config",
  "prepare",
  "initdb",
  "restore",
  "clone",
  "save-divergent-wal",
  "rewind",
  "create-slot",
])

type FileStep =
  | "save-keeper"
  | "save-db"
  | "mark"
  | "unmark"
  | "certify"
  | "save-handled"
  | "save-fencing"
  | "discard-side"
  | "discard-data"
  | "set-aside"
  | "remove-asides"
  | "swap-in"
  | "write-config"
  | "prepare"

function runServerStep(step: Exclude<Step, { kind: FileStep }>, run: Run): Promise<void> | void {
  switch (step.kind) {
    case "stop":
      return stop(step, run)
    case "initdb":
      return initdb(step.config?.dataChecksums === true, run)
    case "restore":
      return restore(step.command, run)
    case "wait-recovered": {
      const limit = step.timeout === 0 ? 3_600_000 : step.timeout
      return waitFor(run, limit, "not recovered", () => !up(run.host).inRecovery)
    }
    case "clone":
      return clone(step.from, step.slot, run)
    case "save-divergent-wal":
      return saveWal(run)
    case "rewind":
      return rewind(step.source, run)
    case "start":
      return start(step.temporary, run)
    case "wait-ready":
      return waitFor(run, step.timeout, "not ready", () => up(run.host).phase === "up")
    case "create-roles":
    case "check-roles":
      return void (primary(run.host).dir.roles = true)
    case "capture-parameters": {
      const all = up(run.host).settings.all
      return void (run.host.disk.db = { ...step.state, initPGParameters: all })
    }
    case "promote":
      return doPromote(step.timeout, run)
    case "checkpoint":
      checkpoint(primaryOrStandby(run.host))
      return run.pause(run.host.world.between(5, 200))
    case "detach": {
      const free = (): boolean => {
        const { upstream, settings, inRecovery } = up(run.host)
        return inRecovery && upstream === null && settings.primary === null
      }
      return waitFor(run, step.timeout, "the WAL receiver has not ended", free)
    }
    case "end-sessions":
      return endSessions(up(run.host), (session) => session.onStandby)
    case "prove-sync":
      return proveSync(step.names, step.timeout, run)
    case "reload":
      reload(up(run.host))
      return waitFor(
        run,
        step.timeout,
        "the configuration was not reloaded",
        () => up(run.host).settings.revision === step.revision,
      )
    case "create-slot":
      return slots(run.host, (names) => names.add(step.name))
    case "drop-slot":
      return dropSlot(run.host, step.name)
    default:
      return never(step)
  }
}

/** The running server; throws where a client could not connect. */
function up(host: Host): Instance {
  const { instance } = host
  if (instance === null) throw new Error("could not connect to server: connection refused")
  if (instance.process.state !== "running") throw new Error("the server does not answer")
  if (instance.phase === "stopping") throw new Error("the database system is shutting down")
  return instance
}

function primaryOrStandby(host: Host): Instance {
  const instance = up(host)
  if (instance.phase !== "up") throw new Error("the database system is starting up")
  return instance
}

function primary(host: Host): Instance {
  const instance = up(host)
  if (instance.phase !== "up" || instance.inRecovery)
    throw new Error("cannot execute in a read-only transaction")
  return instance
}

async function waitFor(run: Run, timeout: number, what: string, met: () => boolean): Promise<void> {
  const { world, machine } = run.host
  const until = world.now() + virtual(machine, timeout)
  while (!met()) {
    if (world.now() >= until) throw new Error(`${what} within ${millis(timeout)} ms`)
    await run.pause(40)
  }
}

/** In pieces of about a second; `work` is done between them. */
async function inPieces(run: Run, total: number, what: string, work: () => void): Promise<void> {
  const pieces = Math.max(2, Math.round(total / 1_000))
  for (let piece = 1; piece <= pieces; piece++) {
    await run.pause(total / pieces)
    work()
    run.progress(`${what} ${Math.round((100 * piece) / pieces)}%`)
  }
}

async function stop(step: Extract<Step, { kind: "stop" }>, run: Run): Promise<void> {
  const { host } = run
  const { world, machine } = host
  const { instance } = host
  if (instance === null) return
  if (step.checkpoint && instance.phase === "up") {
    await run.pause(world.between(5, 200))
    if (instance.phase === "up") checkpoint(instance)
  }
  stopFast(instance)
  const until = world.now() + virtual(machine, step.escalateAfter)
  while (host.instance === instance) {
    if (world.now() >= until) stopNow(instance)
    else await run.pause(30)
  }
}

async function start(temporary: string | null, run: Run): Promise<void> {
  const { host } = run
  const conf = `${host.disk.data?.conf ?? ""}\n${temporary ?? ""}`
  readConf(conf) // a file that PostgreSQL refuses
  const instance = startOn(host, conf)
  await run.pause(host.world.between(20, 80))
  if (host.instance !== instance) throw new Error("postgres exited unexpectedly")
}

async function doPromote(timeout: number, run: Run): Promise<void> {
  const instance = up(run.host)
  if (instance.phase !== "up") throw new Error("the database system is starting up")
  if (instance.inRecovery) promote(instance, () => {})
  await waitFor(run, timeout, "not promoted", () => !up(run.host).inRecovery)
}

/**
 * A commit of our own, cancelled once it is seen to wait; a waiting one shows that the rule reached
 * the backends.
 */
function proveSync(names: string, timeout: number, run: Run): Promise<void> {
  const wanted = JSON.stringify(parseNames(names))
  return waitFor(run, timeout, "synchronous_standby_names is not in force", () => {
    const instance = primary(run.host)
    return JSON.stringify(instance.inForce) === wanted
  })
}

function slots(host: Host, change: (names: Set<string>) => void): void {
  const { dir } = up(host)
  const names = new Set(dir.slots)
  change(names)
  dir.slots = names
}

function dropSlot(host: Host, name: string): void {
  const instance = up(host)
  for (const link of instance.standbys)
    if (link.slot === name) throw new Error(`replication slot "${name}" is active`)
  slots(host, (names) => names.delete(name))
}

function configure(host: Host, files: ConfigFiles): void {
  const dir = prepare(host, files.hba, files.signal)
  dir.conf = files.conf
}

function prepare(host: Host, hba: string, signal: ConfigFiles["signal"]): Dir {
  const dir = host.disk.data
  if (dir === null) throw new Error("no data directory to configure")
  dir.hba = hba
  dir.signal = signal
  return dir
}

async function initdb(checksums: boolean, run: Run): Promise<void> {
  const { host } = run
  if (host.disk.side !== null) throw new Error("initdb: directory exists but is not empty")
  const dir = newDir(`7${String(host.world.random.below(1e9)).padStart(18, "3")}`, checksums)
  dir.half = "init"
  host.disk.side = dir
  await inPieces(run, host.world.between(800, 2_500), "initdb", () => {})
  append(dir.wal, "checkpoint")
  dir.checkpoint = endOf(dir.wal)
  dir.half = null
}

/** Where a copy or a rewind takes its data from, as long as it can be reached. */
function sourceOf(run: Run, source: Source): Instance {
  const { world, servers, machine } = run.host
  const instance = servers.at.get(`${source.host}:${source.port}`)
  if (instance === undefined) throw new Error("connection to the source refused")
  const { name } = instance.machine
  const linked = world.reaches(machine.name, name) && world.reaches(name, machine.name)
  if (!linked || instance.process.state !== "running")
    throw new Error("connection to the source timed out")
  if (instance.phase !== "up") throw new Error("the source does not accept connections")
  if (!instance.hba.replication || !instance.dir.roles)
    throw new Error("no pg_hba.conf entry for replication connection")
  return instance
}

async function clone(source: Source, slot: string, run: Run): Promise<void> {
  const { host } = run
  const { disk, world } = host
  if (disk.side !== null) throw new Error("pg_basebackup: directory exists but is not empty")
  const from = sourceOf(run, source)
  if (slot !== "" && !from.dir.slots.has(slot))
    throw new Error(`replication slot "${slot}" does not exist`)
  const wasInRecovery = from.inRecovery
  const half = newDir(from.dir.systemID, from.dir.checksums)
  half.half = "copy"
  disk.side = half
  await inPieces(run, world.between(1_500, 12_000), "clone", () => {
    if (sourceOf(run, source) !== from) throw new Error("the source was restarted during the copy")
    if (from.inRecovery !== wasInRecovery)
      throw new Error("the standby was promoted during online backup")
  })
  disk.side = {
    ...copyDir(from.dir),
    signal: "standby",
    state: "in archive recovery",
    minRecoveryEnd: endOf(from.dir.wal),
  }
}

/** The operator's command is the address of a server outside, whose backup it brings. */
function restore(command: string, run: Run): Promise<void> {
  const [host = "", port = ""] = command.split(":")
  return clone({ db: dbUID(""), host, port }, "", run)
}

async function saveWal(run: Run): Promise<void> {
  const { disk, world } = run.host
  await run.pause(world.between(50, 600))
  if (disk.data !== null) disk.saved = [...disk.saved, copyWal(disk.data.wal)]
}

async function rewind(source: Source, run: Run): Promise<void> {
  const { host } = run
  const { disk, world } = host
  const dir = disk.data
  if (dir === null || host.instance !== null)
    throw new Error("pg_rewind: the target server must be shut down")
  const from = sourceOf(run, source)
  if (from.dir.systemID !== dir.systemID) throw new Error("pg_rewind: another system identifier")
  if (!dir.checksums && !dir.hints)
    throw new Error("pg_rewind: target needs data checksums or wal_log_hints")
  if (!from.inRecovery) checkpoint(from)
  await run.pause(world.between(100, 800))
  if (from.dir.controlTimeline === dir.wal.timeline) return // "no rewind required"
  host.watch.destroying(host, "rewind", dir)
  dir.half = "rewind"
  await inPieces(run, world.between(800, 4_000), "rewind", () => {
    if (sourceOf(run, source) !== from)
      throw new Error("the source was restarted during the rewind")
  })
  disk.data = {
    ...copyDir(from.dir),
    hints: dir.hints,
    state: "in archive recovery",
    minRecoveryEnd: endOf(from.dir.wal),
  }
}

const refuseRunning = (host: Host): void => {
  if (host.instance !== null) throw new Error("PostgreSQL runs in this directory")
}

function discardSide(host: Host): void {
  if (host.disk.side !== null) host.watch.destroying(host, "discard-side", host.disk.side)
  host.disk.side = null
}

function discardData(host: Host): void {
  refuseRunning(host)
  if (host.disk.data !== null) host.watch.destroying(host, "discard-data", host.disk.data)
  host.disk.data = null
}

function setAside(host: Host): void {
  refuseRunning(host)
  const { disk, world } = host
  const dir: Dir | null = disk.data
  if (dir === null) return
  disk.asides = [...disk.asides, { name: `postgres.aside-${Math.round(world.now())}`, dir }]
  disk.data = null
}

function removeAsides(host: Host, names: readonly string[]): void {
  const { disk } = host
  for (const { name, dir } of disk.asides)
    if (names.includes(name)) host.watch.destroying(host, "remove-asides", dir)
  disk.asides = disk.asides.filter(({ name }) => !names.includes(name))
}

function swapIn(host: Host): void {
  refuseRunning(host)
  const { disk } = host
  if (disk.data !== null) throw new Error("postgres/ is in the way")
  if (disk.side === null) throw new Error("postgres.new/ is missing")
  disk.data = disk.side
  disk.side = null
}
