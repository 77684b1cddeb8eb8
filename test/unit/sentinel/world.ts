/**
 * A cluster seen by one leader, in a test: keepers and proxies publish what the test says, time
 * moves when the test says, and each tick is one round of the real brain on the document that the
 * last round wrote. Nothing waits.
 */
import { expect } from "bun:test"
import { type Millis, type Time, millis } from "#base/brand.ts"
import { lsn } from "#base/lsn.ts"
import {
  type ClusterData,
  type DB,
  decodeClusterData,
  encodeClusterData,
  newClusterData,
} from "#model/cluster.ts"
import { decodeJson } from "#model/codec.ts"
import type { Event, EventCode } from "#model/events.ts"
import type {
  ClusterUID,
  DBUID,
  Generation,
  InfoUID,
  KeeperUID,
  Nonce,
  ProxyUID,
  SentinelUID,
} from "#model/ids.ts"
import {
  type Certificate,
  KeeperInfo,
  type PostgresState,
  PostgresState as PostgresStateKind,
  ProxyInfo,
  SentinelInfo,
  capabilities,
} from "#model/info.ts"
import { type Spec, emptySpec } from "#model/spec.ts"
import { duration } from "#base/duration.ts"
import { type Decision, decide } from "#sentinel/decide.ts"
import { type Memory, type Snapshot, emptyMemory, watch } from "#sentinel/memory.ts"
import { brokenRules } from "#sentinel/invariants.ts"

export const testSpec: Spec = {
  ...emptySpec,
  initMode: "new",
  sleepInterval: duration(1000),
  failInterval: duration(3000),
  proxyTimeout: duration(3000),
  proxyCheckInterval: duration(1000),
  convergenceTimeout: duration(10_000),
  initTimeout: duration(20_000),
}

interface Machine {
  alive: boolean
  postgres: boolean
  canBeMaster: boolean
  canSync: boolean
  obeys: boolean
  position: bigint
  timeline: number
  history: PostgresState["timelinesHistory"]
  systemID: string
  inRecovery: boolean | null
  /** Its WAL receiver is connected. */
  streaming: boolean
  /** Which generation it says it applied; null = whatever the view wants. */
  stuckAt: number | null
  syncStandbys: DBUID[]
  parameters: ReadonlyMap<string, string>
  certificate: Certificate | null
  /** Its disk is empty: it holds no DB, until it is told to make one. */
  lost: boolean
  /** It publishes nothing new; its last info stays in the store. */
  mute: boolean
  boot: string
  /** The cluster that it belongs to, when that is another one. */
  cluster: ClusterUID | null
  /** Another machine speaks in its name, which has no data of this cluster. */
  stranger: boolean
  olderWalFile: string
  walSegmentSize: number
  /** Wishes that it says it has fulfilled. */
  handled: Nonce[]
  /** What it is able to do besides the first rules, and says besides the rest. */
  able: string[]
  says: Partial<KeeperInfo>
  reports: Partial<PostgresState>
}

export class World {
  data: ClusterData
  memory: Memory = emptyMemory
  mono = 1_000_000
  /** By how much the wall clock is wrong. */
  skew = 0
  readonly machines = new Map<string, Machine>()
  readonly proxies = new Map<
    string,
    {
      alive: boolean
      acknowledges: boolean
      generation: number
      /** It publishes nothing new; its last info stays in the store. */
      frozen?: boolean
      /** Ours, not Go's. */
      bounded: boolean
      said?: ProxyInfo
    }
  >()
  readonly sentinels = new Map<string, { mute: boolean; says: Partial<SentinelInfo> }>()
  readonly events: Event[] = []
  /** The last decision, with what it waits for. */
  last: Decision | null = null
  /** The document is wrong on purpose; `broken` says what the last round found. */
  mayBreak = false
  broken: readonly string[] = []
  private serial = 0
  private readonly published = new Map<KeeperUID, KeeperInfo>()

  constructor(spec: Partial<Spec> = {}) {
    this.data = newClusterData("c0ffee00" as ClusterUID, { ...testSpec, ...spec }, this.wall())
  }

  keeper(...uids: string[]): this {
    for (const uid of uids)
      this.machines.set(uid, {
        alive: true,
        postgres: true,
        canBeMaster: true,
        canSync: true,
        obeys: true,
        position: 1000n,
        timeline: 1,
        history: [],
        systemID: "7000000000000000001",
        inRecovery: null,
        streaming: true,
        stuckAt: null,
        syncStandbys: [],
        parameters: new Map(),
        certificate: null,
        lost: false,
        mute: false,
        boot: `boot-${uid}`,
        cluster: null,
        stranger: false,
        olderWalFile: "",
        walSegmentSize: 0,
        handled: [],
        able: [],
        says: {},
        reports: {},
      })
    return this
  }
  proxy(...uids: string[]): this {
    for (const uid of uids)
      this.proxies.set(uid, { alive: true, acknowledges: true, generation: 0, bounded: true })
    return this
  }
  machine(uid: string): Machine {
    const machine = this.machines.get(uid)
    if (machine === undefined) throw new Error(`no keeper ${uid}`)
    return machine
  }
  set(uid: string, change: Partial<Machine>): this {
    Object.assign(this.machine(uid), change)
    return this
  }
  /** Sentinels that publish, the leader among them. */
  sentinel(...names: string[]): this {
    for (const name of names) this.sentinels.set(name, { mute: false, says: {} })
    return this
  }
  /** What the view says beyond the names that Go knows. */
  get state(): ClusterData["cluster"]["status"] {
    return this.data.cluster.status
  }
  spec(change: Partial<Spec>): this {
    this.data = {
      ...this.data,
      cluster: { ...this.data.cluster, spec: { ...this.data.cluster.spec, ...change } },
    }
    return this
  }
  status(change: Partial<ClusterData["cluster"]["status"]>): this {
    this.data = {
      ...this.data,
      cluster: { ...this.data.cluster, status: { ...this.data.cluster.status, ...change } },
    }
    return this
  }
  forceFail(uid: string): this {
    const keeper = this.data.keepers.get(uid as KeeperUID)
    if (keeper === undefined) throw new Error(`no keeper ${uid} in the document`)
    const failed = { ...keeper, status: { ...keeper.status, forceFail: true } }
    this.data = { ...this.data, keepers: new Map(this.data.keepers).set(keeper.uid, failed) }
    return this
  }

  /** What `ctl removekeeper` does. */
  removeKeeper(uid: string): this {
    const keepers = new Map(this.data.keepers)
    keepers.delete(uid as KeeperUID)
    const dbs = [...this.data.dbs].filter(([, db]) => db.spec.keeperUID !== uid)
    this.data = { ...this.data, keepers, dbs: new Map(dbs) }
    return this
  }

  /** The keeper's DB. */
  db(keeper: string): DB {
    const found = [...this.data.dbs.values()].find((db) => db.spec.keeperUID === keeper)
    if (found === undefined) throw new Error(`keeper ${keeper} has no DB`)
    return found
  }
  uid = (keeper: string): DBUID => this.db(keeper).uid
  hasDB = (keeper: string): boolean =>
    [...this.data.dbs.values()].some((db) => db.spec.keeperUID === keeper)
  primary(): string {
    return this.data.dbs.get(this.data.cluster.status.master)?.spec.keeperUID ?? ""
  }
  gate(): string {
    return this.data.dbs.get(this.data.proxy.spec.masterDbUid)?.spec.keeperUID ?? ""
  }
  revoked = (): boolean => this.data.cluster.status.primaryRevoked

  /**
   * One round: everybody publishes, a second passes, the leader decides. Returns the codes of what
   * happened. Without `commits` somebody else wrote first, and the decision is dropped.
   */
  tick(ms = 1000, commits = true): EventCode[] {
    this.mono += ms
    const before = this.data
    const snapshot = { data: this.data, infos: this.infos() }
    const now = { mono: this.mono as Millis, wall: this.wall() }
    this.memory = watch(this.memory, snapshot, now)
    const decision = decide(snapshot, this.memory, now, this.mono)
    if (decision.output.kind === "broken") {
      if (!this.mayBreak) throw new Error(decision.output.rules.join("; "))
      this.broken = decision.output.rules
      return []
    }
    this.broken = []
    this.last = decision
    if (!commits) return []
    if (decision.output.kind === "write") {
      expect(brokenRules(before, decision.output.data)).toEqual([])
      const text = encodeClusterData(decision.output.data)
      const again = decodeClusterData(text)
      if (again === null) throw new Error("null")
      expect(encodeClusterData(again)).toBe(text)
      this.data = again
    }
    this.memory = decision.memory
    this.events.push(...decision.events)
    return decision.events.map((e) => e.code)
  }
  ticks(n: number, ms = 1000): EventCode[] {
    return Array.from({ length: n }, () => this.tick(ms)).flat()
  }
  /** Ticks until `done`, at most `limit` rounds. */
  until(done: () => boolean, limit = 60, ms = 1000): this {
    for (let i = 0; i < limit; i++) {
      if (done()) return this
      this.tick(ms)
    }
    throw new Error(`not reached after ${limit} rounds: ${encodeClusterData(this.data)}`)
  }
  /** From nothing to a serving cluster with every keeper a good standby. */
  settled(): this {
    return this.until(
      () => this.gate() !== "" && [...this.machines.keys()].every((k) => this.hasDB(k)),
    ).until(() => {
      this.tick()
      return [...this.data.dbs.values()].every(
        (db) => db.status.currentGeneration === db.generation,
      )
    })
  }

  private wall = (): Time => new Date(this.mono + this.skew).toISOString() as Time
  /** What everybody publishes now. */
  infos(): Snapshot["infos"] {
    const keepers = new Map<KeeperUID, KeeperInfo>()
    for (const [uid, machine] of this.machines) {
      if (!machine.alive) continue
      const last = this.published.get(uid as KeeperUID)
      const info = machine.mute && last !== undefined ? last : this.keeperInfo(uid, machine)
      this.published.set(uid as KeeperUID, info)
      keepers.set(uid as KeeperUID, info)
    }
    const proxies = new Map<ProxyUID, ProxyInfo>()
    for (const [uid, proxy] of this.proxies) {
      if (!proxy.alive) continue
      if (proxy.frozen === true && proxy.said !== undefined) {
        proxies.set(uid as ProxyUID, proxy.said)
        continue
      }
      if (proxy.acknowledges) proxy.generation = this.data.proxy.generation
      proxy.said = {
        ...decodeJson(ProxyInfo, {}),
        infoUID: `${this.serial++}` as InfoUID,
        UID: uid as ProxyUID,
        Generation: proxy.generation as Generation,
        ProxyTimeout: 3e9,
        capabilities: proxy.bounded ? [capabilities.boundedView] : [],
      }
      proxies.set(uid as ProxyUID, proxy.said)
    }
    return { keepers, proxies, sentinels: this.sentinelInfos(), broken: [] }
  }
  /** The infoUID of a keeper's last word. */
  wordOf = (uid: string): InfoUID => {
    const info = this.published.get(uid as KeeperUID)
    if (info === undefined) throw new Error(`keeper ${uid} has said nothing`)
    return info.infoUID
  }
  private readonly spoken = new Map<SentinelUID, SentinelInfo>()
  private sentinelInfos(): ReadonlyMap<SentinelUID, SentinelInfo> {
    for (const [name, { mute, says }] of this.sentinels) {
      const uid = name as SentinelUID
      const last = this.spoken.get(uid)
      if (mute && last !== undefined) continue
      const infoUID = `${this.serial++}` as InfoUID
      this.spoken.set(uid, { ...decodeJson(SentinelInfo, {}), UID: uid, infoUID, ...says })
    }
    return new Map([...this.spoken].filter(([uid]) => this.sentinels.has(uid)))
  }
  private keeperInfo(uid: string, machine: Machine): KeeperInfo {
    const state =
      this.hasDB(uid) && !machine.stranger ? this.postgresState(uid, machine) : undefined
    return {
      ...decodeJson(KeeperInfo, {}),
      infoUID: `${this.serial++}` as InfoUID,
      uid: uid as KeeperUID,
      clusterUID: machine.cluster ?? this.data.cluster.uid,
      bootUUID: machine.boot as KeeperInfo["bootUUID"],
      canBeMaster: machine.canBeMaster,
      canBeSynchronousReplica: machine.canSync,
      capabilities: machine.obeys
        ? [capabilities.certificate, capabilities.obeysMaster, capabilities.wishes, ...machine.able]
        : [],
      handled: machine.handled,
      ...machine.says,
      ...(state === undefined ? {} : { postgresState: state }),
      ...(machine.certificate === null ? {} : { certificate: machine.certificate }),
    }
  }
  private postgresState(uid: string, machine: Machine): PostgresState {
    const db = this.db(uid)
    const isPrimary = this.data.cluster.status.master === db.uid
    if (machine.lost && db.spec.initMode === "none") return decodeJson(PostgresStateKind, {})
    return {
      ...decodeJson(PostgresStateKind, {}),
      uid: db.uid,
      generation: (machine.stuckAt ?? db.generation) as Generation,
      listenAddress: "10.0.0.1",
      port: "5432",
      healthy: machine.postgres,
      systemID: machine.systemID,
      timelineID: machine.timeline,
      timelinesHistory: machine.history,
      xLogPos: lsn(machine.position),
      inRecovery: machine.inRecovery ?? !isPrimary,
      streaming: machine.streaming && !isPrimary,
      synchronousStandbys: machine.syncStandbys,
      pgParameters: machine.parameters,
      olderWalFile: machine.olderWalFile,
      hasData: !machine.lost,
      walSegmentSize: machine.walSegmentSize,
      ...machine.reports,
    }
  }
}

/** The primary reports in sync whoever it is told to wait for and is up, as PostgreSQL would. */
export function reportSync(w: World): void {
  const primary = w.primary()
  const wanted = w.db(primary).spec.synchronousStandbys ?? []
  const up = [...w.machines]
    .filter(([k, m]) => m.alive && m.postgres && w.hasDB(k))
    .map(([k]) => w.uid(k))
  w.set(primary, { syncStandbys: wanted.filter((uid) => up.includes(uid)) })
}
/** Rounds in which synchronous replication works. */
export function run(w: World, n: number): World {
  for (let i = 0; i < n; i++) {
    reportSync(w)
    w.tick()
  }
  return w
}
/** A synchronous cluster at rest. */
export const cluster = (spec: Partial<Spec> = {}, ...keepers: string[]): World =>
  run(
    world({ synchronousReplication: true, ...spec })
      .keeper(...(keepers.length > 0 ? keepers : ["k1", "k2", "k3"]))
      .settled(),
    5,
  )
export const names = (w: World, keeper: string) => ({
  wanted: w.db(keeper).spec.synchronousStandbys,
  confirmed: w.db(keeper).status.synchronousStandbys,
  external: w.db(keeper).spec.externalSynchronousStandbys,
})
/** PostgreSQL of this keeper, primary in the present epoch, stopped in good order. */
export const certify = (w: World, keeper: string): Certificate => ({
  epoch: w.data.cluster.status.primaryEpoch,
  bootUUID: "" as Certificate["bootUUID"],
  dbuid: w.uid(keeper),
  finalLSN: lsn(w.machine(keeper).position),
  reason: "revoked",
})

/** It claims a lease, as a keeper of ours that fences itself. */
export const fenced = (lease: number): Partial<KeeperInfo> => ({
  fencing: { lease: duration(lease) },
})

export const world = (spec: Partial<Spec> = {}): World => new World(spec)
export const ms = (n: number): Millis => millis(n)
