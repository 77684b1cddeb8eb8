/**
 * Who is a standby and how many there are, asynchronously, on real etcd and PostgreSQL: what the
 * operator asks for and what the leader does when one is lost. Begins with one standby and one
 * keeper to spare.
 */
import { expect } from "bun:test"
import { until } from "#test/conformance/wait.ts"
import type { Cluster } from "./cluster.ts"
import { scenariosOn } from "./scenarios.ts"

const scenario = scenariosOn({
  backend: "etcdv3",
  spec: { maxStandbysPerSender: 1, usePgrewind: false },
})

const withRole = async (cluster: Cluster, role: string): Promise<string[]> =>
  (await cluster.facts()).members
    .filter((member) => member.role === role && member.postgresHealthy)
    .map((member) => member.keeper)

const standbys = (cluster: Cluster, count: number): Promise<string[]> =>
  until(
    `${count} standbys`,
    async () => {
      const found = await withRole(cluster, "standby")
      return found.length === count ? found : null
    },
    60_000,
  )

const synchronous = (cluster: Cluster): Promise<string> =>
  until(
    "a synchronous standby",
    async () => (await withRole(cluster, "synchronous standby"))[0] ?? null,
    60_000,
  )

scenario("T7 failkeeper moves the primary's role at once, and no row is lost", async (cluster) => {
  const old = await cluster.primary()
  await cluster.ctl("failkeeper", old.uid)
  await until("another primary", async () => (await cluster.primary()).uid !== old.uid, 10_000)
})

scenario("a standby that fails is replaced by the keeper to spare", async (cluster) => {
  const [failed = ""] = await standbys(cluster, 1)
  await cluster.node(failed).killAll()
  const [instead] = await until(
    "another standby",
    async () => {
      const found = await withRole(cluster, "standby")
      return found.length === 1 && found[0] !== failed ? found : null
    },
    60_000,
  )
  expect(instead).not.toBe(failed)
  cluster.node(failed).start()
  await until("the failed one to be to spare", async () =>
    (await withRole(cluster, "none")).length === 0 ? (await cluster.facts()).members : null,
  )
})

scenario("a raised limit makes another standby, a lowered one lets it go", async (cluster) => {
  await cluster.ctl("update", "--patch", '{"maxStandbysPerSender":2}')
  await standbys(cluster, 2)
  await cluster.ctl("update", "--patch", '{"maxStandbysPerSender":1}')
  await standbys(cluster, 1)
})

scenario("a keeper whose uid has hyphens is promoted, and hands the role on", async (cluster) => {
  await cluster.ctl("update", "--patch", '{"maxStandbysPerSender":3}')
  const { uid } = await cluster.addNode("pg-db-1-0")
  const before = await cluster.primary()
  await cluster.settled()
  await cluster.ctl("failover", "--keeper", uid, "--yes")
  expect((await cluster.primary()).uid).toBe(uid)
  await cluster.settled()
  await cluster.ctl("failover", "--keeper", before.uid, "--yes")
  expect((await cluster.primary()).uid).toBe(before.uid)
})

scenario(
  "D-11 with minSynchronousStandbys 0 writes go on without a standby, and status says so",
  async (cluster, writer) => {
    const sync = { synchronousReplication: true, minSynchronousStandbys: 0 }
    await cluster.ctl("update", "--patch", JSON.stringify({ ...sync, maxStandbysPerSender: 2 }))
    const primary = await cluster.primary()
    await synchronous(cluster)
    const others = cluster.nodes.filter(({ uid }) => uid !== primary.uid)
    for (const node of others) await node.killAll()
    await writer.resumes()
    expect(await cluster.ctl("status")).toContain("no synchronous standby")
    for (const node of others) node.start()
    await synchronous(cluster)
  },
)
