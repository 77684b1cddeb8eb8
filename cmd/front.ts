/**
 * What every command does first: parse its flags and, for help, versions and mistakes, print and
 * end. Also the way to print that waits until a pipe has taken the text, since the process may end
 * right after.
 */
import { millis } from "#base/brand.ts"
import type { Command, Flags } from "#cli/flag.ts"
import { type Front, type Stop, front } from "#cli/front.ts"
import type { Entry } from "#cli/help.ts"
import type { Invocation } from "#cli/invocation.ts"
import { realClock } from "#system/clock.ts"
import { writableNow } from "#system/libc.ts"
import { zoned } from "#system/log.ts"
import { release } from "./release.ts"

/** Flags parsed, or the exit code of a command that has said all there is to say. */
export type Begun<F extends Flags> =
  | Exclude<Front<F>, Stop>
  | { readonly kind: "exit"; readonly code: number }

export async function begin<F extends Flags>(
  command: Command<F>,
  invocation: Invocation,
  children: readonly Entry[] = [],
): Promise<Begun<F>> {
  const result = front(command, invocation, release, wallTime(), children)
  await warn(result.stderr)
  if (result.kind === "run") return result
  await print(result.stdout)
  return { kind: "exit", code: result.exit }
}

/** The time of Go's FATAL lines. */
export const wallTime = (): string => zoned(new Date(realClock.now().wall))

/**
 * Writes to standard output and waits until it is taken. A reader that went away (`| head`) is no
 * error.
 */
export const print = (text: string): Promise<void> => put(process.stdout, text)
/**
 * Writes to standard error and waits until it is taken, but not for ever: it may be a pipe that
 * nobody reads, and a keeper with a notice to give must start all the same (T14). Bun's own stream
 * would block the whole process there, so room is asked for first; a notice fits into a pipe that
 * has any.
 */
export async function warn(text: string): Promise<void> {
  if (text === "" || !(await hasRoom())) return
  await put(process.stderr, text)
}

async function hasRoom(): Promise<boolean> {
  const end = realClock.now().mono + warnMs
  while (!writableNow(2)) {
    if (realClock.now().mono >= end) return false
    await realClock.sleep(millis(20), forEver)
  }
  return true
}
const warnMs = 2_000
const forEver = new AbortController().signal

function put(stream: NodeJS.WriteStream, text: string): Promise<void> {
  if (text === "") return Promise.resolve()
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off("error", done)
      resolve()
    }
    stream.once("error", done)
    stream.write(text, done)
  })
}
