/**
 * Which copies of the data belong together: the rules of reference 5.5 on timelines and their
 * switch points.
 */
import type { LSN } from "#base/lsn.ts"
import type { DBStatus } from "./cluster.ts"

/** A position in the history of a system, as a DB reports it. */
export type Branch = Pick<DBStatus, "timelineID" | "timelinesHistory"> & { readonly xLogPos: LSN }

/**
 * True when `other` left the history of `followed`: it holds WAL that `followed` does not have and
 * never will. A history entry that is missing on either side proves nothing (D-26: Go publishes
 * only the last two).
 */
export function diverged(followed: Branch, other: Branch): boolean {
  if (followed.timelineID < other.timelineID) return true
  if (followed.timelineID === other.timelineID) {
    const mine = switchOf(followed, followed.timelineID - 1)
    const theirs = switchOf(other, other.timelineID - 1)
    return mine !== undefined && theirs !== undefined && mine !== theirs
  }
  const left = switchOf(followed, other.timelineID)
  return left !== undefined && left < other.xLogPos
}

/**
 * True when `other` is on a timeline that `followed` itself may have begun after its last report:
 * it left `followed`'s timeline not before the last position known of it. Only a candidate for its
 * place may be so; a standby of a living primary is not.
 */
export function isAhead(followed: Branch, other: Branch): boolean {
  const left = switchOf(other, followed.timelineID)
  return other.timelineID > followed.timelineID && left !== undefined && left >= followed.xLogPos
}

const switchOf = (branch: Branch, timeline: number): LSN | undefined =>
  branch.timelinesHistory.find((entry) => entry.timelineID === timeline)?.switchPoint

/**
 * False when nothing tells whether `other` left the history of `followed`: it is on an older
 * timeline whose end `followed` no longer reports (D-26: a Go keeper publishes two entries).
 */
export const isComparable = (followed: Branch, other: Branch): boolean =>
  followed.timelineID <= other.timelineID || switchOf(followed, other.timelineID) !== undefined

const usualSegment = 16 * 1024 * 1024

/**
 * Whether the primary still has the WAL that a standby needs (5.5). Segment names are compared
 * without their timeline.
 *
 * @param segmentSize As the primary reports it; 0 when it does not (D-39).
 */
export function hasWalFor(olderWalFile: string, position: LSN, segmentSize = 0): boolean {
  const segmentBytes = BigInt(segmentSize === 0 ? usualSegment : segmentSize)
  const hex = (n: bigint): string => n.toString(16).toUpperCase().padStart(8, "0")
  const needed = hex(position >> 32n) + hex((position & 0xffff_ffffn) / segmentBytes)
  return needed >= olderWalFile.slice(8, 24)
}
