/**
 * A leading Go sentinel, scripted from reference section 5 with its defects: rule by rule, by their
 * numbers there. One `check` is one round: document and infos in, the text to be written out.
 *
 * It changes a copy of the document in place, one rule after the other, because that is how the
 * rules are told: later ones see what earlier ones did. Only tests may use it, and nothing in it
 * may be learnt from our own sentinel.
 */
import { isDeepStrictEqual } from "node:util"
import { byText } from "#base/order.ts"
import type { Random } from "#base/random.ts"
import { GoPanic, make } from "./codec.ts"
import {
  type GoData,
  type GoKeeperInfo,
  type GoProxyInfo,
  GoDB,
  GoDBSpec,
  GoKeeper,
  readGo,
  writeGo,
} from "./documents.ts"
import { convergence, external, isMaster } from "./judge.ts"
import { normal } from "./normal.ts"
import { type Filled, filled, invalid } from "./spec.ts"

/** Infos as a Go sentinel read them: by the UID inside. */
export interface GoInfos {
  readonly keepers: ReadonlyMap<string, GoKeeperInfo>
  readonly proxies: ReadonlyMap<string, GoProxyInfo>
}

/** What a Go leader remembers; empty again whenever leadership changes (5.2 step 6, D-27). */
export interface GoMemory {
  firstRun: boolean
  readonly keeperErrors: Map<string, number>
  readonly dbErrors: Map<string, number>
  readonly notIncreasing: Map<string, number>
  readonly keepers: Map<string, { infoUID: string; seen: boolean; timer: number }>
  readonly proxies: Map<string, { infoUID: string; timer: number }>
  /** Convergence infos: since when a DB has been asked for this generation. */
  readonly convergence: Map<string, { generation: number; timer: number }>
  /** What the keepers report as in sync now; never serialised. */
  readonly current: Map<string, string[]>
}

export const newGoMemory = (): GoMemory => ({
  firstRun: true,
  keeperErrors: new Map(),
  dbErrors: new Map(),
  notIncreasing: new Map(),
  keepers: new Map(),
  proxies: new Map(),
  convergence: new Map(),
  current: new Map(),
})

/** What the rules of one round share. */
export interface GoRound {
  /** As it was read. */
  readonly old: GoData
  /** Becomes what is written. */
  readonly data: GoData
  readonly spec: Filled
  readonly memory: GoMemory
  readonly random: Random
  readonly mono: number
  readonly wall: string
  readonly log: string[]
}

export interface GoNow {
  readonly mono: number
  readonly wall: string
}

/** What came of a check: text to be written, or nothing and why. */
export type GoCheck =
  | { readonly kind: "write"; readonly text: string; readonly log: readonly string[] }
  | { readonly kind: "nothing"; readonly why: string }

/** One check of a leader (5.2 from step 6 on). Throws `GoPanic` where Go's process ends. */
export function check(
  source: string | null,
  infos: GoInfos,
  memory: GoMemory,
  now: GoNow,
  random: Random,
): GoCheck {
  const old = readGo(source)
  if (old === null) return { kind: "nothing", why: "no cluster data available" }
  if (old.formatVersion !== 1) return { kind: "nothing", why: "unsupported format version" }
  const rule = invalid(old)
  if (rule !== null) return { kind: "nothing", why: rule }
  const data = structuredClone(old)
  const spec = filled(data.cluster.spec)
  const round: GoRound = { old, data, spec, memory, random, ...now, log: [] }
  if (memory.firstRun) remember(round)
  updateKeepers(round, infos)
  const active = activeProxies(round, infos)
  memory.firstRun = false
  const error =
    data.cluster.status.phase === "initializing" ? initialize(round) : normal(round, active)
  if (error !== null) return { kind: "nothing", why: error }
  copySpec(round)
  generations(round)
  stamp(round)
  remember(round)
  return { kind: "write", text: writeGo(data), log: round.log }
}

/** 5.2 step 9 and 6: also when the write is lost afterwards (D-22). */
function remember({ data, memory, mono }: GoRound): void {
  for (const uid of [...memory.convergence.keys()])
    if (!data.dbs.has(uid)) memory.convergence.delete(uid)
  for (const db of data.dbs.values()) {
    const known = memory.convergence.get(db.uid)
    if (db.status.currentGeneration === db.generation) memory.convergence.delete(db.uid)
    else if (known?.generation !== db.generation)
      memory.convergence.set(db.uid, { generation: db.generation, timer: mono })
  }
}

/** 5.3. */
function updateKeepers(round: GoRound, infos: GoInfos): void {
  const { data, memory, mono, wall, spec } = round
  const ours = [...infos.keepers.values()].filter((i) => i.clusterUID === data.cluster.uid)
  if (memory.firstRun) {
    for (const { uid, infoUID } of ours)
      memory.keepers.set(uid, { infoUID, seen: false, timer: mono })
    return
  }
  const fresh = new Map(ours.filter((info) => isFresh(round, info)).map((i) => [i.uid, i]))
  for (const info of fresh.values()) {
    if (data.keepers.has(info.uid)) continue
    const keeper = make(GoKeeper, { uid: info.uid, generation: 1 })
    Object.assign(keeper.status, { healthy: true, lastHealthyTime: wall, bootUUID: info.bootUUID })
    data.keepers.set(info.uid, keeper)
  }
  for (const keeper of data.keepers.values()) {
    const info = fresh.get(keeper.uid)
    if (info === undefined) start(memory.keeperErrors, keeper.uid, mono)
    else {
      memory.keeperErrors.delete(keeper.uid)
      keeper.status.canBeMaster = info.canBeMaster
      keeper.status.canBeSynchronousReplica = info.canBeSynchronousReplica
      keeper.status.bootUUID = info.bootUUID
      keeper.status.postgresBinaryVersion = info.postgresBinaryVersion
    }
    const { status: it } = keeper
    it.healthy = within(memory.keeperErrors, keeper.uid, spec.fail, mono) && !it.forceFail
    it.forceFail = false
    if (it.healthy || it.lastHealthyTime.startsWith("0001-")) it.lastHealthyTime = wall
  }
  for (const db of data.dbs.values()) updateDB(round, db, fresh.get(db.spec.keeperUID))
}

/** R3. */
function isFresh({ memory, mono, spec }: GoRound, { uid, infoUID }: GoKeeperInfo): boolean {
  const known = memory.keepers.get(uid)
  if (known?.infoUID === infoUID) return known.seen && mono - known.timer <= spec.sleep
  memory.keepers.set(uid, { infoUID, seen: true, timer: mono })
  return true
}

/** R8, R9. */
function updateDB(round: GoRound, db: GoDB, info: GoKeeperInfo | undefined): void {
  const { memory, mono, spec, data } = round
  const state = info?.postgresState ?? null
  if (state === null || state.uid !== db.uid) start(memory.dbErrors, db.uid, mono)
  else {
    const { status: it } = db
    if (state.xLogPos === it.xLogPos)
      memory.notIncreasing.set(db.uid, (memory.notIncreasing.get(db.uid) ?? 0) + 1)
    else memory.notIncreasing.delete(db.uid)
    it.listenAddress = state.listenAddress
    it.port = state.port
    it.currentGeneration = state.generation
    if (state.healthy) {
      memory.dbErrors.delete(db.uid)
      it.systemdID = state.systemID
      it.timelineID = state.timelineID
      it.xLogPos = state.xLogPos
      it.timelinesHistory = state.timelinesHistory
      it.pgParameters = state.pgParameters
      it.olderWalFile = state.olderWalFile
      memory.current.set(db.uid, state.synchronousStandbys ?? [])
    } else start(memory.dbErrors, db.uid, mono)
  }
  const keeper = data.keepers.get(db.spec.keeperUID)
  if (keeper === undefined) throw new GoPanic(`nil keeper ${db.spec.keeperUID} of db ${db.uid}`)
  db.status.healthy = within(memory.dbErrors, db.uid, spec.fail, mono) && keeper.status.healthy
}

const start = (timers: Map<string, number>, uid: string, mono: number): void => {
  if (!timers.has(uid)) timers.set(uid, mono)
}
const within = (
  timers: ReadonlyMap<string, number>,
  uid: string,
  limit: number,
  mono: number,
): boolean => mono - (timers.get(uid) ?? mono) <= limit

/** 5.4: P1, P2. */
function activeProxies({ memory, mono }: GoRound, { proxies }: GoInfos): GoProxyInfo[] {
  for (const uid of [...memory.proxies.keys()]) if (!proxies.has(uid)) memory.proxies.delete(uid)
  return [...proxies.values()].filter(({ UID, infoUID, ProxyTimeout }) => {
    const known = memory.proxies.get(UID)
    if (known?.infoUID === infoUID) return mono - known.timer <= (2 * ProxyTimeout) / 1e6
    memory.proxies.set(UID, { infoUID, timer: mono })
    return true
  })
}

/** 5.6. An error, or null. */
function initialize(round: GoRound): string | null {
  const { data, spec, random } = round
  const { master } = data.cluster.status
  const mode = spec.initMode ?? ""
  const db = data.dbs.get(master)
  if (master === "") {
    const uids = [...data.keepers.keys()].toSorted(byText)
    const wanted = spec.existingConfig?.keeperUID ?? ""
    if (mode === "existing" && !data.keepers.has(wanted))
      return `keeper "${wanted}" state not available`
    const keeper = mode === "existing" ? wanted : uids[random.below(Math.max(1, uids.length))]
    if (keeper === undefined) return "cannot choose initial master: no keepers registered"
    const first = make(GoDB, { uid: random.uid(), generation: 1 })
    first.spec = make(GoDBSpec, {
      keeperUID: keeper,
      initMode: mode,
      newConfig: mode === "new" ? spec.newConfig : null,
      pitrConfig: mode === "pitr" ? spec.pitrConfig : null,
      role: "master",
      followers: [],
      includePreviousConfig: spec.mergePgParameters,
    })
    if (mode === "pitr" && spec.role === "standby") {
      first.spec.role = "standby"
      first.spec.followConfig = external(spec)
    }
    data.dbs.set(first.uid, first)
    data.cluster.status.master = first.uid
    return null
  }
  if (db === undefined) throw new GoPanic(`nil db ${master}`)
  const limit = mode === "new" ? spec.init : 0
  const state = convergence(round, db, limit)
  if (state === "failed") {
    data.dbs.clear()
    data.cluster.status.master = ""
  }
  if (state !== "converged" || !db.status.healthy) return null
  db.spec.initMode = "none"
  db.spec.includePreviousConfig = false
  if (spec.mergePgParameters) data.cluster.spec.pgParameters = db.status.pgParameters
  data.cluster.status.phase = "normal"
  return null
}

/** 5.9. */
function copySpec({ data }: GoRound): void {
  const spec = filled(data.cluster.spec)
  for (const db of data.dbs.values()) {
    db.spec.requestTimeout = spec.requestTimeout
    db.spec.maxStandbys = spec.maxStandbys
    db.spec.usePgrewind = spec.usePgrewind
    db.spec.pgParameters = spec.pgParameters
    db.spec.pgHBA = spec.pgHBA
    db.spec.additionalWalSenders = spec.additionalWalSenders
    db.spec.additionalReplicationSlots = isMaster(db) ? spec.additionalMasterReplicationSlots : null
    if (db.spec.followConfig?.type === "external") db.spec.followConfig = external(spec)
  }
}

/** G5: deep comparison, where nil differs from empty. */
function generations({ old, data }: GoRound): void {
  for (const db of data.dbs.values()) {
    const before = old.dbs.get(db.uid)
    if (before !== undefined && !isDeepStrictEqual(asDecoded(before.spec), asDecoded(db.spec)))
      db.generation++
  }
}
/** Fields with omitempty come back nil from a document, however they were set (3.4, 9). */
const asDecoded = (spec: GoDBSpec): GoDBSpec =>
  spec.pgParameters?.size === 0 ? { ...spec, pgParameters: null } : spec

/** 5.2 step 8. */
function stamp({ old, data, wall }: GoRound): void {
  data.changeTime = wall
  if (!isDeepStrictEqual(old.cluster, data.cluster)) data.cluster.changeTime = wall
  if (!isDeepStrictEqual(old.proxy, data.proxy)) data.proxy.changeTime = wall
  for (const [uid, keeper] of data.keepers)
    if (!isDeepStrictEqual(old.keepers.get(uid), keeper)) keeper.changeTime = wall
  for (const [uid, db] of data.dbs)
    if (!isDeepStrictEqual(old.dbs.get(uid), db)) db.changeTime = wall
}
