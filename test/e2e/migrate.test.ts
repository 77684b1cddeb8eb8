/**
 * `ctl store migrate` on running clusters: a client writes all the time, and nothing that it was
 * told is lost. PostgreSQL is not restarted, because each keeper is killed and started again within
 * its lease, as the command advises.
 */
import { expect, test } from "bun:test"
import { join } from "node:path"
import { postgresPrograms } from "#cmd/dev-place.ts"
import { openStore } from "#store/open.ts"
import { startEtcd } from "#test/conformance/etcd.ts"
import { until } from "#test/conformance/wait.ts"
import { addressed } from "./addressed.ts"
import {
  type Cluster,
  type Node,
  clusterName,
  newNode,
  newPart,
  settledOn,
  startCluster,
} from "./cluster.ts"
import { rowsAt, startWriter } from "./writer.ts"

const { signal } = new AbortController()

/** What failed, with the ends of the logs. */
async function watched(cluster: Cluster, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    console.error(cluster.logs())
    throw error
  }
}

test("a running cluster moves from etcd's second API to its third, and no PostgreSQL is restarted", async () => {
  let endpoints: readonly string[] = []
  await using cluster = await startCluster({
    backend: "etcdv3",
    platform: async (stack) => {
      const etcd = stack.use(await startEtcd({ args: ["--enable-v2=true"] }))
      endpoints = etcd.endpoints
      return addressed("etcdv2", endpoints)
    },
    spec: { synchronousReplication: true },
  })
  await using building = new AsyncDisposableStack()
  const target = addressed("etcdv3", endpoints)
  const store = building.use(await openStore(target.settings))
  await watched(cluster, async () => {
    await cluster.settled()
    const writer = building.use(await startWriter(cluster.proxyPort))
    const first = await cluster.primary()
    const postmasters = cluster.nodes.map((node) => node.postmaster()?.pid)

    const moving = cluster.ctl("store", "migrate", "--yes", `--to=etcdv3=${endpoints.join()}`)
    moving.catch(() => {}) // awaited below
    await until("both stores to be marked", async () => {
      const there = await store.read(signal)
      const here = await cluster.store.read(signal)
      return [there, here].every(
        (one) => one.kind === "found" && one.data.cluster.status.move !== undefined,
      )
    })
    for (const refused of [["switchover"], ["update", "--patch", '{"usePgrewind":true}']])
      await expect(cluster.ctl(...refused)).rejects.toThrow("on its way to etcdv3")

    // as the command says: sentinels, standbys, the primary, proxies
    const common = [`--cluster-name=${clusterName}`, ...target.inside]
    for (const old of cluster.sentinels) {
      await old.stop()
      const argv = ["sentinel", "--peer-listen-address=127.0.0.1", ...common]
      const sentinel = newPart(cluster.place, `${old.name}-moved`, argv)
      building.defer(sentinel.kill)
      sentinel.start()
    }
    const order = cluster.nodes.toSorted((a, b) => Number(a === first) - Number(b === first))
    const moved: Node[] = []
    for (const old of order) {
      const { place } = cluster
      const node = await newNode(place, common, postgresPrograms(""), old.uid, old.port)
      building.defer(node.killAll)
      await old.kill()
      node.start()
      moved.push(node)
      await until(`${old.uid} to speak there`, async () => {
        const { keepers } = await store.infos(signal)
        return [...keepers.values()].some(({ uid }) => uid === old.uid)
      })
    }
    await writer.resumes()
    await cluster.proxy.stop()
    const proxy = newPart(cluster.place, "proxy-moved", [
      ...["proxy", ...common, `--port=${cluster.proxyPort}`],
    ])
    building.defer(proxy.kill)
    proxy.start()
    await writer.resumes()

    expect(await moving).toContain("the cluster lives in etcdv3")
    await settledOn(store, moved)
    expect(cluster.nodes.map((node) => node.postmaster()?.pid)).toEqual(postmasters)
    const left = await cluster.store.read(signal)
    expect(left.kind === "found" && left.data.cluster.status).toMatchObject({
      primaryRevoked: true,
      move: { end: "from" },
    })
    // and its leader decides again
    await moved.find(({ uid }) => uid === first.uid)?.killAll()
    await writer.resumes()
    await writer.stop()
    const there = await rowsAt(cluster.proxyPort)
    expect([...writer.acknowledged].filter((id) => !there.has(id))).toEqual([])
    expect(writer.acknowledged.size).toBeGreaterThan(100)
  })
}, 120_000)

test("a move that is given up ends where it began, and can be made another time", async () => {
  await using cluster = await startCluster({ backend: "sqlite", keepers: 1, sentinels: 1 })
  await watched(cluster, async () => {
    await cluster.settled()
    const to = `--to=sqlite=${join(cluster.place.directory, "other.db")}`
    const migrate = (...flags: readonly string[]): Promise<string> =>
      cluster.ctl("store", "migrate", "--yes", to, ...flags)
    expect(await migrate("--dry-run")).toContain("would move the cluster from sqlite")
    await expect(migrate("--finish")).rejects.toThrow("nothing is on the move")
    expect(await migrate("--no-wait")).toContain("the keeper of the primary: keeper1")
    expect(await cluster.ctl("status")).toContain("MOVING: the cluster is on its way to sqlite")
    expect(await migrate("--cancel")).toContain("as before")
    expect(await cluster.ctl("status")).not.toContain("MOVING")
    await cluster.settled()
    // what was left there is no hindrance
    expect(await migrate("--dry-run")).toContain("would move the cluster from sqlite")
    await cluster.ctl("update", "--yes", "--patch", '{"pgParameters":{"work_mem":"8MB"}}')
  })
}, 120_000)
