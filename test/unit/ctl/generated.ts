/**
 * Reads generated files as those who use them do, and our own command lines in them with our own
 * parser: a flag or an environment variable that we do not know must not be in a file of ours.
 */
import { parse } from "#cli/parse.ts"
import { keeperCommand } from "#cli/keeper.ts"
import { proxyCommand } from "#cli/proxy.ts"
import { sentinelCommand } from "#cli/sentinel.ts"
import type { Command } from "#cli/flag.ts"

const commands: Readonly<Record<string, Command>> = {
  keeper: keeperCommand,
  sentinel: sentinelCommand,
  proxy: proxyCommand,
}

/** What one component is told. */
export interface Told {
  readonly values: Readonly<Record<string, unknown>>
  /** `--flag`, or the name of a variable, for everything that was set. */
  readonly sources: readonly string[]
}

/** Parses `words` (`keeper --x=y …`) as the executable does. Throws what it would print. */
export function told(
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Told & { readonly component: string } {
  const [component = "", ...argv] = words
  const command = commands[component]
  if (command === undefined) throw new Error(`no command of ours: ${component}`)
  const parsed = parse(command, argv, env, "stolon")
  if (parsed.kind !== "ok")
    throw new Error(parsed.kind === "usage-error" ? parsed.message : parsed.kind)
  return { component, values: parsed.values, sources: [...parsed.changed.values()] }
}

// oxlint-disable-next-line no-explicit-any -- parsed YAML, looked into by tests
export type Parsed = any

/** The documents of a stream. */
export function documentsOf(text: string): readonly Parsed[] {
  const parsed: unknown = Bun.YAML.parse(text)
  return Array.isArray(parsed) ? parsed : [parsed]
}
