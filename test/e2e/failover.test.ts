/**
 * What issue and operators ask of a cluster, on real etcd with synchronous replication: whatever is
 * killed, frozen or lost, writes go on, every acknowledged row is there, and the cluster heals. One
 * cluster for all scenarios, each begins when it has settled.
 */
import { expect } from "bun:test"
import { readFileSync } from "node:fs"
import { until } from "#test/conformance/wait.ts"
import { loseDisk } from "./cluster.ts"
import { scenariosOn } from "./scenarios.ts"
import { rowsAt } from "./writer.ts"

const scenario = scenariosOn({ backend: "etcdv3", spec: { synchronousReplication: true } })

scenario(
  "a primary whose PostgreSQL is killed is back or replaced, and no row is lost",
  async (cluster, writer) => {
    const primary = await cluster.primary()
    const before = primary.postmaster()?.pid
    primary.killPostgres()
    await writer.resumes()
    await cluster.settled()
    expect(primary.postmaster()?.pid).not.toBe(before)
  },
)

scenario(
  "a primary's node that is killed is replaced, and follows when it comes back",
  async (cluster, writer) => {
    const old = await cluster.primary()
    await old.killAll()
    await until("another primary", async () => (await cluster.primary()).uid !== old.uid, 30_000)
    await writer.resumes()
    old.start()
    const now = await cluster.settled()
    const member = now.members.find(({ keeper }) => keeper === old.uid)
    expect(member?.role).toEndWith("standby")
  },
)

scenario(
  "a leader sentinel that is killed is replaced, and a failover works after it",
  async (cluster, writer) => {
    const before = (await cluster.facts()).leader
    const leader = cluster.sentinels.find(({ log }) =>
      readFileSync(log, "utf8").includes(`"sentinel": "${before}"`),
    )
    if (leader === undefined) throw new Error(`no log names ${before} as leader`)
    await leader.kill()
    await until(
      "another leader",
      async () => {
        const now = (await cluster.facts()).leader
        return now !== null && now !== before
      },
      40_000,
    )
    leader.start()
    const old = await cluster.primary()
    await old.killAll()
    await writer.resumes()
    old.start()
  },
)

scenario(
  "a primary's node that is frozen beyond failInterval is replaced, and follows once thawed",
  async (cluster, writer) => {
    const old = await cluster.primary()
    old.freeze()
    try {
      await until("another primary", async () => (await cluster.primary()).uid !== old.uid, 30_000)
      await writer.resumes()
    } finally {
      old.thaw()
    }
    const now = await cluster.settled()
    expect(now.primary?.keeper).not.toBe(old.uid)
  },
)

scenario("a store that is down and back ends nothing for good", async (cluster, writer) => {
  const [member] = cluster.etcd?.members ?? []
  await member?.kill()
  const { proxyTimeout } = { proxyTimeout: 3_000 }
  const down = performance.now()
  await until(
    "the outage to be longer than proxyTimeout",
    () => performance.now() - down > proxyTimeout + 2_000,
  )
  member?.start()
  await until("etcd to serve", () => member?.healthy() ?? false, 30_000)
  await writer.resumes()
})

scenario("a standby whose disk is lost is cloned again", async (cluster) => {
  const primary = await cluster.primary()
  const standby = cluster.nodes.find(({ uid }) => uid !== primary.uid)
  if (standby === undefined) throw new Error("no standby")
  const rows = await rowsAt(cluster.proxyPort)
  await standby.killAll()
  await loseDisk(standby)
  standby.start()
  const cloned = await until(
    "its rows to be back",
    async () => {
      const there = await rowsAt(standby.port)
      return [...rows].every((id) => there.has(id))
    },
    90_000,
  )
  expect(cloned).toBe(true)
})

scenario(
  "a keeper that is added becomes a standby, and is forgotten when it is removed",
  async (cluster) => {
    const added = await cluster.addNode()
    const now = await cluster.settled(90_000)
    expect(now.members.find(({ keeper }) => keeper === added.uid)?.role).toEndWith("standby")
    await added.stop()
    await cluster.ctl("removekeeper", added.uid)
    await until(
      "it to be forgotten",
      async () => {
        const { members } = await cluster.facts()
        return !members.some(({ keeper }) => keeper === added.uid)
      },
      40_000,
    )
  },
)
