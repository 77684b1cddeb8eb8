/**
 * Who may write, on real processes: a primary whose keeper hangs, dies, or cannot reach the store
 * ends with its lease, whoever else is alive; and who is left says so at once. What the leader
 * makes of it is told elsewhere.
 */
import { expect, test } from "bun:test"
import type { Certificate, KeeperInfo } from "#model/info.ts"
import { keeperUID } from "#model/ids.ts"
import { until } from "#test/conformance/wait.ts"
import { startWire } from "#test/conformance/wire.ts"
import { postgresPrograms } from "#cmd/dev-place.ts"
import { type Cluster, type Node, newNode, startCluster } from "./cluster.ts"

const signal = new AbortController().signal
/** failInterval is 3 s, so leases run 2.5 s; the rest is for a machine that is busy. */
const leaseEnd = 2_500
const slack = 1_000

const infoOf = async (cluster: Cluster, node: Node): Promise<KeeperInfo | undefined> =>
  (await cluster.store.infos(signal)).keepers.get(keeperUID(node.uid))

/** Until a primary is up that holds by a lease, and its guardian knows that somebody follows. */
async function fencedPrimary(cluster: Cluster, heirs: number): Promise<Node> {
  await cluster.settled()
  const primary = await cluster.primary()
  await until("its lease to be published", async () => {
    const info = await infoOf(cluster, primary)
    return info?.fencing !== undefined && (info.electable?.dbs.length ?? 0) >= heirs
  })
  for (let i = 0; i < 3; i++) {
    const before = (await infoOf(cluster, primary))?.infoUID
    await until("a renewal", async () => (await infoOf(cluster, primary))?.infoUID !== before)
  }
  return primary
}

const certified = (cluster: Cluster, node: Node): Promise<Certificate> =>
  until("the certificate", async () => {
    const certificate = (await infoOf(cluster, node))?.certificate
    if (certificate === undefined) throw new Error("none is published")
    return certificate
  })

/** How long it takes, in milliseconds. */
async function timed(what: Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await what
  return performance.now() - begun
}

const gone = (node: Node): Promise<unknown> =>
  until("PostgreSQL to end", () => node.postmaster() === null)

test("D-13 a primary whose keeper is stopped ends with its lease, and its guardian certifies it", async () => {
  await using cluster = await startCluster({ backend: "sqlite", keepers: 2, sentinels: 1 })
  const primary = await fencedPrimary(cluster, 1)
  const { pid } = primary
  if (pid === null) throw new Error("no keeper")
  process.kill(pid, "SIGSTOP")
  try {
    expect(await timed(gone(primary))).toBeLessThan(leaseEnd + slack)
    const { reason, dbuid } = await certified(cluster, primary)
    expect(reason).toBe("its lease ran out")
    expect(dbuid).not.toBe("")
  } finally {
    process.kill(pid, "SIGCONT")
  }
}, 120_000)

test("D-20 keeper and PostgreSQL killed together are certified by the guardian at once", async () => {
  await using cluster = await startCluster({ backend: "etcdv3", keepers: 2, sentinels: 1 })
  const primary = await fencedPrimary(cluster, 1)
  const killed = (async () => {
    const ended = primary.kill()
    primary.killPostgres()
    await ended
    expect((await certified(cluster, primary)).reason).toBe("its keeper is gone")
  })()
  const took = await timed(killed)
  console.log(`certified ${Math.round(took)} ms after the kill`)
  expect(took).toBeLessThan(1_500)
}, 120_000)

test("D-41 a keeper that is killed and back within its lease finds its primary as it was", async () => {
  await using cluster = await startCluster({ backend: "sqlite", keepers: 1, sentinels: 1 })
  const primary = await fencedPrimary(cluster, 0)
  const before = primary.postmaster()?.pid
  const info = await infoOf(cluster, primary)
  await primary.kill()
  primary.start()
  await until("it publishes again", async () => {
    const now = await infoOf(cluster, primary)
    return now?.infoUID !== info?.infoUID && now?.postgresState?.healthy === true
  })
  // longer than the lease that was in force
  const { infoUID } = (await infoOf(cluster, primary)) ?? {}
  await until("some renewals", async () => (await infoOf(cluster, primary))?.infoUID !== infoUID)
  const end = performance.now() + leaseEnd
  await until("a lease's time to pass", () => performance.now() > end)
  expect(primary.postmaster()?.pid).toBe(before)
  expect((await infoOf(cluster, primary))?.certificate).toBeUndefined()
}, 120_000)

test("D-13 a primary that cannot reach the store ends with its lease", async () => {
  await using cluster = await startCluster({ backend: "etcdv3", keepers: 0, sentinels: 1 })
  const port = Number(/:(\d+)/.exec(cluster.etcd?.endpoints[0]?.replace("http://", "") ?? "")?.[1])
  await using wire = await startWire(port)
  const flags = [
    "--cluster-name=e2e",
    "--store-backend=etcdv3",
    `--store-endpoints=${wire.endpoint}`,
  ]
  const node = await newNode(cluster.place, flags, postgresPrograms(""), "walled")
  node.start()
  try {
    await until(
      "a primary",
      async () => {
        const info = await infoOf(cluster, node)
        return info?.fencing !== undefined && info.postgresState?.acceptsClients === true
      },
      60_000,
    )
    wire.set("hang")
    expect(await timed(gone(node))).toBeLessThan(leaseEnd + slack)
    wire.set("pass")
    await until(
      "a primary again",
      async () => {
        const info = await infoOf(cluster, node)
        return node.postmaster() !== null && info?.postgresState?.healthy === true
      },
      60_000,
    )
  } finally {
    await node.killAll()
  }
}, 120_000)
