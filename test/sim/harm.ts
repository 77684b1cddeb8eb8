/**
 * Ends that come in the worst moment: a keeper or its whole machine dies around a step of a plan,
 * just before it, within it, or just after. Each step alone must leave what the next life can go on
 * from.
 */
import type { Host } from "./host.ts"
import { killNode, startNode } from "./nodes.ts"
import type { Sim } from "./sim.ts"
import { type Heal, struck } from "./strike.ts"

/** Of a plan that seldom has more steps; a plan with fewer is passed over to the next. */
const stepsMost = 12

/** `powerOff` ends the machine, for as long as the fault lasts; else its keeper starts anew. */
export function crashAtStep(sim: Sim, host: Host, powerOff: () => Heal): Heal {
  const { world, hooks, nodes } = sim
  const { name } = host.machine
  const whole = world.chance(0.5)
  const after = world.chance(0.5)
  const within = world.chance(0.5) ? 0 : world.between(0, 30)
  let left = 1 + world.random.below(stepsMost)
  let over = false
  const heals: Heal[] = []
  const die = (): void => {
    const node = nodes.get(name)
    if (over || node === undefined || !host.machine.up) return
    if (whole) return void heals.push(powerOff())
    const heal = struck(sim, name, `kill ${name} at a step`, () => startNode(sim, node))
    killNode(sim, node)
    world.at(world.between(100, 3_000), null, heal)
  }
  hooks.said.push((who, { code }) => {
    if (over || who !== name || code !== (after ? "step.finished" : "step.started")) return
    if (--left === 0) world.at(within, null, die)
  })
  return () => {
    over = true
    for (const heal of heals) heal()
  }
}
