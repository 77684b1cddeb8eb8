/**
 * Agents as processes: starting the real loop of a component on its machine, ending it gracefully,
 * killing it, and starting it again as a supervisor would. What an agent says goes into the trace
 * and the coverage.
 */
import { sentinelUID } from "#model/ids.ts"
import type { Event } from "#model/events.ts"
import type { Log } from "#port/log.ts"
import type { Chance, Clock } from "#port/clock.ts"
import type { Store } from "#port/store.ts"
import { createChance, createClock } from "./clock.ts"
import { type KeeperFlags, agents, keeperFlags } from "./agents.ts"
import { peersOf } from "./peers.ts"
import { openPostgres } from "./postgres.ts"
import { createReaders } from "./readers.ts"
import { createRelay } from "./relay.ts"
import type { Sim } from "./sim.ts"
import type { Machine, Process } from "./world.ts"

export type NodeKind = "keeper" | "sentinel" | "proxy"

export interface Node {
  readonly kind: NodeKind
  readonly name: string
  readonly machine: Machine
  /** Of a keeper; others have no use for them. */
  readonly flags: KeeperFlags
  process: Process | null
  /** Ends it gracefully (SIGTERM). */
  end: AbortController
  /** The supervisor starts it again; false while it is kept down. */
  wanted: boolean
}

export const createNode = (kind: NodeKind, name: string, machine: Machine): Node => ({
  kind,
  name,
  machine,
  flags: keeperFlags(name),
  process: null,
  end: new AbortController(),
  wanted: true,
})

export interface Ports {
  readonly store: Store
  readonly clock: Clock
  readonly chance: Chance
  readonly log: Log
}

/** Starts the agent unless it runs or its machine is down. */
export function startNode(sim: Sim, node: Node): void {
  const { world } = sim
  const { up, frozen } = node.machine
  if (node.process !== null || !up || frozen > 0 || !node.wanted) return
  const process = world.spawn(node.name, node.machine)
  node.process = process
  node.end = new AbortController()
  sim.ends.push(node.end)
  process.onKill.push(() => void (node.process = null))
  const log: Log = {
    event(event: Event) {
      if (process.state === "dead") return
      sim.coverage.event(event.code)
      if (event.code !== "parameters.unchanged")
        world.trace.add(node.name, event.code, event.fields)
      for (const hook of sim.hooks.said) hook(node.name, event)
    },
  }
  const ports: Ports = {
    store: sim.store.port(process),
    clock: createClock(world, process),
    chance: createChance(world.random.below(0x1_0000_0000)),
    log,
  }
  world.trace.add(node.name, "starts")
  world.at(0, process, () => {
    run(sim, node, process, ports).then(
      () => ended(sim, node, process, null),
      (error: unknown) => ended(sim, node, process, error),
    )
  })
}

/** Several sentinels may live on one machine; the last digit of their names is their number. */
const portOf = ({ kind, name }: Node): number =>
  (kind === "keeper" ? 6_600 : kind === "sentinel" ? 6_700 : 6_800) + Number(name.slice(1))

function run(sim: Sim, node: Node, process: Process, ports: Ports): Promise<void> {
  const { signal } = node.end
  const talk = peersOf(sim, process, portOf(node))
  switch (node.kind) {
    case "sentinel": {
      const uid = sentinelUID(`${node.name}-${ports.chance.uid()}`)
      sim.sentinels.set(uid, process)
      return agents.sentinel({ ...ports, ...talk }, uid, signal)
    }
    case "proxy": {
      const relay = createRelay(sim.world, process)
      sim.relays.set(node.name, relay)
      relay.failed = (connection) => {
        for (const hook of sim.hooks.failed) hook(connection)
      }
      const { peers } = talk
      const there = `${node.machine.name}:25432`
      const readers = sim.shape.reads === true ? createReaders(sim.world, process, relay) : null
      if (readers !== null) {
        readers.relay.failed = relay.failed
        sim.readers.set(node.name, readers)
      }
      const own = { ...ports, peers, relay: relay.port }
      return agents.proxy(own, readers?.port ?? null, there, signal)
    }
    case "keeper": {
      const host = sim.hosts.get(node.name)
      if (host === undefined) throw new Error(`no host for ${node.name}`)
      const flags = { ...node.flags }
      const postgres = openPostgres(host, process, flags)
      return agents.keeper({ ...ports, ...talk, postgres }, flags, sim.shape.oneAccount, signal)
    }
  }
}

/** The loop has returned: asked for, or a crash, which a loop must never do by itself. */
function ended(sim: Sim, node: Node, process: Process, error: unknown): void {
  if (process.state === "dead") return
  const { world } = sim
  const asked = node.end.signal.aborted
  world.trace.add(node.name, "ended", asked ? {} : { error: String(error) })
  world.kill(process)
  if (!asked) sim.fail("agents run", `${node.name} ended by itself: ${describe(error)}`)
  // It may end long after it was asked, frozen meanwhile: its supervisor then starts it again.
  world.at(1_000, null, () => startNode(sim, node))
}

const describe = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error)

/** SIGKILL. */
export function killNode(sim: Sim, node: Node): void {
  if (node.process === null) return
  sim.world.trace.add(node.name, "killed")
  sim.world.kill(node.process)
}

/** SIGTERM. */
export function endNode(sim: Sim, node: Node): void {
  const { process } = node
  if (process === null) return
  sim.world.trace.add(node.name, "asked to end")
  sim.world.at(0, process, () => node.end.abort(new Error("asked to end")))
}
