/**
 * Keys of documents that people type. Decoding is lenient (a newer version's keys must survive), so
 * a misspelt key would vanish in silence; here it is found, with the nearest real one.
 */
import type { Fields } from "#model/codec.ts"
import { type Json, type JsonObject, isObject } from "#model/json.ts"
import { nearest } from "#base/text.ts"

/** A key that no field has. `path` is its JSON path. */
export interface UnknownKey {
  readonly path: string
  readonly suggestion: string | null
}

/** A struct's table of fields. */
interface Tabled {
  readonly fields: Fields
}
interface Tidied {
  readonly json: Json
  readonly unknown: readonly UnknownKey[]
}

/**
 * Brings keys to the spelling of the table (G3: case does not matter) and separates those it does
 * not know. Of keys that become the same the later wins, as when Go decodes.
 */
export function tidyKeys(kind: Tabled, json: Json, keeping: Json = null): Tidied {
  return isObject(json) ? tidy(kind, json, keeping, "") : { json, unknown: [] }
}

function tidy(
  kind: Tabled,
  object: JsonObject,
  keeping: Json,
  path: string,
): Tidied & { readonly json: JsonObject } {
  const names = Object.keys(kind.fields)
  const out = new Map<string, Json>()
  const unknown: UnknownKey[] = []
  for (const [key, value] of Object.entries(object)) {
    const name = names.find((candidate) => candidate.toLowerCase() === key.toLowerCase())
    const inner = name === undefined ? undefined : kind.fields[name]?.kind
    if (name === undefined && member(keeping, key) !== null) out.set(key, value)
    else if (name === undefined) {
      unknown.push({ path: `${path}${key}`, suggestion: nearest(key, names) })
    } else {
      out.delete(name)
      if (isTabled(inner) && isObject(value)) {
        const below = tidy(inner, value, member(keeping, name), `${path}${name}.`)
        out.set(name, below.json)
        unknown.push(...below.unknown)
      } else out.set(name, value)
    }
  }
  return { json: Object.fromEntries(out), unknown }
}

const member = (object: Json, key: string): Json =>
  isObject(object) && Object.hasOwn(object, key) ? (object[key] ?? null) : null

const isTabled = (kind: object | undefined): kind is Tabled =>
  kind !== undefined && "fields" in kind

/** For a person: which key, and what was probably meant. */
export function describeUnknown(keys: readonly UnknownKey[]): string {
  return keys
    .map(({ path, suggestion }) => {
      const advice = suggestion === null ? "" : `; did you mean ${suggestion}?`
      return `${path}: no such key${advice}`
    })
    .join("\n")
}
