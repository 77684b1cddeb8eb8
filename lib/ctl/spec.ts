/**
 * From what an operator typed to a specification that may be stored: parsed, with the rules of a
 * change (reference 2.2 to 2.5). Both dialects share the rules; only the go dialect keeps Go's
 * texts and its silence about unknown keys.
 */
import { type Spec as SpecType, Spec, emptySpec, recommended } from "#model/spec.ts"
import { DocumentError, decodeJson } from "#model/codec.ts"
import { type Json, JsonError, isObject, parseJson, printJson } from "#model/json.ts"
import { validate } from "#model/validation.ts"
import { withDefaults } from "#model/spec.ts"
import { describeUnknown, tidyKeys } from "./keys.ts"
import { PatchError, mergePatch } from "./patch.ts"

export type SpecResult =
  | { readonly kind: "spec"; readonly spec: SpecType }
  | { readonly kind: "refused"; readonly message: string }
/** `strict`: keys that mean nothing are an error. */
export type Manner = "strict" | "go"

const refused = (message: string): SpecResult => ({ kind: "refused", message })

/** A whole specification as typed. */
export function parseSpec(text: string, manner: Manner): SpecResult {
  const prefix = manner === "go" ? "failed to unmarshal cluster spec: " : "the specification: "
  try {
    return decoded(parseJson(text), manner, prefix)
  } catch (error) {
    if (error instanceof JsonError) return refused(`${prefix}${jsonText(error, text, manner)}`)
    throw error
  }
}

function decoded(json: Json, manner: Manner, prefix: string): SpecResult {
  if (!isObject(json)) return refused(`${prefix}expected a JSON object`)
  const tidied = tidyKeys(Spec, json)
  if (manner === "strict" && tidied.unknown.length > 0)
    return refused(`${prefix}${describeUnknown(tidied.unknown)}`)
  try {
    return { kind: "spec", spec: decodeJson(Spec, tidied.json) }
  } catch (error) {
    if (error instanceof DocumentError) return refused(`${prefix}${documentText(error, manner)}`)
    throw error
  }
}

/**
 * Go names no key where a duration is wrong, and keeps to the words of its time package; ours names
 * key and rule.
 */
function documentText(error: DocumentError, manner: Manner): string {
  if (!error.rule.startsWith("time: ")) return error.message
  const cut = error.rule.lastIndexOf(", not ")
  const [rule, found] =
    cut < 0 ? [error.rule, ""] : [error.rule.slice(0, cut), error.rule.slice(cut)]
  return manner === "go"
    ? rule
    : `${error.path}: expected a duration such as "10s" or "1m30s"${found}`
}

/** The stored specification with a patch applied. */
export function patchSpec(stored: SpecType, text: string, manner: Manner): SpecResult {
  const prefix = manner === "go" ? "failed to patch cluster spec: " : "the patch: "
  const merging = manner === "go" ? `${prefix}failed to merge patch cluster spec: ` : prefix
  const decoding =
    manner === "go"
      ? `${prefix}failed to unmarshal patched cluster spec: `
      : "the patched specification: "
  let patch: Json
  try {
    patch = parseJson(text)
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    return refused(
      `${merging}${manner === "go" ? "invalid JSON document" : jsonText(error, text, manner)}`,
    )
  }
  if (patch === null) return { kind: "spec", spec: stored }
  if (!isObject(patch))
    return refused(
      `${merging}${manner === "go" ? "invalid JSON document" : "expected a JSON object"}`,
    )
  const tidied = tidyKeys(Spec, patch)
  if (manner === "strict" && tidied.unknown.length > 0)
    return refused(`${prefix}${describeUnknown(tidied.unknown)}`)
  // keys of a newer version that the stored document has stay; the patch's own unknown keys mean
  // nothing
  const base = parseJson(printJson(Spec.encode(stored)))
  try {
    const directive = patch["$patch"]
    const merged = mergePatch(isObject(base) ? base : {}, {
      ...(isObject(tidied.json) ? tidied.json : {}),
      ...(directive === undefined ? {} : { $patch: directive }),
    })
    return { kind: "spec", spec: decodeJson(Spec, merged) }
  } catch (error) {
    if (error instanceof PatchError) return refused(`${merging}${error.message}`)
    if (error instanceof DocumentError) return refused(`${decoding}${documentText(error, manner)}`)
    throw error
  }
}

const jsonText = (error: JsonError, text: string, manner: Manner): string => {
  if (text.trim() === "") return "unexpected end of JSON input"
  const why = error.message.replace(/^JSON Parse error: /, "")
  return manner === "go" ? why : `not valid JSON: ${why}`
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
