/**
 * What a proxy uses of the machine: the process that was started and all that descend from it,
 * summed, so that a proxy of several processes is judged like one of several threads.
 *
 * Memory is what the proxy would take on a machine of its own: what is private to each process,
 * and once what they share. PSS is beside it; it flatters ours, because keeper and sentinel run
 * the same executable here. What the kernel keeps in socket buffers is in no process's memory, for
 * nobody.
 */
import { readFileSync, readdirSync } from "node:fs"
import { processes, withDescendants } from "#system/process.ts"
import { ticksOf } from "#test/e2e/ticks.ts"

export interface Used {
  readonly cpuSeconds: number
  readonly descriptors: number
}

/** The kernel's clock ticks a second (`getconf CLK_TCK`), the same on every Linux we build for. */
const ticks = 100

/** Throws when the process is gone: a proxy that died has no numbers. */
export function used(root: number): Used {
  const pids = family(root)
  const sum = (of: (pid: number) => number): number => pids.reduce((all, pid) => all + of(pid), 0)
  return {
    cpuSeconds: sum(ticksOf) / ticks,
    descriptors: sum((pid) => readdirSync(`/proc/${pid}/fd`).length),
  }
}

/** In megabytes. */
export interface Memory {
  readonly alone: number
  readonly pss: number
}

export const memory = (root: number): Memory =>
  together(family(root).map((pid) => rollup(readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"))))

function family(root: number): readonly number[] {
  const all = withDescendants(processes(), ({ pid }) => pid === root)
  if (all.length === 0) throw new Error(`the proxy's process ${root} is gone`)
  return all.map(({ pid }) => pid)
}

interface Parts {
  readonly own: number
  readonly shared: number
  readonly pss: number
}

/** The processes of one proxy. */
export function together(all: readonly Parts[]): Memory {
  const sum = (of: (one: Parts) => number): number => all.reduce((a, one) => a + of(one), 0)
  return {
    alone: sum(({ own }) => own) + Math.max(0, ...all.map(({ shared }) => shared)),
    pss: sum(({ pss }) => pss),
  }
}

/** From the kernel's `smaps_rollup`, which counts in kB. */
export function rollup(text: string): Parts {
  const line = (name: string): number => {
    const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1]
    if (found === undefined) throw new Error(`no ${name} in smaps_rollup`)
    return Number(found) / 1024
  }
  return {
    own: line("Private_Clean") + line("Private_Dirty"),
    shared: line("Shared_Clean") + line("Shared_Dirty"),
    pss: line("Pss"),
  }
}
