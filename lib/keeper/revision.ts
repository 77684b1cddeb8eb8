/**
 * A short name for the content of the generated files. It tells versions apart, it protects
 * nothing: two 32-bit multiplicative hashes, cheap enough to be taken at every look.
 */
export function revisionOf(...texts: readonly string[]): string {
  let [high, low] = [0xdeadbeef, 0x41c6ce57]
  for (const text of texts) {
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      high = Math.imul(high ^ code, 2654435761)
      low = Math.imul(low ^ code, 1597334677)
    }
    // so that moving text from the end of one to the beginning of the next shows
    high = Math.imul(high ^ 0x10000, 2654435761)
    low = Math.imul(low ^ 0x10000, 1597334677)
  }
  const first =
    Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909)
  const second =
    Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909)
  return [first, second].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("")
}
