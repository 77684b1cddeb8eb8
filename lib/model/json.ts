/**
 * JSON as Go writes it, with exact numbers.
 *
 * `JSON.parse` rounds above 2^53; positions in the log do not fit. Integers beyond the safe range
 * become bigint, other numbers that a double cannot hold keep their text. Printing follows Go's
 * encoding/json: compact, `<`, `>`, `&`, U+2028 and U+2029 escaped (reference 3.4). Nothing here
 * knows a schema; that is `codec.ts`.
 */
export type Json =
  | null
  | boolean
  | number
  | bigint
  | string
  | ExactNumber
  | readonly Json[]
  | ReadonlyMap<string, Json> // written, never read: an object whose keys stay in order, digits too
  | JsonObject
export interface JsonObject {
  readonly [key: string]: Json
}

/** A number whose text a double would change, such as 1.10 or 1e400. */
export class ExactNumber {
  constructor(text: string) {
    this.text = text
  }
  readonly text: string
}

export class JsonError extends Error {
  override readonly name = "JsonError"
}

/** Parses one JSON text. Throws `JsonError`. */
export function parseJson(text: string): Json {
  refuseDeep(text)
  try {
    return JSON.parse(text, revive) as Json
  } catch (cause) {
    throw new JsonError(cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

/**
 * Whoever walks through a value does so by recursion: a document that anybody can write into the
 * store must not end the stack of all who read it.
 */
const depthMax = 1_000

function refuseDeep(text: string): void {
  let depth = 0
  let inText = false
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (inText) {
      if (c === backslash) i++
      else if (c === quote) inText = false
    } else if (c === quote) inText = true
    else if (c === openList || c === openObject) depth++
    else if (c === closeList || c === closeObject) depth--
    if (depth > depthMax) throw new JsonError(`nested deeper than ${depthMax} levels`)
  }
}
const [quote, backslash] = [0x22, 0x5c] as const
const [openList, closeList, openObject, closeObject] = [0x5b, 0x5d, 0x7b, 0x7d] as const

function revive(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== "number" || context?.source === undefined) return value
  const { source } = context
  if (String(value) === source) return value
  return /^-?\d+$/.test(source) && source !== "-0" ? BigInt(source) : new ExactNumber(source)
}

/** Prints compactly, objects in the order they have. */
export function printJson(value: Json): string {
  if (value === null) return "null"
  if (typeof value === "string") return printString(value)
  if (typeof value !== "object") return String(value)
  if (value instanceof ExactNumber) return value.text
  if (isArray(value)) return `[${value.map(printJson).join(",")}]`
  return `{${entriesOf(value)
    .map(([key, item]) => `${printString(key)}:${printJson(item)}`)
    .join(",")}}`
}

/**
 * Prints as Go's MarshalIndent does, with one tab per level; empty lists and objects stay on one
 * line.
 */
export function printJsonIndented(value: Json, indent = ""): string {
  const deeper = `${indent}\t`
  if (isArray(value)) {
    if (value.length === 0) return "[]"
    const items = value.map((item) => `${deeper}${printJsonIndented(item, deeper)}`)
    return `[\n${items.join(",\n")}\n${indent}]`
  }
  if (value instanceof Map || isObject(value)) {
    const entries = entriesOf(value)
    if (entries.length === 0) return "{}"
    const lines = entries.map(
      ([key, item]) => `${deeper}${printString(key)}: ${printJsonIndented(item, deeper)}`,
    )
    return `{\n${lines.join(",\n")}\n${indent}}`
  }
  return printJson(value)
}

const entriesOf = (value: JsonObject | ReadonlyMap<string, Json>): readonly [string, Json][] =>
  value instanceof Map ? [...(value as ReadonlyMap<string, Json>)] : Object.entries(value)

export const isArray = (value: Json): value is readonly Json[] => Array.isArray(value)
export const isObject = (value: Json): value is JsonObject =>
  typeof value === "object" &&
  value !== null &&
  !isArray(value) &&
  !(value instanceof ExactNumber) &&
  !(value instanceof Map)

const special =
  /["\\<>&\u0000-\u001f\u2028\u2029]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g
const short: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\b": "\\b",
  "\f": "\\f",
}

function printString(text: string): string {
  const escaped = text.replace(special, (c) => {
    const code = c.charCodeAt(0)
    if (code >= 0xd800 && code <= 0xdfff) return "\\ufffd"
    return short[c] ?? `\\u${code.toString(16).padStart(4, "0")}`
  })
  return `"${escaped}"`
}
