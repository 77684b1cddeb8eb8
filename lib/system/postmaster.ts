/**
 * Starting PostgreSQL's postmaster as our own child, in a state that lets nothing of it outlive us.
 *
 * The parent-death signal is SIGQUIT. SIGKILL would take only the postmaster and leave backends
 * that go on acknowledging until they look up; SIGINT waits for a checkpoint and for every backend;
 * SIGTERM waits for clients. SIGQUIT makes the postmaster end all its children at once (and kill
 * the stubborn ones after 5 s), and costs no more than a crash recovery.
 */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import type { Start } from "#port/supervision.ts"
import { track } from "./children.ts"
import { keepTail, readLines } from "./command.ts"
import type { ComponentLog } from "./log.ts"
import { type ProcessId, readProcess } from "./process.ts"
import { childEnvironment, selfCommand } from "./self.ts"

/** How a postmaster that was our child ended. */
export interface Ending {
  readonly code: number | null
  readonly signal: string | null
}

/** A postmaster just started. */
export interface Launch {
  readonly id: ProcessId
  readonly ended: Promise<Ending>
  /** The end of what it wrote. */
  tail(): string
  /**
   * Resolves when both outputs are read to the end, or a moment after: a grandchild may keep them
   * open.
   */
  readonly drained: Promise<unknown>
}

const tailMax = 8 << 10

/** Starts the postmaster as our child; its output goes to the log. */
export function spawnPostmaster(what: Start, log: ComponentLog): Launch {
  const orders = ["launch", "--pdeathsig", "SIGQUIT", "--parent", `${process.pid}`, "--"]
  const argv = [...selfCommand(), ...orders, what.postgres, "-D", what.dataDir, ...what.args]
  const child = track(
    Bun.spawn(argv, {
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: childEnvironment(),
    }),
  )
  // A child that is a zombie already still has its entry: Bun collects it in a later turn of the
  // loop.
  const id: ProcessId = readProcess(child.pid) ?? { pid: child.pid, start: "" }
  const tail = keepTail(tailMax)
  const take = (line: string): void => {
    tail.add(line)
    log.output(line)
  }
  const reading = Promise.all([readLines(child.stdout, take), readLines(child.stderr, take)])
  const ended = child.exited.then((): Ending => {
    const { signalCode, exitCode } = child
    return signalCode === null
      ? { code: exitCode, signal: null }
      : { code: null, signal: String(signalCode) }
  })
  const drained = Promise.race([reading, ended.then(() => Bun.sleep(500))])
  return { id, ended, tail: () => tail.text(), drained }
}

/**
 * Whether the first line of postmaster.pid is `pid`. A file that is missing or half written says
 * no.
 */
export async function pidFileNames(directory: string, pid: number): Promise<boolean> {
  try {
    return (await readFile(join(directory, "postmaster.pid"), "utf8")).startsWith(`${pid}\n`)
  } catch {
    return false
  }
}
