/**
 * Documents as valibot schemas that also know how Go encodes them.
 *
 * `struct({...})` takes the fields in Go's struct order; from that one table come the TypeScript
 * type, decoding (keys matched without case, G3; null means zero, as in Go) and encoding (which
 * zero values are left out, reference 3.4). Keys that no field names are kept on the value and
 * written back after the known ones, sorted: a newer version's fields survive our rewrite (G2).
 *
 * A decoded value is a plain readonly object: change it with spread, encode it, and exactly the
 * changed bytes change.
 */
import * as v from "valibot"
import type { LSN } from "#base/lsn.ts"
import { type Duration, DurationError, formatDuration, parseDuration } from "#base/duration.ts"
import type { Time } from "#base/brand.ts"
import { byText, sortedEntries } from "#base/order.ts"
import {
  type GoField,
  type GoType,
  goBool,
  goDuration,
  goInt,
  goMap,
  goSlice,
  goText,
  goTime,
  goUint,
} from "./go-type.ts"
import {
  ExactNumber,
  type Json,
  type JsonObject,
  isArray,
  isObject,
  parseJson,
  printJson,
} from "./json.ts"
import { pathOf, shown } from "./issue.ts"
import { sameLists, sameMaps } from "./same.ts"

/** A schema for one JSON value, and the way back. `zero` decides what "omit" leaves out. */
export interface Kind<T> {
  readonly schema: v.GenericSchema<unknown, T>
  readonly encode: (value: T) => Json
  /** Whether two values are written alike; absent: whoever asks has to write them. */
  readonly same?: (a: T, b: T) => boolean
  /** Go's zero value; what an absent or null key decodes to. Undefined: the key must be there. */
  readonly zero: { readonly value: T } | null
  readonly isZero: (value: T) => boolean
  /** For messages in Go's words. */
  readonly go: GoType
}

/** The same values under a name that Go's messages show. */
export const named = <K extends { readonly go: GoType }>(name: string, kind: K): K => ({
  ...kind,
  go: { ...kind.go, name },
})

/** A field of a struct: its kind, and whether Go leaves its zero value out. */
export interface Field<T, Absent extends boolean = false> {
  readonly kind: Kind<T>
  readonly emit: "omit" | "always"
  /** True: absent stays absent (a nil pointer in Go). */
  readonly optional: Absent
  readonly doc: string
}

type AnyField = Field<any, boolean> // eslint-disable-line typescript/no-explicit-any -- variance: a table of fields of every type
export type Fields = Readonly<Record<string, AnyField>>
type Required<F extends Fields> = {
  readonly [K in keyof F as F[K] extends Field<infer _, true> ? never : K]: F[K] extends Field<
    infer T,
    boolean
  >
    ? T
    : never
}
type Optional<F extends Fields> = {
  readonly [K in keyof F as F[K] extends Field<infer _, true> ? K : never]?: F[K] extends Field<
    infer T,
    boolean
  >
    ? T
    : never
}
type Flat<T> = { readonly [K in keyof T]: T[K] }
export type StructOf<F extends Fields> = Flat<Required<F> & Optional<F>>

export interface Struct<F extends Fields> extends Kind<StructOf<F>> {
  readonly fields: F
}
export type Value<K> = K extends Kind<infer T> ? T : never

const field =
  <E extends "omit" | "always">(emit: E) =>
  <T>(kind: Kind<T>, doc = ""): Field<T> => ({ kind, emit, optional: false, doc })
/** Left out while it has Go's zero value. */
export const omit = field("omit")
/** Written always. */
export const always = field("always")
/** A nil pointer in Go: absent while it was not set. */
export const maybe = <T>(kind: Kind<T>, doc = ""): Field<T, true> => ({
  kind,
  emit: "omit",
  optional: true,
  doc,
})

const simple = <T>(
  schema: v.GenericSchema<unknown, T>,
  zero: T,
  encode: (value: T) => Json,
  go: GoType,
): Kind<T> => ({
  schema,
  encode,
  go,
  zero: { value: zero },
  isZero: (value) => value === zero,
})

export const text: Kind<string> = simple(v.string("expected a string"), "", (s) => s, goText)
/** Text of a closed set; "" is Go's zero and stands for "not set". */
export const word = <const W extends string>(...words: readonly W[]): Kind<W | ""> =>
  simple(v.picklist(["", ...words], `expected one of ${words.join(", ")}`), "", (s) => s, goText)
// brands are minted here
export const id = <B extends string>(): Kind<B> => text as unknown as Kind<B>
export const flag: Kind<boolean> = simple(
  v.boolean("expected true or false"),
  false,
  (b) => b,
  goBool,
)
export const uint = (bits: 16 | 32 | 64): Kind<number> =>
  integer(0, bits === 64 ? Number.MAX_SAFE_INTEGER : 2 ** bits - 1, goUint(bits))
export const int: Kind<number> = integer(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, goInt)
// brands are minted here
export const count = <B extends number>(): Kind<B> => int as unknown as Kind<B>

function integer(min: number, max: number, go: GoType): Kind<number> {
  const schema = v.pipe(
    v.number(`expected an integer`),
    v.integer(`expected an integer`),
    v.minValue(min, `must be at least ${min}`),
    v.maxValue(max, `must be at most ${max}`),
  )
  return simple(schema as v.GenericSchema<unknown, number>, 0, (n) => n, go)
}

/** Unsigned 64 bits, exact. */
export const position: Kind<LSN> = simple(
  v.pipe(
    v.union([v.pipe(v.number(), v.safeInteger()), v.bigint()], "expected an integer"),
    v.transform((n) => BigInt(n)),
    v.check((n) => n >= 0n && n < 1n << 64n, "must fit 64 bits, unsigned"),
    v.transform((n) => n as LSN),
  ) as v.GenericSchema<unknown, LSN>,
  0n as LSN,
  (n) => n,
  goUint(64),
)

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/
export const zeroTime = "0001-01-01T00:00:00Z" as Time
export const time: Kind<Time> = {
  ...simple(
    v.pipe(
      v.string("expected a time"),
      v.regex(rfc3339, "expected a time in RFC 3339"),
    ) as unknown as v.GenericSchema<unknown, Time>,
    zeroTime,
    (t) => t,
    goTime,
  ),
}

/** Go's duration text. An unquoted 0 or -0 is accepted, as Go does (2.4). */
export const span: Kind<Duration> = simple(
  v.pipe(
    v.union([v.string(), v.literal(0), minusZero()], 'expected a duration such as "10s"'),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      const { value } = dataset
      try {
        return parseDuration(typeof value === "string" ? value : "0")
      } catch (error) {
        if (!(error instanceof DurationError)) throw error
        addIssue({ message: error.message })
        return NEVER
      }
    }),
  ) as v.GenericSchema<unknown, Duration>,
  0n as Duration,
  formatDuration,
  goDuration,
)

function minusZero(): v.GenericSchema<ExactNumber> {
  return v.custom<ExactNumber>((x) => x instanceof ExactNumber && x.text === "-0")
}

/** A Go slice; empty when absent. A null inside decodes as the element's zero, as in Go. */
export function list<T>(item: Kind<T>): Kind<readonly T[]> {
  const schema = v.pipe(v.array(nullAsZero(item), "expected a list"), v.readonly())
  return {
    schema: schema,
    encode: (items) => items.map(item.encode),
    same: (a, b) => sameLists(a, b, (left, right) => same(item, left, right)),
    zero: { value: [] },
    isZero: (items) => items.length === 0,
    go: goSlice(item.go),
  }
}
/** A Go slice that tells nil (null) from empty ([]). */
export const nullableList = <T>(item: Kind<T>): Kind<readonly T[] | null> => nullable(list(item))

/** A Go pointer that is written as null while unset. */
export function nullable<T>(kind: Kind<T>): Kind<T | null> {
  return {
    schema: v.nullable(kind.schema) as v.GenericSchema<unknown, T | null>,
    encode: (value) => (value === null ? null : kind.encode(value)),
    same: (a, b) => a !== null && b !== null && same(kind, a, b),
    zero: { value: null },
    isZero: (value) => value === null,
    go: kind.go,
  }
}

/** A Go map. A `Map` here: digits-only and `__proto__` keys misbehave in plain objects. */
export function dictionary<K extends string, T>(item: Kind<T>): Kind<ReadonlyMap<K, T>> {
  const schema = v.pipe(
    objectSchema,
    v.transform((o): unknown => Object.entries(o).toSorted(([a], [b]) => byText(a, b))),
    v.array(v.tuple([v.string(), nullAsZero(item)])),
    v.transform((entries) => new Map<string, T>(entries)),
  )
  return {
    schema: schema as unknown as v.GenericSchema<unknown, ReadonlyMap<K, T>>,
    encode: (map) =>
      new Map<string, Json>(sortedEntries(map).map(([key, value]) => [key, item.encode(value)])),
    same: (a, b) => sameMaps(a, b, (left, right) => same(item, left, right)),
    zero: { value: new Map() },
    isZero: (map) => map.size === 0,
    go: goMap(item.go),
  }
}

const objectSchema = v.custom<JsonObject>((x) => isObject(x as Json), "expected an object")
/**
 * valibot parses its defaults like input, which a decoded zero is not; so zeros are put in
 * afterwards.
 */
const nullAsZero = <T>(kind: Kind<T>): v.GenericSchema<unknown, T> => {
  const { zero } = kind
  if (zero === null) return kind.schema
  const schema = v.pipe(
    v.nullable(kind.schema),
    v.transform((value) => value ?? zero.value),
  )
  return schema
}

/** Keys that the schema does not name, as they were read. */
const unknownKeys = Symbol("unknown keys")
/** Where they travel while valibot, which drops symbols, looks at the others. */
const parked = "\0unknown"
interface Unknowns {
  readonly [unknownKeys]?: JsonObject
}

/** `goName`: what Go calls it, with its package. */
export function struct<const F extends Fields>(fields: F, goName = ""): Struct<F> {
  const names = Object.keys(fields)
  const columns: Columns = Object.entries(fields)
  const canonical = new Map(names.map((name) => [name.toLowerCase(), name]))
  const entries = Object.fromEntries(
    Object.entries(fields).map(([name, f]) => [
      name,
      f.optional || f.kind.zero !== null ? v.optional(f.kind.schema) : f.kind.schema,
    ]),
  )
  const zeros = Object.fromEntries(
    Object.entries(fields).flatMap(([name, { kind, optional }]) =>
      optional || kind.zero === null ? [] : [[name, kind.zero.value]],
    ),
  )
  const schema = v.pipe(
    objectSchema,
    v.transform((o) => canonicalKeys(o, canonical, fields)),
    v.object({ ...entries, [parked]: v.optional(v.custom<JsonObject>(() => true)) }),
    v.transform(({ [parked]: unknown, ...known }) => ({
      ...zeros,
      ...known,
      ...(unknown === undefined ? {} : { [unknownKeys]: unknown }),
    })),
  )
  const empty = v.safeParse(schema, {})
  return {
    fields,
    schema: schema as unknown as v.GenericSchema<unknown, StructOf<F>>,
    encode: (value) => encodeStruct(columns, value),
    same: (a, b) => sameStruct(columns, a, b),
    zero: empty.success ? { value: empty.output as StructOf<F> } : null,
    isZero: () => false, // Go never omits a struct
    go: { kind: "struct", name: goName, fields: goFields(fields) },
  }
}

const goFields = (fields: Fields): ReadonlyMap<string, GoField> =>
  new Map(
    Object.entries(fields).map(([name, { kind, optional }]) => [
      name,
      { type: kind.go, pointer: optional || kind.zero?.value === null },
    ]),
  )

function canonicalKeys(
  object: JsonObject,
  canonical: ReadonlyMap<string, string>,
  fields: Fields,
): Record<string, unknown> {
  const known: Record<string, unknown> = {}
  const unknown: Record<string, Json> = {}
  for (const [key, value] of Object.entries(object)) {
    const name = canonical.get(key.toLowerCase())
    if (name === undefined) unknown[key] = value
    // null leaves a Go value as it was: absent here, unless the field can hold it
    else if (value !== null || fields[name]?.kind.zero?.value === null) known[name] = value
  }
  if (Object.keys(unknown).length > 0) known[parked] = unknown
  return known
}

type Columns = readonly (readonly [string, AnyField])[]
type Source = Readonly<Record<string, unknown>> & Unknowns // StructOf<F> seen by name

/** Whether Go writes this field of a value at all. */
const isWritten = (f: AnyField, item: unknown): boolean =>
  item !== undefined && (f.optional || f.emit === "always" || !f.kind.isZero(item))

function encodeStruct(columns: Columns, source: Source): Json {
  const out: Record<string, Json> = {}
  for (const [name, f] of columns) {
    const item: unknown = source[name]
    if (isWritten(f, item)) out[name] = f.kind.encode(item)
  }
  const unknown = source[unknownKeys] ?? {}
  for (const key of Object.keys(unknown).toSorted(byText)) out[key] = unknown[key] ?? null
  return out
}

/** A document that cannot be used. `path` and `rule` tell a person where and why. */
export class DocumentError extends Error {
  override readonly name = "DocumentError"
  constructor(path: string, rule: string) {
    super(path === "" ? rule : `${path}: ${rule}`)
    this.path = path
    this.rule = rule
  }
  readonly path: string
  readonly rule: string
}

/** Decodes JSON text. Throws `JsonError` or `DocumentError`. */
export const decode = <T>(kind: Kind<T>, source: string): T => decodeJson(kind, parseJson(source))

export function decodeJson<T>(kind: Kind<T>, json: Json): T {
  const result = v.safeParse(kind.schema, json)
  if (result.success) return result.output
  const [issue] = result.issues
  const path = pathOf(issue.path ?? [])
  const found = issue.received === undefined || isArray(json) ? "" : `, not ${shown(issue.input)}`
  throw new DocumentError(path.join("."), `${issue.message}${found}`)
}

/** Encodes as Go would. */
export const encode = <T>(kind: Kind<T>, value: T): string => printJson(kind.encode(value))

/**
 * Two values are the same when Go would write the same bytes. Structs and maps are compared part by
 * part: asked many times in every round, and mostly about values that share their parts.
 */
export const same = <T>(kind: Kind<T>, a: T, b: T): boolean =>
  a === b || (kind.same === undefined ? encode(kind, a) === encode(kind, b) : kind.same(a, b))

function sameStruct(columns: Columns, a: Source, b: Source): boolean {
  for (const [name, f] of columns) {
    const left = a[name]
    const right = b[name]
    if (left === right) continue
    const written = isWritten(f, left)
    if (written !== isWritten(f, right)) return false
    if (written && !same(f.kind, left, right)) return false
  }
  if (a[unknownKeys] === b[unknownKeys]) return true
  return printJson(encodeStruct([], a)) === printJson(encodeStruct([], b))
}
