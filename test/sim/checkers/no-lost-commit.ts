/**
 * P2: no acknowledged commit is lost in synchronous mode; in asynchronous mode only what a primary
 * that was really in trouble had not sent.
 *
 * Whenever clients are let to a primary, and at the end, every acknowledged row must be in its log.
 * A missing row of asynchronous mode is forgiven when its primary's machine was hit by a fault
 * between the acknowledgement and the failover: a primary that is alive, or a planned switchover,
 * loses none.
 */
import type { Ack } from "../ledger.ts"
import type { Sim } from "../sim.ts"
import { isPrimary } from "../sim.ts"
import { holds } from "../wal.ts"

export interface LossCheck {
  /** Looks at the primary that the gate leads to now. */
  look(): void
}

export function checkNoLostCommit(sim: Sim): LossCheck {
  let looked = ""
  const reigns: Reign[] = []
  sim.store.core.listeners.written.push((before, after) => {
    const host = after.dbs.get(after.cluster.status.master)?.spec.keeperUID ?? ""
    if (host !== reigns[reigns.length - 1]?.host) reigns.push({ host, from: sim.world.now() })
    const open = after.proxy.spec.masterDbUid
    if (open !== "" && open !== before?.proxy.spec.masterDbUid) looked = ""
  })
  /** The first acknowledgement of a new writer is when clients read what it has. */
  sim.ledger.listeners.push((ack, instance) => {
    if (looked === ack.writer || !ack.throughProxy) return
    looked = ack.writer
    judge(sim, instance.machine.name, reigns)
  })
  return { look: () => primaryHosts(sim).forEach((host) => judge(sim, host, reigns)) }
}

/** Who was the primary, from when on. */
interface Reign {
  readonly host: string
  readonly from: number
}

/** The host to whose PostgreSQL the view leads clients. */
function primaryHosts(sim: Sim): readonly string[] {
  const reading = sim.store.core.read()
  if (reading.kind === "absent") return []
  const db = reading.data.dbs.get(reading.data.proxy.spec.masterDbUid)
  return db === undefined ? [] : [db.spec.keeperUID]
}

function judge(sim: Sim, host: string, reigns: readonly Reign[]): void {
  const instance = sim.hosts.get(host)?.instance ?? null
  if (instance === null || !isPrimary(instance)) return
  const { wal, systemID } = instance.dir
  for (const ack of sim.ledger.acks) {
    if (ack.lost || ack.systemID !== systemID || holds(wal, ack.record)) continue
    ack.lost = true
    const excuse = forgiven(sim, ack, reigns)
    if (excuse === null) return sim.fail("P2 no lost commit", describe(ack, host))
    sim.world.trace.add("checker", "lost row forgiven", { row: ack.row, excuse })
  }
}

function forgiven(sim: Sim, ack: Ack, reigns: readonly Reign[]): string | null {
  if (ack.strict) return null
  // Without leases nothing fences a primary from clients that go around the gate.
  if (!ack.throughProxy && !sim.fenced) return "a direct client"
  const now = sim.world.now()
  // who took over with the row may have lost it in turn
  const since = reigns.filter(({ from }, i) => i + 1 < reigns.length && from > ack.at)
  for (const host of [ack.host, ...since.map((reign) => reign.host)]) {
    const excuse = sim.troubles.between(host, ack.at, now)
    if (excuse !== null) return excuse
  }
  return null
}

const describe = (ack: Ack, host: string): string =>
  `row ${ack.row}, acknowledged by ${ack.writer} at ${(ack.at / 1000).toFixed(3)}` +
  `${ack.strict ? " (synchronous)" : " (its primary was in no trouble)"}, is not on the primary ${host}`
