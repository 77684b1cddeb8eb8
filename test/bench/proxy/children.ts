/**
 * The programs that the bench runs to their end: pgbench, psql and what feeds it. They are ended
 * with all that descends from them when the bench is ended by hand; only their own pids are ever
 * signalled.
 */
import { processes, signalProcess, withDescendants } from "#system/process.ts"
import { environment, wordsOf } from "#test/e2e/place.ts"

export interface Children extends AsyncDisposable {
  /** Runs it as the user of PostgreSQL; gives what it printed, throws that when it fails. */
  run(command: readonly string[], stdout?: "pipe" | "ignore"): Promise<string>
}

export function newChildren(): Children {
  const living = new Set<Bun.Subprocess>()
  const keep = <T extends Bun.Subprocess>(child: T): T => {
    living.add(child)
    void child.exited.then(() => living.delete(child))
    return child
  }
  return {
    async run(command, stdout = "pipe") {
      const child = keep(
        Bun.spawn([...wordsOf(command)], {
          stdio: ["ignore", stdout, "pipe"],
          env: environment(),
          cwd: "/tmp",
        }),
      )
      const [out, err, code] = await Promise.all([
        child.stdout === undefined ? "" : new Response(child.stdout).text(),
        new Response(child.stderr).text(),
        child.exited,
      ])
      if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}: ${out}${err}`)
      return out
    },
    async [Symbol.asyncDispose]() {
      const ending = [...living]
      killFamilies(ending.map(({ pid }) => pid))
      await Promise.all(ending.map(({ exited }) => exited))
    },
  }
}

/** SIGKILL to these processes, children of ours, and to all that descend from them. */
export function killFamilies(pids: readonly number[]): void {
  for (const each of withDescendants(processes(), ({ pid }) => pids.includes(pid)))
    signalProcess(each, "SIGKILL")
}
