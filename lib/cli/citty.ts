/**
 * Our tables as citty commands. citty keeps the tree and runs the chosen command; it does not
 * parse, because it accepts unknown flags and takes `--x=0` for true (our own parser refuses both).
 */
import { type CommandDef, defineCommand, runCommand } from "citty"
import type { Invocation, Main } from "./invocation.ts"

/** A citty command that runs `load()`'s main when chosen; the module is not loaded before. */
export const lazily = (meta: Meta, load: () => Promise<{ readonly main: Main }>): CommandDef =>
  defineCommand({
    meta,
    run: async ({ data }: { readonly data?: Invocation }) => {
      if (data === undefined) throw new Error(`${meta.name}: called without an invocation`)
      return (await load()).main(data)
    },
  })
export interface Meta {
  readonly name: string
}

/** Runs a command; what its main returns is the exit code. */
export async function run(command: CommandDef, invocation: Invocation): Promise<number> {
  const { result } = await runCommand(command, { rawArgs: [], data: invocation })
  return typeof result === "number" ? result : 0
}
