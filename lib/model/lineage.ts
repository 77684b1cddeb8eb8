/**
 * Which DB's promotion began each timeline of a copy (protocol W9). PostgreSQL names timelines by
 * number alone: two that were promoted from the same place, neither knowing of the other, begin two
 * timelines with one number, and whoever followed the first passes for a standby of the second. A
 * DB is promoted once in its life, so its uid tells them apart; a Go leader keeps uids.
 *
 * Written as `2:4ab1 3:?`, in generated configurations with the DB behind it from which whatever
 * is newer came. What nobody knows (`?`, or not named) is judged by nobody.
 */
import { type DBUID, dbUID } from "./ids.ts"

export interface Birth {
  readonly timeline: number
  /** Null: not known. */
  readonly db: DBUID | null
}
/** By timeline, ascending. The first timeline of a system is never named: there is only one. */
export type Lineage = readonly Birth[]

export interface Written {
  readonly births: Lineage
  /** From whom newer timelines came; null: not known. */
  readonly from: DBUID | null
}

/** Null when it is not what `formatLineage` writes: then nothing is known. */
export function parseLineage(text: string): Written | null {
  const births: Birth[] = []
  let from: DBUID | null = null
  for (const word of text.split(" ").filter((part) => part !== "")) {
    const match = /^(?:([1-9]\d{0,9}):)?([^\s:]+)$/.exec(word)
    if (match?.[2] === undefined) return null
    const db = match[2] === unknown ? null : dbUID(match[2])
    if (match[1] === undefined) from = db
    else births.push({ timeline: Number(match[1]), db })
  }
  return { births, from }
}

/** @param from Left out in what is published. */
export const formatLineage = (births: Lineage, from?: DBUID | null): string =>
  [
    ...births.slice(-birthsMax).map(({ timeline, db }) => `${timeline}:${word(db)}`),
    ...(from === undefined ? [] : [word(from)]),
  ].join(" ")

const unknown = "?"
const word = (db: DBUID | null): string => (db === null || !/^[^\s:]+$/.test(db) ? unknown : db)
/** No living copy is that many promotions behind. */
const birthsMax = 16

/** What is published of a copy; what cannot be read says nothing. */
export const readLineage = (text: string): Lineage => parseLineage(text)?.births ?? []

export const newestOf = (births: Lineage): Birth | null => births[births.length - 1] ?? null

/** What a view, or an info, says of the DB that is primary. */
export interface Head {
  readonly uid: DBUID
  /** Meant to be a primary, not the top of a standby cluster. */
  readonly master: boolean
  /** It has applied the present generation: it is promoted. */
  readonly settled: boolean
  readonly timelineID: number
  readonly lineage: string
}

/**
 * A keeper that publishes no lineage (Go's; or a Go leader dropped it): the timeline on which it
 * serves as a primary is its own all the same.
 */
export function lineageOfHead({ uid, master, settled, timelineID, lineage }: Head): Lineage {
  if (lineage !== "" || !master || !settled || timelineID <= 1) return readLineage(lineage)
  return [{ timeline: timelineID, db: uid }]
}

/**
 * True when a timeline of `own` was begun by another DB than the one of that number in the history
 * of `head`. What came from `head` itself is its own, whoever it had it from.
 */
export const isStranger = (own: Lineage, head: DBUID, lineage: Lineage): boolean =>
  own.some(({ timeline, db }) => {
    if (db === null || db === head) return false
    const other = lineage.find((birth) => birth.timeline === timeline)?.db ?? null
    return other !== null && other !== db
  })
