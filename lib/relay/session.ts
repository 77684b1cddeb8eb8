/**
 * One client and the connection made for it. Two sides, each with what it still owes its own
 * socket.
 *
 * The state is spelt out because every byte passes here: `ready` is the one question of the fast
 * path. Mutable on purpose; only this folder touches it, all on one thread.
 */
import type { Millis } from "#base/brand.ts"
import type { CutCause, Destination, RelayStats } from "#port/relay.ts"

import type { Follow } from "./follow.ts"
import { type KeyReader, newKeyReader } from "./keys.ts"

export type Socket = Bun.Socket<Side>

/** The counters behind `stats()`. */
export type Counters = Omit<
  { -readonly [K in keyof RelayStats]: RelayStats[K] },
  "sessions" | "held" | "cutBy"
> & { readonly cutBy: Record<CutCause, number> }

/** What all sessions of a relay have in common. */
export interface Shared {
  readonly counters: Counters
  readonly dialTimeout: Millis
  /** `RelayOptions.userTimeout`. */
  readonly userTimeout: Millis
  /** How long what is left for one side is kept after the other is gone. */
  readonly lingerTimeout: Millis
  /**
   * Descriptors from this number on are not for sessions: the rest of the process needs some too.
   */
  descriptorsMax: number
  /** Clients may be led until then, by the boot clock. */
  until: number
  /** When a destination last showed that it is not well, by performance.now(). */
  troubledAt: number
  /** It is later than that. */
  readonly overdue: () => void
  /** The dial did not succeed with this address: try the next one, or give up. */
  readonly attempt: (session: Session) => void
  /** The destination cannot be reached: lead the session to another one, or end it. */
  readonly unreachable: (session: Session) => void
  /** The destination takes nobody in yet: true when the client is led again and need not know. */
  readonly notYet: (session: Session) => boolean
  /** The key of a session has come. */
  readonly learn: (session: Session, key: string) => void
  /**
   * What a client has said first, which has been kept: true when it is a CancelRequest, or may
   * become one, and is led by that.
   */
  readonly cancels: (session: Session) => boolean
  /** A client that is led nowhere has sent something; it has been kept. */
  readonly heard: (session: Session) => void
  /** A session that is leaving has become idle; `last` is still to be passed on to the client. */
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
 * `prefaced`: a load balancer has to say first for whom it speaks. `asking`: where the session is
 * that it cancels is being asked. `held`: waits for a destination.
 * `led`: on its way to one, or there. `refused`: is told that there is none. `parting`: has heard
 * our last word, what it sends is dropped. `over`: nothing may be opened, resumed or written any
 * more.
 */
export type Phase = "prefaced" | "asking" | "held" | "led" | "refused" | "parting" | "over"

export interface Session {
  phase: Phase
  /** The only destination that this session will ever have reached; null before it is led. */
  route: Destination | null
  /** Where it was to be led and nobody answered. */
  tried: readonly Destination[]
  /** It ends as soon as it is idle. */
  leaving: boolean
  /** What it is told because it is refused; null before that. */
  refusal: Uint8Array | null
  readonly shared: Shared
  readonly client: Side
  readonly upstream: Side
  /** Null: not followed. */
  readonly follow: Follow | null
  /** Bytes of the client have left for the destination. */
  spoken: boolean
  /** What the destination was sent last; null when it has answered, or the session is not read. */
  opening: Uint8Array | null
  /** Until when it is led to where nobody takes it yet, by performance.now(); 0: not so far. */
  patience: number
  /** Reads the key that cancels the session; null when there is nothing to read any more. */
  keyReader: KeyReader | null
  key: string | null
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
  readonly since: number
  readonly until: number
  timer: ReturnType<typeof setTimeout> | null
}

const none: readonly Destination[] = []
/** Of a session's opening: nothing yet. */
const unsaid: Uint8Array = new Uint8Array(0)

export function newSession(phase: Phase, follow: Follow | null, shared: Shared): Session {
  // Sides and session name each other; the knot is tied with the one assertion of this file.
  const fields = {
    phase,
    route: null,
    tried: none,
    leaving: false,
    refusal: null,
    shared,
    follow,
    spoken: false,
    opening: follow === null ? null : unsaid,
    patience: 0,
    keyReader: follow === null ? null : newKeyReader(),
    key: null,
    dial: null,
    linger: null,
  }
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
