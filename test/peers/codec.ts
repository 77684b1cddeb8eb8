/**
 * How Go's encoding/json reads and writes fixed structs, from the rules of reference 3.4 and G2, G3
 * and G13: keys matched without case, unknown ones dropped, wrong types refused, null leaving the
 * zero value, nil told from empty.
 *
 * It exists so that a test can pass a document through Go's hands. It must not share a line with
 * `lib/model/codec.ts`, which it is there to check; only the JSON text itself is read by the same
 * reader.
 */
import { DurationError, formatDuration, parseDuration } from "#base/duration.ts"
import { byText } from "#base/order.ts"
import { type Json, type JsonObject, isArray, isObject, parseJson, printJson } from "#model/json.ts"

/** One Go type. */
export interface Shape<T> {
  readonly zero: () => T
  readonly decode: (json: Json, path: string) => T
  readonly encode: (value: T) => Json
  /** What "omitempty" leaves out. */
  readonly isEmpty: (value: T) => boolean
}

/** Go's "cannot unmarshal": the whole document is lost. */
export class GoDecodeError extends Error {
  override readonly name = "GoDecodeError"
}
/** A nil dereference or an explicit panic: the Go program is gone, exit code 2. */
export class GoPanic extends Error {
  override readonly name = "GoPanic"
}

const refuse = (path: string, wanted: string): never => {
  throw new GoDecodeError(`json: cannot unmarshal into Go struct field ${path} of type ${wanted}`)
}

function leaf<T>(
  type: string,
  zero: T,
  read: (json: Json) => T | undefined,
  encode: (value: T) => Json,
): Shape<T> {
  return {
    zero: () => zero,
    decode: (json, path) => (json === null ? zero : (read(json) ?? refuse(path, type))),
    encode,
    isEmpty: (value) => value === zero,
  }
}

export const text = leaf<string>(
  "string",
  "",
  (json) => (typeof json === "string" ? json : undefined),
  (s) => s,
)
export const bool = leaf<boolean>(
  "bool",
  false,
  (json) => (typeof json === "boolean" ? json : undefined),
  (b) => b,
)
const integer = (type: string, low: number, high: number): Shape<number> =>
  leaf<number>(
    type,
    0,
    (json) =>
      typeof json === "number" && Number.isInteger(json) && json >= low && json <= high
        ? json
        : undefined,
    (n) => n,
  )
export const int = integer("int64", Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
export const uint16 = integer("uint16", 0, 2 ** 16 - 1)
export const uint32 = integer("uint32", 0, 2 ** 32 - 1)
export const uint = integer("uint64", 0, Number.MAX_SAFE_INTEGER)
export const uint64 = leaf<bigint>(
  "uint64",
  0n,
  (json) => {
    if (typeof json !== "bigint" && !(typeof json === "number" && Number.isInteger(json)))
      return undefined
    const value = BigInt(json)
    return value >= 0n && value < 1n << 64n ? value : undefined
  },
  (n) => n,
)

const rfc3339 = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/
/** Printed with as many digits as are not zero. Never left out. */
export const time: Shape<string> = {
  ...leaf<string>(
    "time.Time",
    "0001-01-01T00:00:00Z",
    (json) => {
      const match = typeof json === "string" ? rfc3339.exec(json) : null
      if (match === null) return undefined
      const fraction = (match[2] ?? "").slice(0, 9).replace(/0+$/, "")
      return `${match[1]}${fraction === "" ? "" : `.${fraction}`}${match[3]}`
    },
    (t) => t,
  ),
  isEmpty: () => false,
}

/** A Duration has its own decoder, and that one refuses null. */
export const duration: Shape<bigint> = {
  zero: () => 0n,
  decode(json, path) {
    if (json === 0) return 0n
    if (typeof json !== "string") return refuse(path, "cluster.Duration")
    try {
      return parseDuration(json)
    } catch (error) {
      if (error instanceof DurationError) return refuse(path, "cluster.Duration")
      throw error
    }
  },
  encode: (value) => formatDuration(value as ReturnType<typeof parseDuration>), // its brand
  isEmpty: (value) => value === 0n,
}

/** A nil pointer is null; a pointer to a zero value is not empty. */
export const pointer = <T>(to: Shape<T>): Shape<T | null> => ({
  zero: () => null,
  decode: (json, path) => (json === null ? null : to.decode(json, path)),
  encode: (value) => (value === null ? null : to.encode(value)),
  isEmpty: (value) => value === null,
})

export const list = <T>(of: Shape<T>): Shape<T[] | null> => ({
  zero: () => null,
  decode(json, path) {
    if (json === null) return null
    return isArray(json) ? json.map((item) => of.decode(item, path)) : refuse(path, "slice")
  },
  encode: (value) => (value === null ? null : value.map((item) => of.encode(item))),
  isEmpty: (value) => value === null || value.length === 0,
})

export const dictionary = <T>(of: Shape<T>): Shape<Map<string, T> | null> => ({
  zero: () => null,
  decode(json, path) {
    if (json === null) return null
    if (!isObject(json)) return refuse(path, "map")
    return new Map(Object.entries(json).map(([k, item]) => [k, of.decode(item, `${path}.${k}`)]))
  },
  encode(value) {
    if (value === null) return null
    const sorted = [...value].toSorted(([a], [b]) => byText(a, b))
    return new Map(sorted.map(([key, item]) => [key, of.encode(item)]))
  },
  isEmpty: (value) => value === null || value.size === 0,
})

interface Field<T> {
  readonly shape: Shape<T>
  readonly omit: boolean
}
export const omit = <T>(shape: Shape<T>): Field<T> => ({ shape, omit: true })
export const always = <T>(shape: Shape<T>): Field<T> => ({ shape, omit: false })

// The values behind a table of fields of every type are seen by name.
type Fields = Readonly<Record<string, Field<any>>> // eslint-disable-line typescript/no-explicit-any -- variance
type Of<F extends Fields> = { -readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never }
export type Value<S> = S extends Shape<infer T> ? T : never

export function struct<const F extends Fields>(fields: F): Shape<Of<F>> {
  const names = new Map(Object.keys(fields).map((name) => [name.toLowerCase(), name]))
  const zero = (): Record<string, unknown> =>
    Object.fromEntries(Object.entries(fields).map(([name, { shape }]) => [name, shape.zero()]))
  return {
    zero: () => zero() as Of<F>, // built from the same table
    decode(json, path) {
      const value = zero()
      if (json === null) return value as Of<F>
      if (!isObject(json)) return refuse(path, "struct")
      // two spellings of one key: the later one in the text wins; null leaves what is there
      for (const [key, item] of Object.entries(json)) {
        const name = names.get(key.toLowerCase())
        const field = name === undefined ? undefined : fields[name]
        if (name === undefined || field === undefined) continue
        value[name] = field.shape.decode(item, `${path}.${name}`)
      }
      return value as Of<F>
    },
    encode(value) {
      const out: Record<string, Json> = {}
      for (const [name, { shape, omit: may }] of Object.entries(fields)) {
        const item: unknown = value[name]
        if (!may || !shape.isEmpty(item)) out[name] = shape.encode(item)
      }
      return out satisfies JsonObject
    },
    isEmpty: () => false, // Go never omits a struct
  }
}

/** A fresh instance of a type. */
export const make = <T>(shape: Shape<T>, set: Partial<T> = {}): T => ({ ...shape.zero(), ...set })
export const unmarshal = <T>(shape: Shape<T>, source: string): T =>
  shape.decode(parseJson(source), "")
export const marshal = <T>(shape: Shape<T>, value: T): string => printJson(shape.encode(value))
