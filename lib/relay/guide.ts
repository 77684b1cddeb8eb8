/**
 * Leads clients: by the way in force when they come, when nobody answers where they were to be led,
 * and when they have waited.
 *
 * A client is led on only while nobody has heard anything of it, or nobody has taken it in. One for
 * whom there is nobody is ended, waits, tries again, or is handed to another listener, which then
 * has it as one of its own.
 */
import type { Millis } from "#base/brand.ts"
import type { Destination } from "#port/relay.ts"

import { dial } from "./dial.ts"
import type { Hold } from "./hold.ts"
import { cut, reset, type Session, type Socket, stopWaiting } from "./session.ts"
import { beginning, startupLongest } from "./startup.ts"
import { nowhere, type Way } from "./way.ts"

/** Another listener's door: a client, and what it has said. */
export type Spare = (client: Socket, said: Uint8Array | null) => void

export interface Guide {
  /** The way in force from here on. */
  follow(next: Way): void
  /** Where a client that has just come is led; null: nowhere. */
  first(): Destination | null
  leadTo(session: Session, to: Destination): void
  /** Another listener takes those for whom there is nobody here. */
  readonly passes: boolean
  /** Hands it to that one; false: there is none. */
  pass(session: Session): boolean
  /** Hands it to somebody else for good, with all that it has said. */
  passOn(session: Session, through: Spare): void
  /** Nobody answered where it was to be led: another destination, the same later, or the end. */
  another(session: Session): void
  /** `Shared.notYet`. */
  later(session: Session): boolean
  /** Leads those that wait, when there is somewhere to lead them. */
  release(): void
}

interface Clients {
  /** Those that are led. */
  readonly live: Set<Session>
  readonly hold: Hold
  readonly spare: Spare | null
  /** How long a client may wait. */
  readonly timeout: Millis
  /** The session is none of this listener any more. */
  readonly left: (session: Session) => void
  /** There is nowhere to lead this one, for now or for too long already. */
  readonly keepWaiting: (session: Session) => void
  readonly turnAway: (session: Session) => void
  /** One that was led is no more. */
  readonly settle: () => void
}

/** Before a destination that took nobody is tried again. */
const pause = 100

export function newGuide(clients: Clients): Guide {
  const { live, hold, spare, timeout, left } = clients
  let way = nowhere
  const leadTo = (session: Session, to: Destination): void => {
    live.add(session)
    dial(session, to)
  }
  /** Nothing is closed: its socket goes to the other listener as it is. */
  const passOn = (session: Session, through: Spare): void => {
    takeBack(session)
    const { client, upstream } = session
    const { socket } = client
    client.socket = null
    session.phase = "over"
    left(session)
    if (client.paused) socket?.resume() // whoever has it now sees for itself how much that is
    client.paused = false
    if (socket !== null) through(socket, upstream.pending)
  }
  /** Stays among those that are led: whatever takes the destination away takes it back. */
  const tryLater = (session: Session): void => {
    const now = performance.now()
    if (session.patience === 0) session.patience = now + timeout
    if (now >= session.patience) {
      live.delete(session)
      return clients.turnAway(session)
    }
    takeBack(session)
    const timer = setTimeout(() => {
      const to = way.pick([])
      if (to !== null) return leadTo(session, to)
      live.delete(session)
      clients.keepWaiting(session)
      clients.settle()
    }, pause)
    session.dial = { port: 0, addresses: [], next: 0, since: now, until: session.patience, timer }
  }
  return {
    follow(next) {
      way = next
    },
    first: () => way.pick([]),
    leadTo,
    passes: spare !== null,
    passOn,
    pass(session) {
      if (spare !== null) passOn(session, spare)
      return spare !== null
    },
    another(session) {
      const { route, tried } = session
      if (route !== null) way.failed(route)
      if (!mayWait(session)) return cut(session)
      const all = route === null ? tried : [...tried, route]
      const next = way.pick(all)
      if (next === null && spare !== null) return passOn(session, spare)
      if (next === null) return hold.open ? tryLater(session) : cut(session)
      takeBack(session)
      session.tried = all
      leadTo(session, next)
    },
    later(session) {
      const isOver = session.patience > 0 && performance.now() >= session.patience
      if (!hold.open || isOver || !session.spoken || !mayWait(session)) return false
      if (session.route !== null) way.failed(session.route) // others first, where there are some
      tryLater(session)
      return true
    },
    release() {
      if (spare === null && way.pick([]) === null) return
      for (const session of hold.release()) {
        const to = way.pick([])
        if (to !== null) leadTo(session, to)
        else if (spare !== null) passOn(session, spare)
      }
    },
  }
}

/**
 * Another destination will do as well: this one has heard nothing of the client, or how it begins
 * and has answered nothing.
 */
export const mayWait = ({ client, spoken, opening }: Session): boolean =>
  !client.ended &&
  client.after === "nothing" &&
  client.socket !== null &&
  (!spoken || (opening !== null && beginning(opening).kind === "session"))

/** Undoes the way to a destination. What the client has sent stays at hand. */
export function takeBack(session: Session): void {
  const { client, upstream, opening } = session
  stopWaiting(session)
  reset(upstream)
  upstream.connected = false
  upstream.ended = false
  upstream.paused = false
  upstream.after = "nothing"
  if (session.spoken) upstream.pending = opening
  session.spoken = false
  session.route = null
  session.tried = []
  session.leaving = false
  if (client.paused && (upstream.pending?.byteLength ?? 0) <= startupLongest) {
    client.socket?.resume()
    client.paused = false
  }
}
