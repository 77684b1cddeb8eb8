/**
 * The simulated world: virtual time, machines, processes, the network between them. One seed, one
 * run, to the last event.
 *
 * Every effect that reaches an agent does so as a task that its process owns. So killing a process
 * is dropping its tasks (its promises never resolve again), freezing it is holding them back until
 * it is resumed. After each task all promise callbacks run before time moves on, which is what
 * makes real async code deterministic here. Nothing in this folder may look at real time or real
 * entropy.
 */
import { drainMicrotasks } from "bun:jsc"
import { type Random, generator } from "#base/random.ts"
import { type Task, createHeap } from "./heap.ts"
import { type Trace, createTrace } from "./trace.ts"

/** A computer: one clock, one disk, one place in the network. */
export interface Machine {
  readonly name: string
  up: boolean
  /** How many things hold all of it still: nothing can be started on it. */
  frozen: number
  /** Its disk takes nothing more. */
  full: boolean
  /** Its clock reads `offset + rate * time`. Rates differ by less than 5 % (protocol). */
  readonly offset: number
  readonly rate: number
  /** What somebody set its wall clock forward by; nothing may rest on that. */
  wallStep: number
  readonly processes: Set<Process>
}

export interface Process {
  readonly name: string
  readonly machine: Machine
  state: "running" | "frozen" | "dead"
  /** Tasks that came due while it was frozen. */
  readonly held: Task[]
  /** Called when it was killed, by the world and not by itself. */
  readonly onKill: (() => void)[]
}

/** The machine name that stands for the store in the network. */
export const storeName = "store"

export interface World {
  readonly seed: number
  readonly random: Random
  readonly trace: Trace
  /** Virtual milliseconds since the start. */
  now(): number
  at(delay: number, owner: Process | null, run: () => void): Task
  cancel(task: Task): void
  machine(name: string, offset: number, rate: number): Machine
  spawn(name: string, machine: Machine): Process
  kill(process: Process): void
  freeze(process: Process): void
  resume(process: Process): void
  /** Cuts the way from one machine to another, one direction; names, or `storeName`. */
  cut(from: string, to: string): void
  mend(from: string, to: string): void
  mendAll(): void
  reaches(from: string, to: string): boolean
  /** Runs until `time` or until there is nothing left to do. Stops early when `stop` was called. */
  run(until: number): void
  stop(): void
  /** Between two numbers. */
  between(low: number, high: number): number
  chance(probability: number): boolean
  readonly counts: { tasks: number }
}

export function createWorld(seed: number): World {
  const heap = createHeap()
  const random = generator(seed)
  const cuts = new Set<string>()
  const counts = { tasks: 0 }
  let time = 0
  let seq = 0
  let stopped = false
  const trace = createTrace(() => time)
  const at: World["at"] = (delay, owner, run) => {
    const task: Task = { at: time + Math.max(0, delay), seq: seq++, owner, run }
    heap.push(task)
    return task
  }
  const step = (task: Task): void => {
    const { owner, run } = task
    if (run === null || owner?.state === "dead") return
    if (owner?.state === "frozen") {
      owner.held.push(task)
      return
    }
    counts.tasks++
    run()
    drainMicrotasks()
  }
  return {
    seed,
    random,
    trace,
    counts,
    now: () => time,
    at,
    cancel: (task) => void (task.run = null),
    machine: (name, offset, rate) => ({
      name,
      up: true,
      frozen: 0,
      full: false,
      offset,
      rate,
      wallStep: 0,
      processes: new Set(),
    }),
    spawn(name, machine) {
      const process: Process = { name, machine, state: "running", held: [], onKill: [] }
      machine.processes.add(process)
      return process
    },
    kill(process) {
      if (process.state === "dead") return
      process.state = "dead"
      process.machine.processes.delete(process)
      process.held.length = 0
      for (const callback of process.onKill) callback()
    },
    freeze(process) {
      if (process.state === "running") process.state = "frozen"
    },
    resume(process) {
      if (process.state !== "frozen") return
      process.state = "running"
      for (const task of process.held.splice(0)) {
        const { run } = task
        if (run !== null) at(0, process, run)
      }
    },
    cut: (from, to) => void cuts.add(`${from}>${to}`),
    mend: (from, to) => void cuts.delete(`${from}>${to}`),
    mendAll: () => cuts.clear(),
    reaches: (from, to) => from === to || cuts.size === 0 || !cuts.has(`${from}>${to}`),
    run(until) {
      stopped = false
      drainMicrotasks()
      for (;;) {
        const next = heap.peek()
        if (stopped || next === undefined || next.at > until) break
        heap.pop()
        if (next.at > time) time = next.at
        step(next)
      }
      if (!stopped) time = Math.max(time, until)
    },
    stop: () => void (stopped = true),
    between: (low, high) => low + random.next() * (high - low),
    chance: (probability) => random.next() < probability,
  }
}
