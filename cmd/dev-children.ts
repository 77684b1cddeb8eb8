/**
 * The processes of `stolon dev`: started, started again when they die, stopped in order. Their
 * output goes to files.
 *
 * None outlives the supervisor: each has asked the kernel for a SIGTERM at its parent's death,
 * which lets a keeper stop its PostgreSQL in good order. Each is in a session of its own, so that a
 * Ctrl-C reaches the supervisor alone.
 */
import { closeSync, openSync, renameSync, statSync } from "node:fs"
import { join } from "node:path"
import { childEnvironment, selfCommand } from "#system/self.ts"

export interface ChildSpec {
  readonly name: string
  readonly argv: readonly string[]
  /** Asked when it has died: how long it stays away at least, and why that is. */
  readonly absence?: () => Absence
}
export interface Absence {
  readonly ms: number
  readonly why: string
}

export interface Child {
  readonly name: string
  /** Null while it waits to be started again. */
  readonly pid: number | null
  /**
   * Ends it: SIGTERM, and SIGKILL after `graceMs` or at once when `hurry` aborts. Resolves when it
   * is gone. `retire` first, or it is started again.
   */
  stop(graceMs: number, hurry: AbortSignal): Promise<void>
}

export interface Family {
  /** Starts a child and keeps it running. */
  add(spec: ChildSpec): Child
  readonly children: readonly Child[]
  /** From now on nobody is started again. */
  retire(): void
}

/** Restarts come faster than a person notices at first, and never so fast that they burn a core. */
const pauseFirstMs = 300
const pauseMaxMs = 10_000
const lookMs = 200
/** One that ran this long is taken for healthy: its next death is a first one again. */
const settledMs = 10_000
const logMax = 16 << 20

/** `tell` hears of every death that was not asked for. */
export function family(directory: string, tell: (who: string, text: string) => void): Family {
  const children: Child[] = []
  const retired = new AbortController()
  return {
    children,
    add: (spec) => {
      const child = keepRunning(spec, join(directory, "logs"), tell, retired.signal)
      children.push(child)
      return child
    },
    retire: () => retired.abort(),
  }
}

function keepRunning(
  spec: ChildSpec,
  logs: string,
  tell: (who: string, text: string) => void,
  retired: AbortSignal,
): Child {
  let running: Bun.Subprocess | null = null
  let timer: ReturnType<typeof setTimeout> | null = null
  let failures = 0

  const start = (): void => {
    timer = null
    const startedAt = performance.now()
    const child = spawn(spec, logs)
    running = child
    void child.exited.then(() => {
      running = null
      if (retired.aborted) return
      if (performance.now() - startedAt >= settledMs) failures = 0
      const pause = Math.min(pauseMaxMs, pauseFirstMs * 2 ** failures++)
      // A moment first: what is killed together does not die at one instant.
      timer = setTimeout(() => judge(ending(child), pause - lookMs), lookMs)
    })
  }
  const judge = (end: string, pause: number): void => {
    const { ms, why } = spec.absence?.() ?? { ms: 0, why: "" }
    const wait = Math.max(ms, pause)
    tell(spec.name, `${end}${why}; started again in ${wait / 1000} s`)
    timer = setTimeout(start, wait)
  }
  retired.addEventListener("abort", () => {
    if (timer !== null) clearTimeout(timer)
  })
  start()
  return {
    name: spec.name,
    get pid() {
      return running?.pid ?? null
    },
    stop: async (graceMs, hurry) => {
      const child = running
      if (child === null) return
      const force = (): void => child.kill("SIGKILL")
      child.kill("SIGTERM")
      const late = setTimeout(force, graceMs)
      if (hurry.aborted) force()
      hurry.addEventListener("abort", force, { once: true })
      await child.exited
      hurry.removeEventListener("abort", force)
      clearTimeout(late)
    },
  }
}

const logFile = (logs: string, name: string): string => join(logs, `${name}.log`)

function spawn(spec: ChildSpec, logs: string): Bun.Subprocess {
  const log = openLogFile(logFile(logs, spec.name))
  const launch = ["launch", "--pdeathsig", "SIGTERM", "--parent", String(process.pid), "--"]
  try {
    return Bun.spawn([...selfCommand(), ...launch, ...spec.argv], {
      detached: true,
      stdio: ["ignore", log, log],
      env: childEnvironment(),
    })
  } finally {
    closeSync(log)
  }
}

/** Appends; a file that has grown large makes room first. */
function openLogFile(path: string): number {
  try {
    if (statSync(path).size > logMax) renameSync(path, `${path}.1`)
  } catch {
    // not there yet
  }
  return openSync(path, "a", 0o600)
}

const ending = (child: Bun.Subprocess): string =>
  child.signalCode === null
    ? `ended with code ${child.exitCode}`
    : `was ended by ${child.signalCode}`
