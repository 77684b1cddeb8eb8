/**
 * In the middle of the upgrade the machine of the primary dies: a Go keeper leads the data, ours
 * leads the cluster and stands by, Go's proxy carries the clients. With synchronous replication no
 * acknowledged row may be lost, and the keeper that comes back, as ours by then, follows.
 */
import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { postgresPrograms } from "#cmd/dev-place.ts"
import { duration } from "#base/duration.ts"
import { startEtcd } from "#test/conformance/etcd.ts"
import { freePorts } from "#test/conformance/ports.ts"
import { until } from "#test/conformance/wait.ts"
import { addressed } from "./addressed.ts"
import { newNode, newPart } from "./cluster.ts"
import { bootOf, goSide, lastWriter, settled, view } from "./go-cluster.ts"
import { realMachine } from "./go-machine.ts"
import { newPlace } from "./place.ts"
import { rowsAt, startWriter } from "./writer.ts"

const spec = {
  initMode: "new",
  synchronousReplication: true,
  minSynchronousStandbys: 0, // what is left goes on alone
  sleepInterval: duration(500),
  failInterval: duration(4_000),
  proxyCheckInterval: duration(500),
  proxyTimeout: duration(3_000),
}
const names = ["keeper1", "keeper2"] as const

test("a Go primary that dies under our leader is replaced by our standby, and no row is lost", async () => {
  await using building = new AsyncDisposableStack()
  const place = building.use(await newPlace("stolon-takeover-"))
  const etcd = building.use(await startEtcd())
  const go = building.use(await goSide(addressed("etcdv3", etcd.endpoints)))
  const logs: string[] = []
  try {
    const [proxyPort = 0, first = 0, second = 0] = await freePorts(3)
    const one = await realMachine(place, names[0], first)
    const two = await realMachine(place, names[1], second)
    await go.init(spec)
    const goKeeper = go.keeper(names[0], one)
    const goSentinel = go.sentinel()
    go.proxy(proxyPort)
    await until("keeper1 to be primary", async () => (await view(go)).cluster.status.master !== "")
    const standby = go.keeper(names[1], two)
    const before = await settled(go, names)
    expect(before.dbs.get(before.cluster.status.master)?.spec.keeperUID).toBe(names[0])

    const endpoints = `--store-endpoints=${etcd.endpoints.join()}`
    const common = ["--cluster-name=e2e", "--store-backend=etcdv3", endpoints]
    const programs = postgresPrograms("")
    const nodes = await Promise.all(
      [one, two].map(({ port }, i) => newNode(place, common, programs, names[i] ?? "", port)),
    )
    const sentinel = newPart(place, "sentinel", ["sentinel", ...common])
    building.defer(async () => {
      await sentinel.kill()
      for (const node of nodes) {
        await node.stop()
        await node.killAll()
      }
    })
    logs.push(sentinel.log, ...nodes.map(({ log }) => log))
    const writer = building.use(await startWriter(proxyPort))
    await goSentinel.stop()
    sentinel.start()
    await until("ours to lead", async () => (await lastWriter(go)) === "ours", 30_000)
    const boots = [await bootOf(go, names[0]), await bootOf(go, names[1])]
    await standby.stop()
    nodes[1]?.start()
    await settled(go, names, boots.slice(1))
    await writer.resumes()

    await goKeeper.kill()
    nodes[0]?.killPostgres()
    await writer.resumes()
    const after = await view(go)
    expect(after.dbs.get(after.cluster.status.master)?.spec.keeperUID).toBe(names[1])
    nodes[0]?.start()
    const healed = await settled(go, names, boots)
    expect([...healed.dbs.keys()]).not.toContain(before.cluster.status.master)
    await writer.resumes()

    await writer.stop()
    const there = await rowsAt(proxyPort)
    expect([...writer.acknowledged].filter((id) => !there.has(id))).toEqual([])
    expect(writer.acknowledged.size).toBeGreaterThan(50)
  } catch (error) {
    console.error(go.lines.slice(-40).join("\n"))
    for (const log of logs)
      try {
        console.error(`--- ${log}\n${readFileSync(log, "utf8").split("\n").slice(-40).join("\n")}`)
      } catch {}
    throw error
  }
}, 120_000)
