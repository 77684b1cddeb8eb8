/**
 * Sessions that come, ask and go as fast as they can, some of them killed at a moment that a fuse
 * decides. It goes on through whatever happens to the cluster: a session that is ended from the
 * other side is counted and followed by the next one, a wrong answer is a finding.
 */
import { setTimeout as pause } from "node:timers/promises"
import { type Random, generator } from "#base/random.ts"
import { type Orders, Told, Wrong, newSession } from "./session.ts"
import { sizeOf } from "./text.ts"
import { Gone, type Wire, connectWire } from "./wire.ts"

export interface Door {
  readonly name: string
  readonly kind: Orders["door"]
  readonly port: number
}

export interface Counts {
  sessions: number
  /** By their fuse. */
  killed: number
  /** By SQLSTATE of the last word; empty: without one. */
  readonly ended: Map<string, number>
  /** Nobody listened. */
  refused: number
  answers: number
  /** The same by door. */
  readonly answered: Map<string, number>
  bytes: number
}

export const newCounts = (): Counts => ({
  ...{ sessions: 0, killed: 0, refused: 0, answers: 0, bytes: 0 },
  ...{ ended: new Map(), answered: new Map() },
})

export interface Storm {
  readonly counts: Counts
  /** Ends every session after what it is doing, and waits until all are gone. */
  calm(): Promise<void>
}

export interface StormOrders {
  readonly doors: readonly Door[]
  /** Sessions at once, of all doors. */
  readonly lanes: number
  readonly seed: number
  readonly login: Pick<Orders, "user" | "database">
  readonly judge: Orders["judge"]
  readonly wrong: (what: string) => void
}

/**
 * What a session may be told while servers come and go: anything else is a finding. 28000 is what a
 * standby says that is being promoted: it lets nobody in but its keeper.
 */
const allowed: Readonly<Record<Orders["door"], RegExp>> = {
  primary: /^(57P0[123]|08\w{3})$/,
  // and a conflict with what the primary has cleared away
  reads: /^(57P0[123]|08\w{3}|28000|40001|40P01)$/,
}

/** A question that is not answered for so long, waiting for a primary included, never will be. */
const stuckMs = 120_000
/** So that the machine has something left for the cluster itself. */
const pauseMs = 30
/** A proxy that knows of no primary for too long does not listen. */
const refusedMs = 200
const fuseMost = 300_000

let sessionNumber = 0

export function startStorm(orders: StormOrders): Storm {
  const counts = newCounts()
  let over = false
  const lane = async (index: number): Promise<void> => {
    const random = generator(orders.seed + index)
    while (!over) {
      const door = orders.doors[random.below(orders.doors.length)]
      if (door === undefined) return
      await one(orders, door, random, counts, () => over)
      await pause(random.below(pauseMs))
    }
  }
  const running = Promise.all(Array.from({ length: orders.lanes }, (_, i) => lane(i)))
  return {
    counts,
    calm: async () => {
      over = true
      await running
    },
  }
}

/** A session from its beginning to its end, whichever that is. */
async function one(
  orders: StormOrders,
  door: Door,
  random: Random,
  counts: Counts,
  isOver: () => boolean,
): Promise<void> {
  const fuse = random.below(5) < 2 ? sizeOf(random, fuseMost) - 1 : Infinity
  const number = ++sessionNumber
  const { judge, login } = orders
  let wire: Wire
  try {
    wire = await connectWire(door.port, fuse)
  } catch {
    counts.refused++
    await pause(refusedMs)
    return
  }
  const session = newSession(wire, { ...login, number, door: door.kind, random, judge })
  const stuck = setTimeout(() => {
    orders.wrong(`session ${number} at ${door.name}: stuck for ${stuckMs / 1000} s`)
    wire.terminate()
  }, stuckMs)
  counts.sessions++
  try {
    await session.begin()
    for (let left = sizeOf(random, 40); left > 0 && !isOver(); left--) {
      await session.act()
      stuck.refresh()
      if (random.below(10) === 0) await pause(random.below(200)) // idle, as sessions of pools are
    }
    await session.goodbye()
  } catch (error) {
    ended(orders, door, error, counts)
    wire.terminate()
  } finally {
    clearTimeout(stuck)
    const answers = session.answers()
    counts.answers += answers
    counts.answered.set(door.name, (counts.answered.get(door.name) ?? 0) + answers)
    counts.bytes += wire.carried()
  }
}

function ended(orders: StormOrders, door: Door, error: unknown, counts: Counts): void {
  const count = (code: string): void => {
    counts.ended.set(code, (counts.ended.get(code) ?? 0) + 1)
  }
  if (error instanceof Gone) {
    if (error.burnt) counts.killed++
    else count("")
    return
  }
  if (error instanceof Told) {
    count(error.code)
    if (!allowed[door.kind].test(error.code)) orders.wrong(`${door.name}: ${error.message}`)
    return
  }
  const what = error instanceof Wrong ? error.message : String(error)
  orders.wrong(`${door.name}: ${what}`)
}
