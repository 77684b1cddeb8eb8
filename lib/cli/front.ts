/**
 * The front of every command: flags parsed, or a text to print and an exit code. What is printed
 * and where differs by dialect (reference 1.1); here it is decided, `cmd/front.ts` prints it.
 */
import { fatalLine, goHelp, goUsage } from "./cobra.ts"
import type { Command, Flags, Values } from "./flag.ts"
import { type Entry, help } from "./help.ts"
import type { Invocation } from "./invocation.ts"
import { type UsageError, parse } from "./parse.ts"
import { type Release, goVersionLine, versionLine } from "./release.ts"

/** Something to print before the process ends. */
export interface Stop {
  readonly kind: "stop"
  readonly stdout: string
  readonly stderr: string
  readonly exit: number
}
export type Front<F extends Flags> =
  | {
      readonly kind: "run"
      readonly values: Values<F>
      readonly positionals: readonly string[]
      /** Flags that were set, and by what. */
      readonly changed: ReadonlyMap<string, string>
      /** Deprecation notices, to be printed first. */
      readonly stderr: string
    }
  | Stop

/** `at` dates Go's FATAL lines; `children` are the subcommands that help shall list. */
export function front<F extends Flags>(
  command: Command<F>,
  invocation: Invocation,
  release: Release,
  at: string,
  children: readonly Entry[] = [],
): Front<F> {
  const { program, dialect } = invocation
  const parsed = parse(command, invocation.argv, invocation.env, dialect)
  const notices = parsed.notices.map((notice) => `${notice}\n`).join("")
  switch (parsed.kind) {
    case "ok": {
      const { values, positionals, changed } = parsed
      return { kind: "run", values, positionals, changed, stderr: notices }
    }
    case "help": {
      const text =
        dialect === "go" ? goHelp(command, program, children) : help(command, program, children)
      return { kind: "stop", stdout: text, stderr: notices, exit: 0 }
    }
    case "version": {
      const text =
        dialect === "go"
          ? goVersionLine(program.split(" ").at(-1) ?? program, release)
          : versionLine(release)
      return { kind: "stop", stdout: text, stderr: notices, exit: 0 }
    }
    case "usage-error": {
      const text = refusal(parsed, command, program, at, children)
      return { kind: "stop", stdout: "", stderr: `${notices}${text}`, exit: parsed.exit }
    }
  }
}

function refusal(
  error: UsageError,
  command: Command,
  program: string,
  at: string,
  children: readonly Entry[],
): string {
  const { message } = error
  switch (error.report) {
    case "strict":
      return `${program}: ${message}\nHelp: ${program} --help\n`
    case "fatal":
      return fatalLine(at, program, message)
    case "usage":
      return `Error: ${message}\n${goUsage(command, program, children)}\n${fatalLine(at, program, message)}`
  }
}
