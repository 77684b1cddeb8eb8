/**
 * What keepers publish, as seen by one who reads it now and then: how long each has been silent,
 * and how far a standby is behind.
 *
 * Two positions are two snapshots of different ages. A standby's is compared with what the primary
 * had said by the time the standby's words were first seen; so a keeper that publishes seldom does
 * not look as if it lagged. The error is what is written between two words of the primary. Silence
 * counts only while we read: after a gap in the readings nobody is taken for silent at once.
 */
import { type LSN, zeroLsn } from "#base/lsn.ts"
import { type Millis, millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import { sortedEntries } from "#base/order.ts"
import type { ClusterData } from "#model/cluster.ts"
import { type DBUID, type InfoUID, type KeeperUID, infoUID, noDB } from "#model/ids.ts"
import type { KeeperInfo, PostgresState } from "#model/info.ts"
import { withDefaults } from "#model/spec.ts"

export type KeeperInfos = ReadonlyMap<KeeperUID, KeeperInfo>

/** A keeper's last words. */
export interface Sign {
  readonly infoUID: InfoUID
  /** The start of the read that first showed them. */
  readonly at: Millis
  /** For how long nothing newer has come. */
  readonly quiet: Millis
}

/** Where the primary was. */
interface Mark {
  readonly at: Millis
  readonly infoUID: InfoUID
  readonly position: LSN
  readonly timeline: number
}

export interface Hearing {
  readonly readAt: Millis | null
  readonly signs: ReadonlyMap<KeeperUID, Sign>
  /** Of which primary the trail is; it stays when the primary falls silent. */
  readonly primary: DBUID
  /** Newest first. */
  readonly trail: readonly Mark[]
}

export const heardNothing: Hearing = { readAt: null, signs: new Map(), primary: noDB, trail: [] }

/** Longer than any keeper may be silent and still count. */
const trailMax = 32

/** One more reading. */
export function hear(
  before: Hearing,
  data: ClusterData,
  keepers: KeeperInfos,
  readAt: Millis,
): Hearing {
  const longest = toMillis(withDefaults(data.cluster.spec).failInterval) / 2
  const passed = before.readAt === null ? 0 : Math.min(readAt - before.readAt, longest)
  const signs = sortedEntries(keepers).map(([uid, info]): [KeeperUID, Sign] => {
    const last = before.signs.get(uid)
    return last?.infoUID === info.infoUID
      ? [uid, { ...last, quiet: millis(last.quiet + passed) }]
      : [uid, { infoUID: info.infoUID, at: readAt, quiet: millis(0) }]
  })
  return { readAt, signs: new Map(signs), ...trail(before, data, keepers, readAt) }
}

function trail(
  before: Hearing,
  data: ClusterData,
  keepers: KeeperInfos,
  at: Millis,
): Pick<Hearing, "primary" | "trail"> {
  const primary = data.cluster.status.master
  const marks = before.primary === primary ? before.trail : []
  const db = data.dbs.get(primary)
  const info = db === undefined ? undefined : keepers.get(db.spec.keeperUID)
  const state = info?.postgresState
  // what a leader noted of one who is silent for longer than we listen
  const said =
    state?.uid === primary && state.healthy ? state : marks.length > 0 ? null : db?.status
  const uid = info?.infoUID ?? infoUID("")
  if (said === null || said === undefined || said.timelineID === 0 || marks[0]?.infoUID === uid)
    return { primary, trail: marks }
  const mark = { at, infoUID: uid, position: said.xLogPos, timeline: said.timelineID }
  return { primary, trail: [mark, ...marks].slice(0, trailMax) }
}

/** Bytes of WAL that readers of a standby do not see yet; null: not known. */
export function lagOf({ trail: marks }: Hearing, sign: Sign, state: PostgresState): bigint | null {
  const mark = marks.find(({ at }) => at <= sign.at) ?? marks.at(-1)
  // on another timeline positions mean something else
  if (mark === undefined || mark.timeline !== state.timelineID) return null
  // a Go keeper says only what its standby has received
  const seen = state.replayed === zeroLsn ? state.xLogPos : state.replayed
  return mark.position > seen ? mark.position - seen : 0n
}
