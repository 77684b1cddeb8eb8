/**
 * When which machine was in trouble, by the fault plan: what a loss in asynchronous mode may be
 * excused with.
 */
export interface Troubles {
  /** `host` null: everybody. */
  begin(host: string | null, what: string, now: number): () => void
  /** A trouble of this host in the span, as words, or null. */
  between(host: string, from: number, to: number): string | null
}

interface Trouble {
  readonly host: string | null
  readonly what: string
  readonly from: number
  to: number
}

/** What a fault does goes on a little after it: timers started anew, answers late. */
const aftermath = 10_000

export function createTroubles(now: () => number): Troubles {
  const all: Trouble[] = []
  return {
    begin(host, what, from) {
      const trouble: Trouble = { host, what, from, to: Number.POSITIVE_INFINITY }
      all.push(trouble)
      return () => void (trouble.to = now() + aftermath)
    },
    between(host, from, to) {
      const found = all.find(
        (t) => (t.host === null || t.host === host) && t.from <= to && t.to >= from,
      )
      return found?.what ?? null
    },
  }
}
