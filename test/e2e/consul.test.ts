/**
 * A whole cluster on three real Consul servers, with synchronous replication: whatever is killed,
 * writes go on and every acknowledged row is there.
 */
import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { type ConsulCluster, consulMissing, startConsul } from "#test/conformance/consul.ts"
import { until } from "#test/conformance/wait.ts"
import { addressed } from "./addressed.ts"
import { scenariosOn } from "./scenarios.ts"

if (consulMissing !== null) test.skip(`a cluster on Consul (skipped: ${consulMissing})`, () => {})
else {
  let consul: ConsulCluster
  const scenario = scenariosOn({
    backend: "etcdv3",
    platform: async (stack) => {
      consul = stack.use(await startConsul({ servers: 3 }))
      return addressed("consul", consul.endpoints)
    },
    spec: { synchronousReplication: true },
  })

  scenario(
    "on Consul a primary's node that is killed with the leader sentinel is replaced, and follows",
    async (cluster, writer) => {
      const old = await cluster.primary()
      const { leader } = await cluster.facts()
      const leading = cluster.sentinels.find(({ log }) =>
        readFileSync(log, "utf8").includes(`"sentinel": "${leader}"`),
      )
      if (leading === undefined) throw new Error(`no log names ${leader} as leader`)
      await Promise.all([old.killAll(), leading.kill()])
      await until("another primary", async () => (await cluster.primary()).uid !== old.uid, 60_000)
      await writer.resumes()
      leading.start()
      old.start()
    },
  )

  scenario("on Consul a switchover goes where it is told", async (cluster, writer) => {
    const before = await cluster.primary()
    const to = cluster.nodes.find(({ uid }) => uid !== before.uid)
    if (to === undefined) throw new Error("expected a standby")
    await cluster.ctl("switchover", "--to", to.uid)
    await writer.resumes()
    expect((await cluster.primary()).uid).toBe(to.uid)
  })

  scenario("a Consul that stands still ends nothing", async (cluster, writer) => {
    const before = await cluster.primary()
    const postmaster = before.postmaster()?.pid
    for (const server of consul.servers) server.pause()
    const begun = performance.now()
    try {
      await until("eight seconds", () => performance.now() - begun > 8_000)
      await writer.resumes()
    } finally {
      for (const server of consul.servers) server.resume()
    }
    await cluster.settled()
    expect((await cluster.primary()).uid).toBe(before.uid)
    expect(before.postmaster()?.pid).toBe(postmaster)
  })

  scenario(
    "Consul's servers lose their leader, and a failover works after it",
    async (cluster, writer) => {
      const leads = await Promise.all(consul.servers.map((server) => server.isLeader()))
      const leader = consul.servers[leads.indexOf(true)]
      if (leader === undefined) throw new Error("no server leads")
      await leader.kill()
      const old = await cluster.primary()
      old.killPostgres()
      await writer.resumes()
      leader.start()
      await consul.settled()
    },
  )
}
