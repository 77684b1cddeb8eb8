/**
 * Clients that wait for a destination, in the order of their arrival, each for the same time.
 *
 * One timer for all, set for the oldest. Nobody here is read beyond what begins a session, and
 * nobody waits longer than he was promised.
 */
import type { RelayOptions } from "#port/relay.ts"

import type { Session } from "./session.ts"

/** The longest that a timer takes; beyond it, it would fire at once. */
const timerLongest = 2 ** 31 - 1

export interface Hold {
  readonly size: number
  /** Clients wait here at all. */
  readonly open: boolean
  readonly full: boolean
  add(session: Session): void
  /** The client is gone. */
  forget(session: Session): void
  /** Ends the waiting of all, oldest first. */
  release(): readonly Session[]
}

/**
 * `expired` is called for a client that has waited in vain and is not here any more, `waited` with
 * the time of each that does not wait any more.
 */
export function newHold(
  options: RelayOptions["hold"],
  expired: (session: Session) => void,
  waited: (time: number) => void,
): Hold {
  /** With the time of the end, by performance.now(); insertion is the order of the ends. */
  const waiting = new Map<Session, number>()
  let timer: ReturnType<typeof setTimeout> | null = null

  const arm = (): void => {
    if (timer !== null) clearTimeout(timer)
    timer = null
    const [until] = waiting.values()
    if (until === undefined) return
    const left = Math.min(Math.max(1, Math.ceil(until - performance.now())), timerLongest)
    timer = setTimeout(expire, left)
  }
  const expire = (): void => {
    const now = performance.now()
    for (const [session, until] of waiting) {
      if (until > now) break
      waiting.delete(session)
      waited(options.timeout)
      expired(session)
    }
    arm()
  }
  return {
    get size() {
      return waiting.size
    },
    open: options.timeout > 0,
    get full() {
      return waiting.size >= options.max
    },
    add(session) {
      waiting.set(session, performance.now() + options.timeout)
      if (timer === null) arm()
    },
    forget(session) {
      if (waiting.delete(session) && waiting.size === 0) arm()
    },
    release() {
      const all = [...waiting.keys()]
      const due = performance.now() + options.timeout
      for (const until of waiting.values()) waited(due - until)
      waiting.clear()
      arm()
      return all
    },
  }
}
