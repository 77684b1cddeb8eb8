/**
 * Questions among processes about a key: answered by the first that knows it, with nothing when
 * all have said that they do not, or within a moment. Nobody is killed for an answer that does not
 * come.
 */
import type { Found } from "./keys.ts"

export interface Seeking {
  /** So many are asked; returns the number of the question. */
  ask(count: number, done: (found: Found | null) => void): number
  answer(question: number, found: Found | null): void
}

const patience = 1_000

export function newSeeking(): Seeking {
  const open = new Map<number, { left: number; readonly end: (found: Found | null) => void }>()
  let last = 0
  return {
    ask(count, done) {
      const question = ++last
      if (count === 0) {
        done(null)
        return question
      }
      const timer = setTimeout(() => end(null), patience)
      const end = (found: Found | null): void => {
        clearTimeout(timer)
        if (open.delete(question)) done(found)
      }
      open.set(question, { left: count, end })
      return question
    },
    answer(question, found) {
      const asked = open.get(question)
      if (asked === undefined) return
      asked.left--
      if (found !== null || asked.left === 0) asked.end(found)
    },
  }
}
