/**
 * `update --patch` as Go's stolonctl does it (reference 2.5), for the go dialect only: Kubernetes'
 * strategic merge, which for our specification is a JSON merge patch with odd corners. Where the
 * key is not stored yet the patch's value is taken as it is, nulls inside included; keys match with
 * their case, and of spellings that differ by case the later in byte order wins; there are
 * directives that begin with `$`.
 *
 * `patch.ts` is the same for people, without the corners. Go's texts here.
 */
import { byText } from "#base/order.ts"
import {
  ExactNumber,
  type Json,
  type JsonObject,
  isArray,
  isObject,
  parseJson,
  printJson,
} from "#model/json.ts"
import { scanFirst } from "#model/json-scan.ts"
import { PatchError, plainNumber } from "./patch.ts"

/**
 * The patch as Go reads it: an object, or null for none; what follows the value is not looked at.
 */
export function readPatch(text: string): JsonObject | null {
  const scanned = scanFirst(text)
  if ("where" in scanned) throw new PatchError("invalid JSON document")
  const patch = parseJson(scanned.raw)
  if (patch !== null && !isObject(patch)) throw new PatchError("invalid JSON document")
  return patch
}

/** The patched document as text, keys in byte order as Go writes a map. */
export const applyPatch = (base: JsonObject, patch: JsonObject): string =>
  printJson(sorted(merge(base, patch)))

const order = "$setElementOrder/"
const removal = "$deleteFromPrimitiveList/"

function merge(base: JsonObject, patch: JsonObject): JsonObject {
  const directive = patch["$patch"]
  if (directive !== undefined) return directed(directive, patch)
  const left = new Map(Object.entries(patch))
  const out = retained(new Map(Object.entries(base)), left)
  for (const [key, value] of [...left]) if (key.startsWith(order)) reorder(out, left, key, value)
  for (const [key, value] of left) {
    // the list is not shortened but set to what was to be removed from it
    if (key.startsWith(removal)) out.set(key.slice(removal.length), value)
    else if (value === null) out.delete(key)
    else {
      const old = out.get(key)
      const both = old !== undefined && isObject(old) && isObject(value)
      out.set(key, both ? merge(old, value) : value)
    }
  }
  return Object.fromEntries(out)
}

function directed(directive: Json, patch: JsonObject): JsonObject {
  if (directive === "delete") return {}
  if (directive === "replace")
    return Object.fromEntries(Object.entries(patch).filter(([key]) => key !== "$patch"))
  throw new PatchError(`unknown patch type: ${goPrint(directive)} in map: ${goPrint(patch)}`)
}

/** `$retainKeys`: what it does not name goes; a patch must not set what it does not name. */
function retained(base: Map<string, Json>, patch: Map<string, Json>): Map<string, Json> {
  const keys = patch.get("$retainKeys")
  if (keys === undefined) return base
  patch.delete("$retainKeys")
  const broken = new PatchError("invalid patch format of retainKeys")
  if (!isArray(keys)) throw broken
  for (const [key, value] of patch) {
    const exempt = value === null || key.startsWith(order) || key.startsWith(removal)
    if (!exempt && !keys.includes(key)) throw broken
  }
  return new Map([...base].filter(([key]) => keys.includes(key)))
}

/** `$setElementOrder/<list>`: the elements that it names stand in its order, before the others. */
function reorder(
  out: Map<string, Json>,
  patch: Map<string, Json>,
  directive: string,
  wanted: Json,
): void {
  patch.delete(directive)
  const key = directive.slice(order.length)
  const list = patch.get(key) ?? out.get(key)
  if (list === undefined || !isArray(list) || !isArray(wanted)) return
  patch.delete(key)
  const named = wanted.filter((item) => list.includes(item))
  const others = list.filter((item) => !wanted.includes(item))
  out.set(key, [...named, ...others])
}

function sorted(value: Json): Json {
  if (value instanceof ExactNumber) return plainNumber(value)
  if (isArray(value)) return value.map(sorted)
  if (!isObject(value)) return value
  return new Map(
    Object.entries(value)
      .toSorted(([a], [b]) => byText(a, b))
      .map(([key, item]) => [key, sorted(item)]),
  )
}

/** Go's `%v` of a decoded value. */
function goPrint(value: Json): string {
  if (typeof value === "string") return value
  if (value === null) return "<nil>"
  if (isArray(value)) return `[${value.map(goPrint).join(" ")}]`
  if (!isObject(value)) return printJson(value)
  const entries = Object.entries(value).toSorted(([a], [b]) => byText(a, b))
  return `map[${entries.map(([key, item]) => `${key}:${goPrint(item)}`).join(" ")}]`
}
