/**
 * From what an operator typed to a specification that may be stored: parsed, with the rules of a
 * change (reference 2.2 to 2.5). Both dialects share the rules; only the go dialect keeps Go's
 * texts and its silence about unknown keys.
 */
import { type Spec as SpecType, Spec, emptySpec, recommended } from "#model/spec.ts"
import { DocumentError, decodeJson } from "#model/codec.ts"
import { goDecodeError, goPanic, goPanicExit } from "#model/go-error.ts"
import {
  type Json,
  JsonError,
  type JsonObject,
  isObject,
  parseJson,
  printJson,
} from "#model/json.ts"
import { describeTrouble, scanJson } from "#model/json-scan.ts"
import { validate } from "#model/validation.ts"
import { withDefaults } from "#model/spec.ts"
import { describeUnknown, tidyKeys } from "./keys.ts"
import { PatchError, mergePatch } from "./patch.ts"
import { applyPatch, readPatch } from "./patch-go.ts"

export type SpecResult = { readonly kind: "spec"; readonly spec: SpecType } | Refused
/** `exit` is 2 where Go's program crashes, 1 elsewhere. */
export interface Refused {
  readonly kind: "refused"
  readonly message: string
  readonly exit?: number
}
/** `strict`: keys that mean nothing are an error. */
export type Manner = "strict" | "go"

const refused = (message: string): Refused => ({ kind: "refused", message })

/** A whole specification as typed. */
export function parseSpec(text: string, manner: Manner): SpecResult {
  if (manner === "go") return goSpec(text, "failed to unmarshal cluster spec: ", null)
  const prefix = "the specification: "
  const json = typedObject(text)
  if (typeof json === "string") return refused(`${prefix}${json}`)
  const tidied = tidyKeys(Spec, json)
  if (tidied.unknown.length > 0) return refused(`${prefix}${describeUnknown(tidied.unknown)}`)
  return decoded(tidied.json, prefix)
}

/** The object that was typed, or what is wrong with the text. */
function typedObject(text: string): JsonObject | string {
  const wrong = "expected a JSON object"
  try {
    const json = parseJson(text)
    return isObject(json) ? json : wrong
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    const scanned = scanJson(text)
    return "where" in scanned
      ? `not valid JSON: ${describeTrouble(text, scanned)}`
      : `not valid JSON: ${error.message}`
  }
}

function decoded(json: Json, prefix: string): SpecResult {
  try {
    return { kind: "spec", spec: decodeJson(Spec, json) }
  } catch (error) {
    if (error instanceof DocumentError) return refused(`${prefix}${documentText(error)}`)
    throw error
  }
}

/** Go's words for a wrong duration are for scripts; ours name key and rule. */
function documentText(error: DocumentError): string {
  if (!error.rule.startsWith("time: ")) return error.message
  const cut = error.rule.lastIndexOf(", not ")
  const found = cut < 0 ? "" : error.rule.slice(cut)
  return `${error.path}: expected a duration such as "10s" or "1m30s"${found}`
}

/**
 * As Go's stolonctl decodes: its errors, and unknown keys vanish; those that `keeping` has stay
 * (a newer version wrote them).
 */
function goSpec(text: string, prefix: string, keeping: Json): SpecResult {
  const wrong = goDecodeError(text, Spec.go)
  if (wrong !== null) return refused(`${prefix}${wrong}`)
  let json: Json
  try {
    json = parseJson(text)
  } catch (error) {
    if (error instanceof JsonError) return refused(`${prefix}${error.message}`)
    throw error
  }
  if (json === null) return { kind: "refused", message: goPanic, exit: goPanicExit }
  return decoded(tidyKeys(Spec, json, keeping).json, prefix)
}

/** The stored specification with a patch applied. */
export function patchSpec(stored: SpecType, text: string, manner: Manner): SpecResult {
  const encoded = parseJson(printJson(Spec.encode(stored)))
  const base = isObject(encoded) ? encoded : {}
  if (manner === "go") return goPatch(stored, base, text)
  const prefix = "the patch: "
  if (text.trim() === "null") return { kind: "spec", spec: stored }
  const patch = typedObject(text)
  if (typeof patch === "string") return refused(`${prefix}${patch}`)
  const tidied = tidyKeys(Spec, patch)
  if (tidied.unknown.length > 0) return refused(`${prefix}${describeUnknown(tidied.unknown)}`)
  // keys of a newer version that the stored document has stay
  try {
    const merged = mergePatch(base, isObject(tidied.json) ? tidied.json : {})
    return decoded(merged, "the patched specification: ")
  } catch (error) {
    if (error instanceof PatchError) return refused(`${prefix}${error.message}`)
    throw error
  }
}

function goPatch(stored: SpecType, base: JsonObject, text: string): SpecResult {
  const prefix = "failed to patch cluster spec: "
  try {
    const patch = readPatch(text)
    if (patch === null) return { kind: "spec", spec: stored }
    const merged = applyPatch(base, patch)
    return goSpec(merged, `${prefix}failed to unmarshal patched cluster spec: `, base)
  } catch (error) {
    if (error instanceof PatchError || error instanceof JsonError)
      return refused(`${prefix}failed to merge patch cluster spec: ${error.message}`)
    throw error
  }
}

/**
 * The rule that a specification breaks, for the dialect; null: none. Ours says which value broke
 * it.
 */
export function broken(spec: SpecType, manner: Manner): string | null {
  const rule = validate(spec)
  if (rule === null || manner === "go") return rule
  const key = /^[A-Za-z]+/.exec(rule)?.[0] ?? ""
  const full = Spec.encode(withDefaults(spec))
  const value = isObject(full) && Object.hasOwn(full, key) ? full[key] : undefined
  if (value === undefined) return rule
  const typed = Object.entries(spec).some(([name, own]) => name === key && own !== undefined)
  return `${rule} (it is ${printJson(value)}${typed ? "" : ", the default"})`
}

/** Why `next` may not replace `previous`, or null (reference 2.3). */
export function transition(previous: SpecType, next: SpecType, manner: Manner): string | null {
  const rule = broken(next, manner)
  if (rule !== null) return `invalid cluster spec: ${rule}`
  const [before, after] = [withDefaults(previous), withDefaults(next)]
  if (before.initMode !== after.initMode) return "cannot change cluster init mode"
  if (before.role === "master" && after.role === "standby")
    return "cannot update a cluster from master role to standby role"
  return null
}

/** What a cluster starts with when nobody says more. */
export const newCluster: SpecType = { ...emptySpec, initMode: "new" }

/**
 * The specification with our recommended values where the user said nothing (protocol part 8), as
 * far as they fit together with what the user did say.
 */
export function withRecommended(typed: SpecType): SpecType {
  const fitting = fittingRecommendations(typed)
  const all = { ...typed, ...fitting }
  if (validate(all) === null) return all
  // a value of the user's does not go with one of ours: take ours one by one, as long as they break
  // nothing
  let spec = typed
  for (const [key, value] of Object.entries(fitting)) {
    const next: SpecType = { ...spec, [key]: value }
    if (validate(next) === null) spec = next
  }
  return spec
}

function fittingRecommendations(typed: SpecType): Partial<SpecType> {
  const slow =
    typed.sleepInterval !== undefined &&
    recommended.failInterval !== undefined &&
    typed.sleepInterval * 3n > recommended.failInterval
  const missing = Object.entries(recommended).filter(([key]) => {
    if (Object.entries(typed).some(([name, value]) => name === key && value !== undefined))
      return false
    // with rounds of 5 s a failInterval of 3 s would take everybody for dead
    return !(key === "failInterval" && slow)
  })
  return Object.fromEntries(missing) // a subset of `recommended`, by key
}
