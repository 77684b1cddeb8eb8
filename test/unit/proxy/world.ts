/**
 * A store, a data plane and a clock that tests of the proxy's loops drive by hand. The journal is
 * the order in which the world was touched.
 */
import { expect } from "bun:test"

import { type ProxyPorts, runProxy } from "#agent/proxy.ts"
import type { ReadsPort } from "#agent/proxy-reads.ts"
import type { ProxyState } from "#agent/proxy-state.ts"
import { present } from "#base/assert.ts"
import { millis } from "#base/brand.ts"
import type { Event } from "#model/events.ts"
import { epoch, keeperUID } from "#model/ids.ts"
import type { Infos } from "#model/info.ts"
import type { Clock } from "#port/clock.ts"
import type { LeaseAnswer } from "#port/peer.ts"
import type { Applied, Destination, Readers, Relay } from "#port/relay.ts"
import { type Reading, type Store, StoreError, type Version } from "#port/store.ts"
import { noStats } from "#relay/stats.ts"

import { at, keeper, primary, self, view } from "./builder.ts"

export const settle = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

/** A clock that stands still until `advance` or `jump`. */
export function handClock() {
  let mono = 1_000_000
  const sleepers = new Set<{ readonly due: number; readonly wake: () => void }>()
  const clock: Clock = {
    now: () => at(mono),
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason)
        const sleeper = { due: mono + ms, wake: resolve }
        sleepers.add(sleeper)
        signal.addEventListener("abort", () => {
          sleepers.delete(sleeper)
          reject(signal.reason)
        })
      }),
    deadline: (_ms, signal) => signal,
  }
  const step = async (end: number): Promise<void> => {
    const next = [...sleepers].toSorted((a, b) => a.due - b.due)[0]
    mono = Math.max(mono, Math.min(next?.due ?? end, end))
    for (const sleeper of [...sleepers].filter(({ due }) => due <= mono)) {
      sleepers.delete(sleeper)
      sleeper.wake()
    }
    await settle()
  }
  return {
    clock,
    /** Time passes, and everybody sleeps and wakes as they asked. */
    advance: async (ms: number): Promise<void> => {
      await settle()
      const end = mono + ms
      do await step(end)
      while (clock.now().mono < end)
    },
    /** The process was suspended: time has passed and nobody noticed. */
    jump: (ms: number): void => {
      mono += ms
    },
  }
}

export const reading = (...bend: Parameters<typeof view>): Reading => ({
  kind: "found",
  data: view(...bend),
  version: "1" as Version, // opaque to proxies
})

/** A keeper's answer about the primary of `view({ epoch: "e1" })`. */
export const lease = (
  remaining: number,
  bend: Partial<NonNullable<LeaseAnswer["lease"]>> = {},
): LeaseAnswer => ({
  cluster: view().cluster.uid,
  keeper,
  lease: { db: primary, epoch: epoch("e1"), remaining: millis(remaining), ...bend },
})

/** What the store lists. */
const nobody: Infos = {
  keepers: new Map(),
  sentinels: new Map(),
  proxies: new Map(),
  broken: [],
}

const silence = (): void => {}
const foreign = (): Promise<never> => Promise.reject(new Error("not a proxy's business"))

/** A world whose answers the test may change or hold back at any time. */
export function world(
  options: {
    readonly stopListening?: boolean
    readonly first?: Reading | StoreError
    /** There is a listener for reads, and this is what keepers publish. */
    readonly reads?: Infos
    readonly shutdownTimeout?: number
  } = {},
) {
  const journal: string[] = []
  const events: Event[] = []
  const hand = handClock()
  const stop = new AbortController()
  const hurry = new AbortController()
  let state: ProxyState | null = null
  const answers = {
    read: async (_signal: AbortSignal): Promise<Reading> => {
      const { first = reading() } = options
      if (first instanceof StoreError) throw first
      return first
    },
    publish: async (_signal: AbortSignal): Promise<void> => {},
    apply: async (): Promise<void> => {},
    /** How the drain that was begun ends. */
    drain: async (): Promise<Applied> => "done",
    listen: async (): Promise<void> => {},
    lease: async (): Promise<LeaseAnswer> => Promise.reject(new Error("no answer")),
    infos: async (): Promise<Infos> => options.reads ?? nobody,
    listenReads: async (): Promise<void> => {},
    /** On the data plane of the primary. */
    sessions: 0,
  }
  /** Questions that were asked, and infos that were read. */
  const words: string[] = []
  let ring = silence
  let listening = false
  let allowed: number = Number.POSITIVE_INFINITY
  let overtaken = Promise.withResolvers<Applied>()
  const store: Store = {
    read: (signal) => answers.read(signal),
    async publish(what, ttl, signal) {
      if (what.kind !== "proxy") throw new Error("not a proxy's info")
      await answers.publish(signal)
      journal.push(
        `publish ${what.info.Generation} ${what.info.ProxyTimeout / 1e9}s ttl ${ttl / 1000}s`,
      )
    },
    async withdraw(who) {
      journal.push(`withdraw ${who.kind} ${who.uid}`)
    },
    async watch(what, changed, signal) {
      expect(what).toBe("clusterdata")
      ring = changed
      await new Promise((resolve) => signal.addEventListener("abort", resolve))
    },
    write: foreign,
    async infos() {
      words.push("read")
      return answers.infos()
    },
    leader: foreign,
    unseat: foreign,
    campaign: foreign,
    async [Symbol.asyncDispose]() {},
  }
  const relay: Relay = {
    async listen() {
      await answers.listen()
      listening = true
      journal.push("listen")
    },
    async unlisten() {
      listening = false
      journal.push("unlisten")
    },
    get listening() {
      return listening
    },
    allow(until) {
      allowed = until
    },
    async apply(route) {
      overtaken.resolve("overtaken")
      overtaken = Promise.withResolvers()
      if (route.kind === "wait" && route.drain !== null) {
        journal.push(`drain ${route.drain}`)
        return Promise.race([answers.drain(), overtaken.promise])
      }
      const name = route.kind === "wait" ? "cut" : `forward ${route.host}:${route.port}`
      await answers.apply()
      journal.push(name)
      return "done"
    },
    stats: () => ({ ...noStats, sessions: answers.sessions }),
    async [Symbol.asyncDispose]() {},
  }
  const ports: ProxyPorts = {
    store,
    relay,
    peers: {
      lease(address) {
        words.push(`ask ${address}`)
        return answers.lease()
      },
    },
    clock: hand.clock,
    chance: { seed: () => 1, uid: () => self, uuid: () => keeperUID("unused") },
    log: { event: (one) => void events.push(one) },
  }
  let readsListening = false
  let shown = ""
  let places: readonly string[] = []
  const readers: Readers = {
    async listen() {
      await answers.listenReads()
      readsListening = true
      journal.push("listen reads")
    },
    async unlisten() {
      if (readsListening) journal.push("unlisten reads")
      readsListening = false
    },
    get listening() {
      return readsListening
    },
    async apply({ to, leaving }) {
      const hosts = (group: readonly Destination[]): string =>
        group.map(({ host }) => host).join(",")
      const next = `reads [${to.map(hosts).join(" ")}] leaving [${hosts(leaving)}]`
      if (next !== shown) journal.push(next)
      shown = next
      places = [...to.flat(), ...leaving].map(({ host }) => host)
    },
    allow: () => {},
    stats: () => ({ ...noStats, sessions: places.length }),
    async [Symbol.asyncDispose]() {},
  }
  const rules = { policy: "least-lag", lagMax: 0n, zone: "" } as const
  const readsPort: ReadsPort = { relay: readers, rules, report: () => {} }
  const ended = runProxy(
    { ...ports, ...(options.reads === undefined ? {} : { readers: readsPort }) },
    {
      ...{ stopListening: options.stopListening ?? true, listenAddress: "10.0.0.1:25432" },
      shutdownTimeout: millis(options.shutdownTimeout ?? 0),
      hurry: hurry.signal,
      report: (next) => void (state = next),
    },
    stop.signal,
  )
  return {
    answers,
    events: () => events.map((one) => one.code),
    /** As it was reported last. */
    state: () => present(state, "a report"),
    advance: hand.advance,
    jump: hand.jump,
    ring: () => ring(),
    now: () => hand.clock.now().mono,
    /** Hosts at which sessions for reads may be. */
    reading: () => places,
    /** What was done for the keeper's word since the last look. */
    words: (): string[] => words.splice(0),
    /** Until when clients may be led, as the data plane was told last. */
    allowed: () => allowed,
    /** What was done since the last look. */
    journal: (): string[] => journal.splice(0),
    /** It is asked to end, and nobody waits for it. */
    ask: () => stop.abort(),
    /** Whoever asked has lost patience. */
    hurry: () => hurry.abort(),
    ended,
    async end(): Promise<string[]> {
      journal.splice(0)
      stop.abort()
      await ended
      return journal.splice(0)
    },
  }
}
