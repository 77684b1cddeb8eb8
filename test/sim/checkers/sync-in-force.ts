/**
 * W3: in synchronous mode with at least one required standby, whatever is acknowledged is already
 * on a second disk. The names are in force before the first client is let in, after a promotion as
 * well as after a restart.
 */
import { copiesOn } from "../disk.ts"
import type { Sim } from "../sim.ts"
import { holds } from "../wal.ts"

export function checkSyncInForce(sim: Sim): void {
  sim.ledger.listeners.push(({ record, row, host, strict, writer, at }) => {
    if (!strict || !sim.ledger.second) return
    for (const [name, { disk, machine }] of sim.hosts)
      // lost between PostgreSQL's answer and the client's hearing of it
      if (name !== host && !machine.up && disk.data === null) return
      else if (name !== host && copiesOn(disk).some((wal) => holds(wal, record))) return
    sim.fail(
      "W3 synchronous names in force",
      `row ${row} was acknowledged by ${writer} at ${(at / 1000).toFixed(3)} and is on no second disk`,
    )
  })
}
