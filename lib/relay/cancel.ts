/**
 * A client that only cancels: it is led to the server that issued its key, whatever its listener
 * leads to, whether there is room or not, and also while that server's sessions come to their end.
 *
 * The server must be one that sessions of its listener may still be at; nothing ever leads a cancel
 * to where a session would be cut. Where nobody here knows the key other processes are asked, and
 * where nobody does it is led as everybody is: PostgreSQL takes no notice of it.
 */
import type { Destination } from "#port/relay.ts"

import { begin } from "./door.ts"
import { type Guide, takeBack } from "./guide.ts"
import type { Hold } from "./hold.ts"
import { cancelWish, type Found, type Keys, type Part } from "./keys.ts"
import { cut, newSession, type Session, type Shared } from "./session.ts"
import { isSame } from "./way.ts"

interface Room {
  readonly which: Part
  readonly keys: Keys
  readonly guide: Guide
  readonly hold: Hold
  readonly live: Set<Session>
  readonly leaving: Set<Session>
  readonly shared: Shared
  readonly settle: () => void
  /** Sessions may be there now. */
  readonly mayLead: (at: Destination) => boolean
}

/** `Shared.cancels`. */
export function newCancels(room: Room): (session: Session) => boolean {
  const { which, keys, guide, hold, live, leaving, shared, settle, mayLead } = room
  keys.own(which, (client, said, at) => {
    const session = begin(client, newSession("held", null, shared))
    if (!mayLead(at)) return cut(session)
    session.upstream.pending = said
    guide.leadTo(session, at)
  })
  const lead = (session: Session, found: Found): void =>
    guide.passOn(session, (client, said) => {
      if (said === null) client.terminate()
      else keys.lead(found, client, said)
    })
  /** Nobody has the key. One that waits for a primary would wait in vain. */
  const leadOn = (session: Session): void => {
    const to = guide.first()
    leaving.delete(session)
    if (to === null) cut(session)
    else guide.leadTo(session, to)
  }
  const ask = (session: Session, asking: Promise<Found | null>): void => {
    takeBack(session)
    live.delete(session)
    hold.forget(session)
    leaving.add(session)
    session.phase = "asking"
    settle()
    void asking.then((found) => {
      if (session.phase !== "asking") return
      if (found === null) leadOn(session)
      else lead(session, found)
    })
  }
  return (session) => {
    const wish = cancelWish(session.upstream.pending ?? nothing)
    if (wish.kind !== "cancel") return wish.kind === "partial"
    const found = keys.find(wish.key)
    const { route } = session
    if (found?.part === which && route !== null && isSame(route, found.at)) return false
    if (found !== null) lead(session, found)
    else ask(session, keys.others?.(wish.key) ?? Promise.resolve(null))
    return true
  }
}

const nothing = new Uint8Array(0)
