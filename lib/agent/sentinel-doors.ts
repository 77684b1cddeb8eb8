/**
 * The eyes of a sentinel past the store: it holds a connection to the primary's keeper, and when
 * that ends, or a standby loses its WAL, it knocks at both doors and publishes what it found at
 * once (D2); a follower does the same with the leader, and takes the office of one that has ended
 * (D4). It decides nothing: what the doors mean is the brain's.
 *
 * Nothing here is waited for by the rounds, and nothing here writes the view.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { ClusterData } from "#model/cluster.ts"
import { event } from "#model/events.ts"
import type { SentinelUID } from "#model/ids.ts"
import type { Found, Infos } from "#model/info.ts"
import type { Clock } from "#port/clock.ts"
import type { Log } from "#port/log.ts"
import type { Door, Peers } from "#port/peer.ts"
import type { Store } from "#port/store.ts"
import {
  type Doors,
  doorsOf,
  foundAt,
  isAbout,
  isClosed,
  isSuspicious,
  mayUnseat,
} from "#sentinel/doors.ts"
import { bell, forever } from "./loop.ts"

export interface Eyes {
  /** After every round: who is to be watched. */
  note(data: ClusterData, infos: Infos): void
  /** What was found at the doors of the primary as it is now. */
  found(): readonly Found[]
  /** Runs until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>
}

interface Ports {
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  readonly peers: Peers
}
interface Self {
  readonly uid: SentinelUID
  readonly leads: () => boolean
  /** Something was found that the others shall know now. */
  readonly tell: () => void
}

/** A connection to a living machine of the same network takes much less. */
const knockBound = millis(300)
/** Between two looks at doors that are neither open nor all closed. */
const lookPause = millis(100)
/** Who leads may change without a connection that ends. */
const leaderAge = millis(5_000)
const idle = millis(60_000)

export function eyes(ports: Ports, self: Self): Eyes {
  const { clock, peers, log } = ports
  const suspicion = bell()
  const moved = bell()
  let doors: Doors | null = null
  let infos: Infos | null = null
  let found: Found | null = null
  let attending: AbortController | null = null

  /** All that can be known of the present doors is known. */
  const isOver = (at: Doors): boolean => found !== null && isAbout(found, at) && isClosed(found)

  /** The primary's keeper, for as long as it keeps the connection open. */
  async function attend(signal: AbortSignal): Promise<void> {
    const at = doors
    if (at === null || at.peer === "" || isOver(at)) return moved.wait(clock, idle, signal)
    const mine = new AbortController()
    attending = mine
    try {
      const door = await peers.listen(at.peer, AbortSignal.any([signal, mine.signal]))
      if (door !== "open") suspicion.ring()
    } catch (error) {
      if (!mine.signal.aborted) throw error
    }
    await clock.sleep(lookPause, signal)
  }

  async function look(signal: AbortSignal): Promise<void> {
    await suspicion.wait(clock, idle, signal)
    const at = doors
    if (at === null || isOver(at)) return
    for (const address of at.others) void peers.nudge(address, clock.deadline(knockBound, signal))
    const knock = (address: string): Promise<Door> =>
      address === "" ? Promise.resolve("silent") : peers.knock(address, knockBound, signal)
    const [peer, postgres] = await Promise.all([knock(at.peer), knock(at.postgres)])
    if (doors === null || doors.infoUID !== at.infoUID) return
    const now = foundAt(at, peer, postgres)
    if (now?.peer === found?.peer && now?.postgres === found?.postgres) return
    found = now
    if (now !== null && isClosed(now)) log.event(event("primary.evidence", { keeper: at.keeper }))
    self.tell()
  }

  async function watchLeader(signal: AbortSignal): Promise<void> {
    const leader = self.leads() ? null : await ports.store.leader(signal)
    const address = leader === null || leader === self.uid ? null : mayUnseat(infos, leader)
    if (leader === null || address === null) return clock.sleep(leaderPause, signal)
    const door = await bounded(clock, leaderAge, signal, (until) => peers.listen(address, until))
    if (door !== "refused" || self.leads()) return clock.sleep(lookPause, signal)
    if (!(await ports.store.unseat(leader, signal))) return clock.sleep(lookPause, signal)
    log.event(event("leader.unseated", { leader }))
    // where a firewall refuses in its name it may lead again, and shall not be unseated at once
    await clock.sleep(leaderAge, signal)
  }

  return {
    note(data, now) {
      const next = doorsOf(data, now)
      const suspicious = next !== null && isSuspicious(doors, next)
      const other = next?.infoUID !== doors?.infoUID || next?.keeper !== doors?.keeper
      if (next?.peer !== doors?.peer) attending?.abort()
      doors = next
      infos = now
      if (found !== null && !isAbout(found, next)) found = null
      if (other) moved.ring()
      if (suspicious) suspicion.ring()
    },
    found: () => (found === null ? [] : [found]),
    async run(signal) {
      const every = (round: (signal: AbortSignal) => Promise<void>): Promise<void> =>
        forever(
          () => round(signal),
          () => clock.sleep(breath, signal),
          log,
          signal,
        )
      // who rests between two looks does not see the leader end in between
      let pause = leaderPause
      const office = async (): Promise<void> => {
        pause = leaderPause
        await watchLeader(signal)
        pause = breath
      }
      const watching = forever(office, () => clock.sleep(pause, signal), log, signal)
      await Promise.all([every(attend), every(look), watching])
    },
  }
}
const leaderPause = millis(1_000)
/** Whatever goes wrong, nobody goes round and round. */
const breath = millis(10)

/** What comes within `ms`; null when nothing did. */
async function bounded<T>(
  clock: Clock,
  ms: Millis,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | null> {
  const until = clock.deadline(ms, signal)
  try {
    return await work(until)
  } catch (error) {
    if (signal.aborted || !until.aborted) throw error
    return null
  }
}
