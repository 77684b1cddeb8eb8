/**
 * P3: no step removes the last good copy of acknowledged data, and a directory that is half done is
 * never started.
 *
 * A copy is any log on any disk: data directories, complete new ones, asides, and what was saved
 * beside before a rewind. What asynchronous replication has already lost may go with an aside once
 * the machine has a good copy again, but not before; at once, if an operator says so.
 */
import { dbOfKeeper } from "#model/cluster.ts"
import { keeperUID } from "#model/ids.ts"
import { type Dir, copiesOn } from "../disk.ts"
import type { Host } from "../host.ts"
import type { Sim } from "../sim.ts"
import { type Wal, holds } from "../wal.ts"

export function checkNoDestroyedCopy(sim: Sim): void {
  sim.hooks.destroying.push((host, how, dir) => destroying(sim, host, how, dir))
  sim.hooks.starting.push((host, dir) => starting(sim, host, dir))
}

function destroying(sim: Sim, host: Host, how: string, dir: Dir): void {
  if (dir.half !== null) return // it was nobody's copy
  const others = [...sim.hosts.values()].flatMap(({ disk }) =>
    copiesOn(disk).filter((wal) => wal !== dir.wal),
  )
  const known = (wal: Wal): boolean => sim.ledger.acks.some((ack) => holds(wal, ack.record))
  if (known(dir.wal) && !others.some(known))
    return sim.fail(
      "P3 last copy",
      `${how} on ${host.machine.name} removes the last copy of the cluster`,
    )
  const replaced = host.disk.data !== null && host.disk.data !== dir && host.disk.data.half === null
  for (const ack of sim.ledger.acks) {
    if (ack.systemID !== dir.systemID || !holds(dir.wal, ack.record)) continue
    if (others.some((wal) => holds(wal, ack.record))) continue
    const given = how === "remove-asides" ? replaced : how === "discard-data" && isAsked(sim, host)
    if (!ack.strict && given) continue
    const words = `${how} on ${host.machine.name} removes the last copy of row ${ack.row}`
    return sim.fail("P3 last copy", `${words}, acknowledged by ${ack.writer}`)
  }
}

/** `ctl reclone --discard-old`, which says what is at stake. */
function isAsked(sim: Sim, { machine }: Host): boolean {
  const reading = sim.store.core.read()
  if (reading.kind === "absent") return false
  return dbOfKeeper(reading.data, keeperUID(machine.name))?.spec.freshCopy === "discard"
}

function starting(sim: Sim, host: Host, dir: Dir): void {
  const { name } = host.machine
  if (dir.half !== null)
    sim.fail("N3 half-done directory", `${name} starts PostgreSQL in one (${dir.half})`)
  if (host.disk.mark?.kind === "rewind")
    sim.fail("N3 marked directory", `${name} starts PostgreSQL in one`)
}
