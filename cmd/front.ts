/**
 * What every command does first: parse its flags and, for help, versions and mistakes, print and
 * end. Also the way to print that waits until a pipe has taken the text, since the process may end
 * right after.
 */
import type { Command, Flags } from "#cli/flag.ts"
import { type Front, type Stop, front } from "#cli/front.ts"
import type { Entry } from "#cli/help.ts"
import type { Invocation } from "#cli/invocation.ts"
import { realClock } from "#system/clock.ts"
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
  const result = front(command, invocation, release, realClock.now().wall, children)
  await warn(result.stderr)
  if (result.kind === "run") return result
  await print(result.stdout)
  return { kind: "exit", code: result.exit }
}

/**
 * Writes to standard output and waits until it is taken. A reader that went away (`| head`) is no
 * error.
 */
export const print = (text: string): Promise<void> => put(process.stdout, text)
/** Writes to standard error and waits until it is taken. */
export const warn = (text: string): Promise<void> => put(process.stderr, text)

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
