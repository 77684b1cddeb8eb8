/**
 * A server that a test can kill, freeze, thaw and start again. It is gone when it is disposed of,
 * or with the test process.
 */
import { openSync } from "node:fs"

export interface Server extends AsyncDisposable {
  start(): void
  /** SIGKILL, and waits until it is gone. */
  kill(): Promise<void>
  /** SIGSTOP: it holds its connections and answers nothing. */
  pause(): void
  resume(): void
}

const running = new Set<number>()
process.on("exit", () => {
  for (const pid of running) signal(pid, "SIGKILL")
})

export function serverOf(command: readonly string[], log: string): Server {
  let child: Bun.Subprocess | null = null
  const kill = async (): Promise<void> => {
    if (child === null) return
    signal(child.pid, "SIGKILL")
    await child.exited
    running.delete(child.pid)
    child = null
  }
  return {
    start() {
      const output = openSync(log, "a")
      child = Bun.spawn([...command], { stdin: "ignore", stdout: output, stderr: output })
      running.add(child.pid)
    },
    kill,
    pause: () => child !== null && signal(child.pid, "SIGSTOP"),
    resume: () => child !== null && signal(child.pid, "SIGCONT"),
    [Symbol.asyncDispose]: kill,
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // gone already
  }
}
