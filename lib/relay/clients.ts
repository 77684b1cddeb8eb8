/**
 * All clients of a relay, wherever they are in their lives: held, led, refused, parting. What
 * `apply` decides for the route is done here to each of them.
 *
 * After `leadOnly` and at the end of a drain nobody is led anywhere else: that is decided in one
 * go, on one thread, and asks no client for anything.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { Applied, RelayOptions, RelayStats, Route } from "#port/relay.ts"

import { attempt, dial } from "./dial.ts"
import { newDrain } from "./drain.ts"
import { canBeTold, isIdle, newFollow } from "./follow.ts"
import { newHold } from "./hold.ts"
import { descriptor } from "./libc.ts"
import { answerBeginning, moment, part, refuse } from "./part.ts"
import {
  cut,
  type Destination,
  newSession,
  reset,
  type Session,
  type Shared,
  type Side,
  stopWaiting,
} from "./session.ts"
import { cutOff, switchedOver, unavailable } from "./words.ts"

export interface Tuning {
  /** How long what is left for one side of a session is kept after the other is gone. */
  readonly linger: Millis
  /** Sessions are read to know when they are idle; else each is taken for busy. */
  readonly follow: boolean
}

export interface Clients {
  readonly shared: Shared
  /** A new one, under the route in force. */
  accept(client: Bun.Socket<Side>, route: Route): void
  /** Ends all that are led elsewhere, at once; null: all. Those that wait are led there. */
  leadOnly(to: Destination | null): void
  /** Ends each session when it is idle, or at the bound. */
  drain(bound: Millis): Promise<Applied>
  /** Of the drain under way. */
  readonly drained: Promise<Applied> | null
  /** Gives up the drain under way. */
  overtake(): void
  stats(): RelayStats
  /** Without a word. */
  dismiss(): void
}

export function newClients(options: RelayOptions, { linger, follow: following }: Tuning): Clients {
  /** Those that are led, and those that are refused or parting. */
  const live = new Set<Session>()
  const leaving = new Set<Session>()
  const drain = newDrain()

  const noPrimary = unavailable(options.hold.timeout)
  const turnAway = (session: Session, patience: Millis): void => {
    leaving.add(session)
    refuse(session, noPrimary, patience)
  }
  const hold = newHold(options.hold, (session) => {
    shared.counters.holdTimeouts++
    turnAway(session, millis(0)) // it had its time to say what it wants
  })
  /** None is said in the way of Go's proxy. */
  const lastWord = hold.open ? switchedOver : new Uint8Array(0)
  const shared: Shared = {
    counters: { ...zero },
    dialTimeout: options.dialTimeout,
    lingerTimeout: linger,
    descriptorsMax: 0,
    draining: false,
    attempt,
    heard: (session) => {
      if (session.phase === "refused") answerBeginning(session, noPrimary)
    },
    rested: (session, last) => {
      shared.counters.drained++
      letGo(session, last === null ? lastWord : Buffer.concat([last, lastWord]), true)
    },
    onOver: (session) => {
      leaving.delete(session)
      hold.forget(session)
      if (live.delete(session)) settleDrained()
    },
  }

  /** The session leads nowhere any more. */
  const letGo = (session: Session, words: Uint8Array, politely: boolean): void => {
    leaving.add(session)
    live.delete(session)
    part(session, words, politely)
    settleDrained()
  }
  const letGoNow = (session: Session): void => {
    if (mayWait(session) && hold.open && !hold.full) {
      takeBack(session)
      live.delete(session)
      return keepWaiting(session)
    }
    shared.counters.cut++
    const { client, follow } = session
    if (hold.open && client.ready && follow !== null && canBeTold(follow))
      letGo(session, cutOff, false)
    else cut(session)
  }
  const keepWaiting = (session: Session): void => {
    session.phase = "held"
    shared.counters.heldTotal++
    hold.add(session)
  }
  const lead = (session: Session, to: Destination): void => {
    live.add(session)
    dial(session, to)
  }

  const settleDrained = (): void => {
    if (live.size === 0) endDrain("done")
  }
  const endDrain = (how: Applied): void => {
    shared.draining = false
    drain.end(how)
  }
  const beginDrain = (bound: Millis): Promise<Applied> => {
    const begun = drain.begin(bound, () => {
      for (const session of live) letGoNow(session)
      settleDrained()
    })
    shared.draining = true
    for (const session of live)
      if (mayWait(session)) letGoNow(session)
      else if (session.client.ready && session.follow !== null && isIdle(session.follow))
        shared.rested(session, null)
    settleDrained()
    return begun
  }

  const accept = (client: Bun.Socket<Side>, route: Route): void => {
    shared.counters.accepted++
    // Refuse before descriptors run out: Bun does not see EMFILE and would spin on the listener
    // (measured, 1.4.5). The kernel gives the lowest free number, so the number itself says how
    // many are left.
    const nowhere = route.kind === "wait" && (!hold.open || hold.full)
    if (nowhere) shared.counters.refused++
    if ((nowhere && !hold.open) || descriptor(client) >= shared.descriptorsMax) {
      if (!nowhere) shared.counters.refused++
      client.close()
      return
    }
    const session = begin(client, newSession("held", following ? newFollow() : null, shared))
    if (nowhere) turnAway(session, moment)
    else if (route.kind === "wait") keepWaiting(session)
    else lead(session, route)
  }

  return {
    shared,
    accept,
    leadOnly(to) {
      for (const session of live)
        if (to === null || session.route?.host !== to.host || session.route.port !== to.port)
          letGoNow(session)
      if (to !== null) for (const session of hold.release()) lead(session, to)
    },
    drain: beginDrain,
    get drained() {
      return drain.settled
    },
    overtake: () => endDrain("overtaken"),
    stats: () => ({ sessions: live.size, held: hold.size, ...shared.counters }),
    dismiss() {
      for (const session of [...hold.release(), ...live, ...leaving]) cut(session)
    },
  }
}

const zero: Shared["counters"] = {
  accepted: 0,
  refused: 0,
  dialErrors: 0,
  bytesIn: 0,
  bytesOut: 0,
  heldTotal: 0,
  holdTimeouts: 0,
  drained: 0,
  cut: 0,
}

function begin(client: Bun.Socket<Side>, session: Session): Session {
  session.client.socket = client
  session.client.connected = true
  session.client.ready = true
  client.data = session.client
  return session
}

/** Its destination has heard nothing of the client: another one will do as well. */
const mayWait = ({ client, spoken }: Session): boolean =>
  !spoken && !client.ended && client.after === "nothing" && client.socket !== null

/** Undoes the way to a destination. What the client has sent stays at hand. */
function takeBack(session: Session): void {
  const { client, upstream } = session
  stopWaiting(session)
  reset(upstream)
  upstream.connected = false
  upstream.ended = false
  upstream.paused = false
  upstream.after = "nothing"
  session.route = null
  if (client.paused) client.socket?.resume()
  client.paused = false
}
