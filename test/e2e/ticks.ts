/** Clock ticks of the processor that a process has used, in user and kernel (proc(5), stat). */
import { readFileSync } from "node:fs"

/** Throws when there is no such process. */
export function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
  // the name, in parentheses, may hold anything
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return Number(fields[11]) + Number(fields[12])
}
