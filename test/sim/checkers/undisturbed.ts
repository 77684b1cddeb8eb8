/**
 * Runs in which one kind of thing happens and nothing else. P6: with the store gone for everybody,
 * and promises possible, nobody's session is cut and nobody takes over, neither then nor after. S6:
 * with nothing but switchovers no transaction that a proxy passed on fails.
 */
import type { EventCode } from "#model/events.ts"
import type { Sim } from "../sim.ts"
import { waitsFor } from "./convergence.ts"

export type Only = "outages" | "switchovers"

const disturbing: ReadonlySet<EventCode> = new Set<EventCode>([
  "primary.failed",
  "primary.deposed",
  "primary.reinstated",
  "lease.lapsed",
  "guardian.deadline",
  "postgres.exited",
  "proxy.timeout",
  "proxy.cut",
  "proxy.closed",
])

/** @returns To be called when the first of it happens. */
export function checkUndisturbed(sim: Sim, only: Only): () => void {
  let begun = false
  sim.hooks.said.push((who, { code, fields }) => {
    if (!begun || only !== "outages" || !disturbing.has(code)) return
    sim.fail("P6 store outage", `${who} says ${code} ${JSON.stringify(fields)}`)
  })
  sim.hooks.failed.push(({ instance }) => {
    if (!begun) return
    const promise = only === "outages" ? "P6 store outage" : "S6 switchover"
    sim.fail(promise, `a transaction on ${instance.machine.name} failed`)
  })
  return () => {
    begun ||= isReady(sim)
  }
}

/** All is well, and the primary knows whom to ask. */
function isReady(sim: Sim): boolean {
  const reading = sim.store.core.read()
  if (reading.kind === "absent" || waitsFor(sim).length > 0) return false
  const { cluster, dbs } = reading.data
  const { electable, master } = cluster.status
  const keeper = dbs.get(master)?.spec.keeperUID
  const told = [...sim.store.core.infos().keepers.values()].find(({ uid }) => uid === keeper)
  return electable !== undefined && told?.electable?.word === electable.word
}
