/**
 * What hung is shown to nobody (reference 6.6, D-06, D-07): a commit that waited for synchronous
 * standbys when PostgreSQL ended is on the local disk, and PostgreSQL would show it after its next
 * start. Clients are let in only once the standbys have it, or they read what may still be lost.
 */
import { copiesOn } from "../disk.ts"
import type { Instance } from "../server.ts"
import type { Sim } from "../sim.ts"
import { type Rec, holds } from "../wal.ts"

export function checkNoGhost(sim: Sim): void {
  sim.hooks.connected.push((instance) => {
    const { promise, always, second } = sim.ledger
    if (promise !== "sync" || !always || !second || instance.inRecovery) return
    const record = lastShown(instance)
    // What came from another primary was its client's wait, and is on that one's disk.
    if (record === undefined || record.timeline !== instance.dir.wal.timeline) return
    if (instance.cluster.released.has(record)) return
    const { name } = instance.machine
    for (const [other, { disk }] of sim.hosts)
      if (other !== name && copiesOn(disk).some((wal) => holds(wal, record))) return
    sim.fail("6.6 nothing hung is shown", `${name} shows row ${record.row}, which only it has`)
  })
}

/** The last commit that a client would see. */
function lastShown({ dir, waiting }: Instance): Rec | undefined {
  const hidden = new Set(waiting.map(({ record }) => record))
  return dir.wal.records.findLast((record) => record.kind === "commit" && !hidden.has(record))
}
