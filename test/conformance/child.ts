/**
 * Starts `holder.ts` as a process of its own and reads its lines.
 */
import type { StoreSettings } from "#port/store.ts"
import type { Role } from "./holder.ts"
import { until } from "./wait.ts"

export interface Child extends AsyncDisposable {
  readonly lines: readonly string[]
  /** Waits until it has said `line`. */
  said(line: string, ms?: number): Promise<void>
  say(line: string): void
  signal(name: "SIGKILL" | "SIGSTOP" | "SIGCONT"): void
  readonly exited: Promise<number>
}

export function startHolder(settings: StoreSettings, role: Role): Child {
  const process_ = Bun.spawn(
    [process.execPath, `${import.meta.dir}/holder.ts`, JSON.stringify({ settings, role })],
    { stdin: "pipe", stdout: "pipe", stderr: "inherit" },
  )
  const lines: string[] = []
  void collect(process_.stdout, lines)
  return {
    lines,
    async said(line, ms = 10_000) {
      await until(
        `a child to say "${line}" (so far: ${lines.join("; ")})`,
        () => lines.includes(line),
        ms,
      )
    },
    say(line) {
      void process_.stdin.write(`${line}\n`)
      void process_.stdin.flush()
    },
    signal: (name) => process_.kill(name),
    exited: process_.exited,
    async [Symbol.asyncDispose]() {
      process_.kill("SIGKILL")
      await process_.exited
    },
  }
}

async function collect(stream: ReadableStream<Uint8Array>, lines: string[]): Promise<void> {
  let rest = ""
  const decoder = new TextDecoder()
  for await (const bytes of stream) {
    const parts = (rest + decoder.decode(bytes, { stream: true })).split("\n")
    rest = parts.pop() ?? ""
    lines.push(...parts)
  }
}
