/**
 * Short questions to PostgreSQL's programs whose answer is their output: `postgres -V`,
 * `pg_controldata`. They change nothing, so they run as plain children, without the launcher that
 * guards those which write (`lib/system/command.ts`).
 */
import { childEnvironment } from "#system/self.ts"

/** Standard output of a program that must succeed. */
export async function outputOf(argv: readonly string[], signal: AbortSignal): Promise<string> {
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
  if (child.exitCode !== 0)
    throw new Error(
      `${argv[0] ?? ""} failed (${child.exitCode ?? child.signalCode}): ${errors.trim()}`,
    )
  return output
}
