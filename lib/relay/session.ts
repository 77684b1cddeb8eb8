/**
 * One client and the connection made for it. Two sides, each with what it still owes its own
 * socket.
 *
 * The state is spelt out because every byte passes here: `ready` is the one question of the fast
 * path. Mutable on purpose; only `pump.ts`, `dial.ts` and `relay.ts` touch it, all on one thread.
 */
import type { Millis } from "#base/brand.ts"
import type { Route } from "#port/relay.ts"

export type Socket = Bun.Socket<Side>

/** The counters behind `stats()`. */
export interface Counters {
  accepted: number
  refused: number
  dialErrors: number
  bytesIn: number
  bytesOut: number
  heldTotal: number
  holdTimeouts: number
  drained: number
  cut: number
}

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
  /** The dial did not succeed with this address: try the next one, or give up. */
  readonly attempt: (session: Session) => void
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

export interface Session {
  /** The only destination that this session will ever know. */
  readonly route: Extract<Route, { kind: "forward" }>
  readonly shared: Shared
  readonly client: Side
  readonly upstream: Side
  /** Nothing may be opened, resumed or written any more. */
  over: boolean
  dial: Dial | null
  /** Runs while one side is gone and the other has not yet taken what was left for it. */
  linger: ReturnType<typeof setTimeout> | null
}

/** A connect that has not succeeded yet. */
export interface Dial {
  addresses: readonly string[]
  next: number
  /** By performance.now(). */
  readonly until: number
  timer: ReturnType<typeof setTimeout> | null
}

export function newSession(route: Session["route"], shared: Shared): Session {
  // Sides and session name each other; the knot is tied with the one assertion of this file.
  const fields = { route, shared, over: false, dial: null, linger: null }
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
  if (session.over) return
  session.over = true
  if (session.dial !== null && session.dial.timer !== null) clearTimeout(session.dial.timer)
  if (session.linger !== null) clearTimeout(session.linger)
  session.dial = null
  drop(session.client)
  drop(session.upstream)
  session.shared.onOver(session)
}

function drop(side: Side): void {
  const socket = side.socket
  side.socket = null // first, so that the close handler knows that this end was ours
  side.ready = false
  side.pending = null
  socket?.terminate()
}
