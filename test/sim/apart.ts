/**
 * Faults that part what belongs together: a keeper from its guardian or its disk, some machines
 * from the store, one direction of a way from the other, a process from its own time.
 */
import { toMillis } from "#base/duration.ts"
import { withDefaults } from "#model/spec.ts"
import type { Host } from "./host.ts"
import { type Node, killNode, startNode } from "./nodes.ts"
import type { Sim } from "./sim.ts"
import {
  type Heal,
  between,
  chain,
  cut,
  hosts,
  nodesOf,
  nothing,
  pick,
  primaryOf,
  struck,
} from "./strike.ts"
import { type Machine, type Process, storeName } from "./world.ts"

/**
 * The store is gone for the primary's side only: its machine, and some of the others, which still
 * hear each other.
 */
export function splitStore(sim: Sim): Heal | null {
  const { world } = sim
  const primary = primaryOf(sim)
  if (primary === undefined) return null
  const others = [...sim.machines.keys()].filter((name) => name !== primary.machine.name)
  const side = [primary.machine.name, ...others.filter(() => world.chance(0.4))]
  const ways = side.flatMap((name) => between(name, storeName))
  return cut(sim, primary.machine.name, `cut ${side.join("+")} from the store`, ways)
}

/**
 * All keepers lose the store, and those of the standbys find it again while they are bound by what
 * they promised; some of them in a new life.
 */
export function returnWithPromise(sim: Sim): Heal | null {
  const { world } = sim
  const primary = primaryOf(sim)
  if (primary === undefined) return null
  const { name } = primary.machine
  const others = hosts(sim).flatMap(({ machine }) => (machine === primary.machine ? [] : [machine]))
  const away = others.flatMap((machine) => between(machine.name, storeName))
  const back = cut(sim, name, "cut the standbys from the store", away)
  const own = cut(sim, name, `cut ${name} from the store`, between(name, storeName))
  let gone = true
  const standbys = (): void => {
    if (gone) back()
    gone = false
  }
  const first = (): void => {
    own()
    standbys()
  }
  const failInterval = toMillis(withDefaults(sim.shape.spec).failInterval)
  return chain(sim, first, failInterval * world.between(1.5, 3.5), () => {
    for (const node of nodesOf(sim, "keeper")) {
      if (node.name === name || world.chance(0.5)) continue
      killNode(sim, node)
      world.at(200, null, () => startNode(sim, node))
    }
    standbys()
    return nothing
  })
}

/** What one sends is lost, what the other sends arrives. */
export function oneWay(sim: Sim): Heal | null {
  const names = [...sim.machines.keys()]
  const [from, to] = [pick(sim, names), pick(sim, [...names, storeName])]
  if (from === undefined || to === undefined || from === to) return null
  const way = sim.world.chance(0.5) ? ([from, to] as const) : ([to, from] as const)
  return cut(sim, from, `cut ${way.join(" > ")}`, [way])
}

/** A process that stands still again and again, wherever in its round that may be. */
export function hiccups(sim: Sim, node: Node): Heal {
  const { world } = sim
  let over = false
  const again = (): void => {
    const { process } = node
    if (over) return
    if (process !== null) world.freeze(process)
    world.at(world.between(50, 3_000), null, () => {
      if (process !== null && node.machine.frozen === 0) world.resume(process)
      if (!over) world.at(world.between(20, 800), null, again)
    })
  }
  again()
  return struck(sim, node.machine.name, `${node.name} has hiccups`, () => void (over = true))
}

/** PostgreSQL's parent: PostgreSQL goes with it, whatever the keeper does. */
export function killGuardian(sim: Sim, host: Host): Heal | null {
  const { guardian, machine } = host
  if (guardian === null) return null
  const heal = struck(sim, machine.name, `kill the guardian on ${machine.name}`, nothing)
  sim.world.kill(guardian.process)
  return heal
}

/**
 * It stands still, and with it the deadline that it is there for. Not longer than its keeper runs:
 * without both there is nobody left to end PostgreSQL (N1).
 */
export function freezeGuardian(sim: Sim, host: Host): Heal | null {
  const { world } = sim
  const { guardian, machine } = host
  if (guardian === null) return null
  const heal = freezePart(sim, machine, guardian.process)
  let over = false
  const end = (): void => {
    if (!over) heal()
    over = true
  }
  const watch = (): void => {
    if (host.keeper?.state !== "running") end()
    if (!over) world.at(20, null, watch)
  }
  watch()
  return end
}

/** PostgreSQL answers nobody, and nobody else is hurt. */
export function freezePostgres(sim: Sim, host: Host): Heal | null {
  const { instance, machine } = host
  return instance === null ? null : freezePart(sim, machine, instance.process)
}

function freezePart(sim: Sim, machine: Machine, process: Process): Heal {
  sim.world.freeze(process)
  return struck(sim, machine.name, `freeze ${process.name}`, () => {
    if (machine.frozen === 0) sim.world.resume(process)
  })
}

/** No byte more fits on its disk. */
export function fullDisk(sim: Sim, { machine }: Host): Heal {
  machine.full = true
  const { name } = machine
  return struck(sim, name, `the disk of ${name} is full`, () => void (machine.full = false))
}

/** Whatever has to be on disk takes its time there. */
export function slowDisk(sim: Sim, host: Host): Heal {
  host.slowDisk = sim.world.between(100, 4_000)
  const { name } = host.machine
  return struck(sim, name, `the disk of ${name} is slow`, () => void (host.slowDisk = 0))
}

/** Questions between peers are lost, or late. */
export function peersLossy(sim: Sim): Heal {
  const { peerNet, world } = sim
  peerNet.lose = world.between(0.1, 0.6)
  peerNet.slowest = world.between(5, 800)
  return struck(sim, null, "peers hear each other badly", () => {
    peerNet.lose = 0
    peerNet.slowest = 5
  })
}
