/**
 * What sessions say, so that nobody else's words can be taken for theirs: each text begins with
 * the session's number and the number of the question in it, and goes on with letters drawn from
 * both. Long texts are made of pieces, each of which names them again.
 *
 * Only letters, digits, dots and blanks: nothing to quote, nothing that COPY escapes.
 */
import { type Random, generator } from "#base/random.ts"

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/** A text of about `size` characters, the same for the same numbers. */
export function tagged(session: number, question: number, size: number): string {
  const random = generator(session * 7_919 + question)
  const pieces: string[] = []
  for (let length = 0; length <= size;) {
    const noise = Array.from({ length: 8 }, () => letters[random.below(letters.length)]).join("")
    const piece = `s${session}.q${question}.p${pieces.length}.${noise} `
    // a piece again and again costs little, and still names its session in every place
    const times = 1 + Math.min(random.below(64), Math.floor((size - length) / piece.length))
    pieces.push(piece.repeat(times))
    length += piece.length * times
  }
  return pieces.join("")
}

/** Mostly small, now and then up to `most`: its logarithm is drawn. */
export const sizeOf = (random: Random, most: number): number =>
  Math.floor(Math.exp(random.next() * Math.log(most)))

/** Where two texts part, for the report; null: they are the same. */
export function difference(wanted: string, found: string): string | null {
  if (wanted === found) return null
  let at = 0
  while (at < wanted.length && wanted[at] === found[at]) at++
  const around = (text: string): string => JSON.stringify(text.slice(Math.max(0, at - 30), at + 60))
  return (
    `${found.length} characters instead of ${wanted.length}, different from character ${at} on: ` +
    `${around(found)} instead of ${around(wanted)}`
  )
}
