/**
 * Store outages on real processes (protocol part 4): with the store gone for all nothing is cut and
 * nobody is replaced; with the store gone for the primary's keeper alone, it ends with its lease
 * and a standby goes on. One cluster for both, since the second begins where the first must end.
 */
import { expect, test } from "bun:test"
import { keeperUID } from "#model/ids.ts"
import type { KeeperInfo } from "#model/info.ts"
import { postgresPrograms } from "#cmd/dev-place.ts"
import { until } from "#test/conformance/wait.ts"
import { startWire } from "#test/conformance/wire.ts"
import { type Cluster, type Node, newNode, startCluster } from "./cluster.ts"
import { rowsAt, startWriter } from "./writer.ts"

const signal = new AbortController().signal
/** What no client may wait for longer while the store is gone. */
const gapMost = 500
const outageMs = 10_000
/** failInterval is 3 s, so a lease runs 2.5 s; the rest is for a machine that is busy. */
const leaseEnd = 2_500 + 1_000

const infosOf = async (cluster: Cluster): Promise<ReadonlyMap<string, KeeperInfo>> =>
  (await cluster.store.infos(signal)).keepers

/** Until the primary has taken both standbys into the set that it would ask. */
const agreed = (cluster: Cluster, primary: Node): Promise<unknown> =>
  until(
    "the primary to agree on who is electable",
    async () => {
      const reading = await cluster.store.read(signal)
      const wanted = reading.kind === "found" ? reading.data.cluster.status.electable : undefined
      const info = (await infosOf(cluster)).get(keeperUID(primary.uid))
      const told = info?.electable
      if (wanted?.dbs.length === 2 && told?.word === wanted.word) return true
      throw new Error(`wanted ${JSON.stringify(wanted)}, agreed ${JSON.stringify(told)}`)
    },
    60_000,
  )

const passed = (ms: number): Promise<unknown> => {
  const end = performance.now() + ms
  return until("time to pass", () => performance.now() > end, ms + 5_000)
}

async function outage(cluster: Cluster, primary: Node): Promise<void> {
  const [member] = cluster.etcd?.members ?? []
  if (member === undefined) throw new Error("no etcd")
  await using writer = await startWriter(cluster.proxyPort)
  await writer.resumes()
  const epochOf = async () => {
    const reading = await cluster.store.read(signal)
    return reading.kind === "found" ? reading.data.cluster.status.primaryEpoch : ""
  }
  const [before, postmaster, began] = [
    await epochOf(),
    primary.postmaster()?.pid,
    performance.now(),
  ]
  member.pause()
  try {
    await passed(outageMs)
  } finally {
    member.resume()
  }
  const gap = writer.longestGap(began)
  console.log(`the longest gap of a client while etcd stood still: ${Math.round(gap)} ms`)
  expect(gap).toBeLessThan(gapMost)
  await until("etcd to serve", () => member.healthy(), 30_000)
  // long enough for whoever would want to replace it
  await passed(6_000)
  expect(writer.longestGap(began)).toBeLessThan(gapMost)
  expect(await epochOf()).toBe(before)
  expect(primary.postmaster()?.pid).toBe(postmaster)
  await writer.stop()
  const rows = await rowsAt(cluster.proxyPort)
  expect([...writer.acknowledged].filter((id) => !rows.has(id))).toEqual([])
}

test("D-80 D-62 a store that stands still for everybody cuts no client and fails nobody over; gone for the primary alone it does", async () => {
  await using cluster = await startCluster({ backend: "etcdv3", keepers: 0 })
  try {
    const [endpoint = ""] = cluster.etcd?.endpoints ?? []
    await using wire = await startWire(Number(new URL(endpoint).port))
    const flags = [
      "--cluster-name=e2e",
      "--store-backend=etcdv3",
      `--store-endpoints=${wire.endpoint}`,
    ]
    const primary = await newNode(cluster.place, flags, postgresPrograms(""), "walled")
    primary.start()
    try {
      await until(
        "the first primary",
        async () => (await cluster.facts()).primary?.gateOpen === true,
        60_000,
      )
      for (let i = 0; i < 2; i++) await cluster.addNode()
      await cluster.settled(90_000)
      await agreed(cluster, primary)
      // whom to ask is looked up every few seconds
      await passed(4_000)
      await outage(cluster, primary)

      await using writer = await startWriter(cluster.proxyPort)
      await writer.resumes()
      const cutAt = performance.now()
      wire.set("hang")
      await until("PostgreSQL to end", () => primary.postmaster() === null, 20_000)
      expect(performance.now() - cutAt).toBeLessThan(leaseEnd)
      await until(
        "another primary",
        async () => {
          const now = (await cluster.facts()).primary
          return now?.keeper !== primary.uid && now?.gateOpen === true
        },
        30_000,
      )
      await writer.resumes()
      console.log(
        `cut from the store alone: no writes for ${Math.round(writer.longestGap(cutAt))} ms`,
      )
      await writer.stop()
      const rows = await rowsAt(cluster.proxyPort)
      expect([...writer.acknowledged].filter((id) => !rows.has(id))).toEqual([])
    } finally {
      await primary.killAll()
    }
  } catch (error) {
    console.error(cluster.logs())
    throw error
  }
}, 240_000)
