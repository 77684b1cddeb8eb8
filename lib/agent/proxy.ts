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
import type { ClusterData } from "#model/cluster.ts"
import { type Event, event } from "#model/events.ts"
import { type Generation, proxyUID, type ProxyUID } from "#model/ids.ts"
import type { Chance, Clock } from "#port/clock.ts"
import type { Log } from "#port/log.ts"
import type { Peers } from "#port/peer.ts"
import type { Relay } from "#port/relay.ts"
import type { Store } from "#port/store.ts"
import {
  type Act,
  type Decision,
  type Memory,
  decide,
  done,
  expire,
  failed,
  isStale,
  newMemory,
  onlyBegins,
  onlyEnds,
  validUntil,
} from "#proxy/brain.ts"
import type { Destination } from "#proxy/gate.ts"
import type { Target } from "#proxy/target.ts"

import { type Bell, aborted, bell, forever } from "./loop.ts"
import {
  type Reads,
  type ReadsPort,
  beatInterval,
  confineReads,
  newReads,
  readBeat,
} from "./proxy-reads.ts"
import { type Vouching, allow, readsOf, seekWord, silent, watched } from "./proxy-word.ts"
import { look, message, timely } from "./proxy-look.ts"
import { publish, withdraw } from "./proxy-publish.ts"
import { retire } from "./proxy-retire.ts"
import { type ProxyState, stateOf } from "./proxy-state.ts"
import { askAgain, verify } from "./proxy-verify.ts"

export interface ProxyPorts {
  readonly store: Store
  readonly relay: Relay
  /** Absent: reads have no listener of their own. */
  readonly readers?: ReadsPort
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
  /** How long sessions may take to come to their end when it is asked to end itself; 0: none. */
  readonly shutdownTimeout?: Millis
  /** Whoever asked it to end has lost patience. */
  readonly hurry?: AbortSignal
  /** Is told how it stands after each check and each cut. */
  readonly report?: (state: ProxyState) => void
}

/** Timers stand still while a machine is suspended: the watcher looks at least this often. */
const watcherPause = millis(500)
/** Before a store that failed is asked again. */
const retryPause = 500

/**
 * Runs until `asked` aborts, lets sessions come to their end, and returns when the rest is cut,
 * the listener closed and the own info withdrawn.
 */
export async function runProxy(
  ports: ProxyPorts,
  options: ProxyOptions,
  asked: AbortSignal,
): Promise<void> {
  const { store, clock, log } = ports
  const over = new AbortController()
  const { signal } = over
  const proxy: Proxy = {
    ...ports,
    options,
    signal,
    retiring: false,
    self: options.uid ?? proxyUID(ports.chance.uid()),
    memory: newMemory(clock.now()),
    destination: null,
    drain: null,
    told: null,
    refused: null,
    seen: null,
    wake: bell(),
    heardUntil: null,
    vouching: silent(),
    checking: new AbortController(),
    expiring: false,
    reads: ports.readers === undefined ? null : newReads(ports.readers),
  }
  allow(proxy, proxy.memory)
  const { reads, wake } = proxy
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
  if (reads !== null) {
    const pause = (): Promise<void> => reads.wake.wait(clock, beatInterval(reads), signal)
    loops.push(forever(() => readBeat(proxy, reads), pause, log, signal))
  }
  await aborted(asked)
  await retire(proxy, (bound) => startDrain(proxy, bound, false))
  over.abort(asked.reason)
  await close(proxy) // at once; a check that still hangs finds the signal aborted and opens nothing
  await confineReads(proxy, null)
  await ports.relay.unlisten()
  await reads?.relay.unlisten()
  await Promise.all([...loops, proxy.drain?.ended, proxy.vouching.asking])
  await withdraw(proxy)
}

/** One run of the proxy. Mutable: the loops below share it. */
export interface Proxy extends ProxyPorts {
  readonly options: ProxyOptions
  readonly signal: AbortSignal
  /** It opens nothing any more. Written by `proxy-retire.ts`. */
  retiring: boolean
  readonly self: ProxyUID
  memory: Memory
  /** Where the data plane leads, also while that is drained; null is closed. */
  destination: Destination | null
  /** The last drain. */
  drain: Drain | null
  /** The generation last published. */
  told: Generation | null
  /** Why clients are not led where the view leads, as last said. */
  refused: string | null
  /** The last view that could be used. */
  seen: ClusterData | null
  readonly wake: Bell
  /** How long the last answered publish is sure to count; null before the first one. */
  heardUntil: Millis | null
  /** The keeper's word (O4), written by `proxy-word.ts`. */
  readonly vouching: Vouching
  /** The check under way; the watcher aborts it: nothing of it takes effect after its cut. */
  checking: AbortController
  expiring: boolean
  /** Null: reads have no listener of their own. Written by `proxy-reads.ts`. */
  readonly reads: Reads | null
}

/** A drain, from its beginning until it is done or overtaken. */
interface Drain {
  /** The store asks for it, and is told when it is done; otherwise the end of this process does. */
  readonly held: boolean
  /** False as soon as it is done, or something else was told to the data plane. */
  underWay: boolean
  /** Resolves when the data plane is done with it, one way or the other. */
  ended: Promise<void>
}

/** What became of an act, and so of the check. `failed` counts like an unreadable store. */
export type Outcome =
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly why: string }
  | { readonly kind: "stale"; readonly why: string }
  /** Somebody else is where the view leads; asked again soon. */
  | { readonly kind: "refused"; readonly why: string; readonly wanted: Target | null }
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

function startDrain(proxy: Proxy, bound: Millis, held: boolean): void {
  overtake(proxy)
  const drain: Drain = { held, underWay: true, ended: Promise.resolve() }
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
  if (drain.held) say(proxy, [event("proxy.drained")])
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
  proxy.options.report?.(stateOf(proxy))
}

async function tryOnce(proxy: Proxy): Promise<"again" | "enough"> {
  proxy.checking = new AbortController()
  const signal = AbortSignal.any([proxy.signal, proxy.checking.signal])
  const readAt = proxy.clock.now().mono
  const view = await timely(proxy, signal, (bound) => look(proxy.store, bound))
  if (signal.aborted) return "enough"
  const { self, destination, told } = proxy
  const draining = proxy.drain?.underWay === true && proxy.drain.held
  const { listening } = proxy.relay
  const reads = readsOf(proxy)
  const snapshot = { self, view, readAt, destination, draining, told, listening, reads }
  const decision = decide(snapshot, proxy.memory, proxy.clock.now())
  const outcome = await carryOut(proxy, decision, readAt, signal)
  // The watcher or the end of the process has spoken meanwhile: this check never was.
  if (signal.aborted) return "enough"
  switch (outcome.kind) {
    case "done":
      proxy.memory = decision.memory
      proxy.refused = null
      allow(proxy, proxy.memory)
      say(proxy, decision.events)
      if (view.kind === "found") proxy.seen = view.data
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
    case "refused":
      proxy.memory = decision.memory
      allow(proxy, proxy.memory)
      if (view.kind === "found") proxy.seen = view.data
      say(proxy, decision.events)
      if (proxy.refused !== outcome.why)
        say(proxy, [event("proxy.refused", { error: outcome.why })])
      proxy.refused = outcome.why
      void askAgain(proxy, outcome.wanted)
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
  const { acts } = decision.output
  const opens = acts.find((act) => act.kind === "forward")
  // asked while the info is being published, which takes as long
  const doubts = verify(proxy, opens?.wanted ?? null, signal)
  for (const act of acts) {
    if (signal.aborted) return { kind: "failed", why: "aborted" }
    if (proxy.retiring && onlyBegins(act)) continue
    // Looked at again before each act, under both timeouts when one replaces the other (D-14).
    const now = proxy.clock.now()
    const old = isStale(readAt, proxy.memory, now) || isStale(readAt, decision.memory, now)
    if (old && !onlyEnds(act)) return { kind: "stale", why: `too old to ${act.kind}` }
    if (act.kind === "forward") {
      const why = await doubts
      if (signal.aborted) return { kind: "failed", why: "aborted" }
      if (proxy.retiring) continue
      const { to, wanted } = act
      if (why !== null) return { kind: "refused", why: `${to.host}:${to.port}: ${why}`, wanted }
      allow(proxy, decision.memory) // so that it does not matter how long the answer took
    }
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
      startDrain(proxy, act.bound, true)
      break
    case "forward":
      overtake(proxy)
      proxy.destination = act.to
      await relay.apply({ kind: "forward", ...act.to })
      break
    case "listen":
      await relay.listen()
      // The watcher or the end of the process may have wanted it closed meanwhile.
      if (proxy.retiring || (signal.aborted && options.stopListening)) await relay.unlisten()
      break
    case "unlisten":
      await relay.unlisten()
      await proxy.reads?.relay.unlisten()
      break
    case "confine":
      await confineReads(proxy, act.view)
      break
    case "publish":
      return publish(proxy, act, signal)
    default:
      return never(act)
  }
  return { kind: "done" }
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
  options.report?.(stateOf(proxy))
}

function untilTimeout(proxy: Proxy): Millis {
  const left = validUntil(watched(proxy), proxy.memory) - proxy.clock.now().mono
  return left <= 0 ? watcherPause : millis(Math.min(left, watcherPause))
}
