/**
 * A machine that carries a keeper's data directory: the disk, the PostgreSQL that runs on it, and
 * the guardian that is PostgreSQL's parent. All three outlive a keeper process; only the disk
 * outlives the machine.
 */
import type { BootUUID } from "#model/ids.ts"
import { bootUUID } from "#model/ids.ts"
import type { Step } from "#model/step.ts"
import { type Dir, type Disk, emptyDisk } from "./disk.ts"
import { type Instance, type Servers, startServer, stopFast, stopNow } from "./server.ts"
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
  said(host: Host, code: "guardian.deadline" | "guardian.killed" | "postgres.exited"): void
}

export interface Guardian {
  readonly boot: BootUUID
  readonly process: Process
  /** PostgreSQL may run until here, virtual time. */
  until: number
}

export interface Host {
  readonly world: World
  readonly servers: Servers
  readonly machine: Machine
  readonly disk: Disk
  readonly watch: HostWatch
  instance: Instance | null
  guardian: Guardian | null
  /** The present keeper's ear. */
  changed: () => void
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
  instance: null,
  guardian: null,
  changed: () => {},
})

/** The time that a guardian takes to end PostgreSQL gently before the deadline. */
const lead = 500

/** The guardian that is there, or a new one. */
export function guardianOf(host: Host): { readonly guardian: Guardian; readonly adopted: boolean } {
  const { world, machine } = host
  if (host.guardian?.process.state === "running") return { guardian: host.guardian, adopted: true }
  const word = (): string => world.random.uid()
  const guardian: Guardian = {
    boot: bootUUID(`${word()}-0000-4000-8000-${word()}0000`),
    process: world.spawn(`${machine.name}/guardian`, machine),
    until: world.now() + 30_000,
  }
  host.guardian = guardian
  guardian.process.onKill.push(() => {
    if (host.instance !== null) stopNow(host.instance) // it is PostgreSQL's parent
    host.guardian = null
  })
  watchDeadline(host, guardian)
  return { guardian, adopted: false }
}

function watchDeadline(host: Host, guardian: Guardian): void {
  const { world } = host
  world.at(guardian.until - lead - world.now(), guardian.process, () => {
    if (world.now() < guardian.until - lead) return watchDeadline(host, guardian)
    const { instance } = host
    if (instance !== null) {
      host.watch.said(host, "guardian.deadline")
      stopFast(instance)
    }
    world.at(guardian.until - world.now(), guardian.process, () => {
      if (host.instance !== null) {
        host.watch.said(host, "guardian.killed")
        stopNow(host.instance)
      }
      // A keeper that came back in between finds it gone and makes another.
      world.kill(guardian.process)
    })
  })
}

/** Starts PostgreSQL in `postgres/`. */
export function startOn(host: Host, conf: string): Instance {
  const { world, servers, machine, disk } = host
  if (disk.data === null) throw new Error("postgres: could not access the data directory")
  if (host.instance !== null) throw new Error("postgres: lock file postmaster.pid already exists")
  host.watch.starting(host, disk.data)
  const instance = startServer(world, servers, machine, disk.data, conf)
  host.instance = instance
  instance.onGone.push((asked) => {
    if (host.instance === instance) host.instance = null
    if (!asked && machine.up) host.watch.said(host, "postgres.exited")
    host.changed()
  })
  return instance
}
