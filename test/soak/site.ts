/**
 * What is soaked: a cluster of three nodes whose commits wait for a standby, and two proxies, one
 * of one process and one of two workers, each with a port for writes and one for reads.
 */
import { join } from "node:path"
import { freePorts } from "#test/conformance/ports.ts"
import { until } from "#test/conformance/wait.ts"
import { type Cluster, type Part, newPart, startCluster } from "#test/e2e/cluster.ts"
import { ask } from "#test/e2e/writer.ts"
import { at } from "#test/bench/failover/tools.ts"
import type { Door } from "./storm.ts"

export const login = { user: "soak", database: "postgres" }

export interface SoakedProxy {
  readonly name: string
  readonly part: Part
  readonly doors: readonly Door[]
}

export interface Site extends AsyncDisposable {
  readonly cluster: Cluster
  readonly proxies: readonly SoakedProxy[]
}

/** Which server answers: port, system, in recovery or not, timeline. */
const placeFunction = `
  create function soak_place() returns text language plpgsql volatile as $$
  declare
    recovery boolean := pg_is_in_recovery();
    timeline int := 0;
  begin
    if not recovery then
      timeline := ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int;
    end if;
    return concat_ws('|', inet_server_port(), (select system_identifier from pg_control_system()),
      recovery, timeline);
  end $$`

const spec = {
  synchronousReplication: true,
  pgParameters: { max_connections: "300" },
  pgHBA: [`host all ${login.user} 127.0.0.1/32 trust`],
}

export async function openSite(): Promise<Site> {
  await using building = new AsyncDisposableStack()
  const cluster = building.use(await startCluster({ backend: "sqlite", spec }))
  try {
    await cluster.settled(180_000)
    const primary = await cluster.primary()
    await ask(primary.port, `create role ${login.user} login`)
    await ask(primary.port, placeFunction)
    const proxies = await Promise.all([1, 2].map((workers) => startProxy(cluster, workers)))
    for (const { part } of proxies) building.defer(() => part.kill())
    for (const { doors } of proxies)
      for (const { port, name } of doors)
        await until(`${name} to lead`, () => ask(port, "select soak_place()"), 60_000)
    const owned = building.move()
    return { cluster, proxies, [Symbol.asyncDispose]: () => owned.disposeAsync() }
  } catch (error) {
    throw new Error(cluster.logs(), { cause: error })
  }
}

async function startProxy({ place }: Cluster, workers: number): Promise<SoakedProxy> {
  const ports = await freePorts(2)
  const [port, reads] = [at(ports, 0), at(ports, 1)]
  const name = workers === 1 ? "one process" : `${workers} workers`
  const part = newPart(place, `soaked-${workers}`, [
    ...["proxy", "--cluster-name=e2e", "--store-backend=sqlite"],
    `--store-endpoints=${join(place.directory, "store.db")}`,
    ...[`--workers=${workers}`, `--port=${port}`, `--read-only-port=${reads}`],
  ])
  part.start()
  const doors: readonly Door[] = [
    { name: `${name}, writes`, kind: "primary", port },
    { name: `${name}, reads`, kind: "reads", port: reads },
  ]
  return { name, part, doors }
}
