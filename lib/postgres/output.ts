/**
 * Short questions to PostgreSQL's programs whose answer is their output: `postgres -V`,
 * `pg_controldata`. They change nothing, so they run as plain children, without the launcher that
 * guards those which write (`lib/system/command.ts`).
 */
import { childEnvironment } from "#system/self.ts"

/** Standard output of a program that must succeed. */
export async function outputOf(argv: readonly string[], signal: AbortSignal): Promise<string> {
  const { code, output, errors } = await ask(argv, signal)
  if (code === 0) return output
  throw new Error(`${argv[0] ?? ""} failed (${code}): ${errors.trim()}`)
}

/** What a program that may well fail says on its standard error. */
export const errorsOf = async (argv: readonly string[], signal: AbortSignal): Promise<string> =>
  (await ask(argv, signal)).errors

interface Answer {
  readonly code: number | string | null
  readonly output: string
  readonly errors: string
}

async function ask(argv: readonly string[], signal: AbortSignal): Promise<Answer> {
  signal.throwIfAborted()
  const child = Bun.spawn([...argv], {
    stdio: ["ignore", "pipe", "pipe"],
    env: childEnvironment({ LC_ALL: "C", LANGUAGE: "" }),
    signal,
    killSignal: "SIGKILL",
  })
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  signal.throwIfAborted()
  return { code: child.exitCode ?? child.signalCode, output, errors }
}
