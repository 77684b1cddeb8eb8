/**
 * One client and the connection made for it. Two sides, each with what it still owes its own
 * socket.
 *
 * The state is spelt out because every byte passes here: `ready` is the one question of the fast
 * path. Mutable on purpose; only this folder touches it, all on one thread.
 */
import type { Millis } from "#base/brand.ts"
import type { RelayStats, Route } from "#port/relay.ts"

import type { Follow } from "./follow.ts"

export type Socket = Bun.Socket<Side>
export type Destination = Extract<Route, { kind: "forward" }>

/** The counters behind `stats()`. */
export type Counters = { -readonly [K in Exclude<keyof RelayStats, "sessions" | "held">]: number }

/** What all sessions of a relay have in common. */
export interface Shared {
  readonly counters: Counters
  readonly dialTimeout: Millis
  /** How long what is left for one side is kept after the other is gone. */
  readonly lingerTimeout: Millis
  /**
   * Descriptors from this number on are not for sessions: the rest of the process needs some too.
   */
  descriptorsMax: number
  /** Sessions end as soon as they are idle. */
  draining: boolean
  /** The dial did not succeed with this address: try the next one, or give up. */
  readonly attempt: (session: Session) => void
  /** A client that is led nowhere has sent something; it has been kept. */
  readonly heard: (session: Session) => void
  /** The session has become idle while draining; `last` is still to be passed on to the client. */
  readonly rested: (session: Session, last: Uint8Array | null) => void
  /** Called once, when both sockets are gone. */
  readonly onOver: (session: Session) => void
}

export interface Side {
  readonly session: Session
  readonly isClient: boolean
  /** Null before there is one and after it closed. */
  socket: Socket | null
  /** Connected, nothing pending, not shut: bytes may go straight to `socket`. */
  ready: boolean
  connected: boolean
  /**
   * What the kernel of this side has not taken yet. While there is some the other side is paused.
   */
  pending: Uint8Array | null
  /** This side's peer has sent its end. */
  ended: boolean
  /**
   * What to do once nothing is pending: pass the end on, or close because the other side is gone.
   */
  after: "nothing" | "shut" | "close"
  /** We sent our end. */
  shut: boolean
  paused: boolean
}

/**
 * `held`: waits for a destination. `led`: on its way to one, or there. `refused`: is told that
 * there is none. `parting`: has heard our last word, what it sends is dropped. `over`: nothing may
 * be opened, resumed or written any more.
 */
export type Phase = "held" | "led" | "refused" | "parting" | "over"

export interface Session {
  phase: Phase
  /** The only destination that this session will ever have reached; null before it is led. */
  route: Destination | null
  readonly shared: Shared
  readonly client: Side
  readonly upstream: Side
  /** Null: not followed. */
  readonly follow: Follow | null
  /** Bytes of the client have left for the destination. */
  spoken: boolean
  dial: Dial | null
  /**
   * Runs while one side is gone and the other has not yet taken what was left for it, and while a
   * client is refused or parting.
   */
  linger: ReturnType<typeof setTimeout> | null
}

/** A connect that has not succeeded yet. */
export interface Dial {
  readonly port: number
  addresses: readonly string[]
  next: number
  /** By performance.now(). */
  readonly until: number
  timer: ReturnType<typeof setTimeout> | null
}

export function newSession(phase: Phase, follow: Follow | null, shared: Shared): Session {
  // Sides and session name each other; the knot is tied with the one assertion of this file.
  const fields = { phase, route: null, shared, follow, spoken: false, dial: null, linger: null }
  const session = fields as { -readonly [K in keyof Session]: Session[K] }
  session.client = newSide(session, true)
  session.upstream = newSide(session, false)
  return session
}

const newSide = (session: Session, isClient: boolean): Side => ({
  session,
  isClient,
  socket: null,
  ready: false,
  connected: false,
  pending: null,
  ended: false,
  after: "nothing",
  shut: false,
  paused: false,
})

export const otherSide = (side: Side): Side =>
  side.isClient ? side.session.upstream : side.session.client

/** Ends a session now: both sockets reset, what is buffered dropped, a pending dial given up. */
export function cut(session: Session): void {
  if (session.phase === "over") return
  session.phase = "over"
  stopWaiting(session)
  drop(session.client)
  drop(session.upstream)
  session.shared.onOver(session)
}

/** No timer of this session fires any more, and nothing is dialled. */
export function stopWaiting(session: Session): void {
  if (session.dial !== null && session.dial.timer !== null) clearTimeout(session.dial.timer)
  if (session.linger !== null) clearTimeout(session.linger)
  session.dial = session.linger = null
}

/** Resets one side; what was to be written to it stays with the caller. */
export function reset(side: Side): void {
  const socket = side.socket
  side.socket = null // first, so that the close handler knows that this end was ours
  side.ready = false
  socket?.terminate()
}

function drop(side: Side): void {
  reset(side)
  side.pending = null
}
