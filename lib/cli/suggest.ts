/**
 * "Did you mean …?" for what people type. Two letters swapped are one slip of the fingers
 * (`stauts`), which the plain edit distance counts as two.
 */

/** The candidate that was probably meant, or null. Of equally near ones the first. */
export function suggest(word: string, candidates: readonly string[]): string | null {
  const limit = Math.max(1, Math.floor(word.length / 3))
  let best: string | null = null
  let bestDistance = limit + 1
  for (const candidate of candidates) {
    const d = distance(word, candidate, true)
    if (d < bestDistance) {
      best = candidate
      bestDistance = d
    }
  }
  return best
}

/** Cobra's rule: at most two edits, or the beginning of the name, whatever the case. */
export const goSuggestions = (word: string, candidates: readonly string[]): readonly string[] =>
  candidates.filter((name) => {
    const [typed, known] = [word.toLowerCase(), name.toLowerCase()]
    return distance(typed, known, false) <= 2 || known.startsWith(typed)
  })

/** Edits from `a` to `b`; with `swaps`, two neighbours swapped are one edit. */
function distance(a: string, b: string, swaps: boolean): number {
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
