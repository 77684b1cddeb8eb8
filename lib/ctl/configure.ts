/**
 * `ctl configure KEY=VALUE…`: single settings of the specification, typed by its table: which keys
 * there are, what their values look like. The result is a patch, which the rules of `update
 * --patch` judge; nothing gets around them.
 */
import type { Fields, Kind } from "#model/codec.ts"
import { DocumentError, decodeJson } from "#model/codec.ts"
import { type Json, JsonError, parseJson, printJson } from "#model/json.ts"
import { fields } from "#model/spec.ts"
import { nearest } from "#base/text.ts"

export type Configured =
  | { readonly kind: "patch"; readonly text: string }
  | { readonly kind: "refused"; readonly message: string }

/** The patch that `pairs` amount to, or what is wrong with the first that is. */
export function configure(pairs: readonly string[]): Configured {
  if (pairs.length === 0)
    return refused(`nothing to set: give KEY=VALUE; keys: ${Object.keys(fields).join(", ")}`)
  const settings: Setting[] = []
  for (const pair of pairs) {
    const at = pair.indexOf("=")
    if (at < 1) return refused(`${pair}: expected KEY=VALUE, or KEY= to go back to the default`)
    const found = locate(pair.slice(0, at))
    if (typeof found === "string") return refused(found)
    const value = typed(found, pair.slice(at + 1))
    if (value.kind === "wrong") return refused(`${found.path.join(".")}: ${value.why}`)
    settings.push({ path: found.path, json: value.json })
  }
  const twice = clash(settings)
  if (twice !== null) return refused(`${twice} is set twice`)
  return { kind: "patch", text: printJson(nest(settings)) }
}

const refused = (message: string): Configured => ({ kind: "refused", message })

interface Place {
  readonly path: readonly string[]
  /** Of the value; a member of `pgParameters` is text. */
  readonly kind: Kind<unknown>
  readonly entry: boolean
}

/** Walks down the table; case does not matter (G3). Text: what is wrong. */
function locate(key: string): Place | string {
  let table: Fields = fields
  const path: string[] = []
  let rest = key
  for (;;) {
    const dot = rest.indexOf(".")
    const word = dot < 0 ? rest : rest.slice(0, dot)
    const name = Object.keys(table).find((one) => one.toLowerCase() === word.toLowerCase())
    const kind = name === undefined ? undefined : table[name]?.kind
    if (name === undefined || kind === undefined) return unknown(path, word, Object.keys(table))
    path.push(name)
    if (dot < 0) return { path, kind, entry: false }
    rest = rest.slice(dot + 1)
    if (name === "pgParameters")
      // names of extensions' parameters hold dots themselves
      return rest === ""
        ? `${key}: expected a parameter's name after the dot`
        : { path: [...path, rest], kind, entry: true }
    const below = "fields" in kind ? kind.fields : undefined
    if (!isTable(below)) return `${path.join(".")} is one value; ${rest} is no part of it`
    table = below
  }
}

const isTable = (value: unknown): value is Fields => typeof value === "object" && value !== null

function unknown(path: readonly string[], word: string, names: readonly string[]): string {
  const near = nearest(word, names)
  const where = [...path, word].join(".")
  const advice =
    near === null ? `keys: ${names.join(", ")}` : `did you mean ${[...path, near].join(".")}?`
  return `${where}: no such setting; ${advice}`
}

type Typed =
  | { readonly kind: "value"; readonly json: Json }
  | { readonly kind: "wrong"; readonly why: string }

/** As text where the table takes text (durations too), else as JSON: numbers, true, lists. */
function typed({ kind, entry }: Place, text: string): Typed {
  if (text === "" || text === "default") return { kind: "value", json: null }
  if (entry) return { kind: "value", json: text }
  if (problem(kind, text) === null) return { kind: "value", json: text }
  let json: Json
  try {
    json = parseJson(text)
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    return { kind: "wrong", why: words(problem(kind, text) ?? "") }
  }
  const why = problem(kind, json)
  return why === null ? { kind: "value", json } : { kind: "wrong", why: words(why) }
}

/** Null: the table takes it. */
function problem(kind: Kind<unknown>, json: Json): string | null {
  try {
    decodeJson(kind, json)
    return null
  } catch (error) {
    if (error instanceof DocumentError) return error.message
    throw error
  }
}

const words = (why: string): string =>
  why.startsWith("time: ")
    ? 'expected a duration such as "10s" or "1m30s"'
    : why.startsWith("expected a list")
      ? `expected a JSON list such as ["a","b"]`
      : why

interface Setting {
  readonly path: readonly string[]
  readonly json: Json
}

/** Set twice, or once as a whole and once in part: which one counts would be a guess. */
function clash(all: readonly Setting[]): string | null {
  for (const [i, one] of all.entries())
    for (const other of all.slice(i + 1)) {
      const length = Math.min(one.path.length, other.path.length)
      const shared = one.path.slice(0, length).join("\0") === other.path.slice(0, length).join("\0")
      if (shared) return one.path.slice(0, length).join(".")
    }
  return null
}

/** Settings as one object; those with the same first word together. */
function nest(all: readonly Setting[]): Json {
  const heads = [...new Set(all.map(({ path }) => path[0] ?? ""))]
  return Object.fromEntries(
    heads.map((head) => {
      const below = all
        .filter(({ path }) => path[0] === head)
        .map(({ path, json }) => ({ path: path.slice(1), json }))
      const [first] = below
      return [head, first?.path.length === 0 ? first.json : nest(below)]
    }),
  )
}
