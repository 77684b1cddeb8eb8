/**
 * What the processes of a proxy hold: descriptors, each process for itself, and memory, all of them
 * together. Read from /proc; the judgement of it is in `leaks.ts`.
 */
import { readFileSync, readdirSync } from "node:fs"
import { processes, withDescendants } from "#system/process.ts"

export interface Held {
  /** The proxy's, then its workers'. */
  readonly pids: readonly number[]
  /** Of each, in the same order. */
  readonly descriptors: readonly number[]
  /** Megabytes that are resident, of all its processes. */
  readonly resident: number
}

/** Throws when the process is gone. */
export function heldBy(root: number): Held {
  const pids = withDescendants(processes(), ({ pid }) => pid === root)
    .map(({ pid }) => pid)
    .toSorted((a, b) => a - b)
  if (pids.length === 0) throw new Error(`process ${root} is gone`)
  return {
    pids,
    descriptors: pids.map((pid) => readdirSync(`/proc/${pid}/fd`).length),
    resident: pids.reduce((all, pid) => all + residentOf(pid), 0),
  }
}

function residentOf(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]
  if (kilobytes === undefined) throw new Error(`no VmRSS of ${pid}`)
  return Number(kilobytes) / 1024
}
