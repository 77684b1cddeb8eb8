/**
 * How to run this very program again: the guardian, the launcher and the workers are the same
 * executable under hidden subcommands. Compiled it is one file; in development it is Bun with
 * `cmd/stolon.ts`.
 */
import { existsSync } from "node:fs"

/**
 * The words to put before a subcommand. `STOLON_SELF`, a JSON array, overrides them (tests run
 * other entry points).
 */
export function selfCommand(): readonly string[] {
  const override = process.env["STOLON_SELF"]
  if (override !== undefined && override !== "") return parseOverride(override)
  if (!isCompiled()) {
    const entry = new URL("../../cmd/stolon.ts", import.meta.url).pathname
    return [process.execPath, entry]
  }
  // After an upgrade the path names the new version, or nothing; the kernel still has the file that
  // we are.
  return [existsSync(process.execPath) ? process.execPath : "/proc/self/exe"]
}

/** Whether this is the single executable of `bun build --compile`. */
export const isCompiled = (): boolean => Bun.main.startsWith("/$bunfs/")

function parseOverride(text: string): readonly string[] {
  const words: unknown = JSON.parse(text)
  if (Array.isArray(words) && words.length > 0 && words.every((word) => typeof word === "string"))
    return words
  throw new Error("STOLON_SELF is not a JSON array of strings")
}

/**
 * The environment for children: ours without what only we should know. Passwords must not lie open
 * in the environment of PostgreSQL and of every archive command; `BUN_` settings would change what
 * our executable is.
 */
export function childEnvironment(
  extra: Readonly<Record<string, string>> = {},
  from: Readonly<Record<string, string | undefined>> = process.env,
): Record<string, string> {
  const kept: Record<string, string> = {}
  for (const [name, value] of Object.entries(from)) {
    if (value !== undefined && !secret.test(name) && !name.startsWith("BUN_")) kept[name] = value
  }
  return { ...kept, ...extra }
}

const secret = /^(?:ST(?:KEEPER|SENTINEL|PROXY|OLONCTL|OLON)_.*PASSWORD|STOLON_.*TOKEN)$/
