/**
 * What the kernel says about processes, read from /proc: who is alive, whose child it is, where it
 * stands.
 *
 * A process is named by pid *and* start time, because pids are used again. A zombie is dead: it
 * runs nothing and holds nothing, it only waits to be collected, perhaps for ever when nobody
 * collects (D-77). Reads are synchronous: /proc is memory, never a disk that can hang. (`cmdline`
 * alone may wait for the process's memory lock, so it is read sparingly.)
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs"

export interface ProcessId {
  readonly pid: number
  /** Clock ticks between the machine's boot and the process's start, as the kernel prints them. */
  readonly start: string
}

export interface Process extends ProcessId {
  readonly parent: number
  readonly group: number
  /** One letter: R running, S sleeping, D waiting for a disk, T stopped, Z zombie. */
  readonly state: string
  /** The program's name, cut to 15 bytes by the kernel. */
  readonly name: string
}

/** The process `pid` as it is now, null when there is none. Zombies are returned; see `isAlive`. */
export function readProcess(pid: number): Process | null {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, "latin1")
  } catch {
    return null // ended between listing and reading, or never was
  }
  // `pid (name) state parent group …`: the name may itself hold spaces and parentheses.
  const end = text.lastIndexOf(")")
  const fields = text.slice(end + 2).split(" ")
  const [state, parent, group] = fields
  const start = fields[19]
  if (state === undefined || start === undefined) return null
  const name = text.slice(text.indexOf("(") + 1, end)
  return { pid, start, parent: Number(parent), group: Number(group), state, name }
}

const dead = (process: Process): boolean => process.state === "Z" || process.state === "X"

/**
 * Whether this very process still runs; a zombie does not, a later process with its pid is another
 * one.
 */
export function isAlive(id: ProcessId): boolean {
  const process = readProcess(id.pid)
  return process !== null && process.start === id.start && !dead(process)
}

function everyProcess(): readonly Process[] {
  const found: Process[] = []
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue
    const process = readProcess(Number(entry))
    if (process !== null) found.push(process)
  }
  return found
}

/** The living processes that this one may see. */
export const processes = (): readonly Process[] => everyProcess().filter((each) => !dead(each))

/** Our own children that have ended and were not collected. */
export const zombieChildren = (): readonly Process[] =>
  everyProcess().filter((each) => each.parent === process.pid && each.state === "Z")

/** `roots` and everything that descends from them, as far as parents are alive. */
export function withDescendants(
  all: readonly Process[],
  isRoot: (process: Process) => boolean,
): readonly Process[] {
  const children = Map.groupBy(all, (process) => process.parent)
  const found = new Map<number, Process>()
  const visit = (process: Process): void => {
    if (found.has(process.pid)) return
    found.set(process.pid, process)
    for (const child of children.get(process.pid) ?? []) visit(child)
  }
  for (const process of all) if (isRoot(process)) visit(process)
  return [...found.values()]
}

const link = (pid: number, name: string): string | null => {
  try {
    return readlinkSync(`/proc/${pid}/${name}`).replace(/ \(deleted\)$/, "")
  } catch {
    return null
  }
}

/** Its working directory and its executable; null when it is gone or somebody else's. */
export const directoryOf = (pid: number): string | null => link(pid, "cwd")
export const executableOf = (pid: number): string | null => link(pid, "exe")

/** Its arguments, empty when unknown. Programs may have overwritten them with a title. */
export function argumentsOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").replace(/\0+$/, "").split("\0")
  } catch {
    return []
  }
}

/** Which boot of the machine this is; start times of two boots cannot be compared. */
export const bootId = (): string => readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim()

/** Sends a signal; false when the process is gone (or became another one). */
export function signalProcess(id: ProcessId, signal: NodeJS.Signals): boolean {
  if (!isAlive(id)) return false
  try {
    process.kill(id.pid, signal)
    return true
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ESRCH") return false
    throw error
  }
}
