/**
 * L3 by ground truth: in the moment in which a successor is written, what runs on the old primary's
 * machine can acknowledge nothing any more. Whoever looks at the certificate or at a clock must not
 * have been wrong.
 */
import type { ClusterData, DB } from "#model/cluster.ts"
import type { Host } from "../host.ts"
import type { Instance } from "../server.ts"
import type { Sim } from "../sim.ts"

/** Why clients could still be told of a commit on it; null: they cannot. */
export function mayAcknowledge(sim: Sim, old: DB, after: ClusterData): string | null {
  const host = sim.hosts.get(old.spec.keeperUID)
  const instance = host?.instance ?? null
  if (host === undefined || instance === null || !takesWrites(instance)) return null
  const { name, up, frozen } = host.machine
  // it ends in the moment in which it goes on (N1)
  const over = (host.guardian?.until ?? 0) <= sim.world.now()
  const still = frozen > 0 || instance.process.state === "frozen"
  if (!up || (still && over)) return null
  if (isCutShort(sim, instance, after)) return null
  // the new one waits until its promise has lapsed, and by then this one has ended (O2)
  const next = after.dbs.get(after.cluster.status.master)?.spec.keeperUID ?? ""
  if (boundUntil(sim.hosts.get(next)) >= (host.guardian?.until ?? 0)) return null
  return `PostgreSQL on ${name} still takes writes`
}

/** Until when the promise on a keeper's disk binds it, by its clock. */
export function boundUntil(host: Host | undefined): number {
  const promise = host?.disk.promise ?? null
  if (host === undefined || promise === null) return -Infinity
  return host.promisedAt + (1.05 * promise.width) / host.machine.rate
}

const takesWrites = (instance: Instance): boolean =>
  (instance.phase === "up" || instance.phase === "starting") &&
  !instance.inRecovery &&
  (instance.hba.clients || [...instance.sessions].some(({ kind }) => kind === "client"))

/** Every acknowledgement of it needs the elected one, which listens to it no more (L3.3). */
function isCutShort(sim: Sim, instance: Instance, { cluster, dbs }: ClusterData): boolean {
  const elected = dbs.get(cluster.status.master)
  const other = sim.hosts.get(elected?.spec.keeperUID ?? "")?.instance ?? null
  if (elected === undefined || instance.inForce === null) return false
  const { count, names } = instance.inForce
  if (count < names.length || !names.some((name) => name.endsWith(elected.uid))) return false
  if (other !== null && other.upstream?.upstream === instance) return false
  return [...instance.standbys].every(({ standby }) => standby !== other)
}
