/**
 * A whole cluster on Kubernetes: a real API server with RBAC, no kubelet. Processes of this machine
 * play the pods, each with the rights that `docs/stores.md` tells people to give, a pod object of
 * its own and a token that is rotated. What a kubelet and controllers would do is left out: nobody
 * starts anything again, nobody sets addresses.
 */
import { expect, test } from "bun:test"
import { byText } from "#base/order.ts"
import {
  type Json,
  type KubeServer,
  kubeMissing,
  startKube,
} from "#test/conformance/kube-server.ts"
import { until } from "#test/conformance/wait.ts"
import { clusterName } from "./cluster.ts"
import { type KubePlatform, kubePlatform } from "./kube-platform.ts"
import { scenariosOn } from "./scenarios.ts"

const role = "stolon.io/role"

if (kubeMissing !== null) test.skip(`a cluster on Kubernetes (skipped: ${kubeMissing})`, () => {})
else {
  let server: KubeServer
  let platform: KubePlatform
  const podPath = (name: string): string =>
    `/api/v1/namespaces/${server.namespace}/pods/${platform.podOf(name)}`
  const labels = async (name: string): Promise<Json> =>
    (await server.admin("GET", podPath(name))).metadata.labels

  const scenario = scenariosOn({
    backend: "etcdv3",
    platform: async (stack) => {
      server = stack.use(await startKube())
      platform = await kubePlatform(server)
      return platform
    },
    spec: { synchronousReplication: true },
  })

  scenario(
    "a Service finds the primary by its label, and the standbys by theirs",
    async (cluster) => {
      const primary = await cluster.primary()
      await until("the labels", async () => {
        const now = await Promise.all(
          cluster.nodes.map(async ({ uid }) => (await labels(uid))[role]),
        )
        return now.toSorted(byText).join() === "primary,standby,standby"
      })
      expect((await labels(primary.uid))[role]).toBe("primary")
    },
  )

  scenario(
    "a primary's node that is killed is replaced, its label goes, and it follows when it comes back",
    async (cluster, writer) => {
      const old = await cluster.primary()
      await old.killAll()
      await until("another primary", async () => (await cluster.primary()).uid !== old.uid, 60_000)
      await writer.resumes()
      const now = await cluster.primary()
      await until("the new label", async () => (await labels(now.uid))[role] === "primary")
      expect((await labels(old.uid))[role]).not.toBe("primary")
      old.start()
    },
  )

  scenario(
    "a pod object that is made again under its name disturbs nobody",
    async (cluster, writer) => {
      const primary = await cluster.primary()
      await server.admin("DELETE", podPath(primary.uid), { gracePeriodSeconds: 0 })
      await server.pod(platform.podOf(primary.uid), clusterName, "keeper")
      await until("its label", async () => (await labels(primary.uid))[role] === "primary", 60_000)
      await writer.resumes()
      expect((await cluster.primary()).uid).toBe(primary.uid)
    },
  )

  scenario("tokens are rotated, and the old ones are worth nothing", async (cluster, writer) => {
    const accounts = `/api/v1/namespaces/${server.namespace}/serviceaccounts`
    const primary = await cluster.primary()
    for (const kind of ["keeper", "sentinel", "proxy"] as const) {
      await server.admin("DELETE", `${accounts}/stolon-${kind}`)
      await server.admin("POST", accounts, { metadata: { name: `stolon-${kind}` } })
    }
    for (const name of platform.names) await platform.rotate(name)
    await cluster.settled()
    await writer.resumes()
    expect((await cluster.primary()).uid).toBe(primary.uid)
  })

  scenario(
    "the API server is started again in the middle of a failover",
    async (cluster, writer) => {
      const old = await cluster.primary()
      await old.killAll()
      await server.kill()
      server.start()
      await until("the server", () => server.ready(), 120_000)
      await until("another primary", async () => (await cluster.primary()).uid !== old.uid, 60_000)
      await writer.resumes()
      old.start()
    },
  )

  scenario(
    "a switchover goes where it is told, and the labels with it",
    async (cluster, writer) => {
      const before = await cluster.primary()
      const to = cluster.nodes.find(({ uid }) => uid !== before.uid)
      if (to === undefined) throw new Error("expected a standby")
      await cluster.ctl("switchover", "--to", to.uid)
      await writer.resumes()
      await until("the label", async () => (await labels(to.uid))[role] === "primary")
      expect((await labels(before.uid))[role]).toBe("standby")
    },
  )
}
