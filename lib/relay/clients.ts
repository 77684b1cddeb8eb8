/**
 * All clients of a listener, wherever they are in their lives: held, led, refused, parting. What
 * is decided about destinations is done here to each of them.
 *
 * After `lead` and at the end of a drain nobody is led anywhere else: that is decided in one go, on
 * one thread, and asks no client for anything.
 */
import { type Millis, millis } from "#base/brand.ts"
import { observed } from "#base/histogram.ts"
import type { Applied, Destination, RelayOptions, RelayStats } from "#port/relay.ts"

import { attempt } from "./dial.ts"
import { isLate, newDeadline } from "./deadline.ts"
import { newDrain } from "./drain.ts"
import { isIdle } from "./follow.ts"
import { mayWait, newGuide, type Spare, takeBack } from "./guide.ts"
import { newHold } from "./hold.ts"
import { newDoor } from "./door.ts"
import { newCancels } from "./cancel.ts"
import { newKeys, type Keys, type Part } from "./keys.ts"
import { newLeave } from "./leave.ts"
import { cut, type Session, type Shared, type Socket } from "./session.ts"
import { leave as endParting } from "./part.ts"
import { nowhere, type Way } from "./way.ts"
import type { Words } from "./words.ts"
import { noStats } from "./stats.ts"

export interface Tuning {
  /** How long what is left for one side of a session is kept after the other is gone. */
  readonly linger: Millis
  /** Sessions are read to know when they are idle; else each is taken for busy. */
  readonly follow: boolean
  /** Takes clients for whom there is no destination here; null: they wait. */
  readonly spare: Spare | null
  /** Others listen on the same port. */
  readonly shared: boolean
  /** Of all listeners of this process; null: of this one alone. */
  readonly keys: Keys | null
}

/** Of a session: it goes on, it ends when it is idle, or now. */
export type Fate = "stays" | "leaves" | "ends"

export interface Clients {
  readonly shared: Shared
  /** A new one, led by the way in force. */
  accept(client: Socket, prefaced?: boolean): void
  /**
   * Makes `way` the one in force; each session meets the fate of where it leads, and those that
   * wait are led by the new way.
   */
  lead(way: Way, fate: (at: Destination) => Fate): void
  /** Leads nobody any more; each session ends when it is idle, or at the bound. */
  drain(bound: Millis): Promise<Applied>
  /** Of the drain under way. */
  readonly drained: Promise<Applied> | null
  /** Gives up the drain under way. */
  overtake(): void
  /** Until when, by the boot clock. */
  allow(until: Millis): void
  stats(): RelayStats
  /** With a word for those that wait, who are owed one; nothing else is said any more. */
  dismiss(): void
}

export function newClients(
  options: RelayOptions,
  which: Part,
  words: Words,
  tuning: Tuning,
): Clients {
  const { linger, follow: following, spare } = tuning
  const keys = tuning.keys ?? newKeys()
  let fate: (at: Destination) => Fate = allEnd
  /** Those that are led, and those that are refused or parting. */
  const live = new Set<Session>()
  const leaving = new Set<Session>()
  const drain = newDrain()

  const unavailable = words.unavailable(options.hold.timeout)
  const leave = newLeave({
    ...{ live, leaving, keys, unavailable, cutOff: words.cutOff },
    shared: () => shared,
    hold: () => hold,
    settle: () => settleDrained(),
  })
  const { letGo, letGoNow, keepWaiting, turnAway, waitedInVain } = leave
  const hold = newHold(options.hold, waitedInVain, (time) => {
    shared.counters.holds = observed(shared.counters.holds, time)
  })
  /** None is said in the way of Go's proxy. */
  const lastWord = hold.open ? words.rested : new Uint8Array(0)
  const shared = newShared(options, linger, {
    overdue: () => {
      for (const session of live) letGoNow(session, "overdue")
      settleDrained()
    },
    unreachable: (session) => guide.another(session),
    notYet: (session) => guide.later(session),
    heard: (session) => door.heard(session),
    rested: (session, last) => {
      shared.counters.drained++
      letGo(session, last === null ? lastWord : Buffer.concat([last, lastWord]), true)
    },
    learn: (session, key) => keys.learn(session, which, key),
    cancels: (session) => cancels(session),
    onOver: (session) => {
      keys.forget(session)
      leaving.delete(session)
      hold.forget(session)
      if (live.delete(session)) settleDrained()
    },
  })

  const guide = newGuide({
    ...{ live, hold, spare, keepWaiting },
    timeout: options.hold.timeout,
    left: shared.onOver,
    settle: () => settleDrained(),
    turnAway: (session) => {
      takeBack(session)
      waitedInVain(session)
      settleDrained()
    },
  })
  const settleDrained = (): void => {
    if (live.size > 0 || drain.settled === null) return
    fate = allEnd // also for a cancel that comes too late
    drain.end("done")
  }
  const beginDrain = (bound: Millis): Promise<Applied> => {
    const begun = drain.begin(bound, () => {
      for (const session of live) letGoNow(session, "bound")
      settleDrained()
    })
    const before = fate
    lead(nowhere, (at) => (before(at) === "ends" ? "ends" : "leaves"))
    settleDrained()
    return begun
  }
  const lead = (next: Way, fateOf: (at: Destination) => Fate): void => {
    guide.follow(next) // before ending any: whoever comes from here on belongs to it
    fate = fateOf
    for (const session of live) {
      const its = session.route === null ? "ends" : fateOf(session.route)
      session.leaving = its === "leaves"
      if (its === "ends" || (its === "leaves" && mayWait(session))) letGoNow(session, "led-away")
      else if (its === "leaves" && atRest(session)) shared.rested(session, null)
    }
    if (!isLate(shared)) guide.release()
  }

  const deadline = newDeadline(shared, guide.release)
  const cancels = newCancels({
    ...{ which, keys, guide, hold, live, leaving, shared, settle: settleDrained },
    mayLead: (at) => !isLate(shared) && fate(at) !== "ends",
  })

  const door = newDoor({
    ...{ options, following, shared, hold, guide, leaving, unavailable, turnAway, keepWaiting },
    crowded: words.crowded(options.max),
    present: () => live.size + hold.size,
  })

  return {
    shared,
    accept: door.accept,
    lead,
    drain: beginDrain,
    get drained() {
      return drain.settled
    },
    overtake: () => drain.end("overtaken"),
    allow: deadline.allow,
    stats: () => {
      const { counters } = shared
      return { ...counters, cutBy: { ...counters.cutBy }, sessions: live.size, held: hold.size }
    },
    dismiss() {
      deadline.forget()
      for (const session of hold.release()) turnAway(session, unavailable, millis(0))
      for (const session of [...live, ...leaving])
        if (session.phase === "parting") endParting(session)
        else cut(session)
    },
  }
}

type Hooks = Pick<
  Shared,
  "overdue" | "unreachable" | "notYet" | "learn" | "cancels" | "heard" | "rested" | "onOver"
>

const newShared = (options: RelayOptions, linger: Millis, hooks: Hooks): Shared => ({
  counters: { ...noStats, cutBy: { ...noStats.cutBy } },
  dialTimeout: options.dialTimeout,
  userTimeout: options.userTimeout ?? millis(0),
  lingerTimeout: linger,
  descriptorsMax: 0,
  until: Number.POSITIVE_INFINITY,
  troubledAt: Number.NEGATIVE_INFINITY,
  attempt,
  ...hooks,
})

const allEnd = (): Fate => "ends"

const atRest = ({ client, follow }: Session): boolean =>
  client.ready && follow !== null && isIdle(follow)
