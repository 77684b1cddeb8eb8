/** What the kernel says that a process has used so far. */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { readProcess } from "#system/process.ts"
import { ticksOf } from "#test/e2e/ticks.ts"

export interface Usage {
  readonly cpuSeconds: number
  readonly rssMegabytes: number
  /** Bytes that it asked the kernel for and gave to it, files of the page cache included. */
  readonly read: number
  readonly written: number
}

/** The kernel's clock ticks a second (`getconf CLK_TCK`), the same on every Linux we build for. */
const ticks = 100

export function usageOf(pid: number): Usage {
  if (readProcess(pid) === null) throw new Error(`there is no process ${pid}`)
  const number = (file: string, name: string): number =>
    Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/${file}`, "utf8"))?.[1])
  return {
    cpuSeconds: ticksOf(pid) / ticks,
    rssMegabytes: number("status", "VmRSS") / 1024,
    read: number("io", "rchar"),
    written: number("io", "wchar"),
  }
}

/** What `counted.ts` has counted; zero before its first transaction. */
export function transactionsOf(directory: string, pid: number): number {
  const file = join(directory, String(pid))
  if (!existsSync(file)) return 0
  const bytes = readFileSync(file)
  return Number(bytes.readBigUInt64LE(0) + bytes.readBigUInt64LE(8))
}
