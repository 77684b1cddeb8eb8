/**
 * The proxy's loops: the check, the timeout watcher, and the store's watch that wakes the check.
 * They read, ask the brain, and do its acts in order; they decide nothing.
 *
 * What must never be: forwarding by a view older than proxyTimeout, also when this process was
 * suspended between the read and the act; forwarding by a check that began before the watcher
 * fired; a generation published before its cut, or its drain, is done; a graceful end that leaves a
 * session open or withdraws the info before the cut.
 *
 * A drain takes seconds and runs beside the checks, which may overtake it by whatever they find.
 * When it is over it rings, and the check that follows, on a view read after it, acknowledges.
 */
import { type Millis, millis, never } from "#base/brand.ts"
import { type Event, event } from "#model/events.ts"
import { type Generation, infoUID, proxyUID, type ProxyUID } from "#model/ids.ts"
import { type ProxyInfo, capabilities } from "#model/info.ts"
import type { Chance, Clock } from "#port/clock.ts"
import type { Log } from "#port/log.ts"
import type { Peers } from "#port/peer.ts"
import type { Relay } from "#port/relay.ts"
import type { Store } from "#port/store.ts"
import {
  type Act,
  type Announcement,
  type Decision,
  type Memory,
  decide,
  done,
  expire,
  failed,
  heardUntil,
  isStale,
  lapsed,
  newMemory,
  validUntil,
} from "#proxy/brain.ts"
import type { Destination } from "#proxy/gate.ts"

import { type Bell, aborted, bell, forever } from "./loop.ts"
import { type Vouching, learnContact, seekWord, silent, watched } from "./proxy-word.ts"
import { look, message } from "./proxy-look.ts"

export interface ProxyPorts {
  readonly store: Store
  readonly relay: Relay
  readonly peers: Pick<Peers, "lease">
  readonly clock: Clock
  readonly chance: Chance
  readonly log: Log
}

export interface ProxyOptions {
  /** Its name for this run; a random one when absent. */
  readonly uid?: ProxyUID
  /** `--stop-listening`: close the listener after proxyTimeout without a good check. */
  readonly stopListening: boolean
  /** host:port as clients may use it, published for `status`. */
  readonly listenAddress: string
}

/**
 * This proxy forwards on no view older than the timeout that it publishes, counted from the start
 * of the read, and publishes a generation only after its cut: a leader may count its silence from
 * that timeout.
 */
export const proxyCapabilities: readonly string[] = [
  capabilities.boundedView,
  capabilities.switchover,
]

/** Timers stand still while a machine is suspended: the watcher looks at least this often. */
const watcherPause = millis(500)
/** Before a store that failed is asked again. */
const retryPause = 500
const withdrawTimeout = millis(5_000)

/**
 * Runs until `signal` aborts; returns when every session is cut, the listener closed and the own
 * info withdrawn.
 */
export async function runProxy(
  ports: ProxyPorts,
  options: ProxyOptions,
  signal: AbortSignal,
): Promise<void> {
  const { store, clock, log } = ports
  const proxy: Proxy = {
    ...ports,
    options,
    signal,
    self: options.uid ?? proxyUID(ports.chance.uid()),
    memory: newMemory(clock.now()),
    destination: null,
    drain: null,
    told: null,
    wake: bell(),
    heardUntil: null,
    vouching: silent(),
    checking: new AbortController(),
    expiring: false,
  }
  const { wake } = proxy
  /** A store that failed may be back any moment, and whoever leads counts our silence (P6). */
  const interval = (): Millis => {
    const { checkInterval, trouble } = proxy.memory
    const isDown = trouble?.code === "store.failed"
    return isDown ? millis(Math.min(checkInterval, retryPause)) : checkInterval
  }
  const watch = (): Promise<void> => store.watch("clusterdata", () => wake.ring(), signal)
  const watchdog = (): Promise<void> => {
    seekWord(proxy)
    return watchTimeout(proxy)
  }
  const loops = [
    forever(
      () => check(proxy),
      () => wake.wait(clock, interval(), signal),
      log,
      signal,
    ),
    forever(watchdog, () => clock.sleep(untilTimeout(proxy), signal), log, signal),
    forever(watch, () => clock.sleep(interval(), signal), log, signal),
  ]
  await aborted(signal)
  await close(proxy) // at once; a check that still hangs finds the signal aborted and opens nothing
  await ports.relay.unlisten()
  await Promise.all([...loops, proxy.drain?.ended, proxy.vouching.asking, proxy.vouching.reading])
  await withdraw(proxy)
}

/** One run of the proxy. Mutable: the loops below share it. */
export interface Proxy extends ProxyPorts {
  readonly options: ProxyOptions
  readonly signal: AbortSignal
  readonly self: ProxyUID
  memory: Memory
  /** Where the data plane leads, also while that is drained; null is closed. */
  destination: Destination | null
  /** The last drain. */
  drain: Drain | null
  /** The generation last published. */
  told: Generation | null
  readonly wake: Bell
  /** How long the last answered publish is sure to count; null before the first one. */
  heardUntil: Millis | null
  /** The keeper's word (O4), written by `proxy-word.ts`. */
  readonly vouching: Vouching
  /** The check under way; the watcher aborts it: nothing of it takes effect after its cut. */
  checking: AbortController
  expiring: boolean
}

/** A drain, from its beginning until it is done or overtaken. */
interface Drain {
  /** False as soon as it is done, or something else was told to the data plane. */
  underWay: boolean
  /** Resolves when the data plane is done with it, one way or the other. */
  ended: Promise<void>
}

/** What became of an act, and so of the check. `failed` counts like an unreadable store. */
type Outcome =
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly why: string }
  | { readonly kind: "stale"; readonly why: string }
  /** The publish was answered after this proxy may have been given up: look again, at once. */
  | { readonly kind: "lapsed" }

function say(proxy: Proxy, events: readonly Event[]): void {
  for (const one of events) proxy.log.event(one)
}

async function close(proxy: Proxy): Promise<void> {
  overtake(proxy)
  proxy.destination = null
  await proxy.relay.apply({ kind: "wait", drain: null })
}

function overtake({ drain }: Proxy): void {
  if (drain !== null) drain.underWay = false
}

function startDrain(proxy: Proxy, bound: Millis): void {
  const drain: Drain = { underWay: true, ended: Promise.resolve() }
  proxy.drain = drain
  drain.ended = finishDrain(proxy, drain, bound).catch((error: unknown) => {
    drain.underWay = false // the next check finds the destination still there and drains again
    say(proxy, [event("agent.failed", { error: message(error) })])
  })
}

async function finishDrain(proxy: Proxy, drain: Drain, bound: Millis): Promise<void> {
  const applied = await proxy.relay.apply({ kind: "wait", drain: bound })
  if (applied === "overtaken" || !drain.underWay) return
  drain.underWay = false
  proxy.destination = null
  say(proxy, [event("proxy.drained")])
  proxy.wake.ring()
}

async function check(proxy: Proxy): Promise<void> {
  if ((await tryOnce(proxy)) === "again") {
    await watchTimeout(proxy) // what is open was open for too long already
    await tryOnce(proxy)
  }
  // After a suspension, between two acts or inside one, the watcher's timer still sleeps, but its
  // time may have come: a destination that was opened too late is cut here.
  await watchTimeout(proxy)
}

async function tryOnce(proxy: Proxy): Promise<"again" | "enough"> {
  proxy.checking = new AbortController()
  const signal = AbortSignal.any([proxy.signal, proxy.checking.signal])
  const readAt = proxy.clock.now().mono
  const view = await timely(proxy, signal, (bound) => look(proxy.store, bound))
  if (signal.aborted) return "enough"
  const { self, destination, told } = proxy
  const draining = proxy.drain?.underWay === true
  const { listening } = proxy.relay
  const snapshot = { self, view, readAt, destination, draining, told, listening }
  const decision = decide(snapshot, proxy.memory, proxy.clock.now())
  const outcome = await carryOut(proxy, decision, readAt, signal)
  // The watcher or the end of the process has spoken meanwhile: this check never was.
  if (signal.aborted) return "enough"
  switch (outcome.kind) {
    case "done":
      proxy.memory = decision.memory
      say(proxy, decision.events)
      if (view.kind === "found") learnContact(proxy)
      else seekWord(proxy)
      break
    case "failed": {
      const { memory, events } = failed(proxy.memory, outcome.why)
      proxy.memory = memory
      say(proxy, events)
      seekWord(proxy)
      break
    }
    case "stale":
      say(proxy, [event("proxy.stale", { error: outcome.why })])
      break
    case "lapsed":
      return "again"
    default:
      return never(outcome)
  }
  return "enough"
}

async function carryOut(
  proxy: Proxy,
  decision: Decision,
  readAt: Millis,
  signal: AbortSignal,
): Promise<Outcome> {
  for (const act of decision.output.acts) {
    if (signal.aborted) return { kind: "failed", why: "aborted" }
    // Looked at again before each act, under both timeouts when one replaces the other (D-14).
    const now = proxy.clock.now()
    const old = isStale(readAt, proxy.memory, now) || isStale(readAt, decision.memory, now)
    if (old && act.kind !== "cut") return { kind: "stale", why: `too old to ${act.kind}` }
    const outcome = await perform(proxy, act, signal)
    if (outcome.kind !== "done") return outcome
    say(proxy, done(act))
  }
  return { kind: "done" }
}

async function perform(proxy: Proxy, act: Act, signal: AbortSignal): Promise<Outcome> {
  const { relay, options } = proxy
  switch (act.kind) {
    case "cut":
      await close(proxy)
      break
    case "drain":
      startDrain(proxy, act.bound)
      break
    case "forward":
      overtake(proxy)
      proxy.destination = act.to
      await relay.apply({ kind: "forward", ...act.to })
      break
    case "listen":
      await relay.listen()
      // The watcher or the end of the process may have wanted it closed meanwhile.
      if (proxy.signal.aborted || (signal.aborted && options.stopListening)) await relay.unlisten()
      break
    case "unlisten":
      await relay.unlisten()
      break
    case "publish":
      return publish(proxy, act, signal)
    default:
      return never(act)
  }
  return { kind: "done" }
}

type Publish = Extract<Act, { readonly kind: "publish" }>

async function publish(proxy: Proxy, act: Publish, signal: AbortSignal): Promise<Outcome> {
  const startedAt = proxy.clock.now().mono
  try {
    const info = proxyInfo(proxy, act.info)
    await timely(proxy, signal, (bound) =>
      proxy.store.publish({ kind: "proxy", info }, act.info.ttl, bound),
    )
  } catch (error) {
    if (signal.aborted) return { kind: "failed", why: "aborted" }
    const why = `the proxy info could not be published: ${message(error)}`
    if (act.required) return { kind: "failed", why }
    say(proxy, [event("store.failed", { error: why })])
    return { kind: "done" }
  }
  proxy.told = act.info.generation
  const late = lapsed(proxy.heardUntil, proxy.clock.now())
  proxy.heardUntil = heardUntil(act.info, startedAt)
  return late && act.required ? { kind: "lapsed" } : { kind: "done" }
}

/** The timeout watcher (7.2): waits for no check and outlives each of them. */
async function watchTimeout(proxy: Proxy): Promise<void> {
  const { options } = proxy
  const verdict = expire(watched(proxy), proxy.memory, proxy.clock.now(), options.stopListening)
  if (verdict === null || proxy.expiring) return
  proxy.expiring = true
  proxy.checking.abort()
  say(proxy, verdict.events)
  try {
    for (const act of verdict.output.acts) {
      await perform(proxy, act, proxy.signal)
      say(proxy, done(act))
    }
  } finally {
    proxy.expiring = false
  }
}

function untilTimeout(proxy: Proxy): Millis {
  const left = validUntil(watched(proxy), proxy.memory) - proxy.clock.now().mono
  return left <= 0 ? watcherPause : millis(Math.min(left, watcherPause))
}

/**
 * One read of the view. Store trouble is a finding, not an exception: the brain knows what each
 * kind means.
 */
/** What hangs since before the store is back is given up in time for another try (P6). */
async function timely<T>(
  proxy: Proxy,
  signal: AbortSignal,
  work: (bound: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController()
  const { clock, memory, wake } = proxy
  const end = AbortSignal.any([signal, over.signal])
  const bound = clock.deadline(millis(patience * memory.timeout), end)
  try {
    return await work(bound)
  } finally {
    if (bound.aborted && !signal.aborted) wake.ring()
    over.abort()
  }
}
/** Of proxyTimeout. */
const patience = 0.7

const proxyInfo = ({ chance, options, self }: Proxy, announced: Announcement): ProxyInfo => ({
  infoUID: infoUID(chance.uid()),
  UID: self,
  Generation: announced.generation,
  // Nanoseconds in Go's documents; no longer than a number holds exactly.
  ProxyTimeout: Math.min(Math.round(announced.timeout * 1e6), Number.MAX_SAFE_INTEGER),
  capabilities: proxyCapabilities,
  listenAddress: options.listenAddress,
})

/**
 * Leaves the active set at once instead of after the info's time to live; when that fails, the
 * time to live does it.
 */
async function withdraw({ store, clock, log, self }: Proxy): Promise<void> {
  const over = new AbortController()
  try {
    await store.withdraw({ kind: "proxy", uid: self }, clock.deadline(withdrawTimeout, over.signal))
  } catch (error) {
    const why = `the proxy info could not be withdrawn: ${message(error)}`
    log.event(event("store.failed", { error: why }))
  } finally {
    over.abort()
  }
}
