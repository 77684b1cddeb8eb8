/**
 * One simulated cluster: machines with the real agents on them, the store, the servers, the
 * clients' ledger, and the place where checkers report a broken promise. Stories and the random
 * runs are both built on it.
 */
import { drainMicrotasks } from "bun:jsc"
import { createLedger, type Ledger } from "./ledger.ts"
import { type Coverage, createCoverage } from "./coverage.ts"
import type { Host, HostWatch } from "./host.ts"
import { createHost } from "./host.ts"
import type { Instance, Servers } from "./server.ts"
import { startOutside } from "./outside.ts"
import type { Node, NodeKind } from "./nodes.ts"
import { createNode, startNode } from "./nodes.ts"
import { type PeerNet, createPeerNet } from "./peers.ts"
import type { SimReaders } from "./readers.ts"
import type { Connection, SimRelay } from "./relay.ts"
import { type Troubles, createTroubles } from "./troubles.ts"
import { type SimStore, createStore } from "./store.ts"
import { type Machine, type Process, type World, createWorld } from "./world.ts"
import type { Event } from "#model/events.ts"
import { type Spec, withDefaults } from "#model/spec.ts"

/** A broken promise. */
export interface Violation {
  readonly at: number
  readonly promise: string
  readonly what: string
}

export interface Sim {
  readonly world: World
  readonly store: SimStore
  readonly servers: Servers
  readonly hosts: Map<string, Host>
  readonly machines: Map<string, Machine>
  readonly nodes: Map<string, Node>
  /** The primary that a standby cluster follows, if this is one. */
  readonly outside: Host | null
  readonly relays: Map<string, SimRelay>
  readonly readers: Map<string, SimReaders>
  readonly peerNet: PeerNet
  /** Every life of a sentinel, by the name that it had then. */
  readonly sentinels: Map<string, Process>
  readonly ledger: Ledger
  readonly coverage: Coverage
  readonly violations: Violation[]
  /** Self-fencing was on in every view so far: then P1 binds direct clients, too. */
  fenced: boolean
  /** When a machine went on after it had stood still (N1). */
  readonly thawed: Map<string, number>
  /** What the checkers listen to. */
  readonly hooks: Hooks
  readonly troubles: Troubles
  readonly shape: Shape
  /**
   * What ends every agent that ever ran. A signal that somebody listens to is never collected, and
   * the whole world hangs on it: a run that is over must abort them all.
   */
  readonly ends: AbortController[]
  fail(promise: string, what: string): void
}

export interface Hooks {
  readonly destroying: ((
    host: Host,
    how: string,
    dir: Parameters<HostWatch["destroying"]>[2],
  ) => void)[]
  readonly starting: ((host: Host, dir: Parameters<HostWatch["starting"]>[1]) => void)[]
  /** A server has left recovery. */
  readonly promoted: ((instance: Instance) => void)[]
  /** A server let a client in. */
  readonly connected: ((instance: Instance) => void)[]
  /** A guardian was told how long PostgreSQL may run. */
  readonly held: ((host: Host) => void)[]
  /** A transaction that was passed on by a proxy came to nothing. */
  readonly failed: ((connection: Connection) => void)[]
  /** An agent reported something. */
  readonly said: ((who: string, event: Event) => void)[]
}

/** What a run is made of. */
export interface Shape {
  readonly seed: number
  readonly keepers: number
  readonly sentinels: number
  readonly proxies: number
  /** Sentinels and proxies live on the keepers' machines. */
  readonly together: boolean
  readonly spec: Spec
  /** Documents go through the real codec. */
  readonly honest: boolean
  /**
   * How late watchers may hear of infos: a store that gathers them saves every sentinel many
   * looks.
   */
  readonly news: number
  /** The keepers' superuser is their replication user, too. */
  readonly oneAccount: boolean
  /** There is a primary outside, for `role: standby` and for backups. */
  readonly outside: boolean
  /** Keepers have a replication password, so promises can be signed. */
  readonly signs: boolean
  /** Clocks run at rates from 1 - drift to 1 + drift. */
  readonly drift: number
  /** Proxies have a port for reads, and clients there that write as soon as they can. */
  readonly reads?: boolean
}

export function createSim(shape: Shape): Sim {
  const world = createWorld(shape.seed)
  const hooks: Hooks = {
    destroying: [],
    starting: [],
    said: [],
    connected: [],
    promoted: [],
    held: [],
    failed: [],
  }
  const servers: Servers = {
    at: new Map(),
    watch: {
      started: () => {},
      promoted: (instance) => {
        world.trace.add(instance.process.name, "promoted", { timeline: instance.dir.wal.timeline })
        for (const hook of hooks.promoted) hook(instance)
      },
      connected: (instance) => {
        for (const hook of hooks.connected) hook(instance)
      },
    },
    released: new WeakSet(),
  }
  const sim: Sim = {
    world,
    store: createStore(world, shape.honest),
    servers,
    hosts: new Map(),
    machines: new Map(),
    nodes: new Map(),
    outside: shape.outside ? startOutside(world, servers, 2_000) : null,
    relays: new Map(),
    readers: new Map(),
    peerNet: createPeerNet(),
    sentinels: new Map(),
    ledger: createLedger(
      shape.spec.synchronousReplication === true ? "sync" : "async",
      withDefaults(shape.spec).minSynchronousStandbys > 0,
    ),
    coverage: createCoverage(),
    violations: [],
    fenced: shape.spec.selfFencing === true,
    thawed: new Map(),
    hooks,
    troubles: createTroubles(world.now),
    shape,
    ends: [],
    fail(promise, what) {
      world.trace.add("CHECKER", promise, { what })
      sim.violations.push({ at: world.now(), promise, what })
      world.stop()
    },
  }
  sim.store.weather.news = shape.news
  sim.store.core.listeners.written.push((_, { cluster }) => {
    if (cluster.spec.selfFencing !== true) sim.fenced = false
  })
  populate(sim)
  return sim
}

export const isPrimary = (instance: Instance): boolean =>
  instance.phase === "up" && !instance.inRecovery && instance.process.state === "running"

/** Machines and what lives on them; nothing runs yet. */
function populate(sim: Sim): void {
  const { shape } = sim
  const keepers = names("k", shape.keepers)
  for (const name of keepers) addKeeper(sim, name)
  const place = (name: string, i: number): string =>
    shape.together ? (keepers[i % keepers.length] ?? name) : name
  names("s", shape.sentinels).forEach((name, i) => add(sim, "sentinel", name, place(name, i)))
  names("p", shape.proxies).forEach((name, i) => add(sim, "proxy", name, place(name, i)))
}

const names = (letter: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, i) => `${letter}${i + 1}`)

/** One more machine with a keeper on it, which does not run yet. */
export function addKeeper(sim: Sim, name: string): Node {
  sim.hosts.set(name, createHost(sim.world, sim.servers, machine(sim, name), hostWatch(sim)))
  return add(sim, "keeper", name, name)
}

function machine(sim: Sim, name: string): Machine {
  const known = sim.machines.get(name)
  if (known !== undefined) return known
  const { world, shape } = sim
  const rate = 1 + shape.drift * (2 * world.random.next() - 1)
  const made = world.machine(name, Math.round(world.between(1e3, 1e9)), rate)
  sim.machines.set(name, made)
  return made
}

function add(sim: Sim, kind: NodeKind, name: string, on: string): Node {
  const node = createNode(kind, name, machine(sim, on))
  sim.nodes.set(name, node)
  return node
}

function hostWatch(sim: Sim): HostWatch {
  const { world, hooks, coverage } = sim
  return {
    destroying(host, how, dir) {
      world.trace.add(host.machine.name, `destroys: ${how}`)
      for (const hook of hooks.destroying) hook(host, how, dir)
    },
    starting(host, dir) {
      for (const hook of hooks.starting) hook(host, dir)
    },
    said(host, code) {
      coverage.event(code)
      world.trace.add(host.machine.name, code)
    },
    held(host) {
      for (const hook of hooks.held) hook(host)
    },
    herald(process, info, ttl) {
      const store = sim.store.port(process)
      const { signal } = new AbortController()
      const once = (): void => {
        store.publish({ kind: "keeper", info }, ttl, signal).then(
          () => world.trace.add(process.name, "published"),
          () => void world.at(100, process, once),
        )
      }
      once()
    },
    step(host, step) {
      coverage.step(step.kind)
      world.trace.add(host.machine.name, `step ${step.kind}`)
    },
  }
}

/** The run is over: nothing of it may stay in memory. */
export function close(sim: Sim): void {
  for (const end of sim.ends.splice(0)) end.abort(new Error("the run is over"))
  drainMicrotasks()
}

/** Starts every agent, a moment apart. */
export function startAll(sim: Sim): void {
  for (const node of sim.nodes.values())
    sim.world.at(sim.world.between(0, 1_500), null, () => startNode(sim, node))
}
