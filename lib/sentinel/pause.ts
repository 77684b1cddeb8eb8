/**
 * `ctl pause` for the leader: nobody is deposed and no standby is made or taken away because of
 * what was seen. Routing, status and synchronous names go on, an operator's own wish still counts,
 * and a revocation in hand is finished: safety is never paused.
 *
 * What was silent or ill during the pause is judged anew from its end on: an operator who stopped a
 * machine and resumes when it is back must not see it fail at once.
 *
 * A cluster that moves between stores is in a pause of its own (`standing` in decide.ts), and
 * begins anew after it like after any other.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { ClusterData } from "#model/cluster.ts"
import type { DBUID, KeeperUID } from "#model/ids.ts"
import { describePause, pauseOf } from "#model/wish.ts"
import type { DBFact, KeeperFact } from "./facts.ts"
import type { Memory } from "./memory.ts"

/**
 * Why nothing is done about a primary that is ill; null: it is not paused, or an operator asked.
 */
export function heldBack(data: ClusterData, { keeper }: DBFact, fault: string): string | null {
  const pause = pauseOf(data, keeper.uid)
  const asked = keeper.keeper?.status.forceFail === true
  return pause === null || asked ? null : `${describePause(pause)}; otherwise: ${fault}`
}

/** A keeper of whose DB nothing is decided. */
export const isPaused = (data: ClusterData, keeper: KeeperUID): boolean =>
  pauseOf(data, keeper) !== null

/** Paused by name, not with the whole cluster: then it is no candidate and gets no DB either. */
export const isSetApart = ({ keeper }: KeeperFact): boolean => keeper?.status.paused !== undefined

const never = millis(-Infinity)
const pausedKeepers = (data: ClusterData): ReadonlySet<KeeperUID> =>
  new Set(
    [...data.keepers.keys()].filter(
      (uid) => data.cluster.status.move !== undefined || isPaused(data, uid),
    ),
  )

/**
 * Timers of keepers whose pause has ended since the last read begin again. Who was heard within
 * `recent` needs none; the time of its word must stay, positions are judged by it (W2).
 */
export function resumed(memory: Memory, data: ClusterData, recent: number, mono: Millis): Memory {
  const paused = pausedKeepers(data)
  const back = new Set([...memory.paused].filter((uid) => !paused.has(uid)))
  if (back.size === 0) return { ...memory, paused }
  const dbs = new Set<DBUID>(
    [...data.dbs.values()].filter((db) => back.has(db.spec.keeperUID)).map((db) => db.uid),
  )
  return {
    ...memory,
    paused,
    resumed: new Map([...memory.resumed, ...[...back].map((uid) => [uid, mono] as const)]),
    keepers: new Map(
      [...memory.keepers].map(([uid, seen]) => [
        uid,
        back.has(uid) && mono - seen.since > recent
          ? { ...seen, since: mono, previous: never, heard: false }
          : seen,
      ]),
    ),
    ailing: new Map([...memory.ailing].map(([uid, at]) => [uid, dbs.has(uid) ? mono : at])),
    converging: new Map(
      [...memory.converging].map(([uid, it]) => [uid, dbs.has(uid) ? { ...it, since: mono } : it]),
    ),
    stalled: new Map([...memory.stalled].filter(([uid]) => !dbs.has(uid))),
  }
}
