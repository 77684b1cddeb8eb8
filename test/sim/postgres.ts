/**
 * The Postgres port of one keeper process on its host. A keeper that starts on a host whose
 * guardian still lives adopts what runs there; one that is killed leaves everything as it is,
 * half-done work included.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { ClusterUID, KeeperUID } from "#model/ids.ts"
import type { Step } from "#model/step.ts"
import type { Postgres } from "#port/postgres.ts"
import { virtual } from "./clock.ts"
import { type Guardian, type Host, guardianOf, hold, isStuck, noRoom, testify } from "./host.ts"
import { observeHost } from "./observe.ts"
import { stopFast, stopNow } from "./server.ts"
import { runStep } from "./steps.ts"
import type { Task } from "./heap.ts"
import type { Process } from "./world.ts"

/** A keeper that has not read any cluster data yet. */
const noCluster = "" as ClusterUID // brands have no name for "none"

/** How long a question waits for a PostgreSQL that stands still. */
const silence = 2_000

interface Flags {
  /** What a keeper without a state file calls itself. */
  readonly uid: KeeperUID
}

/** Opens the host's PostgreSQL for `process`. */
export function openPostgres(host: Host, process: Process, { uid }: Flags): Postgres {
  const { world, machine } = host
  const reading = (time: number): Millis => millis(machine.offset + machine.rate * time)
  // one that answers nothing is killed by the keeper that finds it, and PostgreSQL with it
  if (host.guardian !== null && isStuck(host)) world.kill(host.guardian.process)
  const { guardian, adopted } = guardianOf(host)
  const listeners: (() => void)[] = []
  host.changed = () => {
    world.at(world.between(1, 5), process, () => {
      for (const listener of listeners) listener()
    })
  }
  host.keeper = process
  process.onKill.push(() => testify(host))
  let asked: { readonly until: number; readonly lease: Guardian["lease"] } | null = null
  const pause = (signal: AbortSignal) => (ms: number) => sleep(host, process, ms, signal)
  /** Resolves when the guardian answers. */
  const answer = async (signal: AbortSignal): Promise<void> => {
    while (isStuck(host)) await pause(signal)(20)
  }
  let alarm: Task | null = null
  /** A guardian that stands still at its deadline is killed: PostgreSQL must not outlive that. */
  const overlook = (until: number): void => {
    if (alarm !== null) world.cancel(alarm)
    const present = host.guardian
    alarm = world.at(until - world.now(), process, () => {
      if (present !== null && present === host.guardian && isStuck(host))
        world.kill(present.process)
    })
  }
  const tell = async (until: Millis, lease: Guardian["lease"], signal: AbortSignal) => {
    const end = virtual(machine, until - machine.offset)
    asked = lease === null ? null : { until: end, lease }
    await answer(signal)
    await pause(signal)(0.2)
    hold(host, end, lease)
    overlook(end)
  }
  if (guardian.lease !== null) overlook(guardian.until)
  return {
    boot: guardian.boot,
    adopted: adopted && host.instance !== null,
    leased: guardian.lease === null ? null : reading(guardian.until),
    async observe(signal) {
      await answer(signal)
      await pause(signal)(world.between(1, 6))
      if (host.instance?.process.state === "frozen") await pause(signal)(silence)
      return observeHost(host, { uid, clusterUID: noCluster })
    },
    async run(step: Step, progress, signal) {
      if (step.kind === "start" || step.kind === "stop") await answer(signal)
      host.watch.step(host, step)
      // the hold that a start rests on goes with it: this guardian may be another
      if (step.kind === "start") guardianOf(host)
      if (step.kind === "start" && asked !== null) hold(host, asked.until, asked.lease)
      return runStep(step, { host, process, progress, signal, pause: pause(signal) })
    },
    hold: (until, signal) => tell(until, null, signal),
    async promise(made, signal) {
      await pause(signal)(world.between(1, 6 + host.slowDisk))
      if (machine.full && made !== null) throw new Error(noRoom)
      host.disk.promise = made
      host.promisedAt = world.now()
    },
    lease: (until, testament, signal) => tell(until, { testament }, signal),
    onChange: (callback) => void listeners.push(callback),
    async end(escalateAfter, signal) {
      await answer(signal)
      const { instance } = host
      const present = host.guardian
      if (present !== null) present.lease = null // who ends it says so itself, or wants it unsaid
      if (instance !== null) stopFast(instance)
      const until = world.now() + virtual(machine, escalateAfter)
      while (host.instance !== null) {
        if (world.now() >= until) stopNow(host.instance)
        else await pause(signal)(30)
      }
      const left = host.guardian
      if (left !== null) world.kill(left.process)
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

function sleep(host: Host, process: Process, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const abort = (): void => {
      host.world.cancel(task)
      reject(signal.reason)
    }
    const task = host.world.at(ms, process, () => {
      signal.removeEventListener("abort", abort)
      resolve()
    })
    signal.addEventListener("abort", abort, { once: true })
  })
}
