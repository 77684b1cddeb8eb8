/**
 * The go dialect's reading of argv: the rules of pflag and cobra, as Go stolon had them (reference
 * 1.1). The last of repeated flags wins, `--flag value` takes whatever comes next, unknown flags
 * are refused with Go's words.
 *
 * Scripts of a decade rely on these rules; nothing here may become friendlier. The friendly reading
 * is `strict.ts`.
 */
import type { Flags, Row } from "./flag.ts"

/** A flag as it stood on the command line, in order. `name` may be an alias. */
export interface Given {
  readonly name: string
  readonly value: string
}
export type GoArgv =
  | {
      readonly kind: "argv"
      readonly given: readonly Given[]
      readonly positionals: readonly string[]
    }
  | { readonly kind: "error"; readonly message: string; readonly given: readonly Given[] }

type Named = ReadonlyMap<string, Row>
interface Taken {
  readonly given: readonly Given[]
  /** How many of the following arguments were used up. */
  readonly used: number
}
class FlagError extends Error {}

/**
 * Reads argv. `check` refuses a value as soon as its flag is read: with pflag the first wrong
 * argument decides.
 */
export function readGo(
  flags: Flags,
  argv: readonly string[],
  check: (given: Given) => string | null,
): GoArgv {
  const { long, short } = names(flags)
  const given: Given[] = []
  const positionals: string[] = []
  const accept = (taken: Taken): number => {
    for (const one of taken.given) {
      const wrong = check(one)
      if (wrong !== null) throw new FlagError(wrong)
      given.push(one)
    }
    return taken.used
  }
  try {
    for (let i = 0; i < argv.length; i++) {
      const word = argv[i] ?? ""
      if (!word.startsWith("-") || word === "-") positionals.push(word)
      else if (word === "--") {
        positionals.push(...argv.slice(i + 1))
        break
      } else if (word.startsWith("--")) i += accept(readLong(long, word, argv[i + 1]))
      else i += readShorts(long, short, word.slice(1), argv[i + 1], accept)
    }
  } catch (error) {
    if (!(error instanceof FlagError)) throw error
    return { kind: "error", message: error.message, given }
  }
  return { kind: "argv", given, positionals }
}

function readLong(long: Named, word: string, next: string | undefined): Taken {
  const body = word.slice(2)
  if (body.startsWith("-") || body.startsWith("=")) throw new FlagError(`bad flag syntax: ${word}`)
  const equals = body.indexOf("=")
  const name = equals < 0 ? body : body.slice(0, equals)
  const row = long.get(name)
  if (row === undefined) throw new FlagError(`unknown flag: --${name}`)
  if (equals >= 0) return { given: [{ name, value: body.slice(equals + 1) }], used: 0 }
  if (row.type === "bool") return { given: [{ name, value: "true" }], used: 0 }
  if (next === undefined) throw new FlagError(`flag needs an argument: ${word}`)
  return { given: [{ name, value: next }], used: 1 }
}

/** `-y`, `-fx`, `-f=x`, `-f x`, `-yf x`. */
function readShorts(
  long: Named,
  short: ReadonlyMap<string, string>,
  word: string,
  next: string | undefined,
  accept: (taken: Taken) => number,
): number {
  let letters = word
  while (letters !== "") {
    const letter = letters[0] ?? ""
    const name = short.get(letter)
    const row = name === undefined ? undefined : long.get(name)
    if (name === undefined || row === undefined)
      throw new FlagError(`unknown shorthand flag: '${letter}' in -${letters}`)
    const one = (value: string, used: number): number => accept({ given: [{ name, value }], used })
    if (letters.length > 2 && letters[1] === "=") return one(letters.slice(2), 0)
    if (row.type !== "bool") {
      if (letters.length > 1) return one(letters.slice(1), 0)
      if (next === undefined)
        throw new FlagError(`flag needs an argument: '${letter}' in -${letters}`)
      return one(next, 1)
    }
    one("true", 0)
    letters = letters.slice(1)
  }
  return 0
}

/** Names and aliases to rows, shorthands to names. */
export function names(flags: Flags): {
  readonly long: Named
  readonly short: ReadonlyMap<string, string>
} {
  const long = new Map<string, Row>()
  const short = new Map<string, string>()
  for (const [name, row] of Object.entries(flags)) {
    long.set(name, row)
    for (const alias of row.aliases ?? []) long.set(alias.name, row)
    if (row.shorthand !== undefined) short.set(row.shorthand, name)
  }
  return { long, short }
}
