/**
 * Small words about text that several floors need. Go's quoting stands here once: texts of errors
 * that scripts match on carry it, from flags, durations and specifications alike.
 */

const named: Readonly<Record<string, string>> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  '"': '\\"',
  "\\": "\\\\",
}
/**
 * Not printable by Go's rules: controls, formats, unassigned, and every blank but the plain one.
 */
const unprintable = /["\\]|(?! )[\p{C}\p{Z}]/gu

/** Go's %q. */
export function goQuote(text: string): string {
  const escaped = text.replace(unprintable, (c) => named[c] ?? codepoint(c.codePointAt(0) ?? 0))
  return `"${escaped}"`
}

function codepoint(code: number): string {
  const hex = code.toString(16)
  if (code < 0x80) return `\\x${hex.padStart(2, "0")}`
  // half of a pair is what Go has for bytes that are no UTF-8
  if (code >= 0xd800 && code <= 0xdfff) return "\ufffd"
  return code > 0xffff ? `\\U${hex.padStart(8, "0")}` : `\\u${hex.padStart(4, "0")}`
}

/** The quoting of Go's time package, which knows bytes only: `1µ` is `"1\xc2\xb5"`. */
export function goQuoteBytes(text: string): string {
  const escaped = text.replace(/["\\]|[^ -~\x7f]/gu, (c) =>
    c === '"' || c === "\\"
      ? `\\${c}`
      : [...new TextEncoder().encode(c)]
          .map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`)
          .join(""),
  )
  return `"${escaped}"`
}

/**
 * The candidate nearest to `word` by edit distance, or null when none is near enough to be a slip
 * of the fingers. Two letters swapped (`stauts`) are one slip. Of equally near ones the first.
 */
export function nearest(word: string, candidates: readonly string[]): string | null {
  let best: string | null = null
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1
  for (const candidate of candidates) {
    if (Math.abs(word.length - candidate.length) >= bestDistance) continue // no need to count
    const d = edits(word, candidate, true)
    if (d < bestDistance) {
      best = candidate
      bestDistance = d
    }
  }
  return best
}

/** Edits from `a` to `b`; with `swaps`, two neighbours swapped are one edit. */
export function edits(a: string, b: string, swaps: boolean): number {
  let before: readonly number[] = []
  let row: readonly number[] = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const edited = Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1)
      const swapped = swaps && i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      next.push(swapped ? Math.min(edited, (before[j - 2] ?? 0) + 1) : edited)
    }
    before = row
    row = next
  }
  return row[b.length] ?? 0
}
