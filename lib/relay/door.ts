/**
 * How a client comes in: counted, told that there is no room, or none of what it wants, asked for
 * what a load balancer says before it, and then led, handed on or kept waiting.
 *
 * A client is refused before descriptors run out: Bun does not see EMFILE and would spin on the
 * listener (measured, 1.4.5). The kernel gives the lowest free number, so the number itself says
 * how many are left.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { RelayOptions } from "#port/relay.ts"

import { isLate } from "./deadline.ts"
import { fromClient, newFollow } from "./follow.ts"
import type { Guide } from "./guide.ts"
import type { Hold } from "./hold.ts"
import { descriptor } from "./libc.ts"
import { answerBeginning, moment } from "./part.ts"
import { preface } from "./preface.ts"
import { cut, newSession, type Session, type Shared, type Socket, stopWaiting } from "./session.ts"

export interface Room {
  readonly options: Pick<RelayOptions, "max" | "prefaced">
  /** Sessions are read to know when they are idle. */
  readonly following: boolean
  readonly shared: Shared
  readonly hold: Hold
  readonly guide: Guide
  /** Those that are led nowhere and do not wait. */
  readonly leaving: Set<Session>
  /** What a client is told for whom there is no destination, and one too many. */
  readonly unavailable: Uint8Array
  readonly crowded: Uint8Array
  /** How many are led or wait. */
  readonly present: () => number
  readonly turnAway: (session: Session, words: Uint8Array, patience: Millis) => void
  readonly keepWaiting: (session: Session) => void
}

/** How long a load balancer may take to say for whom it speaks. */
const prefaceTime = millis(5_000)

export interface Door {
  /** `prefaced`: a load balancer is between. */
  accept(client: Socket, prefaced?: boolean): void
  /** Bytes of a client that is led nowhere have been kept. */
  heard(session: Session): void
}

export function newDoor(room: Room): Door {
  const { options, shared, hold, guide } = room
  const { counters } = shared
  const refuse = (session: Session, words: Uint8Array): void => {
    counters.refused++
    room.turnAway(session, words, moment)
  }
  const admit = (session: Session): void => {
    const to = isLate(shared) ? null : guide.first()
    if (to === null && guide.pass(session)) return // it is counted where it goes
    counters.accepted++
    if (options.max > 0 && room.present() >= options.max) return refuse(session, room.crowded)
    if (to !== null) return guide.leadTo(session, to)
    if (hold.open && !hold.full) return room.keepWaiting(session)
    refuse(session, room.unavailable)
  }
  const accept = (client: Socket, prefaced = options.prefaced): void => {
    const nowhere = !hold.open && (isLate(shared) || guide.first() === null) && !guide.passes
    if (nowhere || descriptor(client) >= shared.descriptorsMax) {
      counters.accepted++
      counters.refused++
      client.close()
      return
    }
    const follow = room.following ? newFollow() : null
    const session = begin(client, newSession("held", follow, shared))
    if (!prefaced) return admit(session)
    session.phase = "prefaced"
    room.leaving.add(session)
    session.linger = setTimeout(() => cut(session), prefaceTime)
  }
  /** What is behind the header is the client's, and goes the way of all that it says. */
  const unwrap = (session: Session): void => {
    const { upstream, follow } = session
    const said = upstream.pending ?? new Uint8Array(0)
    const found = preface(said)
    if (found.kind === "partial") return
    if (found.kind === "none") {
      counters.refused++
      return cut(session)
    }
    stopWaiting(session)
    room.leaving.delete(session)
    const rest = said.subarray(found.length)
    upstream.pending = rest.byteLength > 0 ? rest : null
    if (follow !== null && rest.byteLength > 0) fromClient(follow, rest)
    session.phase = "held"
    if (rest.byteLength === 0 || !shared.cancels(session) || waits(session)) admit(session)
  }
  return {
    accept,
    heard(session) {
      if (session.phase === "prefaced") return unwrap(session)
      if (session.phase !== "held" && session.phase !== "refused") return
      if (shared.cancels(session)) return
      if (session.phase === "refused") answerBeginning(session)
    },
  }
}

/** Nothing has become of it yet: what it has said may still become a CancelRequest. */
const waits = ({ phase }: Session): boolean => phase === "held"

export function begin(client: Socket, session: Session): Session {
  session.client.socket = client
  session.client.connected = true
  session.client.ready = true
  client.data = session.client
  return session
}
