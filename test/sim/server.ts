/**
 * A running PostgreSQL of the model: start-up, commits and the wait for synchronous standbys,
 * reload, promotion, stop.
 *
 * What it keeps from the real one, because the protocol rests on it: a commit is on the local disk
 * before it waits, so a crash makes unacknowledged commits visible; a cancelled wait answers
 * success with a notice; a reload reaches new sessions and the waiting rules at different times; a
 * fast stop sends everything to connected standbys before it ends. `model.test.ts` holds these
 * against PostgreSQL 15.
 */
import { type Settings, type SyncNames, readConf, readHba } from "./conf.ts"
import type { Dir } from "./disk.ts"
import type { Link } from "./replication.ts"
import { closeLink, closeLinks, drained, ship, standbyTick, syncState } from "./replication.ts"
import { type Rec, append, endOf, fork, segmentSize, startOfLast } from "./wal.ts"
import type { Machine, Process, World } from "./world.ts"

/** What became of a commit, for its client. */
export type Outcome = "done" | "done with notice" | "lost"

/** `record` is null when nothing was written; `waited`: the named standbys have it. */
export type CommitEnd = (outcome: Outcome, record: Rec | null, waited: boolean) => void

interface Waiting {
  readonly record: Rec
  readonly end: CommitEnd
}

/** One client connection, direct or through a proxy. */
export interface Session {
  open: boolean
  readonly kind: "client" | "keeper"
  /** PostgreSQL was in recovery when it began. */
  readonly onStandby: boolean
}

export interface Instance {
  readonly world: World
  readonly cluster: Servers
  readonly process: Process
  readonly machine: Machine
  readonly dir: Dir
  phase: "starting" | "up" | "stopping" | "gone"
  inRecovery: boolean
  /** As it was started: some parameters stay until a restart. */
  readonly started: Settings
  /** What new sessions see. */
  settings: Settings
  hba: { readonly clients: boolean; readonly replication: boolean }
  /** What commits wait for; follows `settings` after a while. */
  inForce: SyncNames
  /**
   * The end of the log when they came into force: what was acknowledged before may be missing on
   * them.
   */
  inForceFrom: number
  waiting: Waiting[]
  /** How many records from the beginning the synchronous standbys are known to have. */
  revealed: number
  sessions: Set<Session>
  /** Standbys that stream from here. */
  readonly standbys: Set<Link>
  upstream: Link | null
  /** It could not stream from where it was sent, and why. */
  refusal: string
  /** Told when it is gone. */
  readonly onGone: ((asked: boolean) => void)[]
  asked: boolean
}

/** Every running PostgreSQL by address, and what the checkers want to hear of. */
export interface Servers {
  readonly at: Map<string, Instance>
  readonly watch: ServerWatch
  /** Commits that anybody may see: whatever they waited for has happened, or was given up. */
  readonly released: WeakSet<Rec>
}
export interface ServerWatch {
  started(instance: Instance): void
  promoted(instance: Instance): void
  /** A client was let in. */
  connected(instance: Instance): void
}

export const pgPort = "5432"

/** Where it can be reached, by the settings it was started with; empty: nowhere. */
export const addressOf = ({ machine, started }: Instance): string =>
  started.listen === "" ? "" : `${started.listen ?? machine.name}:${started.port}`

/** Starts PostgreSQL in `dir`. It answers after a while, if its log lets it. */
export function startServer(
  world: World,
  cluster: Servers,
  machine: Machine,
  dir: Dir,
  conf: string,
): Instance {
  const settings = readConf(conf)
  const instance: Instance = {
    world,
    cluster,
    process: world.spawn(`${machine.name}/pg`, machine),
    machine,
    dir,
    phase: "starting",
    inRecovery: dir.signal !== "none",
    started: settings,
    settings,
    hba: readHba(dir.hba),
    inForce: settings.syncNames,
    inForceFrom: endOf(dir.wal),
    waiting: [],
    revealed: 0,
    sessions: new Set(),
    standbys: new Set(),
    upstream: null,
    refusal: "",
    onGone: [],
    asked: false,
  }
  dir.hints = settings.hints
  cluster.at.set(addressOf(instance), instance)
  cluster.watch.started(instance)
  instance.process.onKill.push(() => gone(instance))
  const crashed = dir.state === "in production"
  dir.state = instance.inRecovery ? "in archive recovery" : "in production"
  const replay = crashed ? world.between(100, 1_500) : world.between(30, 200)
  world.at(replay, instance.process, () => recovered(instance))
  return instance
}

/**
 * Whether it can write on. With a full disk it does for a while, in segments that it has already;
 * the first write that finds no room is a PANIC.
 */
export function hasRoom({ world, machine, process }: Instance): boolean {
  if (!machine.full || world.chance(0.7)) return true
  world.kill(process)
  return false
}

/** The local log is replayed: a primary is up, a standby is once it is consistent. */
function recovered(instance: Instance): void {
  if (instance.phase !== "starting") return
  if (!instance.inRecovery) {
    if (!hasRoom(instance)) return
    append(instance.dir.wal, "checkpoint")
    checkpointed(instance)
    instance.phase = "up"
    return
  }
  const { world, process, dir } = instance
  const look = (): void => {
    if (instance.phase === "starting" && endOf(dir.wal) >= dir.minRecoveryEnd) instance.phase = "up"
    // A backup is recovered to its end, and then it is a primary of its own.
    if (dir.signal === "recovery" && instance.phase === "up") return promote(instance, () => {})
    standbyTick(instance)
    if (instance.inRecovery && instance.phase !== "gone")
      world.at(instance.phase === "up" ? world.between(800, 2_000) : 250, process, look)
  }
  look()
}

const checkpointed = ({ dir }: Instance): void => {
  // pg_controldata names where the record begins.
  dir.checkpoint = startOfLast(dir.wal)
  dir.controlTimeline = dir.wal.timeline
}

/** A CHECKPOINT command. */
export function checkpoint(instance: Instance): void {
  if (!hasRoom(instance)) return
  if (!instance.inRecovery) {
    append(instance.dir.wal, "checkpoint")
    shipAll(instance)
  }
  checkpointed(instance)
}

/**
 * A load of more than a segment. `recycled`: a checkpoint then removed the WAL before it, which
 * neither wal_keep_size nor a slot held back.
 */
export function load(instance: Instance, recycled: boolean): void {
  const { dir } = instance
  if (!hasRoom(instance)) return
  append(dir.wal, "bulk")
  if (recycled) {
    append(dir.wal, "bulk")
    dir.walFrom = Math.floor(startOfLast(dir.wal) / segmentSize) * segmentSize
  }
  checkpoint(instance)
}

/** Opens a client session, or says why not. */
export function connect(instance: Instance, kind: Session["kind"]): Session | string {
  if (instance.phase !== "up") return "the database system is not accepting connections"
  if (kind === "client" && !instance.hba.clients) return "no pg_hba.conf entry for host"
  const session: Session = { open: true, kind, onStandby: instance.inRecovery }
  instance.sessions.add(session)
  if (kind === "client") instance.cluster.watch.connected(instance)
  return session
}

/**
 * Writes one row and commits. `end` hears of it exactly once, unless the server is frozen for good.
 */
export function commit(instance: Instance, row: number, end: CommitEnd): void {
  const { world, process } = instance
  world.at(world.between(0.5, 4), process, () => {
    if (instance.phase !== "up" || instance.inRecovery || !hasRoom(instance))
      return end("lost", null, false)
    const record = append(instance.dir.wal, "commit", row)
    shipAll(instance)
    if (instance.inForce === null) {
      instance.cluster.released.add(record)
      return end("done", record, false)
    }
    instance.waiting.push({ record, end })
    release(instance)
  })
}

/** Ends the wait of every commit: what a client's or an administrator's cancel does. */
export function cancelWaits(instance: Instance): void {
  for (const { end, record } of instance.waiting.splice(0)) {
    instance.cluster.released.add(record)
    end("done with notice", record, false)
  }
}

/** Ends the waits that have what they wait for. */
export function release(instance: Instance): void {
  const { waiting, inForce } = instance
  if (inForce !== null) reveal(instance, confirmed(instance, inForce))
  if (waiting.length === 0) return
  // PostgreSQL wakes everybody, without a notice, when the setting becomes empty.
  const safe = inForce === null ? Number.MAX_SAFE_INTEGER : confirmed(instance, inForce)
  for (
    let first = waiting[0];
    first !== undefined && first.record.end <= safe;
    first = waiting[0]
  ) {
    waiting.shift()
    instance.cluster.released.add(first.record)
    first.end("done", first.record, inForce !== null)
  }
}

/** What hung before this server started waits for nobody, but the standbys have it by now. */
function reveal(instance: Instance, safe: number): void {
  const { records } = instance.dir.wal
  for (; (records[instance.revealed]?.end ?? Infinity) <= safe; instance.revealed++) {
    const record = records[instance.revealed]
    if (record !== undefined) instance.cluster.released.add(record)
  }
}

/** The position that enough of the named standbys have on disk; 0 while too few are connected. */
function confirmed(instance: Instance, { count, names }: NonNullable<SyncNames>): number {
  const positions = names.flatMap((name) => {
    const link = syncState(instance, name)
    return link === null ? [] : [link.confirmed]
  })
  if (positions.length < count) return 0
  return positions
    .slice(0, count)
    .reduce((least, p) => Math.min(least, p), Number.POSITIVE_INFINITY)
}

export function shipAll(instance: Instance): void {
  for (const link of instance.standbys) ship(link)
}

/** SIGHUP: sessions and the waiting rules follow at their own times (W3). */
export function reload(instance: Instance): void {
  const { world, process, dir } = instance
  // Who is late reads what stands in the files then: never an older version after a newer.
  world.at(world.between(5, 120), process, () => {
    const next = readConf(dir.conf)
    const hba = readHba(dir.hba)
    const moved =
      next.primary?.host !== instance.settings.primary?.host || next.slot !== instance.settings.slot
    instance.settings = next
    instance.hba = hba
    if (moved && instance.upstream !== null) closeLink(instance.upstream)
    if (instance.inRecovery) standbyTick(instance)
  })
  const slow = world.chance(0.05) ? 1_500 : 150
  world.at(world.between(5, slow), process, () => {
    const names = readConf(dir.conf).syncNames
    if (JSON.stringify(names) !== JSON.stringify(instance.inForce))
      instance.inForceFrom = endOf(dir.wal)
    instance.inForce = names
    release(instance)
  })
}

/** Leaves recovery at the end of what it has and begins a timeline of its own. */
export function promote(instance: Instance, done: () => void): void {
  const { world, process, dir } = instance
  if (instance.upstream !== null) closeLink(instance.upstream)
  world.at(world.between(40, 400), process, () => {
    if (instance.phase !== "up" || !instance.inRecovery || !hasRoom(instance)) return
    fork(dir.wal)
    instance.inRecovery = false
    dir.signal = "none"
    dir.state = "in production"
    dir.minRecoveryEnd = 0
    instance.cluster.watch.promoted(instance)
    // The end-of-recovery checkpoint comes later; until then the control file names the old
    // timeline (D-52).
    world.at(world.between(200, 8_000), process, () => checkpointed(instance))
    done()
  })
}

/** Ends ordinary clients' sessions. */
export function endSessions(instance: Instance, which: (session: Session) => boolean): void {
  for (const session of instance.sessions) {
    if (session.kind !== "client" || !which(session)) continue
    session.open = false
    instance.sessions.delete(session)
  }
}

/** SIGINT: sessions end, standbys get the rest, then it is gone. */
export function stopFast(instance: Instance): void {
  if (instance.phase === "gone" || instance.phase === "stopping") return
  const { world, process, dir } = instance
  instance.asked = true
  // a signal waits for a process that stands still
  if (process.state === "frozen") return void world.at(0, process, () => stopFast(instance))
  const wasUp = instance.phase === "up"
  instance.phase = "stopping"
  endSessions(instance, () => true)
  for (const { end, record } of instance.waiting.splice(0)) end("lost", record, false)
  if (instance.upstream !== null) closeLink(instance.upstream)
  world.at(world.between(15, 80), process, () => {
    if (!instance.inRecovery && wasUp) {
      if (!hasRoom(instance)) return
      append(dir.wal, "shutdown")
      shipAll(instance)
    }
    const leave = (): void => {
      if (instance.phase !== "stopping") return
      if (!drained(instance)) return void world.at(25, process, leave)
      if (wasUp) {
        checkpointed(instance)
        dir.state = instance.inRecovery ? "shut down in recovery" : "shut down"
      }
      world.kill(process)
    }
    leave()
  })
}

/** SIGQUIT, SIGKILL: at once, and the next start replays. */
export function stopNow(instance: Instance): void {
  instance.asked = true
  instance.world.kill(instance.process)
}

function gone(instance: Instance): void {
  if (instance.phase === "gone") return
  instance.phase = "gone"
  for (const session of instance.sessions) session.open = false
  instance.sessions.clear()
  for (const { end, record } of instance.waiting.splice(0)) end("lost", record, false)
  closeLinks(instance)
  const address = addressOf(instance)
  if (instance.cluster.at.get(address) === instance) instance.cluster.at.delete(address)
  for (const callback of instance.onGone) callback(instance.asked)
}
