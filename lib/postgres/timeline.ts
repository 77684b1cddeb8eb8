/**
 * Timeline history files, `pg_wal/0000000N.history`: how the timeline came about (PostgreSQL
 * documentation, section 26.3.6).
 *
 * One line a timeline that was left: its number, where, why. Read from disk also while PostgreSQL
 * runs; it never changes them.
 */
import { join } from "node:path"
import { parseLsn } from "#base/lsn.ts"
import type { TimelineHistory } from "#model/cluster.ts"
import { readIfPresent } from "#system/files.ts"

/**
 * Parses the content, oldest first. Comments and lines of fewer than three words say nothing;
 * others must be sound.
 */
export function parseHistory(content: string): readonly TimelineHistory[] {
  return content.split("\n").flatMap((line): TimelineHistory[] => {
    const plain = line.trim()
    const match = /^(\S+)\s+(\S+)\s+(.+)$/.exec(plain)
    if (plain.startsWith("#") || match === null) return []
    const timelineID = Number(match[1])
    const switchPoint = parseLsn(match[2] ?? "")
    if (!Number.isSafeInteger(timelineID) || timelineID <= 0 || switchPoint === null)
      throw new Error(`not a line of a timeline history: ${JSON.stringify(line)}`)
    return [{ timelineID, switchPoint, reason: match[3] ?? "" }]
  })
}

/** The history of `timeline`; empty when it is the first, or its file has not arrived. */
export async function readHistory(
  dataDirectory: string,
  timeline: number,
): Promise<readonly TimelineHistory[]> {
  if (timeline <= 1) return []
  const name = `${timeline.toString(16).toUpperCase().padStart(8, "0")}.history`
  const content = await readIfPresent(join(dataDirectory, "pg_wal", name))
  return content === null ? [] : parseHistory(content)
}
