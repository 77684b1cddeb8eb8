/**
 * `ctl spec`: the specification as Go prints it (reference 1.7). Without defaults only what was set
 * is shown, and lists, null and empty alike, are hidden; with defaults every field is shown in the
 * order of the table.
 */
import { Spec, fields, withDefaults, type Spec as SpecType } from "#model/spec.ts"
import {
  type Json,
  isArray,
  isObject,
  parseJson,
  printJson,
  printJsonIndented,
} from "#model/json.ts"

/** Fields that Go does not know are shown only where they are set. */
const ours: readonly string[] = ["selfFencing", "fencingLease", "failureDetection"]

export function specShown(spec: SpecType): string {
  const set = entriesOf(spec).filter(
    ([, value]) => value !== null && !(isArray(value) && value.length === 0),
  )
  return `${printJsonIndented(new Map(set))}\n`
}

export function specWithDefaults(spec: SpecType): string {
  const full = new Map(entriesOf(withDefaults(spec)))
  const known = Object.keys(fields)
    .filter((name) => full.has(name) || !ours.includes(name))
    .map((name) => [name, full.get(name) ?? null] as const)
  return `${printJsonIndented(new Map(known))}\n`
}

/** In encoded form, by key; keys of newer versions stand last. */
function entriesOf(spec: SpecType): readonly (readonly [string, Json])[] {
  const encoded = parseJson(printJson(Spec.encode(spec)))
  return isObject(encoded) ? Object.entries(encoded) : []
}
