/**
 * Runs a program and waits for it: initdb, pg_basebackup, pg_rewind, restore scripts. The program
 * and everything that it starts end when the call is aborted and when this process dies, however it
 * dies (D-18).
 *
 * When the promise settles nothing of it runs any more, so the caller may hand the data directory
 * to somebody else. Its output is read to the end but only a tail is kept; it gets the environment
 * that it is given and no standard input.
 */
import { track } from "./children.ts"
import { childEnvironment, selfCommand } from "./self.ts"
import type { Identity } from "./libc.ts"

export interface Command {
  readonly argv: readonly [string, ...string[]]
  /** Additions to our own environment, from which secrets are taken out. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Between SIGTERM and SIGKILL when the call is aborted. */
  readonly graceMs?: number
  /** How much of the end of its output is kept. */
  readonly tailMax?: number
  /** Gets each line of its output as it comes. */
  readonly onLine?: (line: string, stream: "stdout" | "stderr") => void
  /** Another user to run it as; needs root. */
  readonly identity?: Identity
}

export interface Outcome {
  readonly code: number | null
  readonly signal: string | null
  /** All it wrote to its standard output, cut at the front to `tailMax`. */
  readonly stdout: string
  /** The last of both outputs in the order in which they were read; meant for error messages. */
  readonly tail: string
}

const graceDefault = 5_000
const tailDefault = 16 << 10

/**
 * Runs `command` to its end. Rejects with the signal's reason when aborted, after everything it
 * started is gone.
 */
export async function run(command: Command, signal: AbortSignal): Promise<Outcome> {
  signal.throwIfAborted()
  const graceMs = command.graceMs ?? graceDefault
  const child = spawn(command, graceMs)
  const abort = (): void => child.kill("SIGTERM")
  signal.addEventListener("abort", abort, { once: true })
  const tail = keepTail(command.tailMax ?? tailDefault)
  const output = keepTail(command.tailMax ?? tailDefault)
  try {
    const reading = Promise.all([
      readLines(child.stdout, (line) => {
        output.add(line)
        tail.add(line)
        command.onLine?.(line, "stdout")
      }),
      readLines(child.stderr, (line) => {
        tail.add(line)
        command.onLine?.(line, "stderr")
      }),
    ])
    await child.exited
    await reading
  } finally {
    signal.removeEventListener("abort", abort)
  }
  signal.throwIfAborted()
  return { ...ending(child), stdout: output.text(), tail: tail.text() }
}

function spawn(command: Command, graceMs: number) {
  const { identity } = command
  const user =
    identity === undefined
      ? []
      : ["--uid", `${identity.uid}`, "--gid", `${identity.gid}`, "--groups", identity.groups.join()]
  const orders = ["--pdeathsig", "SIGTERM", "--parent", `${process.pid}`, "--keep", `${graceMs}`]
  const child = Bun.spawn([...selfCommand(), "launch", ...user, ...orders, "--", ...command.argv], {
    detached: true, // a group of its own: a Ctrl-C at our terminal is ours to pass on
    stdio: ["ignore", "pipe", "pipe"],
    env: childEnvironment(command.env),
    ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
  })
  return track(child)
}

/** The launcher ends with 128 + signal when its command was ended by one. */
function ending(child: Bun.Subprocess): { code: number | null; signal: string | null } {
  if (child.signalCode !== null) return { code: null, signal: String(child.signalCode) }
  const code = child.exitCode ?? 1
  const name = signalNames.get(code - 128)
  return name === undefined ? { code, signal: null } : { code: null, signal: name }
}

const signalNames: ReadonlyMap<number, string> = new Map([
  [1, "SIGHUP"],
  [2, "SIGINT"],
  [3, "SIGQUIT"],
  [4, "SIGILL"],
  [6, "SIGABRT"],
  [7, "SIGBUS"],
  [8, "SIGFPE"],
  [9, "SIGKILL"],
  [11, "SIGSEGV"],
  [13, "SIGPIPE"],
  [14, "SIGALRM"],
  [15, "SIGTERM"],
])

interface Tail {
  add(line: string): void
  text(): string
}

/** The last lines that fit into `max` characters. */
export function keepTail(max: number): Tail {
  const lines: string[] = []
  let size = 0
  return {
    add: (line) => {
      const kept = line.slice(-max)
      lines.push(kept)
      size += kept.length + 1
      while (size > max && lines.length > 1) size -= (lines.shift()?.length ?? 0) + 1
    },
    text: () => lines.join("\n"),
  }
}

/**
 * A line longer than this is handed on in pieces, so that output without newlines cannot fill the
 * memory.
 */
const lineMax = 64 << 10

/**
 * Calls `take` for each line until the stream ends. Carriage returns end lines too: progress meters
 * use them.
 */
export async function readLines(
  stream: ReadableStream<Uint8Array>,
  take: (line: string) => void,
): Promise<void> {
  const decoder = new TextDecoder()
  let rest = ""
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true })
    const lines = rest.split(/\r\n|[\r\n]/)
    rest = lines.pop() ?? ""
    for (const line of lines) take(line)
    for (; rest.length > lineMax; rest = rest.slice(lineMax)) take(rest.slice(0, lineMax))
  }
  rest += decoder.decode()
  if (rest !== "") take(rest)
}
