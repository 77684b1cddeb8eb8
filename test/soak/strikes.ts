/**
 * What happens to the primary while a storm goes on: it is switched over, killed, frozen beyond the
 * time after which it is replaced, or only its PostgreSQL is killed. Each ends when the cluster is
 * whole again, and the witness is told who is the primary no more as soon as that is acknowledged.
 */
import type { Random } from "#base/random.ts"
import { shuffled } from "#test/bench/failover/tools.ts"
import { until } from "#test/conformance/wait.ts"
import type { Cluster, Node } from "#test/e2e/cluster.ts"
import type { Witness } from "./witness.ts"

export interface Struck {
  readonly what: string
  readonly seconds: number
}

type Strike = (cluster: Cluster, old: Node, deposed: () => void) => Promise<void>

const settleMs = 180_000
/** Longer than a failover may take on a machine that is busy with a storm. */
const patienceMs = 120_000

const another = (cluster: Cluster, old: Node): Promise<boolean> =>
  until("another primary", async () => (await cluster.primary()).uid !== old.uid, patienceMs)

export const strikes: Readonly<Record<string, Strike>> = {
  switchover: async (cluster, _, deposed) => {
    const agreeable = (): Promise<string> => cluster.ctl("switchover", "--dry-run")
    await until("a switchover to be possible", agreeable, patienceMs)
    await cluster.ctl("switchover")
    deposed()
  },
  "the primary's node is killed": async (cluster, old, deposed) => {
    await old.killAll()
    await another(cluster, old)
    deposed()
    old.start()
  },
  "the primary's node is frozen": async (cluster, old, deposed) => {
    old.freeze()
    try {
      await another(cluster, old)
      deposed()
    } finally {
      old.thaw()
    }
  },
  // it is back before it is replaced, or not: nobody is deposed for sure
  "the primary's PostgreSQL is killed": async (_, old) => old.killPostgres(),
}

const planned = "switchover"
const unplanned = Object.keys(strikes).filter((name) => name !== planned)

/** Without an end: every other one is a switchover, the rest come each once before any again. */
export function* sequence(random: Random): Generator<string, never> {
  for (;;) for (const name of shuffled(unplanned, random)) yield* [planned, name]
}

/** Runs one and waits until everything is well. */
export async function strike(cluster: Cluster, name: string, witness: Witness): Promise<Struck> {
  const began = performance.now()
  const old = await cluster.primary()
  witness.pardon()
  await strikes[name]?.(cluster, old, () => witness.deposed(old.port, performance.now()))
  await cluster.settled(settleMs)
  const now = await cluster.primary()
  witness.calm(performance.now())
  const seconds = (performance.now() - began) / 1000
  return { what: `${name}, ${old.uid} → ${now.uid}`, seconds }
}
