/**
 * Commands played inside the test's process: what they print and their exit code. Much faster than
 * a process each; commands that read standard input or log need a process all the same.
 */
import { spyOn } from "bun:test"
import type { Invocation } from "#cli/invocation.ts"

export interface Played {
  readonly exit: number
  readonly stdout: string
  readonly stderr: string
}

type Write = typeof process.stdout.write

/** Replaces what the process prints with, and gives it back at the end. */
export async function played(work: () => Promise<number>): Promise<Played> {
  const told = { stdout: "", stderr: "" }
  const into = (name: keyof typeof told): Write => {
    const write = (text: string | Uint8Array, ...rest: readonly unknown[]): boolean => {
      told[name] += typeof text === "string" ? text : new TextDecoder().decode(text)
      const done = rest.at(-1)
      if (typeof done === "function") done()
      return true
    }
    return write
  }
  const out = spyOn(process.stdout, "write").mockImplementation(into("stdout"))
  const err = spyOn(process.stderr, "write").mockImplementation(into("stderr"))
  try {
    const exit = await work()
    return { exit, ...told }
  } finally {
    out.mockRestore()
    err.mockRestore()
  }
}

/** A Go program, by its name. */
export async function playGo(
  program: string,
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Played> {
  const invocation: Invocation = { argv, dialect: "go", program, env }
  switch (program) {
    case "stolonctl": {
      const { main } = await import("#cmd/ctl.ts")
      return played(() => main(invocation))
    }
    case "stolon-keeper": {
      const { main } = await import("#cmd/keeper.ts")
      return played(() => main(invocation))
    }
    case "stolon-sentinel": {
      const { main } = await import("#cmd/sentinel.ts")
      return played(() => main(invocation))
    }
    case "stolon-proxy": {
      const { main } = await import("#cmd/proxy.ts")
      return played(() => main(invocation))
    }
    default:
      throw new Error(`no such program: ${program}`)
  }
}

/** `stolon ctl …` in our dialect. */
export async function playCtl(
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Played> {
  const { main } = await import("#cmd/ctl.ts")
  return played(() => main({ argv, dialect: "stolon", program: "stolon ctl", env }))
}

/** Environment of a command on a sqlite store in `file`, cluster `t`. */
export const onSqlite = (file: string): Readonly<Record<string, string>> => ({
  STOLON_CLUSTER_NAME: "t",
  STOLON_STORE_BACKEND: "sqlite",
  STOLON_STORE_ENDPOINTS: file,
})
