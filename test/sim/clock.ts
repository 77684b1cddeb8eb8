/**
 * Time and chance as an agent of the simulated world gets them. Each machine's clock has its own
 * start and its own rate, within the 5 % that the protocol allows; wall clocks differ by hours,
 * because nothing may rest on them.
 */
import { type Millis, type Now, type Time, millis } from "#base/brand.ts"
import type { Chance, Clock } from "#port/clock.ts"
import { generator } from "#base/random.ts"
import type { Machine, Process, World } from "./world.ts"

const wallStart = Date.UTC(2024, 4, 14, 9, 0, 0)
const hour = 3_600_000

/** What a machine's clock reads. */
export const machineTime = (world: World, machine: Machine): Millis =>
  millis(machine.offset + machine.rate * world.now())

/** How long `ms` of a machine's clock are in virtual time. */
export const virtual = (machine: Machine, ms: number): number => ms / machine.rate

export function createClock(world: World, process: Process): Clock {
  const { machine } = process
  const wall = wallStart + (machine.offset % (10 * hour))
  const now = (): Now => {
    const mono = machineTime(world, machine)
    return {
      mono,
      // The one place of the simulator where wall time is minted.
      get wall(): Time {
        return new Date(wall + machine.wallStep + world.now()).toISOString() as Time
      },
    }
  }
  return {
    now,
    sleep: (ms, signal) => sleep(world, process, ms, signal),
    deadline: (ms, signal) => deadline(world, process, ms, signal),
  }
}

function sleep(world: World, process: Process, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const abort = (): void => {
      world.cancel(task)
      reject(signal.reason)
    }
    const task = world.at(virtual(process.machine, ms), process, () => {
      signal.removeEventListener("abort", abort)
      resolve()
    })
    signal.addEventListener("abort", abort, { once: true })
  })
}

function deadline(world: World, process: Process, ms: number, signal: AbortSignal): AbortSignal {
  if (signal.aborted) return AbortSignal.abort(signal.reason)
  const controller = new AbortController()
  const abort = (): void => {
    world.cancel(task)
    controller.abort(signal.reason)
  }
  const task = world.at(virtual(process.machine, ms), process, () => {
    signal.removeEventListener("abort", abort)
    controller.abort(new DOMException(`deadline of ${ms} ms passed`, "TimeoutError"))
  })
  signal.addEventListener("abort", abort, { once: true })
  return controller.signal
}

/**
 * Entropy of one process, drawn from the world's: another process more or less does not change its
 * sequence.
 */
export function createChance(seed: number): Chance {
  const random = generator(seed)
  return {
    seed: () => Math.floor(random.next() * 0x1_0000_0000),
    uid: () => random.uid(),
    uuid: () => {
      const hex = [random.uid(), random.uid(), random.uid(), random.uid()].join("")
      const parts = [
        hex.slice(0, 8),
        hex.slice(8, 12),
        `4${hex.slice(13, 16)}`,
        `8${hex.slice(17, 20)}`,
      ]
      return [...parts, hex.slice(20, 32)].join("-")
    },
  }
}
