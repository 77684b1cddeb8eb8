/**
 * Which parameters of the generated files the installed PostgreSQL would not start with (D-48,
 * D-70). PostgreSQL itself is asked: `postgres -C` reads a configuration as a start would, names
 * everything that it refuses, and ends. A list of known names of our own would be wrong with the
 * next version.
 *
 * One unknown name spoils a whole file: the start fails, and a reload leaves everything as it was,
 * the synchronous names included. So names count at once; a wrong value only once PostgreSQL is
 * down, because a running one keeps the value that it has, which beats any default.
 *
 * What was found is remembered: once such a parameter is left out of the file, nothing else tells.
 */
import { join } from "node:path"
import type { BinaryVersion } from "#model/cluster.ts"
import type { Unfit } from "#model/local.ts"
import { readIfPresent } from "#system/files.ts"
import { confName, temporaryName } from "./files.ts"
import { errorsOf } from "./output.ts"
import { type PostgresSettings, program } from "./settings.ts"

export interface Look {
  readonly directory: string
  readonly binary: BinaryVersion
  readonly running: boolean
}

/** A function that looks at the files, and asks only about what it has not asked before. */
export function fitnessReader(
  settings: PostgresSettings,
): (look: Look, signal: AbortSignal) => Promise<readonly Unfit[]> {
  let version = ""
  let known: readonly Unfit[] = []
  let inForce: readonly Unfit[] = []
  const asked = new Map<string, string>()
  return async ({ directory, binary, running }, signal) => {
    const now = `${binary.Maj}.${binary.Min}`
    if (now !== version) {
      version = now
      known = []
      inForce = []
      asked.clear()
    }
    for (const name of [confName, temporaryName]) {
      const text = await readIfPresent(join(directory, name))
      const lines = text === null ? "" : settled(text)
      if (asked.get(name) === lines) continue
      const errors = text === null ? "" : await answer(settings, directory, name, signal)
      if (errors === null) continue
      asked.set(name, lines) // only now: whoever asks meanwhile must not go without the answer
      known = merged(known, refusals(errors, text ?? ""))
    }
    inForce = merged(
      inForce,
      known.filter(({ line }) => line === null || !running),
    )
    return inForce
  }
}

/** Without the lines that the keeper changes in the middle of a failover: nothing may delay it. */
const settled = (text: string): string =>
  text
    .split("\n")
    .filter((line) => !/^(stolon\.|primary_|recovery_|synchronous_standby_names)/.test(line))
    .join("\n")

/** Null when PostgreSQL could not be asked; it is asked again. */
async function answer(
  settings: PostgresSettings,
  directory: string,
  file: string,
  signal: AbortSignal,
): Promise<string | null> {
  try {
    return await errorsOf(question(settings, directory, file), signal)
  } catch {
    signal.throwIfAborted()
    return null
  }
}

/** The messages must be ours to read, whatever the file says about them. */
const question = (settings: PostgresSettings, directory: string, file: string): string[] => [
  program(settings, "postgres"),
  ...["-c", `config_file=${join(directory, file)}`, "-c", `data_directory=${directory}`],
  ...["-c", "lc_messages=C", "-c", "log_min_messages=log", "-c", "log_destination=stderr"],
  ...["-C", "port"],
]

/** What PostgreSQL said of the file with this text. */
export function refusals(errors: string, text: string): readonly Unfit[] {
  return errors.split("\n").flatMap((each): readonly Unfit[] => {
    const unknown = /unrecognized configuration parameter "([^"]+)"/.exec(each)?.[1]
    if (unknown !== undefined)
      return [{ name: unknown, line: null, why: "PostgreSQL does not know it" }]
    const [, why = "", name = ""] = /LOG: +(.*parameter "([^"]+)".*)/.exec(each) ?? []
    const line = text.split("\n").find((one) => one.startsWith(`${name} = `))
    return name === "" || line === undefined ? [] : [{ name, line, why }]
  })
}

const merged = (a: readonly Unfit[], b: readonly Unfit[]): readonly Unfit[] => [
  ...a,
  ...b.filter((one) => !a.some(({ name, line }) => name === one.name && line === one.line)),
]
