/**
 * The Relay port of one proxy, and the way of a client through it. The sessions live in the proxy's
 * process: frozen with it, gone with it. `apply` obeys before it answers, like the real one; an
 * answer of PostgreSQL that reaches the proxy after the cut reaches no client. In a drain a session
 * ends with the answer to its present transaction, or at the bound.
 *
 * Nobody is held: a client that finds no destination comes again by itself.
 */
import type { Applied, Relay, Route } from "#port/relay.ts"
import { noStats } from "#relay/stats.ts"
import {
  type Instance,
  type Outcome,
  type Servers,
  type Session,
  addressOf,
  commit,
  connect,
} from "./server.ts"
import type { Rec } from "./wal.ts"
import type { SimReaders } from "./readers.ts"
import { machineTime } from "./clock.ts"
import type { Process, World } from "./world.ts"

/** A client's way to PostgreSQL; direct when there is no proxy. */
export interface Connection {
  /** Where it ends. */
  readonly instance: Instance
  readonly session: Session
  /** Through which relay, null for direct. */
  readonly relay: SimRelay | null
  open: boolean
  /** A transaction was passed on, its answer was not yet. */
  busy: boolean
}

export interface SimRelay {
  readonly process: Process
  readonly port: Relay
  route: Route
  /** By the machine's clock. */
  until: number
  listening: boolean
  readonly connections: Set<Connection>
  /** While sessions end as they become idle. */
  drain: { readonly settled: Promise<Applied>; readonly settle: (how: Applied) => void } | null
  close(connection: Connection): void
  /** Nobody may be led any more, and nobody is. */
  isLate(): boolean
  /** The answer was passed on. */
  rested: (connection: Connection) => void
  /** There will be none. */
  failed: (connection: Connection) => void
}

export function createRelay(world: World, process: Process): SimRelay {
  let accepted = 0
  const close = (connection: Connection): void => {
    connection.open = false
    connection.session.open = false
    connection.instance.sessions.delete(connection.session)
    relay.connections.delete(connection)
  }
  const endDrain = (how: Applied): void => {
    relay.drain?.settle(how)
    relay.drain = null
  }
  const beginDrain = (bound: number): Promise<Applied> => {
    const { promise, resolve } = Promise.withResolvers<Applied>()
    const drain = { settled: promise, settle: resolve }
    relay.drain = drain
    for (const connection of relay.connections) relay.rested(connection)
    world.at(bound, process, () => {
      if (relay.drain !== drain) return
      for (const connection of relay.connections) close(connection)
      endDrain("done")
    })
    return promise
  }
  const port: Relay = {
    get listening() {
      return relay.listening
    },
    listen: () => Promise.resolve(void (relay.listening = true)),
    unlisten: () => Promise.resolve(void (relay.listening = false)),
    apply(route) {
      if (sameRoute(route, relay.route))
        return relay.drain === null ? Promise.resolve("done" as const) : relay.drain.settled
      endDrain("overtaken")
      relay.route = route
      if (route.kind === "wait" && route.drain !== null) return beginDrain(route.drain)
      for (const connection of relay.connections)
        if (
          route.kind === "wait" ||
          addressOf(connection.instance) !== `${route.host}:${route.port}`
        )
          close(connection)
      return Promise.resolve("done" as const)
    },
    allow(until) {
      relay.until = until
    },
    stats: () => ({ ...noStats, sessions: relay.connections.size, accepted: accepted++ }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
  const relay: SimRelay = {
    process,
    port,
    route: { kind: "wait", drain: null },
    until: Number.POSITIVE_INFINITY,
    listening: false,
    connections: new Set(),
    drain: null,
    close,
    failed: () => {},
    isLate() {
      if (machineTime(world, process.machine) < relay.until) return false
      for (const connection of relay.connections) close(connection)
      return true
    },
    rested(connection) {
      if (relay.drain === null) return
      if (!connection.busy || !connection.open) close(connection)
      if (relay.connections.size === 0) endDrain("done")
    },
  }
  process.onKill.push(() => {
    relay.listening = false
    for (const connection of relay.connections) close(connection)
  })
  return relay
}

const sameRoute = (a: Route, b: Route): boolean =>
  a.kind === "wait"
    ? b.kind === "wait" && a.drain === b.drain
    : b.kind === "forward" && a.host === b.host && a.port === b.port

const linked = (world: World, a: string, b: string): boolean =>
  world.reaches(a, b) && world.reaches(b, a)

/** Through a proxy's port for all, or for reads, or straight to a server. */
export type Way =
  | { readonly relay: SimRelay }
  | { readonly readers: SimReaders }
  | { readonly address: string }

/** Connects; calls back with null when that fails. */
export function open(
  world: World,
  servers: Servers,
  way: Way,
  done: (connection: Connection | null) => void,
): void {
  if ("readers" in way) return openReads(world, servers, way.readers, done)
  const relay = "relay" in way ? way.relay : null
  if (relay === null) {
    const address = "address" in way ? way.address : ""
    return void world.at(world.between(1, 6), null, () => done(arrive(servers, address, null)))
  }
  if (relay.process.state === "dead") return void world.at(5, null, () => done(null))
  // The client gives up on its own when the proxy is frozen.
  world.at(world.between(1, 6), relay.process, () => {
    const { route } = relay
    if (!relay.listening || route.kind === "wait" || relay.isLate()) return done(null)
    const address = `${route.host}:${route.port}`
    const there = servers.at.get(address)?.machine.name
    if (there === undefined || !linked(world, relay.process.machine.name, there)) return done(null)
    const connection = arrive(servers, address, relay)
    if (connection !== null) relay.connections.add(connection)
    done(connection)
  })
}

/** To one of the best; without any, as a client of the primary's relay. */
function openReads(
  world: World,
  servers: Servers,
  { relay, primary, ...readers }: SimReaders,
  done: (connection: Connection | null) => void,
): void {
  if (relay.process.state === "dead") return void world.at(5, null, () => done(null))
  world.at(world.between(1, 6), relay.process, () => {
    if (!relay.listening) return done(null)
    const best = readers.spread.to[0]
    const to = best?.[world.random.below(best.length)]
    if (to === undefined) return open(world, servers, { relay: primary }, done)
    const address = `${to.host}:${to.port}`
    const there = servers.at.get(address)?.machine.name
    if (there === undefined || !linked(world, relay.process.machine.name, there)) return done(null)
    const connection = arrive(servers, address, relay)
    if (connection === null) return done(null)
    relay.connections.add(connection)
    done(connection)
  })
}

function arrive(servers: Servers, address: string, relay: SimRelay | null): Connection | null {
  const instance = servers.at.get(address)
  if (instance === undefined || instance.process.state !== "running") return null
  const session = connect(instance, "client")
  return typeof session === "string" ? null : { instance, session, relay, open: true, busy: false }
}

export interface Answer {
  readonly outcome: Outcome
  readonly record: Rec | null
  /** It waited for the synchronous standbys. */
  readonly waited: boolean
  /** When PostgreSQL gave it. */
  readonly at: number
}

/** Sends one commit. A broken way answers nothing: the client's own timeout ends it. */
export function write(
  world: World,
  connection: Connection,
  row: number,
  end: (answer: Answer) => void,
): void {
  const { instance, session, relay } = connection
  const owner = relay?.process ?? null
  const usable = (): boolean =>
    connection.open &&
    session.open &&
    (relay === null ||
      (!relay.isLate() && linked(world, relay.process.machine.name, instance.machine.name)))
  world.at(world.between(0.5, 4), owner, () => {
    if (!usable()) return
    connection.busy = true
    commit(instance, row, (outcome, record, waited) => {
      const at = world.now()
      world.at(world.between(0.5, 4), owner, () => {
        if (outcome === "lost" || !usable()) return relay?.failed(connection)
        connection.busy = false
        end({ outcome, record, waited, at })
        relay?.rested(connection)
      })
    })
  })
}
