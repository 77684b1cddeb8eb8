/**
 * What valibot found wrong with a document, for a person: where it stands and what was found there.
 * Text only; it must not repeat more of a value than a message needs, documents hold passwords.
 */
import { ExactNumber, type Json, printJson } from "./json.ts"

interface PathItem {
  readonly key?: unknown
  readonly value?: unknown
}
/** A dictionary's entry shows in the path as its index and then 1; a person wants its key. */
export function pathOf(items: readonly PathItem[]): string[] {
  const path: string[] = []
  for (let i = 0; i < items.length; i++) {
    const item = items[i]
    const entry = item?.value
    if (
      Array.isArray(entry) &&
      entry.length === 2 &&
      typeof entry[0] === "string" &&
      typeof item?.key === "number"
    ) {
      path.push(entry[0])
      i++
    } else path.push(String(item?.key))
  }
  return path
}

/** What was found instead, short enough for a message. */
export function shown(input: unknown): string {
  if (input instanceof ExactNumber) return input.text
  if (typeof input === "object" && input !== null)
    return Array.isArray(input) ? "a list" : "an object"
  const printed = printJson(input as Json)
  return printed.length > 40 ? `${printed.slice(0, 37)}...` : printed
}
