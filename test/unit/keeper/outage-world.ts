/**
 * Three keepers with their real loops on one virtual clock, for store outages: a store that each of
 * them reaches or not, a network between them, guardians that keep their word. After every step of
 * time it looks whether two of them take writes.
 */
import { type Millis, type Time, millis } from "#base/brand.ts"
import { duration } from "#base/duration.ts"
import { runKeeper } from "#agent/keeper.ts"
import type { ClusterData, Electable } from "#model/cluster.ts"
import type { Event } from "#model/events.ts"
import { type KeeperUID, dbUID, generation, keeperUID, nonce } from "#model/ids.ts"
import type { KeeperInfo } from "#model/info.ts"
import type { Clock } from "#port/clock.ts"
import type { PeerHandlers, Peers } from "#port/peer.ts"
import type { Postgres } from "#port/postgres.ts"
import { type Store, StoreError } from "#port/store.ts"
import { realChance } from "#system/chance.ts"
import { boot, db, settings, view } from "./build.ts"
import { type Machine, apply, dir, emptyMachine, observe, stopped } from "./model.ts"

const settle = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))
export const names = ["k1", "k2", "k3"] as const
export type Name = (typeof names)[number]

export const failInterval = 3_000
/** L. */
export const lease = failInterval - 500

interface Sleeper {
  readonly due: number
  readonly of: Process | null
  readonly wake: () => void
}

/** One life of a keeper. */
interface Process {
  readonly node: Node
  /** Nothing of it runs: killed, or stopped by a signal. */
  halted: boolean
  readonly thaw: (() => void)[]
  readonly shutdown: AbortController
  handlers: PeerHandlers | null
}

export interface Node {
  readonly uid: KeeperUID
  /** How fast its clock runs. */
  rate: number
  machine: Machine
  /** What its guardian was told: until when, on its own clock, and whether that is a lease. */
  until: number
  leased: boolean
  store: boolean
  /** Reads are answered, writes are not (a store without space). */
  readOnly: boolean
  /** What it answers to questions is lost. */
  mute: boolean
  /** Questions to it are lost. */
  deaf: boolean
  /** How long writing a promise takes. */
  disk: number
  process: Process | null
  readonly events: Event[]
  readonly published: KeeperInfo[]
  /** When its last info came in. */
  heard: number
}

export class World {
  time = 0
  /** From keeper to keeper, one way. */
  latency = 1
  /** Questions that were sent. */
  questions = 0
  view: ClusterData
  readonly infos = new Map<KeeperUID, KeeperInfo>()
  readonly nodes = new Map<Name, Node>()
  readonly broken: string[] = []
  private readonly sleepers = new Set<Sleeper>()
  private readonly all: Process[] = []
  private readonly watchers = new Set<() => void>()

  constructor(
    electable: readonly string[] | null,
    change: Partial<Parameters<typeof view>[0]> = {},
  ) {
    this.view = outageView(electable, change)
    for (const name of names)
      this.nodes.set(name, {
        uid: keeperUID(name),
        rate: 1,
        machine: machineOf(name),
        until: Number.NEGATIVE_INFINITY,
        leased: false,
        store: true,
        readOnly: false,
        mute: false,
        deaf: false,
        disk: 5,
        process: null,
        events: [],
        published: [],
        heard: 0,
      })
  }

  node(name: Name): Node {
    const node = this.nodes.get(name)
    if (node === undefined) throw new Error(name)
    return node
  }

  now = (node: Node): Millis => millis(1_000_000 + node.rate * this.time)

  start(name: Name): void {
    const node = this.node(name)
    const process: Process = {
      node,
      halted: false,
      thaw: [],
      shutdown: new AbortController(),
      handlers: null,
    }
    node.process = process
    this.all.push(process)
    const { boot: _, ...rest } = settings
    void runKeeper(
      {
        store: this.store(process),
        postgres: this.postgres(process),
        peers: this.peers(process),
        endpoint: {
          address: `${name}:7000`,
          answer: (handlers) => {
            process.handlers = handlers
          },
          [Symbol.asyncDispose]: async () => {},
        },
        clock: this.clock(process),
        chance: realChance,
        log: { event: (event) => void node.events.push(event) },
      },
      { ...rest, uid: node.uid, report: () => {} },
      process.shutdown.signal,
    )
  }

  /** SIGSTOP. */
  freeze(name: Name): void {
    const { process } = this.node(name)
    if (process !== null) process.halted = true
  }

  thaw(name: Name): void {
    const { process } = this.node(name)
    if (process === null) return
    process.halted = false
    for (const resume of process.thaw.splice(0)) resume()
  }

  /** SIGKILL: nothing of this life goes on; the guardian does. */
  kill(name: Name): void {
    this.freeze(name)
    this.node(name).process = null
  }

  /** The leader's next word. */
  decide(next: ClusterData): void {
    this.view = next
    for (const changed of this.watchers) changed()
  }

  async advance(ms: number): Promise<void> {
    await settle()
    const end = this.time + ms
    for (;;) {
      const due = [...this.sleepers].filter(({ of }) => of?.halted !== true)
      const next = Math.min(end, ...due.map((one) => one.due), ...this.deadlines())
      this.time = Math.max(this.time, next)
      this.guard()
      for (const sleeper of due)
        if (sleeper.due <= this.time && sleeper.of?.halted !== true) {
          this.sleepers.delete(sleeper)
          sleeper.wake()
        }
      await settle()
      this.guard()
      if (this.time >= end && !this.pending()) return
    }
  }

  /** Advances until it holds; throws after `most`. */
  async until(condition: () => boolean, what: string, most = 10_000): Promise<void> {
    const end = this.time + most
    while (!condition()) {
      if (this.time >= end)
        throw new Error(`never: ${what}\n${[...this.nodes.values()].map(described).join("\n")}`)
      await this.advance(20)
    }
  }

  takesWrites = (name: Name): boolean => {
    const node = this.node(name)
    const { server } = node.machine
    return server !== null && server.ready && !server.inRecovery && this.now(node) < node.until
  }

  async end(): Promise<void> {
    for (const process of this.all) process.shutdown.abort()
    await this.advance(100)
  }

  private pending(): boolean {
    return [...this.sleepers].some(({ due, of }) => due <= this.time && of?.halted !== true)
  }

  /** When guardians act. */
  private deadlines(): readonly number[] {
    return [...this.nodes.values()]
      .filter(({ machine }) => machine.server !== null)
      .map((node) => (node.until - 1_000_000) / node.rate)
      .filter((at) => at > this.time)
  }

  private guard(): void {
    for (const node of this.nodes.values())
      if (node.machine.server !== null && this.now(node) >= node.until)
        node.machine = stopped(node.machine, false)
    const writing = names.filter((name) => this.takesWrites(name))
    if (writing.length > 1) this.broken.push(`${this.time}: ${writing.join()} take writes`)
  }

  /** Nothing reaches a halted process, and nothing leaves it. */
  private async alive(process: Process): Promise<void> {
    while (process.halted) await new Promise<void>((resolve) => process.thaw.push(resolve))
  }

  private sleep(ms: number, of: Process | null, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const sleeper = { due: this.time + ms, of, wake: resolve }
      this.sleepers.add(sleeper)
      signal.addEventListener("abort", () => {
        this.sleepers.delete(sleeper)
        reject(signal.reason)
      })
    })
  }

  private clock(process: Process): Clock {
    const { node } = process
    return {
      now: () => ({ mono: this.now(node), wall: "2026-01-01T00:00:00Z" as Time }),
      sleep: (ms, signal) => this.sleep(ms / node.rate, process, signal),
      deadline: (ms, signal) => {
        const controller = new AbortController()
        signal.addEventListener("abort", () => controller.abort(signal.reason))
        if (signal.aborted) controller.abort(signal.reason)
        this.sleep(ms / node.rate, process, controller.signal).then(
          () => controller.abort(new DOMException("too late", "TimeoutError")),
          () => undefined,
        )
        return controller.signal
      },
    }
  }

  private store(process: Process): Store {
    const { node } = process
    const unused = (): never => {
      throw new Error("a keeper does not do this")
    }
    const reached = async (writes: boolean, signal: AbortSignal): Promise<void> => {
      await this.sleep(2, process, signal)
      await this.alive(process)
      const up = (): boolean => node.store && !(writes && node.readOnly)
      const late = this.time + 5_000
      while (!up() && this.time < late && !signal.aborted)
        await this.sleep(25, process, signal).catch(() => undefined)
      if (up() && !signal.aborted) return
      throw new StoreError("unavailable", "no answer")
    }
    return {
      read: async (signal) => {
        await reached(false, signal)
        return { kind: "found", data: this.view, version: "1" as never }
      },
      publish: async (what, _, signal) => {
        await reached(true, signal)
        if (what.kind !== "keeper") return
        node.published.push(what.info)
        node.heard = this.time
        this.infos.set(node.uid, what.info)
      },
      infos: async (signal) => {
        await reached(false, signal)
        const keepers = new Map(this.infos)
        return { keepers, sentinels: new Map(), proxies: new Map(), broken: [] }
      },
      watch: async (_, changed, signal) => {
        const ring = (): void => void (node.store && !process.halted && changed())
        this.watchers.add(ring)
        await new Promise((resolve) => signal.addEventListener("abort", resolve))
        this.watchers.delete(ring)
      },
      write: unused,
      withdraw: unused,
      leader: unused,
      unseat: unused,
      campaign: unused,
      [Symbol.asyncDispose]: async () => {},
    }
  }

  private postgres(process: Process): Postgres {
    const { node } = process
    const hold = async (until: Millis, leased: boolean): Promise<void> => {
      await this.alive(process)
      node.until = until
      node.leased = leased
    }
    return {
      boot,
      adopted: node.machine.server !== null,
      leased: node.machine.server !== null && node.leased ? millis(node.until) : null,
      observe: async () => {
        await this.alive(process)
        return observe(node.machine)
      },
      run: async (step) => {
        await this.alive(process)
        node.machine = apply(node.machine, step)
      },
      hold: (until) => hold(until, false),
      lease: (until) => hold(until, true),
      promise: async (made, signal) => {
        await this.sleep(node.disk, process, signal)
        await this.alive(process)
        node.machine = { ...node.machine, promise: made }
      },
      onChange: () => {},
      end: async () => {
        await this.alive(process)
        node.machine = stopped(node.machine, true)
      },
      [Symbol.asyncDispose]: async () => {},
    }
  }

  private peers(process: Process): Peers {
    const unused = (): Promise<never> => Promise.reject(new Error("a keeper does not do this"))
    return {
      signs: true,
      lease: unused,
      nudge: unused,
      knock: unused,
      listen: unused,
      promise: async (address, question, signal) => {
        this.questions++
        await this.sleep(this.latency, process, signal)
        const target = names.find((name) => address === `${name}:7000`)
        const other = target === undefined ? null : this.node(target).process
        const nothing = new Promise<never>((_, reject) =>
          signal.addEventListener("abort", () => reject(signal.reason)),
        )
        if (other?.handlers?.promise === undefined || other.node.deaf) return nothing
        const given = this.alive(other)
          .then(() => other.handlers?.promise?.(question))
          .then(async (answer) => {
            await this.alive(other)
            if (answer === undefined || other.node.mute) return nothing
            await this.sleep(this.latency, process, signal)
            await this.alive(process)
            return answer
          })
        given.catch(() => undefined)
        return Promise.race([given, nothing])
      },
    }
  }
}

const described = (node: Node): string =>
  `${node.uid}: ${node.machine.server === null ? "down" : node.machine.server.inRecovery ? "standby" : "primary"}, ${node.events
    .slice(-8)
    .map(({ code, fields }) => `${code} ${JSON.stringify(fields)}`)
    .join("; ")}`

function machineOf(name: Name): Machine {
  const standby = { ...dir("old", { state: "shut down in recovery" }) }
  const files = { conf: "", hba: "", signal: "standby" } as const
  return {
    ...emptyMachine,
    keeper: { ...emptyMachine.keeper, uid: keeperUID(name) },
    db: {
      uid: dbUID(`db${name.slice(1)}`),
      generation: generation(1),
      initializing: false,
      initPGParameters: null,
    },
    data: name === "k1" ? dir("old") : { ...standby, files },
  }
}

/** k1 is primary, the others follow it; fencing is on. */
export function outageView(
  electable: readonly string[] | null,
  { word = "w1", ...change }: Partial<Parameters<typeof view>[0]> & { readonly word?: string } = {},
): ClusterData {
  const follows = (uid: string) => ({
    role: "standby" as const,
    followConfig: { type: "internal" as const, dbuid: dbUID(uid) },
  })
  const master = change?.master ?? "db1"
  const role = (n: number) => (master === `db${n}` ? {} : follows(master))
  const dbs = [1, 2, 3].map((n) =>
    db(
      `db${n}`,
      { keeperUID: keeperUID(`k${n}`), ...role(n) },
      { healthy: true, systemdID: "7001", timelineID: 1, listenAddress: "10.0.0.1", port: "1" },
    ),
  )
  const data = view({
    epoch: "e1",
    dbs,
    ...change,
    spec: {
      selfFencing: true,
      sleepInterval: duration(1_000),
      failInterval: duration(failInterval),
      requestTimeout: duration(2_000),
      ...change?.spec,
    },
  })
  const k3 = data.keepers.get(keeperUID("k2"))
  const keepers = new Map(data.keepers)
  if (k3 !== undefined) keepers.set(keeperUID("k3"), { ...k3, uid: keeperUID("k3") })
  for (const [uid, keeper] of keepers)
    keepers.set(uid, { ...keeper, status: { ...keeper.status, peerAddress: `${uid}:7000` } })
  const set: Electable | null =
    electable === null
      ? null
      : { word: nonce(word), dbs: electable.map((uid) => dbUID(uid)), joining: [], ended: false }
  return {
    ...data,
    keepers,
    cluster: {
      ...data.cluster,
      status: { ...data.cluster.status, ...(set === null ? {} : { electable: set }) },
    },
  }
}
