/**
 * Faults of processes: kill -9 and SIGSTOP of each alone and of a whole node, on the primary's node
 * and on others. The supervisor starts again what was killed; what is stopped goes on when healed.
 */
import type { Process } from "#system/process.ts"
import { until } from "#test/conformance/wait.ts"
import { type Machine, type Target, stopped } from "./machine.ts"
import {
  type Nemesis,
  type Scene,
  any,
  failover,
  longMs,
  on,
  silentMs,
  shortMs,
  standbyLost,
} from "./nemesis.ts"

type Who = "primary" | "standby" | "leader" | "store" | "any"

async function choose({ lab, primary, standbys, random }: Scene, who: Who): Promise<Machine> {
  const [standby = primary] = standbys
  switch (who) {
    case "primary":
      return primary
    case "standby":
      return standby
    case "leader":
      return (await lab.leader()) ?? primary
    case "store":
      return (await lab.storeLeader()) ?? primary
    case "any":
      return [primary, ...standbys][random.below(1 + standbys.length)] ?? primary
    default:
      return who satisfies never
  }
}

type Plan = readonly [
  target: Target | "all",
  who: Who,
  loses: Nemesis["loses"],
  bound: Nemesis["bound"],
  why: string,
]

const kills: readonly Plan[] = [
  ["postgres", "primary", "unsent", () => 6, "one restart in place, or an election after it"],
  ["postgres", "standby", "nothing", standbyLost, "started again in place"],
  ["keeper", "primary", "nothing", any, "PostgreSQL goes on under its guardian and is adopted"],
  ["keeper", "standby", "nothing", standbyLost, "as above"],
  ["guardian", "primary", "unsent", () => 8, "PostgreSQL may die with it, and is started again"],
  [
    "guardian",
    "standby",
    "nothing",
    standbyLost,
    "its PostgreSQL dies with it, and is started again",
  ],
  ["all", "primary", "unsent", failover, "silence or refusals, lease, an etcd election with it"],
  ["all", "standby", "nothing", standbyLost, "an etcd election with it takes a second or two"],
  ["sentinel", "leader", "nothing", any, "sentinels are not in the way of writes"],
  ["sentinel", "any", "nothing", any, "sentinels are not in the way of writes"],
  ["proxy", "any", "nothing", any, "its own clients wait for its restart, others notice nothing"],
  ["etcd", "any", "nothing", () => 4, "two members are left; an election"],
  ["etcd", "store", "nothing", () => 4, "an election for certain"],
]

const freezes: readonly Plan[] = [
  ["postgres", "primary", "unsent", failover, "silent PostgreSQL fails after failInterval"],
  ["postgres", "standby", "nothing", standbyLost, "it confirms nothing"],
  ["keeper", "primary", "nothing", failover, "its guardian ends PostgreSQL with the lease"],
  ["keeper", "standby", "nothing", standbyLost, "its PostgreSQL streams on"],
  ["guardian", "primary", "unsent", failover, "nobody enforces the lease; the keeper lives"],
  ["guardian", "standby", "nothing", standbyLost, "nobody ends its PostgreSQL; the keeper does"],
  ["all", "primary", "unsent", failover, "silence, with an etcd election in it"],
  ["all", "standby", "nothing", standbyLost, "silence of a standby"],
  ["sentinel", "leader", "nothing", any, "sentinels are not in the way of writes"],
  ["sentinel", "any", "nothing", any, "sentinels are not in the way of writes"],
  ["proxy", "any", "nothing", any, "others notice nothing"],
  ["etcd", "any", "nothing", () => 4, "requests move on to another member"],
  ["etcd", "store", "nothing", () => 4, "an election, and requests that were lost with it"],
]

/** Whether this node's proxy is out while `target` is. */
const takesProxy = (target: Target | "all"): boolean => target === "proxy" || target === "all"

const nameOf = (verb: string, target: Target | "all", who: Who): string => {
  if (who === "store") return `${verb} ${target} that leads`
  if (target === "all") return `${verb} all of ${who}`
  return `${verb} ${target}${who === "any" ? "" : ` of ${who}`}`
}

/** A fault that finds nothing to strike has proved nothing. */
function struck(
  found: readonly Process[],
  target: Target | "all",
  machine: Machine,
): readonly Process[] {
  if (found.length === 0) throw new Error(`node ${machine.node} runs no ${target}`)
  return found
}

/** Whether the node's etcd member is out while `target` is. */
const takesStore = (target: Target | "all"): boolean => target === "etcd" || target === "all"

const kill = ([target, who, loses, bound, why]: Plan): Nemesis => ({
  name: nameOf("kill", target, who),
  store: takesStore(target),
  loses,
  thaws: false,
  bound,
  why,
  strike: async (scene) => {
    const machine = await choose(scene, who)
    if (target !== "all") {
      struck(await machine.kill(target), target, machine)
      return on(machine, shortMs, undefined, takesProxy(target))
    }
    await machine.powerOff()
    return on(machine, silentMs, () => machine.powerOn(), true)
  },
})

const freeze = ([target, who, loses, bound, why]: Plan): Nemesis => ({
  name: nameOf("freeze", target, who),
  store: takesStore(target),
  loses,
  thaws: target === "all",
  bound,
  why,
  strike: async (scene) => {
    const machine = await choose(scene, who)
    struck(machine.signal(target, "SIGSTOP"), target, machine)
    // again, for those that were born in between
    const still = (): boolean => stopped(machine.signal(target, "SIGSTOP"))
    await until(`${target} to stand still`, still)
    const thaw = (): void => void machine.signal(target, "SIGCONT")
    return on(machine, target === "all" ? silentMs : longMs, thaw, takesProxy(target))
  },
})

const frozenStoreMs = 30_000

const freezeStore: Nemesis = {
  name: "freeze all etcd",
  loses: "nothing",
  thaws: false,
  // Without the lease nobody promises anything, and proxies that cannot read the store close.
  bound: ({ fenced }) => (fenced ? 3 : frozenStoreMs / 1000 + 10),
  why: "with promises nothing is cut (P6)",
  strike: async ({ lab: { machines } }) => {
    for (const each of machines) each.signal("etcd", "SIGSTOP")
    return {
      nodes: machines,
      proxiesOut: [],
      holdMs: frozenStoreMs,
      note: "all nodes",
      heal: async () => {
        for (const each of machines) each.signal("etcd", "SIGCONT")
      },
    }
  },
}

/** Nobody is there any more to refuse a connection. */
const powerLoss: Nemesis = {
  name: "power loss of primary",
  loses: "unsent",
  thaws: false,
  store: true,
  bound: failover,
  why: "silence, with an etcd election in it; the disk is there again afterwards",
  strike: async ({ lab, primary }) => {
    for (const { node } of lab.machines)
      if (node !== primary.node) await lab.network.separate(primary.node, node)
    await primary.powerOff()
    const heal = async (): Promise<void> => {
      await lab.network.heal()
      primary.powerOn()
    }
    return on(primary, silentMs, heal, true)
  },
}

export const processNemeses: readonly Nemesis[] = [
  ...kills.map(kill),
  ...freezes.map(freeze),
  freezeStore,
  powerLoss,
]
