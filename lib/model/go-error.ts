/**
 * What Go's decoder says of a text that it cannot decode, for the go dialect: scripts match on
 * these words (reference 2.2, recorded in `test/golden/cli/validation.tsv`). A text that is no JSON
 * is refused as a whole; else the first wrong type is told, unless a duration or a time is wrong,
 * which ends Go's decoding at once.
 *
 * Words only: values are decoded by `codec.ts`, whatever this finds.
 */
import { DurationError, parseDuration } from "#base/duration.ts"
import { goQuote } from "#base/text.ts"
import type { GoType } from "./go-type.ts"
import { type Scanned, type Trouble, scanJson, tooDeep } from "./json-scan.ts"

/** What Go's runtime prints first when a program follows a nil pointer. */
export const goPanic = "panic: runtime error: invalid memory address or nil pointer dereference"
/** The exit code of a Go program that panicked. */
export const goPanicExit = 2

/** The text of Go's error for decoding `text` into `type`; null: Go can decode it. */
export function goDecodeError(text: string, type: GoType): string | null {
  const scanned = scanJson(text)
  if ("where" in scanned) return goSyntaxError(scanned)
  const decoding: Decoding = { first: null }
  try {
    walk(decoding, scanned, type, { struct: "", path: [] })
  } catch (error) {
    if (error instanceof Custom) return error.message
    throw error
  }
  return decoding.first
}

/** Go's words for a text that is no JSON. */
export function goSyntaxError({ found, where }: Trouble): string {
  if (where === tooDeep) return where
  return found === null
    ? "unexpected end of JSON input"
    : `invalid character ${quoteByte(found)} ${where}`
}

/** Go's scanner sees bytes: of a longer character it names the first, as if it were Latin-1. */
function quoteByte(found: string): string {
  const first = new TextEncoder().encode(found)[0] ?? 0
  const character = String.fromCharCode(first)
  if (character === "'") return String.raw`'\''`
  if (character === '"') return `'"'`
  return `'${goQuote(character).slice(1, -1)}'`
}

interface Decoding {
  /** The first type that did not fit; Go goes on after it. */
  first: string | null
}
/** The innermost struct and all fields on the way, which is what Go's message names. */
interface Place {
  readonly struct: string
  readonly path: readonly string[]
}
/** An error of a type's own decoder. */
class Custom extends Error {}

function walk(decoding: Decoding, value: Scanned, type: GoType, place: Place): void {
  if (type.kind === "duration") return duration(value)
  if (value.kind === "null") return
  if (type.kind === "time") return time(value)
  const mismatch = (what: string): void => {
    decoding.first ??= `json: cannot unmarshal ${what} into Go ${inPlace(place)} of type ${type.name}`
  }
  switch (type.kind) {
    case "text":
      return value.kind === "string" ? undefined : mismatch(value.kind)
    case "bool":
      return value.kind === "bool" ? undefined : mismatch(value.kind)
    case "integer":
      if (value.kind !== "number") return mismatch(value.kind)
      return fits(value.raw, type.min, type.max) ? undefined : mismatch(`number ${value.raw}`)
    case "slice":
      if (value.kind !== "array") return mismatch(value.kind)
      for (const item of value.items) walk(decoding, item, type.item, place)
      return undefined
    case "map":
      if (value.kind !== "object") return mismatch(value.kind)
      for (const member of value.members) walk(decoding, member.value, type.item, place)
      return undefined
    default:
      if (value.kind !== "object") return mismatch(value.kind)
      for (const { key, value: inner } of value.members) {
        const found = fieldOf(type.fields, key)
        if (found === null || (found.field.pointer && inner.kind === "null")) continue
        const struct = type.name.slice(type.name.lastIndexOf(".") + 1)
        walk(decoding, inner, found.field.type, { struct, path: [...place.path, found.name] })
      }
      return undefined
  }
}

type Fields = (GoType & { readonly kind: "struct" })["fields"]

/** The exact name first, then whatever the case. */
function fieldOf(
  fields: Fields,
  key: string,
): {
  readonly name: string
  readonly field: { readonly type: GoType; readonly pointer: boolean }
} | null {
  const exact = fields.get(key)
  if (exact !== undefined) return { name: key, field: exact }
  for (const [name, field] of fields)
    if (name.toLowerCase() === key.toLowerCase()) return { name, field }
  return null
}

const inPlace = ({ struct, path }: Place): string =>
  path.length === 0 ? "value" : `struct field ${struct}.${path.join(".")}`

/** Go takes plain digits only: no fraction, no exponent. */
const fits = (raw: string, min: bigint, max: bigint): boolean => {
  if (!/^-?\d+$/.test(raw)) return false
  const n = BigInt(raw)
  return n >= min && n <= max && !(min === 0n && raw.startsWith("-"))
}

/** Go's Duration takes the raw text without its quotes; escapes are not decoded (2.4). */
function duration({ raw }: Scanned): void {
  try {
    parseDuration(raw.replace(/^"+|"+$/g, ""))
  } catch (error) {
    if (error instanceof DurationError) throw new Custom(error.message)
    throw error
  }
}

const layout = "2006-01-02T15:04:05Z07:00"

function time({ kind, raw }: Scanned): void {
  if (kind !== "string") throw new Custom("Time.UnmarshalJSON: input is not a JSON string")
  const text = raw.slice(1, -1)
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([.,]\d+)?(Z|[+-]\d\d:\d\d)$/.test(text))
    throw new Custom(
      `parsing time ${goQuote(text)} as ${goQuote(layout)}: cannot parse ${goQuote(text)} as "2006"`,
    )
}
