/**
 * The operator who switches over, alone and in the middle of faults.
 */
import { until } from "#test/conformance/wait.ts"
import { stopped } from "./machine.ts"
import { type Nemesis, type Scene, base, failover, on, shortMs } from "./nemesis.ts"

interface Switched {
  readonly note: string
  readonly done: boolean
  /** By the planned verb: no transaction may fail for it. */
  readonly smooth: boolean
}

/** Whatever this build has: the planned verb, or the one for emergencies. */
async function switchOver({ lab, standbys }: Scene): Promise<Switched> {
  const has = (await lab.ctl("--help")).text.includes("\n  switchover")
  const verb = has ? "switchover" : "failover"
  const [target] = standbys
  const chosen = has && target !== undefined ? ["--to", target.uid] : []
  const { code, text } = await lab.ctl(verb, ...chosen, "--yes")
  const said = code === 0 ? "done" : text.trim().split("\n").at(-1)
  return { note: `ctl ${verb}: ${said}`, done: code === 0, smooth: has }
}

/** What may die at random while somebody switches over. */
const mortals = ["keeper", "guardian", "sentinel", "proxy"] as const

async function killOne({ lab, random }: Scene): Promise<string> {
  const machine = lab.machine(1 + random.below(lab.machines.length))
  const target = mortals[random.below(mortals.length)] ?? "keeper"
  await Bun.sleep(random.below(1_500))
  const killed = await machine.kill(target)
  return `${target} of node ${machine.node} ${killed.length > 0 ? "killed" : "was not there"}`
}

export const switchovers: readonly Nemesis[] = [
  {
    ...base,
    name: "switchover",
    bound: () => 5,
    why: "old primary stopped, new one promoted, clients held",
    strike: async (scene) => {
      const { note, done, smooth } = await switchOver(scene)
      if (!done) throw new Error(`in a cluster that is whole: ${note}`)
      return { ...on(scene.primary, 0), nodes: scene.lab.machines, note, smooth }
    },
  },
  {
    ...base,
    name: "switchover amid kills",
    // A guardian takes its PostgreSQL along.
    loses: "unsent anywhere",
    bound: failover,
    why: "whoever goes on finds in the view what was begun",
    strike: async (scene) => {
      const [{ note: said }, ...killed] = await Promise.all([
        switchOver(scene),
        killOne(scene),
        killOne(scene),
      ])
      const note = [said, ...killed].join(", ")
      return { ...on(scene.primary, shortMs), nodes: scene.lab.machines, note }
    },
  },
  {
    ...base,
    name: "switchover in bad weather",
    loses: "unsent anywhere",
    bound: () => 2 * failover(),
    why: "every word of it is late, and some are lost: a lease may lapse in it, twice",
    strike: async (scene) => {
      const { lab, primary } = scene
      await lab.network.weather(20, 20, 30)
      const { note } = await switchOver(scene)
      return { ...on(primary, 0, () => lab.network.heal()), nodes: lab.machines, note }
    },
  },
  {
    ...base,
    name: "switchover to a frozen node",
    loses: "unsent anywhere",
    thaws: true,
    store: true,
    bound: failover,
    why: "it is given up, and the primary goes on",
    strike: async (scene) => {
      const [machine = scene.primary] = scene.standbys
      const still = (): boolean => stopped(machine.signal("all", "SIGSTOP"))
      await until("the target to stand still", still)
      const { note } = await switchOver(scene)
      const thaw = (): void => void machine.signal("all", "SIGCONT")
      return { ...on(machine, 0, thaw, true), note }
    },
  },
  {
    ...base,
    name: "switchover while a proxy is frozen",
    bound: failover,
    why: "a proxy that cannot confirm is waited for, no longer than its proxyTimeout",
    strike: async (scene) => {
      const [machine = scene.primary] = scene.standbys
      machine.signal("proxy", "SIGSTOP")
      const { note } = await switchOver(scene)
      const thaw = (): void => void machine.signal("proxy", "SIGCONT")
      return { ...on(machine, shortMs, thaw, true), note }
    },
  },
]
