/**
 * Leases by ground truth (protocol parts 2 and 4).
 *
 * L1: no guardian is told of a lease longer than L after an info of its keeper reached the store;
 * O1 and O2: a longer one only while everybody who could be elected is bound by a promise on disk
 * that lasts longer, and who is bound is not promoted. L5: nobody acknowledges without a lease that
 * runs. L7: no info states a lease shorter than the one in force.
 */
import { toMillis } from "#base/duration.ts"
import { leaseOf } from "#keeper/lease.ts"
import type { DBUID } from "#model/ids.ts"
import type { KeeperInfo } from "#model/info.ts"
import type { Host } from "../host.ts"
import type { Ack } from "../ledger.ts"
import type { Instance } from "../server.ts"
import type { Sim } from "../sim.ts"
import { boundUntil } from "./fenced.ts"

interface Heard {
  readonly at: number
  readonly info: KeeperInfo
}

/** Rounding of milliseconds that were divided by a clock's rate. */
const slack = 1

export function checkLeases(sim: Sim): void {
  const heard = new Map<string, Heard>()
  let longest = leaseOf(sim.shape.spec) as number
  const { listeners } = sim.store.core
  listeners.written.push((_, { cluster }) => {
    longest = Math.max(longest, leaseOf(cluster.spec))
  })
  listeners.published.push((what) => {
    if (what.kind !== "keeper") return
    heard.set(what.info.uid, { at: sim.world.now(), info: what.info })
    stated(sim, what.info)
  })
  sim.hooks.promoted.push((instance) => promoted(sim, instance))
  sim.hooks.held.push((host) => granted(sim, host, heard.get(host.machine.name), longest))
  sim.ledger.listeners.push((ack, instance) => acknowledged(sim, ack, instance))
}

function granted(sim: Sim, host: Host, last: Heard | undefined, longest: number): void {
  const { guardian, machine } = host
  if (guardian === null || guardian.lease === null || !machine.up) return
  const renewed = (last?.at ?? -Infinity) + longest / machine.rate
  if (guardian.until <= renewed + slack || last === undefined) return
  const free = electable(sim, last.info).filter(
    (uid) => boundUntil(sim.hosts.get(uid)) < guardian.until,
  )
  const beyond = Math.round(guardian.until - renewed)
  if (free.length > 0)
    sim.fail(
      "L1 lease",
      `${machine.name} has one ${beyond} ms beyond a renewal, and ${free.join()} promised nothing`,
    )
}

/** Who could be elected in its place: in the view's set, and in the one that the primary knows. */
function electable(sim: Sim, { uid, electable: told }: KeeperInfo): readonly string[] {
  const reading = sim.store.core.read()
  if (reading.kind === "absent") return []
  const { cluster, dbs } = reading.data
  const primary = dbs.get(cluster.status.master)
  // where another is the primary already, promises to this one came before
  if (primary?.spec.keeperUID !== uid || cluster.status.primaryRevoked) return []
  const { electable: wanted } = cluster.status
  const both = (one: DBUID): boolean =>
    told?.word === wanted?.word || wanted?.joining.includes(one) !== true
  return (wanted?.dbs ?? [])
    .filter((one) => both(one) && one !== primary.uid)
    .flatMap((one) => dbs.get(one)?.spec.keeperUID ?? [])
}

/** O2: whoever has promised promotes nobody until the promise has lapsed. */
function promoted(sim: Sim, { machine: { name } }: Instance): void {
  const left = boundUntil(sim.hosts.get(name)) - sim.world.now()
  if (left > slack)
    sim.fail("O2 promise", `${name} was promoted, and is bound for ${Math.round(left)} ms`)
}

function stated(sim: Sim, { uid, fencing }: KeeperInfo): void {
  const host = sim.hosts.get(uid)
  const { guardian, instance, machine } = host ?? { guardian: null, instance: null, machine: null }
  if (fencing === undefined || guardian === null || machine === null || !sim.fenced) return
  if (guardian.lease === null || instance === null || instance.inRecovery) return
  const left = (guardian.until - sim.world.now()) * machine.rate
  if (left > toMillis(fencing.lease) + slack)
    sim.fail(
      "L7 stated lease",
      `${uid} states ${toMillis(fencing.lease)} ms, and ${Math.round(left)} ms are left`,
    )
}

/** A look of its own moment: by then the guardian may have heard of more, never of less. */
function acknowledged(sim: Sim, { at, host: name }: Ack, instance: Instance): void {
  const host = sim.hosts.get(name)
  const { now } = sim.world
  if (!sim.fenced || host?.instance !== instance || instance.phase !== "up") return
  if (now() - at > 20 || host.guardian === null) return
  if (host.guardian.lease === null) sim.fail("L5 lease", `${name} acknowledges without one`)
  else if (at > host.guardian.until + slack)
    sim.fail("L5 lease", `${name} acknowledges after its lease has ended`)
}
