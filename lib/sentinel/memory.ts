/**
 * What a sentinel remembers between rounds, and how watching moves it.
 *
 * Every sentinel watches all the time, so a new leader starts with warm timers (D-27). Only what
 * was *read* moves the watching part: nothing in it refers to a document that may not have been
 * written (D-22). The deciding part (`failedInit`, `said`) moves with a committed write. Silence
 * counts only over time in which this sentinel read the store: after a gap every timer starts again
 * (W6).
 */
import type { Millis, Now } from "#base/brand.ts"
import { millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import type { ClusterData, DB } from "#model/cluster.ts"
import {
  type DBUID,
  type Epoch,
  type Generation,
  type InfoUID,
  type KeeperUID,
  type Nonce,
  type ProxyUID,
  type SentinelUID,
  infoUID,
  noDB,
} from "#model/ids.ts"
import type { Infos, PostgresState, ProxyInfo, SentinelInfo } from "#model/info.ts"
import { type FullSpec, withDefaults } from "#model/spec.ts"
import { type Claims, type Fence, hearClaims, noteFence, restartFence } from "./lease.ts"
import { resumed } from "./pause.ts"
import { type Seen, type Voices, listen } from "./voice.ts"

/** One consistent look at the store. */
export interface Snapshot {
  readonly data: ClusterData
  readonly infos: Infos
}

export interface Memory {
  readonly readAt: Millis | null
  /** First read of those that followed each other without a gap. */
  readonly watchingSince: Millis
  /**
   * How far reads lie apart when nothing is wrong but that the store, or this machine, is slow: the
   * most of the last ones, fading.
   */
  readonly pace: Millis
  /** The primary's epoch at the last read, and since when; one that was there first is old. */
  readonly epoch: Epoch | ""
  readonly epochAt: Millis
  /** The primary at the last read, and in how many epochs it was put back without serving since. */
  readonly master: DBUID
  readonly revivals: number
  readonly keepers: Voices
  /** Leases by the infos in the store, believed or not (L3). */
  readonly claims: Claims
  readonly sentinels: ReadonlyMap<SentinelUID, Seen<SentinelInfo>>
  /** Keepers that were paused at the last read, by name or with the cluster. */
  readonly paused: ReadonlySet<KeeperUID>
  /** When the last pause of a keeper ended: nobody was silent before that. */
  readonly resumed: ReadonlyMap<KeeperUID, Millis>
  /** Keepers of the document last read. */
  readonly listed: ReadonlySet<KeeperUID>
  readonly proxies: ReadonlyMap<ProxyUID, Seen<ProxyInfo>>
  /** DBs that are not reported healthy, and since when. */
  readonly ailing: ReadonlyMap<DBUID, Millis>
  /** DBs whose present generation is not applied yet, and since when. */
  readonly converging: ReadonlyMap<DBUID, Pending>
  /** How often in a row a standby reported the same position (canSync). */
  readonly stalled: ReadonlyMap<DBUID, Stalled>
  readonly fence: Fence | null
  readonly phase: Phase | null
  /** Keepers on which initialisation failed: others go first. Moves with a committed write. */
  readonly failedInit: ReadonlySet<KeeperUID>
  /**
   * What was last said of a lasting condition, so that it is said once. Moves with a committed
   * write.
   */
  readonly said: ReadonlyMap<string, string>
  readonly writtenAt: Millis | null
}
export interface Pending {
  readonly generation: Generation
  readonly since: Millis
}
export interface Stalled {
  readonly infoUID: InfoUID
  readonly position: bigint
  readonly times: number
}
/** How far a switchover was at the last read, and since when it is there. */
export interface Phase {
  readonly nonce: Nonce
  readonly phase: string
  readonly since: Millis
}

export const emptyMemory: Memory = {
  readAt: null,
  watchingSince: millis(0),
  pace: millis(0),
  epoch: "",
  epochAt: millis(-Infinity),
  master: noDB,
  revivals: 0,
  keepers: new Map(),
  claims: new Map(),
  sentinels: new Map(),
  paused: new Set(),
  resumed: new Map(),
  listed: new Set(),
  proxies: new Map(),
  ailing: new Map(),
  converging: new Map(),
  stalled: new Map(),
  fence: null,
  phase: null,
  failedInit: new Set(),
  said: new Map(),
  writtenAt: null,
}

/** A read failed: whatever is silent from now on may be silent only to us. */
export const interrupt = (memory: Memory): Memory => ({ ...memory, readAt: null })

/**
 * Silence that makes somebody fail. Go adds up to one sleepInterval before its timer starts; a
 * failInterval shorter than two heartbeats would see ghosts, and so would one that is shorter than
 * two of our own rounds: whoever publishes through the same store is as slow as we are.
 */
export function silenceLimit(spec: FullSpec, pace: Millis): Millis {
  const [fail, sleep] = [toMillis(spec.failInterval), toMillis(spec.sleepInterval)]
  return millis(Math.max(fail >= 2 * sleep ? fail : fail + 2 * sleep, 2 * pace))
}

/**
 * Time without a successful read that counts as a gap: well below what makes anybody fail, and more
 * than a round takes, or a leader whose rounds are slow would forget everything in each.
 */
const gapLimit = (spec: FullSpec, pace: Millis): number => {
  const [sleep, fail] = [toMillis(spec.sleepInterval), toMillis(spec.failInterval)]
  return Math.max(2 * sleep, Math.min(1000, fail / 2), 1.5 * pace)
}
/** A sentinel that was frozen for an hour is not slow. */
const paceMax = 30_000
const paceAfter = ({ readAt, pace }: Memory, mono: Millis): Millis =>
  readAt === null ? pace : millis(Math.min(paceMax, Math.max(mono - readAt, pace / 2)))

/** Takes one successful read in. `fenced` is settled later in the round, from the facts. */
export function watch(memory: Memory, snapshot: Snapshot, now: Now): Memory {
  const spec = withDefaults(snapshot.data.cluster.spec)
  const { mono } = now
  const gap = memory.readAt === null || mono - memory.readAt > gapLimit(spec, memory.pace)
  const begin = begun(gap ? restarted(memory, mono) : memory, snapshot.data, mono)
  const base = resumed(begin, snapshot.data, gapLimit(spec, memory.pace), mono)
  const { infos, data } = snapshot
  const patience = millis(0.75 * silenceLimit(spec, memory.pace))
  const beat = millis(Math.min(patience, 1.5 * Math.max(toMillis(spec.sleepInterval), memory.pace)))
  const published = see(base.keepers, infos.keepers, mono, (last, info) =>
    listen(last, info, { data, patience, beat, mono }),
  )
  const claims = hearClaims(base.claims, infos.keepers, mono)
  const keepers = unheard(published, (uid) => base.listed.has(uid) && !data.keepers.has(uid))
  return {
    ...base,
    readAt: mono,
    watchingSince: gap ? mono : memory.watchingSince,
    pace: paceAfter(memory, mono),
    revivals: serves(data, keepers) ? 0 : base.revivals,
    keepers,
    claims,
    sentinels: see(base.sentinels, infos.sentinels, mono, (last, info) =>
      heardOf(last, info, mono),
    ),
    listed: new Set(data.keepers.keys()),
    // what a gap ends with may have been said before it, and expire any moment (P6)
    proxies: see(base.proxies, infos.proxies, mono, (last, info) => {
      const seen = heardOf(last, info, mono)
      return gap ? { ...seen, heard: false } : seen
    }),
    ailing: timers(data, base.ailing, (db) => !reportsHealthy(db, keepers), mono),
    converging: pendings(data, base.converging, keepers, mono),
    stalled: stalls(data, base.stalled, keepers),
    fence: noteFence(data, base.fence, claims, mono),
    phase: phaseOf(data, base.phase, mono),
  }
}

/**
 * Somebody removed these keepers since the last read: what they had published by then may be their
 * last words, so it does not bring them back. The next word does (5.3 R3).
 */
const unheard = (keepers: Voices, removed: (uid: KeeperUID) => boolean): Voices =>
  new Map([...keepers].map(([uid, seen]) => [uid, removed(uid) ? { ...seen, heard: false } : seen]))

/** A primary that begins a new epoch, promoted or reinstated, gets the time to start. */
function begun(memory: Memory, data: ClusterData, mono: Millis): Memory {
  const { primaryEpoch: epoch, master } = data.cluster.status
  if (epoch === memory.epoch) return memory
  const without = <V>(map: ReadonlyMap<DBUID, V>): ReadonlyMap<DBUID, V> =>
    new Map([...map].filter(([uid]) => uid !== master))
  const { ailing, converging } = memory
  const first = memory.epoch === ""
  return {
    ...memory,
    epoch,
    epochAt: first ? memory.epochAt : mono,
    master,
    revivals: !first && master === memory.master ? memory.revivals + 1 : 0,
    ailing: without(ailing),
    converging: without(converging),
  }
}

/** It is up, and clients get through to it: the epochs before led somewhere. */
function serves({ cluster, proxy, dbs }: ClusterData, keepers: Voices): boolean {
  const { master, primaryRevoked } = cluster.status
  const db = dbs.get(master)
  const open = proxy.spec.masterDbUid === master && !primaryRevoked
  return open && db !== undefined && reportsHealthy(db, keepers)
}

/**
 * How long the primary may take to get up. Whoever was put back in vain is given more time with
 * each epoch: a recovery that is ended every few seconds never comes to its end (W7).
 */
export function patienceFor(spec: FullSpec, failInterval: Millis, { revivals }: Memory): Millis {
  const most = Math.max(failInterval, toMillis(spec.convergenceTimeout))
  return millis(Math.min(most, failInterval * 2 ** Math.min(revivals, revivalsMax)))
}
const revivalsMax = 10

const restarted = (memory: Memory, mono: Millis): Memory => ({
  ...memory,
  keepers: mapValues(memory.keepers, (seen) => ({ ...seen, ...unheardSince(mono) })),
  // whatever is read next is first seen then
  claims: mapValues(memory.claims, (claim) => ({ ...claim, infoUID: infoUID("") })),
  sentinels: mapValues(memory.sentinels, (seen) => ({ ...seen, ...unheardSince(mono) })),
  proxies: mapValues(memory.proxies, (seen) => ({ ...seen, ...unheardSince(mono) })),
  ailing: mapValues(memory.ailing, () => mono),
  converging: mapValues(memory.converging, (pending) => ({ ...pending, since: mono })),
  fence: memory.fence && restartFence(memory.fence, mono),
})

const unheardSince = (mono: Millis): Pick<Seen<unknown>, "since" | "previous" | "heard"> => ({
  since: mono,
  previous: millis(-Infinity),
  heard: false,
})

const mapValues = <K, V>(map: ReadonlyMap<K, V>, change: (value: V) => V): ReadonlyMap<K, V> =>
  new Map([...map].map(([key, value]) => [key, change(value)]))

/**
 * A publisher that vanished stays known with its last info: an expired key proves nothing more than
 * silence does. Whoever has been gone for long is forgotten, so that the map does not grow for
 * ever.
 */
function see<U, Info, Last extends Seen<Info>>(
  before: ReadonlyMap<U, Last>,
  infos: ReadonlyMap<U, Info>,
  mono: Millis,
  hear: (last: Last | undefined, info: Info) => Last,
): ReadonlyMap<U, Last> {
  const after = new Map([...before].filter(([, seen]) => mono - seen.since < forgetAfter))
  for (const [uid, info] of infos) after.set(uid, hear(before.get(uid), info))
  return after
}
const forgetAfter = millis(3_600_000)

function heardOf<Info extends { readonly infoUID: InfoUID }>(
  last: Seen<Info> | undefined,
  info: Info,
  mono: Millis,
): Seen<Info> {
  if (last?.infoUID === info.infoUID) return { ...last, info }
  const previous = last === undefined ? millis(-Infinity) : last.since
  return { infoUID: info.infoUID, info, since: mono, previous, heard: last !== undefined }
}

/** The state that a keeper publishes of this very DB. */
export const stateOf = (db: DB, keepers: Memory["keepers"]): PostgresState | undefined => {
  const state = keepers.get(db.spec.keeperUID)?.info.postgresState
  return state?.uid === db.uid ? state : undefined
}
/**
 * Healthy, and the system that this DB has always been: another one in its place is as good as none
 * (W3).
 */
export function reportsHealthy(db: DB, keepers: Memory["keepers"]): boolean {
  const state = stateOf(db, keepers)
  const { systemdID } = db.status
  const foreign =
    systemdID !== "" && state !== undefined && state.systemID !== "" && state.systemID !== systemdID
  return state?.healthy === true && !foreign
}

function timers(
  data: ClusterData,
  before: ReadonlyMap<DBUID, Millis>,
  runs: (db: DB) => boolean,
  mono: Millis,
): ReadonlyMap<DBUID, Millis> {
  const after = new Map<DBUID, Millis>()
  for (const db of data.dbs.values()) if (runs(db)) after.set(db.uid, before.get(db.uid) ?? mono)
  return after
}

/** A copy that its keeper never reported as made (5.5, D-24). */
export const isCopying = (db: DB): boolean =>
  db.spec.initMode === "resync" && db.status.currentGeneration === 0

function pendings(
  data: ClusterData,
  before: ReadonlyMap<DBUID, Pending>,
  keepers: Memory["keepers"],
  mono: Millis,
): ReadonlyMap<DBUID, Pending> {
  const after = new Map<DBUID, Pending>()
  for (const db of data.dbs.values()) {
    if (stateOf(db, keepers)?.generation === db.generation) continue
    const last = before.get(db.uid)
    // what is in the making began once, however often its specification changes meanwhile
    const unborn = db.status.currentGeneration === 0
    const same = last?.generation === db.generation
    const since = last !== undefined && (same || unborn) ? last.since : mono
    after.set(db.uid, { generation: db.generation, since })
  }
  return after
}

function stalls(
  data: ClusterData,
  before: ReadonlyMap<DBUID, Stalled>,
  keepers: Memory["keepers"],
): ReadonlyMap<DBUID, Stalled> {
  const after = new Map<DBUID, Stalled>()
  for (const db of data.dbs.values()) {
    const seen = keepers.get(db.spec.keeperUID)
    const state = stateOf(db, keepers)
    if (seen === undefined || state === undefined) continue
    const last = before.get(db.uid)
    if (last === undefined || last.position !== state.xLogPos)
      after.set(db.uid, { infoUID: seen.infoUID, position: state.xLogPos, times: 0 })
    else if (last.infoUID === seen.infoUID) after.set(db.uid, last)
    else after.set(db.uid, { ...last, infoUID: seen.infoUID, times: last.times + 1 })
  }
  return after
}

function phaseOf(data: ClusterData, before: Phase | null, mono: Millis): Phase | null {
  const { switchover } = data.cluster.status
  if (switchover === undefined) return null
  const { nonce, phase } = switchover
  return before?.nonce === nonce && before.phase === phase ? before : { nonce, phase, since: mono }
}
