/**
 * How a command was called. The executable answers to several names (symlinks): a Go name selects
 * the command and the go dialect.
 */
import type { Dialect } from "./flag.ts"
import type { Environment } from "./parse.ts"

export interface Invocation {
  /** What follows the command's own word(s). */
  readonly argv: readonly string[]
  readonly dialect: Dialect
  /** What the user typed to get here, for help and messages: `stolonctl`, or `stolon keeper`. */
  readonly program: string
  readonly env: Environment
}

/** Every command's module exports this; the number is the exit code. */
export type Main = (invocation: Invocation) => Promise<number>

const goNames: ReadonlyMap<string, string> = new Map([
  ["stolonctl", "ctl"],
  ["stolon-keeper", "keeper"],
  ["stolon-sentinel", "sentinel"],
  ["stolon-proxy", "proxy"],
])

/**
 * The command that a program name stands for, or null for our own name. `called` is argv[0] as the
 * kernel passed it, with or without a path; the path of the executable itself would not do, a
 * symlink is resolved in it.
 */
export function goCommand(
  called: string,
): { readonly program: string; readonly command: string } | null {
  const program = called.slice(called.lastIndexOf("/") + 1)
  const command = goNames.get(program)
  return command === undefined ? null : { program, command }
}
