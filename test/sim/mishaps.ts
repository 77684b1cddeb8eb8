/**
 * What people and supervisors do to a cluster behind its back: documents edited, deleted and broken
 * by hand, keepers started with other flags.
 */
import { duration, toMillis } from "#base/duration.ts"
import { type Spec, withDefaults } from "#model/spec.ts"
import { validate } from "#model/validation.ts"
import { keeperFlags } from "./agents.ts"
import { type Node, endNode, killNode, startNode } from "./nodes.ts"
import type { Sim } from "./sim.ts"
import { type Heal, nothing, pick, struck } from "./strike.ts"

/** The specification breaks a rule: nobody may act on it, proxies let go. */
export function breakSpec(sim: Sim): Heal | null {
  const { core } = sim.store
  const edit = (proxyTimeout: Spec["proxyTimeout"]): boolean => {
    const reading = core.read()
    if (reading.kind === "absent") return false
    const { data } = reading
    const { proxyTimeout: _, ...spec } = data.cluster.spec
    const edited = proxyTimeout === undefined ? spec : { ...spec, proxyTimeout }
    core.write({ ...data, cluster: { ...data.cluster, spec: edited } }, { kind: "anything" }, null)
    return true
  }
  const before = sim.shape.spec.proxyTimeout
  return edit(duration(1))
    ? struck(sim, null, "the specification is invalid", () => edit(before))
    : null
}

/**
 * Somebody rewrites the cluster data as it is, again and again: whoever decides meanwhile loses the
 * race. Short, because the leader can do nothing in that time.
 */
export function meddle(sim: Sim): Heal {
  const { world } = sim
  const { core } = sim.store
  let over = false
  const rewrite = (): void => {
    if (over) return
    const reading = core.read()
    if (reading.kind === "found") core.write(reading.data, { kind: "anything" }, null)
    world.at(world.between(5, 40), null, rewrite)
  }
  rewrite()
  const end = (): void => void (over = true)
  world.at(Math.min(8_000, toMillis(withDefaults(sim.shape.spec).failInterval)), null, end)
  return struck(sim, null, "somebody rewrites the cluster data", end)
}

/**
 * The supervisor starts it with other flags, and later again with the usual ones: those from before
 * may be another such mishap's, and would stay for good.
 */
export function otherFlags(sim: Sim, node: Node): Heal {
  const { flags } = node
  const { canBeMaster, canBeSynchronousReplica } = keeperFlags(node.name)
  flags.canBeMaster = sim.world.chance(0.5)
  flags.canBeSynchronousReplica = sim.world.chance(0.5)
  restart(sim, node)
  return struck(sim, node.name, `${node.name} is started with other flags`, () => {
    Object.assign(flags, { canBeMaster, canBeSynchronousReplica })
    restart(sim, node)
  })
}

/** … and with another port, for good. */
export function otherPort(sim: Sim, node: Node): Heal {
  node.flags.port = String(6_000 + sim.world.random.below(1_000))
  restart(sim, node)
  return struck(sim, node.name, `${node.name} moves to port ${node.flags.port}`, nothing)
}

/** Gracefully, or as a supervisor does that has lost patience. */
function restart(sim: Sim, node: Node): void {
  if (sim.world.chance(0.5)) endNode(sim, node)
  else {
    killNode(sim, node)
    sim.world.at(500, null, () => startNode(sim, node))
  }
}

/** Somebody deletes the cluster data, and writes it again as it was. */
export function removeData(sim: Sim): Heal | null {
  const { core } = sim.store
  const reading = core.read()
  if (reading.kind === "absent" || validate(reading.data.cluster.spec) !== null) return null
  core.remove()
  return struck(sim, null, "the cluster data is deleted", () => {
    if (core.read().kind === "absent") core.write(reading.data, { kind: "anything" }, null)
  })
}

/** Somebody sets a wall clock, for good. */
export function stepClock(sim: Sim): Heal | null {
  const machine = pick(sim, [...sim.machines.values()])
  if (machine === undefined) return null
  machine.wallStep += Math.round(sim.world.between(-4e6, 4e6))
  return struck(sim, null, `the clock of ${machine.name} is set`, nothing)
}
