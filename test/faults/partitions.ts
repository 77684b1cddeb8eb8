/**
 * Faults of the network: a node cut off in both directions or in one, cut off from the store or
 * from PostgreSQL's other ends only, and bad weather for everybody.
 */
import { type Machine, etcdPeerPort, etcdPort, postgresPortOf } from "./machine.ts"
import {
  type Nemesis,
  type Scene,
  type Strike,
  base,
  failover,
  longMs,
  on,
  silentMs,
  standbyLost,
  standbyOf,
} from "./nemesis.ts"

/** Everything between one node and the others. */
export async function isolate({ lab }: Scene, machine: Machine): Promise<Strike> {
  for (const other of lab.machines)
    if (other !== machine) await lab.network.separate(machine.node, other.node)
  return on(machine, silentMs, () => lab.network.heal(), true)
}

/** One direction only, between one node and the others. */
async function oneWay({ lab }: Scene, machine: Machine, way: "in" | "out"): Promise<Strike> {
  for (const { node } of lab.machines) {
    if (node === machine.node) continue
    if (way === "out") await lab.network.cut(machine.node, node)
    else await lab.network.cut(node, machine.node)
  }
  return on(machine, silentMs, () => lab.network.heal(), true)
}

async function separatePorts(
  { lab, standbys }: Scene,
  machine: Machine,
  ports: readonly number[],
): Promise<void> {
  for (const other of standbys)
    for (const port of ports) await lab.network.separate(machine.node, other.node, port)
}

export const partitions: readonly Nemesis[] = [
  {
    ...base,
    name: "isolate primary",
    store: true,
    loses: "unsent",
    bound: failover,
    why: "silence, lease, promotion, perhaps an etcd and a sentinel election",
    strike: (scene) => isolate(scene, scene.primary),
  },
  {
    ...base,
    name: "isolate standby",
    store: true,
    bound: standbyLost,
    why: "the primary is with the majority",
    strike: (scene) => isolate(scene, standbyOf(scene)),
  },
  {
    ...base,
    name: "primary hears nobody",
    store: true,
    loses: "unsent",
    bound: failover,
    why: "no store, no acknowledgement of a standby",
    strike: (scene) => oneWay(scene, scene.primary, "in"),
  },
  {
    ...base,
    name: "nobody hears primary",
    store: true,
    loses: "unsent",
    bound: failover,
    why: "as isolated",
    strike: (scene) => oneWay(scene, scene.primary, "out"),
  },
  {
    ...base,
    name: "standby hears nobody",
    store: true,
    bound: standbyLost,
    why: "as isolated",
    strike: (scene) => oneWay(scene, standbyOf(scene), "in"),
  },
  {
    ...base,
    name: "nobody hears standby",
    store: true,
    bound: standbyLost,
    why: "it hears the primary, and confirms nothing that arrives",
    strike: (scene) => oneWay(scene, standbyOf(scene), "out"),
  },
  {
    ...base,
    name: "nobody hears anybody",
    loses: "unsent",
    // Beside a failover: etcd's own election, and copies of which none may be fit to confirm.
    bound: () => silentMs / 1000 + 2 * failover(),
    why: "no quorum and no promise anywhere: everybody stops, and comes back by itself",
    strike: async ({ lab }) => {
      const { machines, network } = lab
      for (const one of machines)
        for (const other of machines)
          if (one.node < other.node) await network.separate(one.node, other.node)
      return {
        nodes: machines,
        proxiesOut: [],
        holdMs: silentMs,
        note: "all nodes",
        heal: () => network.heal(),
      }
    },
  },
  {
    ...base,
    name: "standbys hear nothing from each other",
    bound: () => 6,
    why: "each still reaches the primary; etcd may have to elect",
    strike: async ({ lab, standbys, primary }) => {
      const [one = primary, other = primary] = standbys
      await lab.network.separate(one.node, other.node)
      return {
        ...on(one, longMs, () => lab.network.heal()),
        nodes: standbys,
        note: "both standbys",
      }
    },
  },
  {
    ...base,
    name: "primary without store",
    store: true,
    loses: "unsent",
    bound: failover,
    why: "the store is gone for its side only: it fences, the others go on",
    strike: async (scene) => {
      await separatePorts(scene, scene.primary, [etcdPort, etcdPeerPort])
      return on(scene.primary, silentMs, () => scene.lab.network.heal(), true)
    },
  },
  {
    ...base,
    name: "primary without standbys",
    // Synchronous: nobody confirms and the primary is well by all that others see. It waits.
    bound: ({ synchronousStandbys }) => (synchronousStandbys > 0 ? longMs / 1000 + 12 : 3),
    why: "PostgreSQL's port only; other nodes' proxies cannot reach it either",
    strike: async (scene) => {
      await separatePorts(scene, scene.primary, [postgresPortOf(scene.primary.node)])
      const healed = on(scene.primary, longMs, () => scene.lab.network.heal())
      return { ...healed, proxiesOut: scene.standbys }
    },
  },
  {
    ...base,
    name: "bad weather",
    // Loss can hold up a renewal or a heartbeat long enough for a failover.
    loses: "unsent anywhere",
    bound: failover,
    why: "20 to 40 ms and 3 % loss in every direction",
    strike: async ({ lab, primary }) => {
      await lab.network.weather(20, 20, 30)
      return { ...on(primary, longMs, () => lab.network.heal()), nodes: lab.machines, note: "all" }
    },
  },
]
