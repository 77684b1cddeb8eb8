/**
 * How a client leaves where it is led: kept waiting when nobody has heard anything of it, with a
 * word where one would be understood, or cut. Afterwards nothing of it reaches the destination.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { CutCause } from "#port/relay.ts"

import { canBeTold } from "./follow.ts"
import { mayWait, takeBack } from "./guide.ts"
import type { Hold } from "./hold.ts"
import type { Keys } from "./keys.ts"
import { part, refuse } from "./part.ts"
import { cut, type Session, type Shared } from "./session.ts"

export interface Leave {
  /** Between two messages, with `word`; `politely`: its server is told as well. */
  letGo(session: Session, word: Uint8Array, politely: boolean): void
  /** Wherever it is. */
  letGoNow(session: Session, cause: CutCause): void
  keepWaiting(session: Session): void
  /** It is told `words` as soon as it has said what it wants, within `patience`. */
  turnAway(session: Session, words: Uint8Array, patience: Millis): void
  waitedInVain(session: Session): void
}

interface Room {
  readonly shared: () => Shared
  readonly hold: () => Hold
  readonly live: Set<Session>
  readonly leaving: Set<Session>
  readonly keys: Keys
  /** What a client is told that is cut, and one for whom there is no destination. */
  readonly cutOff: Uint8Array
  readonly unavailable: Uint8Array
  readonly settle: () => void
}

export function newLeave({ shared, hold, live, leaving, keys, ...room }: Room): Leave {
  const letGo = (session: Session, word: Uint8Array, politely: boolean): void => {
    keys.forget(session)
    leaving.add(session)
    live.delete(session)
    part(session, word, politely)
    room.settle()
  }
  const keepWaiting = (session: Session): void => {
    session.phase = "held"
    shared().counters.heldTotal++
    hold().add(session)
  }
  const turnAway = (session: Session, told: Uint8Array, patience: Millis): void => {
    leaving.add(session)
    refuse(session, told, patience)
  }
  return {
    letGo,
    letGoNow(session, cause) {
      const { open, full } = hold()
      if (mayWait(session) && open && !full) {
        takeBack(session)
        live.delete(session)
        return keepWaiting(session)
      }
      const { counters } = shared()
      counters.cut++
      counters.cutBy[cause]++
      const { client, follow } = session
      if (open && client.ready && follow !== null && canBeTold(follow))
        letGo(session, room.cutOff, false)
      else cut(session)
    },
    keepWaiting,
    turnAway,
    waitedInVain(session) {
      shared().counters.holdTimeouts++
      turnAway(session, room.unavailable, millis(0)) // it had its time to say what it wants
    },
  }
}
