/**
 * How a fault is done and undone: in the trace, in the record of troubles that a loss may be
 * excused with, and in the network.
 */
import type { Host } from "./host.ts"
import type { Node } from "./nodes.ts"
import { type Sim, isPrimary } from "./sim.ts"

/** Undoes it; called once. */
export type Heal = () => void
export type Fault = (sim: Sim, active: () => number) => Heal | null

export const nothing: Heal = () => {}

export const pick = <T>(sim: Sim, items: readonly T[]): T | undefined =>
  items[sim.world.random.below(Math.max(1, items.length))]
/** Says so in the trace and in the record of troubles; the result ends the trouble, too. */
export function struck(sim: Sim, host: string | null, what: string, heal: Heal): Heal {
  const { world } = sim
  world.trace.add("FAULT", what)
  const over = sim.troubles.begin(host, what, world.now())
  return () => {
    heal()
    over()
    world.trace.add("FAULT", `healed: ${what}`)
  }
}

/** `ways`: pairs from, to. */
export function cut(
  sim: Sim,
  host: string,
  what: string,
  ways: readonly (readonly [string, string])[],
): Heal {
  for (const [from, to] of ways) sim.world.cut(from, to)
  return struck(sim, host, what, () => {
    for (const [from, to] of ways) sim.world.mend(from, to)
  })
}

/** Both ways between two names. */
export const between = (a: string, b: string): readonly (readonly [string, string])[] => [
  [a, b],
  [b, a],
]

/**
 * Two faults of which the second follows the first after `delay`, unless they are healed by then.
 */
export function chain(sim: Sim, first: Heal, delay: number, second: () => Heal | null): Heal {
  const heals: Heal[] = [first]
  let over = false
  sim.world.at(delay, null, () => {
    const heal = over ? null : second()
    if (heal !== null) heals.push(heal)
  })
  return () => {
    over = true
    for (const heal of heals) heal()
  }
}

export const nodesOf = (sim: Sim, kind: Node["kind"]): readonly Node[] =>
  [...sim.nodes.values()].filter((node) => node.kind === kind)
export const hosts = (sim: Sim): readonly Host[] => [...sim.hosts.values()]

export const primaryOf = (sim: Sim): Host | undefined =>
  hosts(sim).find(({ instance }) => instance !== null && isPrimary(instance))
