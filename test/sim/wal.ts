/**
 * The write-ahead log of the model: a list of records, each a unique object, and the timelines it
 * went through.
 *
 * Copies of a log share their records, so "the same history" is identity: two logs agree up to the
 * last index at which they hold the same object. A record sits at the same index in every log that
 * holds it. Logs are mutated in place (a hot path); only `server.ts`, `replication.ts` and the
 * copying steps do so.
 */
import type { TimelineHistory } from "#model/cluster.ts"
import { lsn } from "#base/lsn.ts"

export interface Rec {
  readonly index: number
  /** Position after it; LSNs are plain numbers in here and bigints at the ports. */
  readonly end: number
  readonly timeline: number
  readonly kind: "commit" | "checkpoint" | "shutdown" | "fork" | "bulk"
  /** The row that a commit wrote; -1 for none. */
  readonly row: number
}

/** Where a timeline ended. */
export interface Fork {
  readonly timeline: number
  readonly end: number
}

export interface Wal {
  readonly records: Rec[]
  timeline: number
  /** How the present timeline came about, oldest first. */
  history: readonly Fork[]
  /** The highest timeline it has ever heard of: a promotion takes the next. */
  highest: number
}

/** The position that initdb leaves. */
export const firstPosition = 0x3000000
/** wal_segment_size. */
export const segmentSize = 0x1000000

export const newWal = (): Wal => ({ records: [], timeline: 1, history: [], highest: 1 })
export const copyWal = (wal: Wal): Wal => ({ ...wal, records: [...wal.records] })
export const endOf = (wal: Wal): number => wal.records[wal.records.length - 1]?.end ?? firstPosition

/** Where the last record begins. */
export const startOfLast = ({ records }: Wal): number =>
  records[records.length - 2]?.end ?? firstPosition

const sizes: Readonly<Record<Rec["kind"], number>> = {
  commit: 232,
  checkpoint: 120,
  shutdown: 120,
  fork: 48,
  bulk: segmentSize, // a load that fills a whole segment
}

export function append(wal: Wal, kind: Rec["kind"], row = -1): Rec {
  const { records, timeline } = wal
  const record = { index: records.length, end: endOf(wal) + sizes[kind], timeline, kind, row }
  records.push(record)
  return record
}

/** A promotion: the old timeline ends here, a new one begins. */
export function fork(wal: Wal): void {
  wal.history = [...wal.history, { timeline: wal.timeline, end: endOf(wal) }]
  wal.timeline = wal.highest = wal.highest + 1
  append(wal, "fork")
}

export const holds = (wal: Wal, record: Rec): boolean => wal.records[record.index] === record

/** True when everything in `part` is in `whole`. */
export function isPrefix(part: Wal, whole: Wal): boolean {
  const last = part.records[part.records.length - 1]
  return last === undefined || holds(whole, last)
}

/** How many records two logs have in common. */
export function common(a: Wal, b: Wal): number {
  let low = 0
  let high = Math.min(a.records.length, b.records.length)
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (a.records[middle - 1] === b.records[middle - 1]) low = middle
    else high = middle - 1
  }
  return low
}

/**
 * What a server says to a standby that asks to stream from where its log ends: PostgreSQL compares
 * timelines and positions, not content. `invalid` is what a standby finds that was let in although
 * the content differs.
 */
export function streamable(
  standby: Wal,
  upstream: Wal,
): "yes" | "ahead" | "not in history" | "invalid" {
  const end = endOf(standby)
  if (standby.timeline === upstream.timeline) {
    if (end > endOf(upstream)) return "ahead"
  } else {
    const left = upstream.history.find((f) => f.timeline === standby.timeline)
    if (left === undefined || left.end < end) return "not in history"
  }
  return isPrefix(standby, upstream) ? "yes" : "invalid"
}

/**
 * Takes over what `from` has beyond the end of `to`, up to `length` records. `to` must be a prefix.
 */
export function receive(to: Wal, from: Wal, length: number): void {
  for (let i = to.records.length; i < length; i++) {
    const record = from.records[i]
    if (record === undefined) break
    to.records.push(record)
  }
  const last = to.records[to.records.length - 1]
  if (last === undefined || last.timeline === to.timeline) return
  to.timeline = last.timeline
  to.history = from.history.filter((f) => f.timeline < last.timeline)
  to.highest = Math.max(to.highest, last.timeline)
}

/** The history as PostgreSQL's history files tell it. */
export const historyOf = (wal: Wal): readonly TimelineHistory[] =>
  wal.history.map((f) => ({
    timelineID: f.timeline,
    switchPoint: lsn(BigInt(f.end)),
    reason: "no recovery target specified",
  }))
