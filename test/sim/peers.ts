/**
 * What keepers, sentinels and proxies say to each other past the store, on virtual time: a port per
 * process, questions that travel there and back by ways that may be cut one by one, connections
 * that end when the process at their other end does.
 *
 * It must be no gentler than TCP: a process that is frozen still has an open port and answers
 * nothing, a machine without power or behind a cut says nothing at all, and only a process that has
 * ended on a machine that stands refuses.
 */
import type { Millis } from "#base/brand.ts"
import type { Door, PeerEndpoint, PeerHandlers, Peers } from "#port/peer.ts"
import { virtual } from "./clock.ts"
import type { Sim } from "./sim.ts"
import type { Machine, Process } from "./world.ts"

/** A port that is bound. */
interface Bound {
  readonly process: Process
  handlers: PeerHandlers | null
  /** Told when the process has ended. */
  readonly attended: Set<() => void>
}

/** Every bound port by address, and how the ways between peers are. */
export interface PeerNet {
  readonly bound: Map<string, Bound>
  /** How often a port was bound; it makes each address another one. */
  runs: number
  /** One way, milliseconds, at most; and how often a question or an answer is lost. */
  slowest: number
  lose: number
}

export const createPeerNet = (): PeerNet => ({ bound: new Map(), runs: 0, slowest: 5, lose: 0 })

/** Both sides of one process; its port is free again when it has ended. */
export function peersOf(
  sim: Sim,
  process: Process,
  port: number,
): { readonly peers: Peers; readonly endpoint: PeerEndpoint } {
  const { world, peerNet } = sim
  // the system gives each run another one, as it does where nobody asks for a certain one
  const address = `${process.machine.name}:${port}${++peerNet.runs}`
  const mine: Bound = { process, handlers: null, attended: new Set() }
  peerNet.bound.set(address, mine)
  process.onKill.push(() => {
    if (peerNet.bound.get(address) === mine) peerNet.bound.delete(address)
    // for a machine that lost its power only the other side's keepalive tells
    const later = process.machine.up ? 0 : keepalive
    for (const tell of mine.attended) world.at(later, null, tell)
    mine.attended.clear()
  })
  const endpoint: PeerEndpoint = {
    address,
    answer: (handlers) => void (mine.handlers = handlers),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
  const ask = <T>(
    to: string,
    work: (handlers: PeerHandlers) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> => question(sim, process, to, work, signal)
  const peers: Peers = {
    signs: sim.shape.signs,
    promise(to, asked, signal) {
      if (!sim.shape.signs) return Promise.reject(new Error("nothing can be signed"))
      return ask(
        to,
        ({ promise, cluster }) => {
          const here = cluster?.() === asked.cluster && promise !== undefined
          return here ? promise(asked) : Promise.reject(new Error("not here"))
        },
        signal,
      )
    },
    lease: (to, signal) =>
      ask(
        to,
        ({ lease }) =>
          lease === undefined ? Promise.reject(new Error("not here")) : settled(lease),
        signal,
      ),
    nudge: (to, signal) =>
      ask(to, ({ nudge }) => settled(() => nudge?.()), signal).catch(() => undefined),
    knock: (to, bound, signal) => knock(sim, process, to, bound, signal),
    async listen(to, signal) {
      const door = await knock(sim, process, to, doorBound, signal)
      const other = peerNet.bound.get(to)
      if (door !== "open" || other === undefined) return door
      await ended(sim, process, other, signal)
      await rest(sim, process, world.between(1, 20), signal)
      return knock(sim, process, to, doorBound, signal)
    },
  }
  return { peers, endpoint }
}

const keepalive = 75_000
const doorBound = 1_000 as Millis // as the real side waits for a connection

const settled = <T>(work: () => T): Promise<T> => {
  try {
    return Promise.resolve(work())
  } catch (error) {
    return Promise.reject(error instanceof Error ? error : new Error(String(error)))
  }
}

/** Rejects when `signal` aborts, whatever becomes of `begin`. */
function bounded<T>(
  signal: AbortSignal,
  begin: (resolve: (value: T) => void, reject: (error: unknown) => void) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const abort = (): void => reject(signal.reason)
    signal.addEventListener("abort", abort, { once: true })
    const over = (): void => signal.removeEventListener("abort", abort)
    begin(
      (value) => {
        over()
        resolve(value)
      },
      (error) => {
        over()
        reject(error)
      },
    )
  })
}

const rest = (sim: Sim, process: Process, ms: number, signal: AbortSignal): Promise<void> =>
  bounded(signal, (resolve) => void sim.world.at(ms, process, () => resolve(undefined)))

/** Nothing in here answers by itself when it is lost: the asker's own bound ends it. */
function question<T>(
  sim: Sim,
  process: Process,
  to: string,
  work: (handlers: PeerHandlers) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const { world, peerNet } = sim
  const from = process.machine.name
  const [there = ""] = to.split(":")
  const lost = (): boolean => peerNet.lose > 0 && world.chance(peerNet.lose)
  const way = (): number => world.between(0.3, peerNet.slowest)
  return bounded(signal, (resolve, reject) => {
    const back = (end: () => void): void => {
      if (world.reaches(there, from) && !lost()) world.at(way(), process, end)
    }
    world.at(way(), null, () => {
      const machine = sim.machines.get(there)
      if (machine?.up !== true || !world.reaches(from, there) || lost()) return
      const other = peerNet.bound.get(to)
      if (other === undefined) {
        // the kernel answers, unless all of the machine stands still
        if (machine.frozen === 0) back(() => reject(new Error("connection refused")))
        return
      }
      world.at(0, other.process, () => {
        const { handlers } = other
        if (handlers === null) return back(() => reject(new Error("not ready")))
        work(handlers).then(
          (answer) => back(() => resolve(answer)),
          (error: unknown) => back(() => reject(error)),
        )
      })
    })
  })
}

/** What the kernel of the other machine says. */
function knock(
  sim: Sim,
  process: Process,
  to: string,
  bound: Millis,
  signal: AbortSignal,
): Promise<Door> {
  const { world, peerNet, machines } = sim
  const from = process.machine
  const [there = ""] = to.split(":")
  return bounded<Door>(signal, (resolve) => {
    const silent = (): void => void world.at(virtual(from, bound), process, () => resolve("silent"))
    world.at(world.between(0.3, peerNet.slowest), null, () => {
      const machine = machines.get(there)
      if (machine === undefined || !stands(sim, from, machine)) return silent()
      const door: Door = peerNet.bound.has(to) || sim.servers.at.has(to) ? "open" : "refused"
      world.at(world.between(0.3, peerNet.slowest), process, () => {
        if (world.reaches(there, from.name)) resolve(door)
        else silent()
      })
    })
  })
}

const stands = ({ world }: Sim, from: Machine, to: Machine): boolean =>
  to.up && to.frozen === 0 && world.reaches(from.name, to.name) && world.reaches(to.name, from.name)

/** The other process has ended, and the network carries the word of it. */
const ended = (sim: Sim, process: Process, other: Bound, signal: AbortSignal): Promise<void> => {
  const over = new AbortController()
  const tell = (): void => {
    const { name } = other.process.machine
    const reaches = sim.world.reaches(name, process.machine.name)
    const delay = reaches ? sim.world.between(0.3, sim.peerNet.slowest) : keepalive
    if (!over.signal.aborted) sim.world.at(delay, process, () => over.abort())
  }
  other.attended.add(tell)
  return bounded<void>(signal, (resolve) => {
    const { signal: heard } = over
    heard.addEventListener("abort", () => resolve(undefined), { once: true })
  }).finally(() => void other.attended.delete(tell))
}
