/** Whether two steps are the same one: by value, through lists, maps and plain objects. */
import type { Step } from "#model/step.ts"

export const sameStep = (a: Step | undefined, b: Step): boolean => same(a, b)

function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false
  if (a instanceof Map || b instanceof Map)
    return a instanceof Map && b instanceof Map && sameEntries([...a], [...b])
  if (Array.isArray(a) !== Array.isArray(b)) return false
  return sameEntries(Object.entries(a), Object.entries(b))
}

type Entries = readonly (readonly [unknown, unknown])[]

/** Entries in any order; a key that one side lacks is a difference. */
function sameEntries(a: Entries, b: Entries): boolean {
  const others = new Map(b)
  return (
    a.length === b.length &&
    a.every(([key, value]) => others.has(key) && same(value, others.get(key)))
  )
}
