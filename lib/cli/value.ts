/**
 * From the text of one flag to its value. Both dialects take the same texts for booleans, numbers
 * and durations (Go's), they differ in how they refuse: the go dialect with the texts of Go's
 * libraries, because scripts match on them (reference 1.1), ours with the rule that was broken.
 */
import { DurationError, parseDuration, toMillis } from "#base/duration.ts"
import type { Millis } from "#base/brand.ts"
import { goQuote, nearest } from "#base/text.ts"
import type { Dialect, Row } from "./flag.ts"

export type Value = string | boolean | number | Millis | readonly string[]
export type ValueResult =
  | { readonly kind: "value"; readonly value: Value }
  /** `reason`: Go's parse error, or the rule that the text breaks. */
  | { readonly kind: "invalid"; readonly reason: string }

const ok = (value: Value): ValueResult => ({ kind: "value", value })
const invalid = (reason: string): ValueResult => ({ kind: "invalid", reason })

/** What an unset flag has. */
export function defaultOf(row: Row, dialect: Dialect): Value {
  switch (row.type) {
    case "string":
      return (dialect === "stolon" ? row.better : undefined) ?? row.default ?? ""
    case "bool":
      return row.default ?? false
    case "duration":
      return toMillis(parseDuration(row.default))
    case "list":
      return splitList(row.default ?? "")
    default:
      return row.default
  }
}

/** Parses the text of a flag or of an environment variable. */
export function parseValue(row: Row, text: string, dialect: Dialect): ValueResult {
  const strict = dialect === "stolon"
  if (strict) {
    const broken = row.rule?.(text) ?? null
    if (broken !== null) return invalid(broken)
  }
  switch (row.type) {
    case "string":
      return ok(text)
    case "list":
      return ok(splitList(text))
    case "bool": {
      const value = booleans.get(text)
      if (value !== undefined) return ok(value)
      return invalid(strict ? "expected true or false" : syntax("ParseBool", text))
    }
    case "int":
      return parseInteger(row, text, strict)
    case "duration":
      return parseSpan(text, strict)
    case "choice":
      // the go dialect judges words later, after help and version; see parse.ts
      if (!strict || row.choices.includes(text)) return ok(text)
      return invalid(`expected one of ${row.choices.join(", ")}${hint(text, row.choices)}`)
  }
}

const splitList = (text: string): readonly string[] => (text === "" ? [] : text.split(","))

/** Go's strconv.ParseBool. */
const booleans: ReadonlyMap<string, boolean> = new Map([
  ...["1", "t", "T", "TRUE", "true", "True"].map((word) => [word, true] as const),
  ...["0", "f", "F", "FALSE", "false", "False"].map((word) => [word, false] as const),
])
/** Whether a text is a boolean; used to advise on `--flag false`. */
export const isBoolean = (text: string): boolean => booleans.has(text)

function parseSpan(text: string, strict: boolean): ValueResult {
  try {
    const value = toMillis(parseDuration(text))
    if (strict && value <= 0) return invalid("expected a duration above zero, such as 5s or 1m30s")
    return ok(value)
  } catch (error) {
    if (!(error instanceof DurationError)) throw error
    return invalid(strict ? "expected a duration such as 5s, 500ms or 1m30s" : error.message)
  }
}

function parseInteger(
  row: Row & { readonly type: "int" },
  text: string,
  strict: boolean,
): ValueResult {
  const n = goInteger(text)
  if (n === null) return invalid(strict ? "expected a whole number" : syntax("ParseInt", text))
  if (n < -(1n << 63n) || n >= 1n << 63n || !Number.isSafeInteger(Number(n)))
    return invalid(strict ? "the number is too large" : range("ParseInt", text))
  const value = Number(n)
  if (strict && row.min !== undefined && value < row.min)
    return invalid(`expected a whole number of at least ${row.min}`)
  return ok(value)
}

/**
 * Go integer literals: 0x10, 0b1, 0o7, 017, and underscores between digits (after a base prefix or
 * an octal 0 too).
 */
function goInteger(text: string): bigint | null {
  const match = /^([+-]?)(0[xX]|0[bB]|0[oO]|0(?=[0-9_])|)(_?[0-9a-fA-F](?:_?[0-9a-fA-F])*)$/.exec(
    text,
  )
  if (!match) return null
  const [, sign = "", prefix = "", body = ""] = match
  const digits = body.replaceAll("_", "")
  if (prefix === "" && body.startsWith("_")) return null
  const [base, allowed] = bases[prefix.toLowerCase()] ?? ["", /^[0-9]+$/]
  if (!allowed.test(digits)) return null
  const n = BigInt(`${base}${digits}`)
  return sign === "-" ? -n : n
}
const bases: Readonly<Record<string, readonly [string, RegExp]>> = {
  "": ["", /^[0-9]+$/],
  "0x": ["0x", /^[0-9a-fA-F]+$/],
  "0b": ["0b", /^[01]+$/],
  "0o": ["0o", /^[0-7]+$/],
  "0": ["0o", /^[0-7]+$/],
}

const syntax = (parser: string, text: string): string =>
  `strconv.${parser}: parsing ${goQuote(text)}: invalid syntax`
const range = (parser: string, text: string): string =>
  `strconv.${parser}: parsing ${goQuote(text)}: value out of range`

const hint = (word: string, words: readonly string[]): string => {
  const near = nearest(word.toLowerCase(), words)
  return near === null ? "" : `; did you mean ${near}?`
}
