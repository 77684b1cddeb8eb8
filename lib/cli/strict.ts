/**
 * The stolon dialect's reading of argv. Every doubt is an error that says what to type instead: an
 * operator who mistypes a flag at night must not find out later that it was ignored.
 *
 * It reports the first wrong thing from the left and never guesses.
 */
import { nearest } from "#base/text.ts"
import { type Flags, type Row } from "./flag.ts"
import { type Given, names } from "./pflag.ts"
import { isBoolean } from "./value.ts"

export type StrictArgv =
  | {
      readonly kind: "argv"
      readonly given: readonly Given[]
      readonly positionals: readonly string[]
    }
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  | { readonly kind: "error"; readonly message: string }

class Wrong extends Error {}
interface Reading {
  readonly long: ReadonlyMap<string, Row>
  readonly short: ReadonlyMap<string, string>
  readonly given: Given[]
}

/** Reads argv; at most `max` arguments may stand beside the flags. */
export function readStrict(flags: Flags, argv: readonly string[], max: number): StrictArgv {
  const end = argv.indexOf("--")
  const before = end < 0 ? argv : argv.slice(0, end)
  if (before.some((word) => word === "--help" || word === "-h")) return { kind: "help" }
  if (before.includes("--version")) return { kind: "version" }
  const reading: Reading = { ...names(flags), given: [] }
  const positionals: string[] = []
  try {
    for (let i = 0; i < before.length; i++) {
      const word = before[i] ?? ""
      const next = before[i + 1]
      if (word.startsWith("--")) i += readLong(reading, word, next)
      else if (word.startsWith("-") && word !== "-") i += readShort(reading, word, next)
      else positionals.push(limited(word, positionals.length, max, reading, before[i - 1]))
    }
    const after = end < 0 ? [] : argv.slice(end + 1)
    for (const [i, word] of after.entries())
      positionals.push(limited(word, positionals.length, max, reading, after[i - 1]))
    once(reading.given, reading.long)
  } catch (error) {
    if (!(error instanceof Wrong)) throw error
    return { kind: "error", message: error.message }
  }
  return { kind: "argv", given: reading.given, positionals }
}

function readLong(reading: Reading, word: string, next: string | undefined): number {
  const equals = word.indexOf("=")
  const name = word.slice(2, equals < 0 ? undefined : equals)
  const row = reading.long.get(name)
  if (row === undefined) throw new Wrong(`unknown flag --${name}${suggestion(name, reading.long)}`)
  if (equals >= 0) reading.given.push({ name, value: word.slice(equals + 1) })
  else if (row.type === "bool") reading.given.push({ name, value: "true" })
  else return takeNext(reading, name, row, next)
  return 0
}

function takeNext(reading: Reading, name: string, row: Row, next: string | undefined): number {
  const wanted = `--${name} needs a value: --${name}=${row.placeholder ?? "VALUE"}`
  if (next === undefined) throw new Wrong(wanted)
  const following = /^--([^=]+)/.exec(next)?.[1]
  if (following !== undefined && reading.long.has(following))
    throw new Wrong(`${wanted} (what follows it, --${following}, is a flag)`)
  reading.given.push({ name, value: next })
  return 1
}

function readShort(reading: Reading, word: string, next: string | undefined): number {
  const asLong = /^-([^=]{2,})/.exec(word)?.[1]
  if (asLong !== undefined && reading.long.has(asLong))
    throw new Wrong(`unknown flag ${word.split("=")[0]}; did you mean --${asLong}?`)
  let letters = word.slice(1)
  while (letters !== "") {
    const letter = letters[0] ?? ""
    const name = reading.short.get(letter)
    const row = name === undefined ? undefined : reading.long.get(name)
    if (name === undefined || row === undefined) {
      const near = asLong === undefined ? "" : suggestion(asLong, reading.long)
      throw new Wrong(
        `unknown flag -${letter}${letters === word.slice(1) ? "" : ` in ${word}`}${near}`,
      )
    }
    const rest = letters.slice(1)
    if (rest.startsWith("=")) {
      reading.given.push({ name, value: rest.slice(1) })
      return 0
    }
    if (row.type !== "bool") {
      if (rest === "") return takeNext(reading, name, row, next)
      reading.given.push({ name, value: rest })
      return 0
    }
    reading.given.push({ name, value: "true" })
    letters = rest
  }
  return 0
}

function limited(
  word: string,
  already: number,
  max: number,
  reading: Reading,
  previous: string | undefined,
): string {
  if (already < max) return word
  const flag = previous?.startsWith("--") ? previous.slice(2) : undefined
  if (flag !== undefined && reading.long.get(flag)?.type === "bool" && isBoolean(word))
    throw new Wrong(`unexpected argument "${word}"; a switch takes its value as --${flag}=${word}`)
  const secret = flag !== undefined && reading.long.get(flag)?.secret === true
  const shown = secret ? `… after --${flag}` : withoutSecret(word, reading.long)
  throw new Wrong(
    max === 0
      ? `unexpected argument "${shown}"; this command takes flags only`
      : `unexpected argument "${shown}"; this command takes at most ${max}`,
  )
}

/** Behind `--` a flag is only a word, but its value is still nobody's business. */
function withoutSecret(word: string, long: ReadonlyMap<string, Row>): string {
  const name = /^--([^=]+)=/.exec(word)?.[1]
  return name !== undefined && long.get(name)?.secret === true ? `--${name}=…` : word
}

/** A repeated flag is a slip: which of the two was meant? */
function once(given: readonly Given[], long: ReadonlyMap<string, Row>): void {
  const first = new Map<Row, Given>()
  for (const one of given) {
    const row = long.get(one.name)
    if (row === undefined) continue
    const earlier = first.get(row)
    if (earlier === undefined) {
      first.set(row, one)
      continue
    }
    const both = row.secret === true ? "" : ` ("${earlier.value}", then "${one.value}")`
    const advice = row.type === "list" ? "give one list, separated by commas" : "give it once"
    const who = earlier.name === one.name ? "" : ` as --${earlier.name} and as --${one.name}`
    throw new Wrong(`--${one.name} is given twice${who}${both}; ${advice}`)
  }
}

/** `; did you mean --x?`, or nothing. Deprecated names are not advised. */
export function suggestion(name: string, long: ReadonlyMap<string, Row>): string {
  const known = [...long].filter(
    ([key, row]) =>
      row.deprecated === undefined && !(row.aliases ?? []).some((alias) => alias.name === key),
  )
  const plain = name
    .replace(/([a-z0-9])([A-Z])/g, "$1-$2")
    .replaceAll("_", "-")
    .toLowerCase()
  const near = nearest(plain, [...known.map(([key]) => key), "help", "version"])
  return near === null ? "" : `; did you mean --${near}?`
}
