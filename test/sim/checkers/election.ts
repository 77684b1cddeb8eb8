/**
 * W2: the most advanced reachable electable standby wins. Judged by what the keepers had published
 * long enough before the write for any young snapshot to hold it; whatever a leader may have had a
 * reason to leave out is left out here too, so only a clear mistake is one.
 */
import type { ClusterData, DB } from "#model/cluster.ts"
import type { KeeperInfo } from "#model/info.ts"
import { toMillis } from "#base/duration.ts"
import { withDefaults } from "#model/spec.ts"
import type { Sim } from "../sim.ts"
import { endOf } from "../wal.ts"

interface Heard {
  readonly at: number
  readonly info: KeeperInfo
}

export interface Election {
  judge(before: ClusterData, after: ClusterData): void
}

export function checkElection(sim: Sim): Election {
  const heard = new Map<string, Heard[]>()
  sim.store.core.listeners.published.push((what) => {
    if (what.kind !== "keeper") return
    const list = heard.get(what.info.uid) ?? []
    list.push({ at: sim.world.now(), info: what.info })
    if (list.length > 60) list.splice(0, 30)
    heard.set(what.info.uid, list)
  })
  return { judge: (before, after) => judge(sim, heard, before, after) }
}

function judge(
  sim: Sim,
  heard: ReadonlyMap<string, readonly Heard[]>,
  before: ClusterData,
  after: ClusterData,
): void {
  if (before.cluster.status.failoverRequest !== undefined) return
  const spec = withDefaults(before.cluster.spec)
  const now = sim.world.now()
  const known = now - toMillis(spec.sleepInterval) * 1.1 - 200
  const elected = after.dbs.get(after.cluster.status.master)
  if (elected === undefined) return
  const { keeperUID } = elected.spec
  if (before.keepers.get(keeperUID)?.status.canBeMaster === false)
    sim.fail("W2 may be master", `${keeperUID} was elected, which may not be`)
  // what it said since, when it was stopped in the moment of the write, the leader could not know
  const last = heard.get(keeperUID)?.findLast(({ info }) => info.postgresState?.healthy === true)
  const said = last?.info.postgresState?.xLogPos ?? 0n
  const best = maxOf(said, endOfPredecessor(sim, before, elected))
  if (hasWhatCounts(heard, before, keeperUID, best)) return
  for (const db of before.dbs.values()) {
    if (!electable(before, db) || db.uid === elected.uid || !inSets(heard, before, db)) continue
    const list = heard.get(db.spec.keeperUID) ?? []
    const recent = list.filter(({ at }) => at > now - toMillis(spec.failInterval) * 0.8)
    const old = recent.findLast(({ at }) => at < known)
    const state = old?.info.postgresState
    if (old === undefined || state === undefined || state.uid !== db.uid) continue
    if (!recent.every(({ info }) => info.postgresState?.healthy === true)) continue
    // by that proof only who has let go may be elected, and nobody was told of what others got
    if (after.cluster.status.fencedBy === "standbys" && state.detached === "") continue
    if (state.timelineID !== elected.status.timelineID || state.xLogPos <= best) continue
    const words = `${elected.spec.keeperUID} at ${best} was elected although ${db.spec.keeperUID}`
    sim.fail("W2 most advanced", `${words} had published ${state.xLogPos}`)
  }
}

/** S4: a target may lack the shutdown checkpoint, which begins where the certificate says. */
function hasWhatCounts(
  heard: ReadonlyMap<string, readonly Heard[]>,
  { cluster, dbs }: ClusterData,
  elected: string,
  position: bigint,
): boolean {
  const { switchover, master, primaryEpoch } = cluster.status
  const old = heard.get(dbs.get(master)?.spec.keeperUID ?? "")?.at(-1)?.info.certificate
  const end = old?.epoch === primaryEpoch && old.dbuid === master ? old.finalLSN : 0n
  return switchover?.keeper === elected && end > 0n && position >= end
}

/** O3: whoever is not in the view's set, or not in the one that the primary knows, may not be. */
function inSets(
  heard: ReadonlyMap<string, readonly Heard[]>,
  { cluster, dbs }: ClusterData,
  { uid }: DB,
): boolean {
  const { electable: wanted, master } = cluster.status
  const told = heard.get(dbs.get(master)?.spec.keeperUID ?? "")?.at(-1)?.info.electable
  if (wanted === undefined) return told === undefined || told.dbs.includes(uid)
  return wanted.dbs.includes(uid) && (told?.word === wanted.word || !wanted.joining.includes(uid))
}

const maxOf = (a: bigint, b: bigint): bigint => (a > b ? a : b)

/** Whoever takes its place back (W7) is stopped, and has more than it could still tell. */
function endOfPredecessor(sim: Sim, { cluster }: ClusterData, { uid, spec }: DB): bigint {
  const data = sim.hosts.get(spec.keeperUID)?.disk.data
  return cluster.status.predecessor === uid && data ? BigInt(endOf(data.wal)) : 0n
}

/**
 * By the view alone: a good standby, and in synchronous mode one that the old primary waits for.
 */
function electable(before: ClusterData, db: DB): boolean {
  const old = before.dbs.get(before.cluster.status.master)
  if (old === undefined || db.uid === old.uid || db.spec.role !== "standby") return false
  const keeper = before.keepers.get(db.spec.keeperUID)
  if (keeper === undefined || keeper.status.canBeMaster === false || keeper.status.forceFail)
    return false
  if (keeper.status.paused !== undefined) return false // an operator keeps it out of everything
  if (!keeper.status.healthy || !db.status.healthy) return false
  if (db.status.currentGeneration !== db.generation) return false
  if (!old.spec.synchronousReplication) return true
  const names = old.status.synchronousStandbys ?? []
  return names.includes(db.uid) && (old.spec.synchronousStandbys ?? []).includes(db.uid)
}
