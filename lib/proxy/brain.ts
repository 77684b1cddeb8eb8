/**
 * The proxy's judgement: from what was read to what has to be done, in which order (reference 7,
 * G9, D-14).
 *
 * The promise (P1): clients reach a DB only while a view that names it, and this proxy, is
 * younger than proxyTimeout, counted from the start of the read. The order of acts is part of it:
 * first the cut, then the published generation, then a new destination. A generation is never
 * published for an effect that has not happened, and nothing is ever forwarded on a view that
 * cannot be used.
 *
 * In a switchover (S2) the cut is a drain: it begins in one check and ends by itself; until then
 * every check says the generation before, so that nobody takes this proxy for silent or for done.
 */
import { type Millis, type Now, millis, never } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import type { ClusterData } from "#model/cluster.ts"
import { type Event, event } from "#model/events.ts"
import type { Generation, ProxyUID } from "#model/ids.ts"
import { withDefaults } from "#model/spec.ts"
import { validate } from "#model/validation.ts"

import { type Destination, type Gate, gate, sameDestination } from "./gate.ts"
import { type Target, target } from "./target.ts"
import { type Witness, type Word, vouchedUntil, witness } from "./word.ts"

/** What a read of the cluster data found. */
export type View =
  | { readonly kind: "found"; readonly data: ClusterData }
  | { readonly kind: "absent" }
  /** Another format version: refused and cut at once (X4). */
  | { readonly kind: "unsupported"; readonly why: string }
  /**
   * An answer that makes no sense: an event, and nothing is cut for it before proxyTimeout (X1,
   * D-79).
   */
  | { readonly kind: "malformed"; readonly why: string }
  | { readonly kind: "unreachable"; readonly why: string }

export interface Snapshot {
  readonly self: ProxyUID
  readonly view: View
  /** When the read began: the age of a view counts from here. */
  readonly readAt: Millis
  /** Where the data plane leads, also while that is drained; null is closed. */
  readonly destination: Destination | null
  /** Sessions end as they become idle, and nobody new is led there. */
  readonly draining: boolean
  /** The generation last published; null: none. */
  readonly told: Generation | null
  readonly listening: boolean
  readonly reads: Reads
}

/**
 * The listener for reads: there is none, no view counts for it, or it leads by the view that it was
 * told last.
 */
export type Reads = "none" | "closed" | "open"

export interface Memory {
  readonly checkInterval: Millis
  readonly timeout: Millis
  /** The start of the last good check; at first the start of the process. */
  readonly goodAt: Millis
  /** Who may vouch for where clients are led (O4); null: nobody. */
  readonly witness: Witness | null
  /** What was last reported as wrong with the view; each trouble is reported once. */
  readonly trouble: Event | null
}

/**
 * What others are told: the generation in force here, and how long this proxy forwards without a
 * good check.
 */
export interface Announcement {
  readonly generation: Generation
  readonly timeout: Millis
  readonly ttl: Millis
}

export type Act =
  | { readonly kind: "cut"; readonly why: string }
  /** Begins, and does not wait for the end; no generation is published for it before that. */
  | { readonly kind: "drain"; readonly bound: Millis; readonly why: string }
  /**
   * Reads go on by this view, and end at once where it permits none (`standbys.ts`); null: all end.
   */
  | { readonly kind: "confine"; readonly view: ClusterData | null }
  /** `required`: the check fails when this fails, and nothing after it is done (X9). */
  | { readonly kind: "publish"; readonly info: Announcement; readonly required: boolean }
  | { readonly kind: "listen" }
  | { readonly kind: "unlisten" }
  /** `wanted`: who has to be there. */
  | { readonly kind: "forward"; readonly to: Destination; readonly wanted: Target | null }

/** `acts` in this order; `memory` holds once all of them are done. */
export interface Decision {
  readonly output: { readonly acts: readonly Act[] }
  readonly memory: Memory
  readonly events: readonly Event[]
}

/** Go's values until a specification has been read and an info published (7.1). */
export const newMemory = (now: Now): Memory => ({
  checkInterval: millis(5_000),
  timeout: millis(15_000),
  goodAt: now.mono,
  witness: null,
  trouble: null,
})

/** One check. */
export function decide(snapshot: Snapshot, memory: Memory, now: Now): Decision {
  if (isStale(snapshot.readAt, memory, now)) return bad(snapshot, memory, stale(snapshot, now))
  const { view } = snapshot
  switch (view.kind) {
    case "unreachable":
      return bad(snapshot, memory, event("store.failed", { error: view.why }))
    case "malformed":
      return bad(snapshot, memory, event("view.malformed", { error: view.why }))
    case "unsupported":
      return bad(snapshot, memory, event("view.invalid", { error: view.why }), view.why)
    case "absent":
      return good(
        snapshot,
        memory,
        [...close(snapshot, "no cluster data"), ...listen(snapshot)],
        event("view.absent"),
        null,
      )
    case "found": {
      const broken = validate(view.data.cluster.spec)
      if (broken !== null)
        return bad(snapshot, memory, event("view.invalid", { error: broken }), broken)
      return obey(snapshot, view.data, memory)
    }
    default:
      return never(view)
  }
}

/** A usable view: cut or drain, publish, listen, forward, as far as each is needed. */
function obey(snapshot: Snapshot, data: ClusterData, memory: Memory): Decision {
  const spec = withDefaults(data.cluster.spec)
  const timeout = toMillis(spec.proxyTimeout)
  const wanted = gate(data, snapshot.self)
  const destination = wanted.kind === "open" ? wanted.to : null
  const changes = !sameDestination(snapshot.destination, destination)
  const before = drained(snapshot, wanted)
  const acts: Act[] = before?.acts ?? (changes ? [...cut(snapshot, reason(wanted))] : [])
  if (snapshot.reads !== "none") acts.push({ kind: "confine", view: data })
  if (wanted.kind === "unresolved")
    return good(snapshot, memory, [...acts, ...listen(snapshot)], null, null)
  acts.push({
    kind: "publish",
    info: announcement(before?.told ?? data.proxy.generation, memory.timeout, timeout),
    // a drain that nobody hears of ends with the timeout, like forwarding
    required: before !== null || (wanted.kind !== "leaderless" && wanted.kind !== "hold"),
  })
  acts.push(...listen(snapshot))
  // to where it is draining: the switchover was given up, and who is still there stays
  if (destination !== null && (changes || snapshot.draining))
    acts.push({ kind: "forward", to: destination, wanted: changes ? target(data) : null })
  // A zero interval is legal and would spin.
  const checkInterval = millis(Math.max(50, toMillis(spec.proxyCheckInterval)))
  const leads = destination !== null || before !== null
  const next = { ...memory, timeout, checkInterval }
  return good(snapshot, next, acts, null, leads ? witness(data) : null)
}

/**
 * What a hold asks of a proxy that leads clients to the DB that is held, and the generation that
 * stays the last word meanwhile; null: anything else, also a proxy that slept and leads elsewhere.
 */
function drained(
  snapshot: Snapshot,
  wanted: Gate,
): { readonly acts: Act[]; readonly told: Generation } | null {
  const { destination, draining, told } = snapshot
  if (wanted.kind !== "hold" || destination === null || told === null) return null
  if (!sameDestination(destination, wanted.from)) return null
  const { bound, why } = wanted
  return { acts: draining ? [] : [{ kind: "drain", bound, why }], told }
}

const reason = (wanted: Gate): string =>
  wanted.kind === "open" ? "another destination" : wanted.why

/** The longer of two timeouts is announced while one replaces the other (X5). */
function announcement(generation: Generation, present: Millis, next: Millis): Announcement {
  const timeout = millis(Math.max(present, next))
  return { generation, timeout, ttl: millis(Math.max(20_000, 2 * timeout)) }
}

const cut = (snapshot: Pick<Snapshot, "destination">, why: string): readonly Act[] =>
  snapshot.destination === null ? [] : [{ kind: "cut", why }]

const close = (snapshot: Pick<Snapshot, "destination" | "reads">, why: string): readonly Act[] => [
  ...cut(snapshot, why),
  ...(snapshot.reads === "open" ? [{ kind: "confine", view: null } as const] : []),
]

const listen = (snapshot: Snapshot): readonly Act[] =>
  snapshot.listening ? [] : [{ kind: "listen" }]

const good = (
  snapshot: Snapshot,
  memory: Memory,
  acts: readonly Act[],
  trouble: Event | null,
  vouching: Witness | null,
): Decision => ({
  output: { acts },
  memory: { ...memory, goodAt: snapshot.readAt, witness: vouching, trouble },
  events: report(memory.trouble, trouble),
})

/** A check that failed: the timeout runs on. With `why`, the clients are cut in this very check. */
const bad = (
  snapshot: Snapshot,
  memory: Memory,
  trouble: Event,
  why: string | null = null,
): Decision => ({
  output: { acts: why === null ? [] : close(snapshot, why) },
  memory: { ...memory, trouble },
  events: report(memory.trouble, trouble),
})

/** A check whose act failed at the store: as if the store had not been reached. */
export function failed(memory: Memory, why: string): Pick<Decision, "memory" | "events"> {
  const trouble = event("store.failed", { error: why })
  return { memory: { ...memory, trouble }, events: report(memory.trouble, trouble) }
}

function report(before: Event | null, after: Event | null): readonly Event[] {
  if (after !== null) {
    const known = before?.code === after.code && before.fields["error"] === after.fields["error"]
    return known && after.code !== "proxy.stale" ? [] : [after]
  }
  return before?.code === "store.failed" ? [event("store.recovered")] : []
}

/**
 * A view this old binds nobody any more: the leader may have given up on this proxy and promoted
 * another DB (D-14).
 */
export const isStale = (readAt: Millis, memory: Memory, now: Now): boolean =>
  now.mono - readAt >= memory.timeout

/**
 * When a leader may, at the earliest, count this proxy as gone: the announced timeout after the
 * start of the publish.
 */
export const heardUntil = (info: Announcement, startedAt: Millis): Millis =>
  millis(startedAt + info.timeout)

/**
 * Was this proxy given up, possibly, before its new publish was answered? Then the gate may have
 * been closed and another DB promoted after the view was read and before the publish: only a view
 * that is read after the answer may open. Null: never published, so nobody counted on it.
 */
export const lapsed = (until: Millis | null, now: Now): boolean =>
  until !== null && now.mono >= until

const stale = (snapshot: Snapshot, now: Now): Event =>
  event("proxy.stale", { age: Math.round(now.mono - snapshot.readAt) })

/** What the timeout watcher looks at. */
export interface Watched extends Pick<Snapshot, "destination" | "listening" | "reads"> {
  /** The keeper's last word. */
  readonly word: Word | null
}

/** Until when clients may stay where they are: by the last good check, or the keeper's word. */
export const validUntil = ({ destination, word }: Watched, memory: Memory): Millis => {
  const checked = memory.goodAt + memory.timeout
  // it opens nothing, so it counts for nobody who is closed
  const vouched = destination === null ? checked : vouchedUntil(word, memory.witness)
  return millis(Math.max(checked, vouched))
}

/**
 * Whether the keeper is to be asked: the store has failed, or has been silent for half of the
 * timeout. A document that makes no sense is an answer, and no reason to ask somebody else.
 */
export function needsWord(state: Watched, memory: Memory, now: Now): boolean {
  if (state.destination === null || memory.witness === null) return false
  if (now.mono >= validUntil(state, memory)) return false // too late: the cut is due
  const code = memory.trouble?.code ?? null
  if (code !== null && code !== "store.failed" && code !== "proxy.stale") return false
  return code === "store.failed" || now.mono - memory.goodAt >= memory.timeout / 2
}

/**
 * The timeout watcher's judgement, independent of checks (7.2): what to do when no check was good
 * for proxyTimeout, and nobody vouches. Null when there is nothing to do.
 */
export function expire(
  state: Watched,
  memory: Memory,
  now: Now,
  stopListening: boolean,
): Pick<Decision, "output" | "events"> | null {
  if (now.mono < validUntil(state, memory)) return null
  const acts: Act[] = [...close(state, "no good check for proxyTimeout")]
  if (state.listening && stopListening) acts.push({ kind: "unlisten" })
  if (acts.length === 0) return null
  return { output: { acts }, events: [event("proxy.timeout", { timeout: memory.timeout })] }
}

/** What is reported when an act is done; publishing is routine. */
export function done(act: Act): readonly Event[] {
  switch (act.kind) {
    case "cut":
      return [event("proxy.cut", { reason: act.why })]
    case "drain":
      return [event("proxy.draining", { reason: act.why, bound: act.bound })]
    case "forward":
      return [event("proxy.forwarding", { host: act.to.host, port: act.to.port })]
    case "listen":
      return [event("proxy.listening")]
    case "unlisten":
      return [event("proxy.closed")]
    case "publish":
    case "confine": // tells what it does by itself
      return []
    default:
      return never(act)
  }
}

/** Acts that only end something: no view is too old for them. */
export const onlyEnds = (act: Act): boolean =>
  act.kind === "cut" || (act.kind === "confine" && act.view === null)

/** Acts that only let clients in. */
export const onlyBegins = (act: Act): boolean => act.kind === "listen" || act.kind === "forward"
