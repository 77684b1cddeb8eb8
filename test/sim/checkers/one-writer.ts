/**
 * P1: at any moment at most one PostgreSQL acknowledges writes: of clients that come through
 * proxies, and with self-fencing on of any client at all.
 *
 * Every acknowledgement that a client heard belongs to a writer: one run of PostgreSQL on one host
 * and timeline (a predecessor that is put back runs anew, W7). From a writer's first to last, by
 * PostgreSQL's own moment, no other writer may acknowledge. Direct clients are not counted where no
 * lease fences, and not in the milliseconds after a whole machine stood still (N1).
 */
import type { Ack } from "../ledger.ts"
import type { Instance } from "../server.ts"
import type { Sim } from "../sim.ts"

interface Reign {
  readonly writer: string
  first: number
  last: number
}

export function checkOneWriter(sim: Sim): void {
  const reigns = new Map<string, Reign>()
  const runs = new Map<Instance, number>()
  sim.ledger.listeners.push((ack, instance) => {
    const { writer, at, systemID } = ack
    if (!ack.throughProxy && (!sim.fenced || isThawing(sim, ack))) return
    const run = runs.get(instance) ?? runs.size
    runs.set(instance, run)
    const key = `${systemID}/${writer}/${run}`
    const reign = reigns.get(key) ?? { writer, first: at, last: at }
    reign.first = Math.min(reign.first, at)
    reign.last = Math.max(reign.last, at)
    reigns.set(key, reign)
    for (const [other, { first, last }] of reigns) {
      if (other === key || first > reign.last || last < reign.first) continue
      const span = `${(reign.first / 1000).toFixed(3)}..${(reign.last / 1000).toFixed(3)}`
      const theirs = `${(first / 1000).toFixed(3)}..${(last / 1000).toFixed(3)}`
      return sim.fail(
        "P1 one writer",
        `${writer} (${span}) and ${other} (${theirs}) both acknowledged`,
      )
    }
  })
}

const thaw = 50

/** The one limit that N1 states: what was inside PostgreSQL already when its machine stopped. */
const isThawing = (sim: Sim, { host, at, strict }: Ack): boolean =>
  !strict && at - (sim.thawed.get(host) ?? -Infinity) < thaw
