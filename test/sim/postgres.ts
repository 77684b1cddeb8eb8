/**
 * The Postgres port of one keeper process on its host. A keeper that starts on a host whose
 * guardian still lives adopts what runs there; one that is killed leaves everything as it is,
 * half-done work included.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { ClusterUID, KeeperUID } from "#model/ids.ts"
import type { Step } from "#model/step.ts"
import type { Postgres, Testament } from "#port/postgres.ts"
import { virtual } from "./clock.ts"
import { type Guardian, type Host, guardianOf, hold, testify } from "./host.ts"
import { observeHost } from "./observe.ts"
import { stopFast, stopNow } from "./server.ts"
import { runStep } from "./steps.ts"
import type { Process } from "./world.ts"

/** A keeper that has not read any cluster data yet. */
const noCluster = "" as ClusterUID // brands have no name for "none"

interface Flags {
  /** What a keeper without a state file calls itself. */
  readonly uid: KeeperUID
}

/** Opens the host's PostgreSQL for `process`. */
export function openPostgres(host: Host, process: Process, { uid }: Flags): Postgres {
  const { world, machine } = host
  const reading = (time: number): Millis => millis(machine.offset + machine.rate * time)
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
  return {
    boot: guardian.boot,
    adopted: adopted && host.instance !== null,
    leased: guardian.lease === null ? null : reading(guardian.until),
    async observe(signal) {
      await pause(signal)(world.between(1, 6))
      return observeHost(host, { uid, clusterUID: noCluster })
    },
    run(step: Step, progress, signal) {
      host.watch.step(host, step)
      // the hold that a start rests on goes with it: this guardian may be another
      if (step.kind === "start") guardianOf(host)
      if (step.kind === "start" && asked !== null) hold(host, asked.until, asked.lease)
      return runStep(step, { host, process, progress, signal, pause: pause(signal) })
    },
    async hold(until: Millis, signal: AbortSignal) {
      asked = null
      await pause(signal)(0.2)
      hold(host, virtual(machine, until - machine.offset), null)
    },
    async promise(made, signal) {
      await pause(signal)(world.between(1, 6 + host.slowDisk))
      host.disk.promise = made
      host.promisedAt = world.now()
    },
    async lease(until: Millis, testament: Testament | null, signal: AbortSignal) {
      asked = { until: virtual(machine, until - machine.offset), lease: { testament } }
      const { until: end, lease } = asked
      await pause(signal)(0.2)
      hold(host, end, lease)
    },
    onChange: (callback) => void listeners.push(callback),
    async end(escalateAfter, signal) {
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
