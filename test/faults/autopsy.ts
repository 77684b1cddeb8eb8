/**
 * What every process of a cluster that does not become whole is doing: stopped, spinning, or asleep
 * in which call of the kernel. Logs do not tell, since whoever hangs writes none.
 */
import { readFileSync } from "node:fs"
import { type Process, argumentsOf } from "#system/process.ts"
import { ticksOf } from "#test/e2e/ticks.ts"
import type { Machine } from "./machine.ts"

const watchMs = 1_000

/** A line for each process, those of one node together. Takes a second. */
export async function autopsyOf(machines: readonly Machine[]): Promise<string> {
  const all = machines.map((machine) => ({ machine, found: machine.processes("all") }))
  const before = new Map(all.flatMap(({ found }) => found.map(({ pid }) => [pid, usedBy(pid)])))
  await Bun.sleep(watchMs)
  return all
    .map(({ machine, found }) => {
      const lines = found.map((each) => line(each, before.get(each.pid) ?? 0))
      return [`--- node ${machine.node}`, ...lines, ""].join("\n")
    })
    .join("\n")
}

function line({ pid }: Process, before: number): string {
  const status = text(pid, "status")
  const said = (field: string): string =>
    new RegExp(`^${field}:\\s*(.*)$`, "m").exec(status)?.[1] ?? "?"
  const ticks = usedBy(pid) - before
  const command = argumentsOf(pid).slice(0, 3).join(" ")
  return (
    `${pid} ${said("State")}, ${ticks} ticks in ${watchMs} ms, in ${text(pid, "wchan") || "?"}, ` +
    `call ${text(pid, "syscall").split(" ")[0] ?? ""}, ${said("VmRSS")}: ${command}`
  )
}

function usedBy(pid: number): number {
  try {
    return ticksOf(pid)
  } catch {
    return 0 // ended meanwhile
  }
}

function text(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8").trim()
  } catch {
    return "" // ended meanwhile
  }
}
