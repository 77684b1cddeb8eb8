/**
 * P5: after faults stop, the cluster reaches its wanted state without a person. `waitsFor` says in
 * plain words what is missing; an empty list is a cluster at rest. It judges what is true on the
 * machines, not what the view believes.
 */
import type { ClusterData, DB } from "#model/cluster.ts"
import { withDefaults } from "#model/spec.ts"
import type { Sim } from "../sim.ts"
import { isPrimary } from "../sim.ts"
import { endOf } from "../wal.ts"

export function waitsFor(sim: Sim): readonly string[] {
  const reading = sim.store.core.read()
  if (reading.kind === "absent") return ["there is no cluster data"]
  const { data } = reading
  if (data.cluster.status.phase !== "normal") return ["the cluster is still initialising"]
  const top = isStandbyCluster(sim) ? follower(sim, data) : primary(sim, data)
  const missing: string[] = [...processes(sim), ...gate(sim, data), ...top]
  for (const db of data.dbs.values()) missing.push(...database(sim, data, db))
  missing.push(...standbys(sim, data))
  return missing
}

/** Nobody writes through the proxies of a cluster whose primary follows another outside. */
export function isStandbyCluster(sim: Sim): boolean {
  const reading = sim.store.core.read()
  return reading.kind === "found" && withDefaults(reading.data.cluster.spec).role === "standby"
}

const processes = (sim: Sim): readonly string[] =>
  [...sim.nodes.values()].flatMap(({ name, process }) =>
    process?.state === "running" ? [] : [`${name} does not run`],
  )

function gate(sim: Sim, { cluster, proxy, dbs }: ClusterData): readonly string[] {
  const { master, primaryRevoked } = cluster.status
  if (proxy.spec.masterDbUid !== master) return ["the gate is closed"]
  if (primaryRevoked) return ["the primary is revoked"]
  const { listenAddress: host, port } = dbs.get(master)?.status ?? { listenAddress: "", port: "" }
  return [...sim.nodes.values()].flatMap(({ kind, name }) => {
    const relay = sim.relays.get(name)
    if (kind !== "proxy") return []
    const route = relay?.route
    const there = route?.kind === "forward" && route.host === host && String(route.port) === port
    return there && relay?.listening === true ? [] : [`${name} does not forward to the primary`]
  })
}

function primary(sim: Sim, { cluster, dbs }: ClusterData): readonly string[] {
  const db = dbs.get(cluster.status.master)
  if (db === undefined) return ["there is no primary"]
  const instance = sim.hosts.get(db.spec.keeperUID)?.instance ?? null
  if (instance === null || !isPrimary(instance)) return ["PostgreSQL on the primary is not up"]
  if (!instance.hba.clients) return ["the primary lets no clients in"]
  return instance.waiting.length > 20 ? ["commits hang on the primary"] : []
}

/** The top of a standby cluster has what the primary outside has. */
function follower(sim: Sim, { cluster, dbs }: ClusterData): readonly string[] {
  const uid = dbs.get(cluster.status.master)?.spec.keeperUID
  const instance = sim.hosts.get(uid ?? "")?.instance ?? null
  if (instance === null || !instance.inRecovery) return ["the top of the standby cluster is not up"]
  return instance.upstream?.upstream === sim.outside?.instance && instance.upstream !== null
    ? []
    : [`the standby cluster does not stream: ${instance.refusal}`]
}

function database(sim: Sim, data: ClusterData, db: DB): readonly string[] {
  const name = `${db.spec.keeperUID}'s DB`
  if (!db.status.healthy) return [`${name} is not healthy`]
  if (db.status.currentGeneration !== db.generation)
    return [`${name} has not applied its specification`]
  if (db.uid === data.cluster.status.master) return []
  const instance = sim.hosts.get(db.spec.keeperUID)?.instance ?? null
  if (instance === null || !instance.inRecovery) return [`${name} is not a running standby`]
  const { upstream } = instance
  if (upstream === null) return [`${name} does not stream: ${instance.refusal}`]
  const behind = endOf(upstream.upstream.dir.wal) - endOf(instance.dir.wal)
  return behind > 100_000 ? [`${name} is ${behind} bytes behind`] : []
}

function standbys(sim: Sim, { cluster, dbs }: ClusterData): readonly string[] {
  const spec = withDefaults(cluster.spec)
  const wanted = Math.min(sim.shape.keepers - 1, spec.maxStandbysPerSender)
  const missing: string[] = []
  if (dbs.size - 1 < wanted)
    missing.push(`${wanted} standbys are wanted, ${dbs.size - 1} are there`)
  const db = dbs.get(cluster.status.master)
  const sync = db?.spec.synchronousStandbys?.length ?? 0
  if (db === undefined || !spec.synchronousReplication || spec.role === "standby") return missing
  const least = Math.min(spec.minSynchronousStandbys, wanted)
  if (!db.spec.synchronousReplication || sync < least)
    missing.push(`${least} synchronous standbys are wanted, ${sync} are there`)
  if (least > 0 && (db.spec.externalSynchronousStandbys ?? []).length > 0)
    missing.push("the primary waits for a standby that does not exist")
  return missing
}
