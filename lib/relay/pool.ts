/**
 * The data plane as several processes, each with the same listeners (SO_REUSEPORT shares clients
 * out): what uses more cores than one. It promises what one relay promises; how, is in `crew.ts`.
 *
 * The time until which clients may be led goes to the workers with every change, and each keeps it
 * by itself: a proxy that is frozen cannot tell them to cut.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { Destination, RelayOptions, Route, Spread } from "#port/relay.ts"
import { type CrewTuning, type StartWorker, newCrew, usual } from "./crew.ts"
import type { Part } from "./keys.ts"
import type { Question, Setup } from "./orders.ts"
import type { TcpReaders } from "./readers.ts"
import type { TcpRelay } from "./relay.ts"

export interface Pool extends AsyncDisposable {
  readonly relay: Omit<TcpRelay, "take">
  /** Null: not asked for. */
  readonly readers: TcpReaders | null
  /** Processes that live now, and how many had to be replaced. */
  readonly workers: () => { readonly alive: number; readonly replaced: number }
}

export function pool(
  setup: Setup,
  count: number,
  start: StartWorker,
  tuning: Partial<CrewTuning> = {},
): Pool {
  const all = { ...usual, ...tuning }
  let route: Route = { kind: "wait", drain: null }
  let spread: Spread = { to: [], leaving: [] }
  let asked: { readonly name: string; readonly done: Promise<unknown> } = {
    name: JSON.stringify(spread),
    done: Promise.resolve(),
  }
  let until: Millis | null = null
  const ports: Record<Part, number> = { primary: 0, reads: 0 }

  const listens = (part: Part): Question[] =>
    ports[part] === 0 ? [] : [{ order: "listen", part, port: ports[part] }]
  const crew = newCrew(
    count,
    start,
    () => ({
      orders: [
        { order: "be", setup },
        ...(until === null ? [] : [{ order: "allow", until } as const]),
      ],
      questions: [
        { order: "lead", route: route.kind === "wait" ? { ...route, drain: null } : route },
        ...(setup.reads === null ? [] : [{ order: "spread", spread: copied(spread) } as const]),
        ...listens("primary"),
        ...listens("reads"),
      ],
    }),
    all,
  )

  const doors = (part: Part, options: RelayOptions) => {
    const unlisten = async (): Promise<void> => {
      ports[part] = 0
      await crew.ask({ order: "unlisten", part })
    }
    const listen = async (port = options.port): Promise<void> => {
      if (ports[part] !== 0) return
      ports[part] = freePort(options.host, port)
      try {
        await crew.ask({ order: "listen", part, port: ports[part] })
      } catch (error) {
        await unlisten()
        throw error
      }
    }
    return { listen, unlisten, [Symbol.asyncDispose]: unlisten }
  }
  const allow = (next: Millis): void => {
    if (until === next) return // one word is for both listeners
    until = next
    crew.tell({ order: "allow", until: next })
  }
  const relay: Pool["relay"] = {
    ...doors("primary", setup.primary),
    allow,
    async apply(next) {
      route = next
      const drains = next.kind === "wait" && next.drain !== null ? next.drain : 0
      return crew.ask({ order: "lead", route: next }, millis(drains + all.patience))
    },
    get listening() {
      return ports.primary !== 0
    },
    get port() {
      return ports.primary
    },
    stats: () => crew.counts.primary,
  }
  const readers = (options: RelayOptions): TcpReaders => ({
    ...doors("reads", options),
    allow,
    async apply(next) {
      spread = next
      const name = JSON.stringify(copied(next))
      if (name !== asked.name) {
        const done = crew.ask({ order: "spread", spread: copied(next) })
        asked = { name, done }
      }
      await asked.done
    },
    get listening() {
      return ports.reads !== 0
    },
    get port() {
      return ports.reads
    },
    get passed() {
      return crew.counts.passed
    },
    stats: () => crew.counts.reads,
  })
  return {
    relay,
    readers: setup.reads === null ? null : readers(setup.reads.options),
    workers: () => crew.workers,
    [Symbol.asyncDispose]: () => crew[Symbol.asyncDispose](),
  }
}

/** No more than the order says: whoever judges standbys knows more of each, and not all is JSON. */
const copied = ({ to, leaving }: Spread) => ({
  to: to.map((group) => group.map(addressOf)),
  leaving: leaving.map(addressOf),
})
const addressOf = ({ host, port }: Destination): Destination => ({ host, port })

/**
 * Who shares a port shares it with any other process of the same user that wants to: so it is tried
 * alone first. Throws when it is taken.
 */
function freePort(host: string, port: number): number {
  const probe = Bun.listen({
    hostname: host === "" ? "::" : host,
    port,
    exclusive: true,
    socket: { data: () => {} },
  })
  const free = probe.port
  probe.stop(true)
  return free
}
