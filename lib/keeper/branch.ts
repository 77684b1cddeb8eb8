/**
 * Does the local copy lie on the history of another DB? Judged from control data and timeline
 * switch points, never from positions alone. A wrong "yes" costs time (a standby that cannot stream
 * is noticed); a wrong "no" costs a copy.
 */
import { type LSN, lsn } from "#base/lsn.ts"
import type { DBStatus, TimelineHistory } from "#model/cluster.ts"
import type { Control, DataDir } from "#model/local.ts"
import { diverged as leftHistory } from "#model/timeline.ts"

export type Whole = Extract<DataDir, { kind: "initialized" }>

/**
 * `on`: it can follow as it is. `off`: it left that history. `unsure`: what the other DB last
 * reported does not tell; a report after its promotion may.
 */
export type Verdict = "on" | "off" | "unsure"

/** Judges a stopped copy against the last report of the DB that it is to follow. */
export function judge(data: Whole, followed: DBStatus): Verdict {
  const { control } = data
  if (control === null || followed.timelineID === 0) return "unsure"
  if (followed.systemdID === "") return "unsure"
  if (followed.systemdID !== data.systemID || control.systemID !== data.systemID) return "off"
  // A primary that did not end in good order: nobody knows how far its log goes.
  if (!wasStandby(control) && control.state !== "shut down") return "off"
  const end = endOf(control)
  if (control.timeline > followed.timelineID) return "unsure"
  if (isTwin(control, followed)) return "unsure"
  const at = timelineAt(followed, control.checkpoint)
  if (at !== null && at !== control.timeline) return "off"
  if (!sharedForks(data.history, followed.timelinesHistory, end)) return "off"
  // The last stretch of the other's history is known only as far as it has reported.
  const left = followed.timelinesHistory.find((entry) => entry.timelineID >= control.timeline)
  const known =
    left === undefined
      ? followed.xLogPos
      : followed.xLogPos > left.switchPoint
        ? followed.xLogPos
        : left.switchPoint
  return end <= known ? "on" : "unsure"
}

/**
 * A former primary, and a DB on the very timeline that it began: either one that followed it and
 * has not told of its own promotion yet, or a second one that was promoted from the same place to
 * the same number. The histories of two such look alike, and pg_rewind takes them for one.
 */
export const isTwin = (control: Control, followed: DBStatus): boolean =>
  !wasStandby(control) && control.timeline > 1 && control.timeline === followed.timelineID

/**
 * A standby may start again from any end; what it has beyond its last restart point it got from its
 * primary.
 */
const wasStandby = ({ state }: Control): boolean =>
  state === "shut down in recovery" || state === "in archive recovery"

/**
 * Where the local log certainly goes to. A shutdown checkpoint begins at its location and ends
 * behind it: the other must have gone beyond its beginning on the same timeline.
 */
function endOf(control: Control): LSN {
  if (!wasStandby(control)) return lsn(control.checkpoint + 1n)
  return control.minRecoveryEnd > control.checkpoint ? control.minRecoveryEnd : control.checkpoint
}

/**
 * The timeline of a history at a position, as PostgreSQL looks it up at start. Null below what was
 * reported (Go: the last two).
 */
function timelineAt({ timelineID, timelinesHistory }: DBStatus, position: LSN): number | null {
  const entry = timelinesHistory.find(({ switchPoint }) => position < switchPoint)
  if (entry === undefined) return timelineID
  return entry === timelinesHistory[0] && entry.timelineID > 1 ? null : entry.timelineID
}

/**
 * Every fork below `end` that one side reports and the other side's list reaches back to is on
 * both.
 */
function sharedForks(
  mine: readonly TimelineHistory[],
  theirs: readonly TimelineHistory[],
  end: LSN,
): boolean {
  const taken = (list: readonly TimelineHistory[]): readonly TimelineHistory[] =>
    list.filter(({ switchPoint }) => switchPoint < end)
  const has = (list: readonly TimelineHistory[], fork: TimelineHistory): boolean =>
    list.some((f) => f.timelineID === fork.timelineID && f.switchPoint === fork.switchPoint)
  const oldest = theirs[0]?.timelineID ?? Infinity
  return (
    taken(theirs).every((fork) => has(mine, fork)) &&
    taken(mine).every((fork) => fork.timelineID < oldest || has(theirs, fork))
  )
}

/**
 * The first position that the local copy may hold and the followed DB does not, for saving it
 * before a rewind; null: unknown.
 */
export function forkOf(data: Whole, followed: DBStatus): LSN | null {
  const timeline = data.control?.timeline ?? 0
  return (
    followed.timelinesHistory.find((entry) => entry.timelineID === timeline)?.switchPoint ?? null
  )
}

interface Position {
  readonly timeline: number
  readonly position: LSN
  readonly history: readonly TimelineHistory[]
}

/** True when `own` provably left the history of `followed` (reference 5.5). */
export const diverged = (followed: DBStatus, own: Position): boolean =>
  leftHistory(followed, {
    timelineID: own.timeline,
    xLogPos: own.position,
    timelinesHistory: own.history,
  })
