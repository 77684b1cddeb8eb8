/**
 * Applications with their own pools, PostgreSQL's own programs and pgbench, all at once through
 * the proxy of one cluster, in a switchover and then in a failover: none is started again, and none
 * loses what it was told is written.
 *
 * What each may be told: in a switchover nothing in the middle of a transaction, and at most that
 * an idle session has ended, in answer to a first statement of which nothing is there afterwards.
 * In a failover whatever was under way may fail.
 */
import { expect } from "bun:test"
import { freePorts } from "#test/conformance/ports.ts"
import { until } from "#test/conformance/wait.ts"
import { onJava } from "./clients/java.ts"
import { onPgbench, onPsql, onTerminal } from "./clients/libpq.ts"
import { onPg, onPostgres } from "./clients/node.ts"
import { type Survivor, role, rolePassword, table, trusted } from "./clients/survivor.ts"
import type { Cluster } from "./cluster.ts"
import { scenariosOn } from "./scenarios.ts"
import { ask } from "./writer.ts"

const spec = {
  synchronousReplication: true,
  pgHBA: [`host all ${trusted} 127.0.0.1/32 trust`, "host all all 127.0.0.1/32 scram-sha-256"],
}
const scenario = scenariosOn({ backend: "sqlite", spec })

async function prepare({ proxyPort }: Cluster): Promise<void> {
  for (const statement of [
    "set password_encryption = 'scram-sha-256'",
    `create role ${role} login password '${rolePassword}'`,
    `create role ${trusted} login`,
    `create table ${table} (who text, id bigint, primary key (who, id))`,
    `grant select, insert on ${table} to ${role}, ${trusted}`,
  ])
    await ask(proxyPort, statement)
}

type Rows = ReadonlyMap<string, ReadonlySet<number>>

async function rows({ proxyPort }: Cluster): Promise<Rows> {
  const found = await ask(proxyPort, `select who, id::int from ${table}`)
  const byName = Map.groupBy(found, ({ who }) => String(who))
  return new Map([...byName].map(([who, all]) => [who, new Set(all.map(({ id }) => Number(id)))]))
}

/** Every one of them has written rows that were not there a moment ago. */
async function allGoOn(cluster: Cluster, clients: readonly Survivor[]): Promise<void> {
  const before = await until("rows to be read", () => rows(cluster), 60_000)
  const more = 5
  await until(
    "every client to go on",
    async () => {
      const now = await rows(cluster)
      const behind = clients.filter(
        ({ name }) => (now.get(name)?.size ?? 0) < (before.get(name)?.size ?? 0) + more,
      )
      if (behind.length > 0) throw new Error(`${behind.map(({ name }) => name).join(", ")}: no`)
      return true
    },
    60_000,
  )
}

/** By name, those of whom there is something to say. */
const told = <T>(
  clients: readonly Survivor[],
  of: (one: Survivor) => readonly T[],
): Readonly<Record<string, readonly T[]>> =>
  Object.fromEntries(
    clients.map((one) => [one.name, of(one)] as const).filter(([, all]) => all.length > 0),
  )

scenario(
  "pools of pg, postgres and HikariCP, psql and pgbench go on through a switchover and a failover",
  async (cluster) => {
    await prepare(cluster)
    const { proxyPort } = cluster
    const [nobody = 0] = await freePorts(1)
    const java = onJava([nobody, proxyPort])
    const pgbench = await onPgbench(proxyPort, cluster.place.directory)
    const clients: readonly Survivor[] = [
      ...[onPg(proxyPort), onPostgres(proxyPort), java],
      ...[onPsql(proxyPort), onTerminal(proxyPort), pgbench],
    ]
    let stopping: Promise<unknown> | null = null
    const stop = (): Promise<unknown> =>
      (stopping ??= Promise.all(clients.map((one) => one.stop())))
    await using _ = { [Symbol.asyncDispose]: async () => void (await stop()) }
    await allGoOn(cluster, clients)

    await until("an agreeable leader", () => cluster.ctl("switchover", "--dry-run"), 60_000)
    const first = (await cluster.primary()).uid
    await cluster.ctl("switchover")
    expect((await cluster.primary()).uid).not.toBe(first)
    await allGoOn(cluster, clients)
    expect(told(clients, ({ failures }) => failures)).toEqual({})
    const after = await rows(cluster)
    const there = ({ name }: Survivor, id: number): boolean => after.get(name)?.has(id) ?? false
    expect(told(clients, (one) => [...one.told].filter((id) => there(one, id)))).toEqual({})

    await cluster.settled()
    const old = await cluster.primary()
    await old.killAll()
    await until("another primary", async () => (await cluster.primary()).uid !== old.uid, 60_000)
    await allGoOn(cluster, clients)
    // most of its clients were between two transactions, and the program is the same one
    expect(pgbench.exitCode()).toBe(null)
    old.start()

    await stop()
    const last = await rows(cluster)
    const lost = (one: Survivor): readonly number[] =>
      [...one.acknowledged].filter((id) => last.get(one.name)?.has(id) !== true)
    expect(told(clients, lost)).toEqual({})
    expect(clients.filter(({ acknowledged }) => acknowledged.size < 15)).toEqual([])
    expect(java.named()).toBeGreaterThan(2)
  },
)
