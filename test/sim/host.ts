/**
 * A machine that carries a keeper's data directory: the disk, the PostgreSQL that runs on it, and
 * the guardian that is PostgreSQL's parent. All three outlive a keeper process; only the disk
 * outlives the machine.
 */
import type { Millis } from "#base/brand.ts"
import { lsn } from "#base/lsn.ts"
import { testifies } from "#guardian/testify.ts"
import { type BootUUID, bootUUID, infoUID } from "#model/ids.ts"
import type { KeeperInfo } from "#model/info.ts"
import type { Step } from "#model/step.ts"
import type { Testament } from "#port/postgres.ts"
import { type Dir, type Disk, emptyDisk } from "./disk.ts"
import { type Instance, type Servers, startServer, stopFast, stopNow } from "./server.ts"
import type { Task } from "./heap.ts"
import type { Machine, Process, World } from "./world.ts"

/** What the checkers hear of a host before it happens. */
export interface HostWatch {
  /** `dir` is about to be lost, overwritten or rewound. */
  destroying(host: Host, how: string, dir: Dir): void
  /** PostgreSQL is about to be started in `dir`. */
  starting(host: Host, dir: Dir): void
  /** The keeper's agent carries out this step. */
  step(host: Host, step: Step): void
  /** What the real adapter or the guardian would say. */
  said(host: Host, code: GuardianEvent): void
  /** The guardian was told how long PostgreSQL may run. */
  held?(host: Host): void
  /** A herald of this host publishes, as `process`. */
  herald?(process: Process, info: KeeperInfo, ttl: Millis): void
}
type GuardianEvent =
  | "guardian.deadline"
  | "guardian.killed"
  | "postgres.exited"
  | "certificate.issued"

export interface Guardian {
  readonly boot: BootUUID
  readonly process: Process
  /** PostgreSQL may run until here, virtual time; and when that was said. */
  until: number
  heldAt: number
  /** The last hold was a lease, and what is to be certified at its end. */
  lease: { readonly testament: Testament | null } | null
  /** Its deadline ended PostgreSQL. */
  deadline: boolean
  /** Epochs whose end was certified here. */
  readonly over: Set<string>
  /** The next look at the deadline. */
  alarm: Task | null
}

export interface Host {
  readonly world: World
  readonly servers: Servers
  readonly machine: Machine
  readonly disk: Disk
  readonly watch: HostWatch
  /** How much longer than usual what has to be on disk may take, milliseconds. */
  slowDisk: number
  instance: Instance | null
  guardian: Guardian | null
  /** The keeper that is connected to the guardian. */
  keeper: Process | null
  /** The last PostgreSQL that ran under this guardian was told to end. */
  asked: boolean
  /** The present keeper's ear. */
  changed: () => void
  /** When the promise on its disk was written there. */
  promisedAt: number
}

export const createHost = (
  world: World,
  servers: Servers,
  machine: Machine,
  watch: HostWatch,
): Host => ({
  world,
  servers,
  machine,
  disk: emptyDisk(),
  watch,
  slowDisk: 0,
  instance: null,
  guardian: null,
  keeper: null,
  asked: false,
  changed: () => {},
  promisedAt: 0,
})

/** It stands still: whoever asks it waits, and its deadline passes unheard. */
export const isStuck = ({ guardian }: Host): boolean => guardian?.process.state === "frozen"

/** The guardian that is there, or a new one. */
export function guardianOf(host: Host): { readonly guardian: Guardian; readonly adopted: boolean } {
  const { world, machine } = host
  if (host.guardian !== null) return { guardian: host.guardian, adopted: true }
  const word = (): string => world.random.uid()
  const guardian: Guardian = {
    boot: bootUUID(`${word()}-0000-4000-8000-${word()}0000`),
    process: world.spawn(`${machine.name}/guardian`, machine),
    until: world.now() + 30_000,
    heldAt: world.now(),
    lease: null,
    deadline: false,
    over: new Set(),
    alarm: null,
  }
  host.guardian = guardian
  guardian.process.onKill.push(() => {
    if (host.instance !== null) stopNow(host.instance) // it is PostgreSQL's parent
    host.guardian = null
  })
  watchDeadline(host, guardian)
  return { guardian, adopted: false }
}

/** The last word counts, be it later or earlier. */
export function hold(host: Host, until: number, lease: Guardian["lease"]): void {
  const { guardian } = guardianOf(host)
  guardian.until = until
  guardian.heldAt = host.world.now()
  guardian.lease = lease
  host.watch.held?.(host)
  watchDeadline(host, guardian)
}

/** As `lib/guardian/decide.ts`: gently for a while before the deadline, then at once. */
function watchDeadline(host: Host, guardian: Guardian): void {
  const { world } = host
  const { until, heldAt, process } = guardian
  if (guardian.alarm !== null) world.cancel(guardian.alarm)
  const lead = Math.max(0, Math.min(600, (until - heldAt) / 4))
  const at = (time: number, run: () => void): void => {
    guardian.alarm = world.at(time - world.now(), process, run)
  }
  at(until - lead, () => {
    const { instance } = host
    if (instance !== null) {
      guardian.deadline = true
      host.watch.said(host, "guardian.deadline")
      stopFast(instance)
    }
    at(until - lead / 10, () => {
      if (host.instance !== null) {
        host.watch.said(host, "guardian.killed")
        stopNow(host.instance)
      }
      // A keeper that came back in between finds it gone and makes another.
      at(until, () => world.kill(process))
    })
  })
}

/**
 * PostgreSQL has ended, or the keeper has: the guardian's word, if nobody else can give it (as
 * `lib/guardian/testify.ts` has it).
 */
export function testify(host: Host): void {
  const { guardian, keeper, instance, world, machine } = host
  const testament = guardian?.lease?.testament ?? null
  if (guardian === null || testament === null || !testament.certify) return
  const { process, deadline, over, boot } = guardian
  if (isStuck(host)) return void world.at(0, process, () => testify(host))
  const alone = keeper === null || keeper.state === "dead"
  const ended = { epoch: testament.epoch, running: instance !== null, keeper: !alone }
  if (process.state !== "running" || !testifies({ ...ended, deadline, over })) return
  over.add(testament.epoch)
  const data = host.disk.data
  const certificate = {
    epoch: testament.epoch,
    bootUUID: boot,
    dbuid: testament.db,
    finalLSN: data?.state === "shut down" ? lsn(BigInt(data.checkpoint)) : lsn(0n),
    reason: "the guardian was alone",
  }
  const herald = world.spawn(`${machine.name}/herald`, machine)
  world.at(world.between(5, 40 + host.slowDisk), herald, () => {
    // what is not on disk is not said, and the epoch goes on
    if (machine.full) return void over.delete(testament.epoch)
    host.disk.certificate = certificate
    host.watch.said(host, "certificate.issued")
    const state = testament.info.postgresState
    const info: KeeperInfo = {
      ...testament.info,
      infoUID: infoUID(world.random.uid()),
      ended: true,
      certificate,
      ...(state === undefined ? {} : { postgresState: { ...state, healthy: false } }),
    }
    world.at(world.between(50, 300), herald, () => host.watch.herald?.(herald, info, testament.ttl))
    world.at(10_000, herald, () => world.kill(herald))
  })
}

export const noRoom = "no space left on the device"

/** Starts PostgreSQL in `postgres/`. */
export function startOn(host: Host, conf: string): Instance {
  const { world, servers, machine, disk } = host
  if (disk.data === null) throw new Error("postgres: could not access the data directory")
  if (host.instance !== null) throw new Error("postgres: lock file postmaster.pid already exists")
  if (machine.full) throw new Error(`postgres: could not write lock file: ${noRoom}`)
  const { guardian } = host
  const held = guardian !== null && world.now() < guardian.until
  if (!held && host.keeper !== null) throw new Error("no keeper holds this guardian")
  const word = guardian?.lease?.testament?.epoch
  if (word !== undefined && guardian?.over.has(word) === true)
    throw new Error("the end of this primary is certified already")
  if (guardian !== null) guardian.deadline = false
  host.watch.starting(host, disk.data)
  const instance = startServer(world, servers, machine, disk.data, conf)
  host.instance = instance
  instance.onGone.push((asked) => {
    if (host.instance === instance) host.instance = null
    host.asked = asked
    if (!asked && machine.up) host.watch.said(host, "postgres.exited")
    testify(host)
    host.changed()
  })
  return instance
}
