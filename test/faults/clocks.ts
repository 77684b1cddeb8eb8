/**
 * Faults of clocks: one process's time of day steps, which nothing may notice; and a primary whose
 * clocks run slow, which nothing can bear and which has to be seen.
 */
import { readFileSync } from "node:fs"
import { until } from "#test/conformance/wait.ts"
import type { Machine } from "./machine.ts"
import { type Nemesis, type Scene, any, base, on, shortMs } from "./nemesis.ts"
import { isolate } from "./partitions.ts"

/** An hour ahead, then an hour back, for one process alone. */
const step = (component: keyof Machine["trouble"]): Nemesis => ({
  ...base,
  name: `clock step of ${component}`,
  bound: any,
  why: "nothing rests on wall clocks",
  strike: async ({ primary, random }) => {
    const hour = 3_600_000
    primary.trouble[component].step(random.below(2) === 0 ? hour : -hour)
    return on(primary, shortMs, () => primary.trouble[component].step(0))
  },
})

/**
 * Sees to it that neither the leading sentinel nor the leading etcd member is on the primary's
 * node: an election in the middle restarts every count of silence, and a row about clocks shows
 * nothing.
 */
async function leadElsewhere({ lab, primary }: Scene): Promise<void> {
  const elsewhere = async (): Promise<boolean> => {
    if (await primary.leadsStore()) await primary.kill("etcd")
    const leader = await lab.leader()
    if (leader === primary) await primary.kill("sentinel")
    await lab.whole(60_000)
    return leader !== null && leader !== primary && !(await primary.leadsStore())
  }
  await until("leaders on other nodes", elsewhere, 120_000)
}

/**
 * Returns at the moment at which the primary's lease has just been renewed: then nothing of it is
 * used up, and a fifth of it is there to be seen. A keeper says so of its first renewal only, so it
 * gets a successor, which adopts PostgreSQL.
 */
async function renewedNow({ primary }: Scene): Promise<void> {
  const { log } = primary.parts.keeper
  const granted = (): number => readFileSync(log, "utf8").split("lease.granted").length
  const before = granted()
  await primary.kill("keeper")
  await until("a renewed lease", () => granted() > before, 20_000)
}

export const clocks: readonly Nemesis[] = [
  step("keeper"),
  step("sentinel"),
  step("proxy"),
  {
    ...base,
    name: "isolate primary with a slow clock",
    named: true,
    loses: "unsent",
    bound: () => null,
    why: "a clock whose rate is wrong by more than 5 % is outside of what the lease can bear",
    strike: async (scene) => {
      const { primary } = scene
      const { keeper } = primary.trouble
      await leadElsewhere(scene)
      keeper.rate(0.8)
      await renewedNow(scene)
      const isolated = await isolate(scene, primary)
      return {
        ...isolated,
        holdMs: 30_000,
        heal: async () => {
          keeper.rate(1)
          await isolated.heal()
        },
      }
    },
  },
]
