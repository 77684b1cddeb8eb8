/**
 * A keeper's real loops over a store and a machine in memory, which a test can make slow, deaf or
 * absent.
 */
import type { Millis } from "#base/brand.ts"
import { noEndpoint, noPeers } from "#agent/no-peers.ts"
import { type KeeperOptions, type KeeperState, runKeeper } from "#agent/keeper.ts"
import type { ClusterData } from "#model/cluster.ts"
import type { Event } from "#model/events.ts"
import type { KeeperInfo } from "#model/info.ts"
import type { Step } from "#model/step.ts"
import type { Clock } from "#port/clock.ts"
import type { Postgres, Testament } from "#port/postgres.ts"
import type { Store } from "#port/store.ts"
import { realChance } from "#system/chance.ts"
import { realClock } from "#system/clock.ts"
import { boot, settings } from "./build.ts"
import { type Machine, apply, observe, stopped } from "./model.ts"

const patience = 5_000

export interface World extends AsyncDisposable {
  machine: Machine
  view: ClusterData | null
  /** What the next reads throw. */
  trouble: Error | null
  /** Reads hang while this is set. */
  hang: boolean
  /** What a read comes to, and when; null: what is there, at once. */
  answer: ((seen: ClusterData | null) => Promise<ClusterData | null>) | null
  /** Publishes hang while this is set. */
  mute: boolean
  /** The guardian does not answer. */
  deaf: boolean
  /** What was done, in the order in which it was done. */
  readonly order: string[]
  /** Steps of this kind begin and do not end before they are aborted. */
  slow: Step["kind"] | null
  failing: Step["kind"] | null
  state: KeeperState | null
  /** What others publish. */
  infos: readonly KeeperInfo[]
  /** How often the view was read. */
  reads: number
  readonly published: KeeperInfo[]
  /** How long each of them lives. */
  readonly ttls: Millis[]
  readonly holds: Millis[]
  readonly leases: Millis[]
  readonly testaments: (Testament | null)[]
  readonly steps: string[]
  readonly events: Event[]
  /** PostgreSQL takes its time to end. */
  slowEnd: boolean
  ended: boolean
  changed: () => void
  stop(): Promise<void>
  until(condition: () => boolean, what: string): Promise<void>
}

/** A running keeper; unless it has another clock, every wait in it is real, and short. */
export function keeper(
  start: Machine,
  seen: ClusterData | null,
  clock: Clock = realClock,
  found: { readonly adopted: boolean; readonly leased: Millis | null } = none,
): World {
  const shutdown = new AbortController()
  let ring = (): void => {}
  let local = (): void => {}
  const world: World = {
    machine: start,
    view: seen,
    trouble: null,
    hang: false,
    answer: null,
    mute: false,
    deaf: false,
    order: [],
    slow: null,
    failing: null,
    state: null,
    infos: [],
    reads: 0,
    published: [],
    ttls: [],
    holds: [],
    leases: [],
    testaments: [],
    steps: [],
    events: [],
    slowEnd: false,
    ended: false,
    changed: () => {
      ring()
      local()
    },
    stop: async () => {
      shutdown.abort()
      await running
    },
    until: async (condition, what) => {
      const end = Date.now() + patience
      while (!condition()) {
        if (Date.now() > end) throw new Error(`never: ${what}; ${world.steps.join(", ")}`)
        await Bun.sleep(2)
      }
    },
    [Symbol.asyncDispose]: () => world.stop(),
  }
  const store = storeOf(world, (callback) => (ring = callback))
  const postgres = postgresOf(world, (callback) => (local = callback), found)
  const { boot: _, ...rest } = settings
  const options: KeeperOptions = { ...rest, report: (state) => (world.state = state) }
  const log = { event: (event: Event) => void world.events.push(event) }
  const off = { peers: noPeers, endpoint: noEndpoint }
  const ports = { store, postgres, ...off, clock, chance: realChance, log }
  const running = runKeeper(ports, options, shutdown.signal)
  return world
}

const none = { adopted: false, leased: null }

export const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const end = (): void => reject(new DOMException("aborted", "AbortError"))
    if (signal.aborted) end()
    else signal.addEventListener("abort", end, { once: true })
  })

function storeOf(world: World, watch: (callback: () => void) => void): Store {
  const unused = (): never => {
    throw new Error("a keeper does not do this")
  }
  return {
    async read(signal) {
      world.reads++
      world.order.push("read")
      if (world.hang) return aborted(signal)
      if (world.trouble !== null) throw world.trouble
      const version = "1" as never
      const data = world.answer === null ? world.view : await world.answer(world.view)
      return data === null ? { kind: "absent", version: null } : { kind: "found", data, version }
    },
    async publish(what, ttl, signal) {
      if (world.mute) return aborted(signal)
      world.ttls.push(ttl)
      world.order.push("publish")
      if (what.kind === "keeper") world.published.push(what.info)
    },
    async watch(_, changed, signal) {
      watch(changed)
      await aborted(signal).catch(() => undefined)
    },
    write: unused,
    withdraw: unused,
    async infos() {
      const keepers = new Map(world.infos.map((info) => [info.uid, info]))
      return { keepers, sentinels: new Map(), proxies: new Map(), broken: [] }
    },
    leader: unused,
    unseat: unused,
    campaign: unused,
    [Symbol.asyncDispose]: async () => {},
  }
}

function postgresOf(
  world: World,
  on: (callback: () => void) => void,
  found: { readonly adopted: boolean; readonly leased: Millis | null },
): Postgres {
  return {
    boot,
    ...found,
    observe: async () => observe(world.machine),
    async run(step, _, signal) {
      world.steps.push(step.kind)
      world.order.push(step.kind)
      if (step.kind === world.slow) await aborted(signal)
      if (step.kind === world.failing) throw new Error("it does not work")
      world.machine = apply(world.machine, step)
    },
    async hold(deadline) {
      world.holds.push(deadline)
      world.order.push("hold")
    },
    async lease(deadline, testament, signal) {
      if (world.deaf) return aborted(signal)
      world.leases.push(deadline)
      world.testaments.push(testament)
      world.order.push("lease")
    },
    async promise(made) {
      world.machine = { ...world.machine, promise: made }
    },
    onChange: on,
    async end() {
      await world.until(() => !world.slowEnd, "PostgreSQL has shut down")
      world.ended = true
      world.machine = stopped(world.machine, true)
    },
    [Symbol.asyncDispose]: async () => {},
  }
}
