/**
 * `update --patch` for people: RFC 7386 merge, with the parts of Go's variant that somebody may use
 * (reference 2.5).
 *
 * It differs from Go where Go is odd: nulls inside a new object are dropped instead of stored as
 * "", and keys match without regard to case (`tidyKeys` before). Called by a Go name it is
 * `patch-go.ts` instead.
 */
import { ExactNumber, type Json, type JsonObject, isArray, isObject } from "#model/json.ts"

export class PatchError extends Error {
  override readonly name = "PatchError"
}

/** The document with the patch applied. null deletes, lists and scalars replace, objects merge. */
export function mergePatch(base: JsonObject, patch: JsonObject): JsonObject {
  const directive = patch["$patch"]
  const rest = Object.entries(patch).filter(([key]) => key !== "$patch")
  if (directive === "delete") return {}
  if (directive !== undefined && directive !== "replace")
    throw new PatchError(
      `unknown patch type: ${typeof directive === "string" ? directive : "not a text"}`,
    )
  const out = new Map<string, Json>(directive === "replace" ? [] : Object.entries(base))
  for (const [key, value] of rest) {
    const old = out.get(key)
    if (value === null) out.delete(key)
    else if (isObject(value))
      out.set(key, mergePatch(old !== undefined && isObject(old) ? old : {}, value))
    else out.set(key, plainNumber(value))
  }
  return Object.fromEntries(out)
}

/** A patch may write 1e3 for 1000: Go's numbers pass through a generic decoder there. */
export function plainNumber(value: Json): Json {
  if (value instanceof ExactNumber) {
    const n = Number(value.text)
    return Number.isSafeInteger(n) ? n : value
  }
  return isArray(value) ? value.map(plainNumber) : value
}
