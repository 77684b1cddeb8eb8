/**
 * What the etcdv3 backend does when members, connections or answers are lost: everything ends
 * within the store's timeout, nothing is applied twice, nothing that was acknowledged is lost, and
 * watches and leaders come through.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { type Millis, millis } from "#base/brand.ts"
import { type Store, StoreError } from "#port/store.ts"
import { type EtcdCluster, startEtcd } from "./etcd.ts"
import { document, keeper, never, nonceOf, proxy, s, scene, sentinel, settingsOf } from "./scene.ts"
import { timed, until } from "./wait.ts"
import { startWire } from "./wire.ts"

const on = (
  endpoints: readonly string[],
  timeout: Millis = millis(3000),
): ReturnType<typeof scene> =>
  scene((clusterName) => settingsOf("etcdv3", endpoints, clusterName, timeout))

const slack = 400
setDefaultTimeout(40_000)

describe("etcdv3: one member and a bad way to it", () => {
  let etcd: EtcdCluster
  let port = 0
  beforeAll(async () => {
    etcd = await startEtcd()
    port = etcd.members[0]?.port ?? 0
  })
  afterAll(() => etcd[Symbol.asyncDispose]())

  test.concurrent("write() whose answer is lost is unknown, and the next read shows whose it was (W5)", async () => {
    await using wire = await startWire(port)
    await using here = on([wire.endpoint], millis(1500))
    const store = await here.store()
    await store.read(never)
    const data = document()
    wire.set("mute")
    const { ms, value } = await timed(() => store.write(data, { kind: "absent" }, null, never))
    expect(value).toMatchObject({ kind: "unknown" })
    expect(ms).toBeLessThan(1500 + slack)
    expect(wire.swallowed).toBeGreaterThan(0)
    wire.set("pass")
    const reading = await store.read(never)
    expect(reading.kind === "found" && nonceOf(reading.data)).toBe(nonceOf(data))
  })

  test.concurrent("write() whose connection breaks before the answer is unknown at once", async () => {
    await using wire = await startWire(port)
    await using here = on([wire.endpoint])
    const store = await here.store()
    await store.read(never)
    wire.set("hang")
    const writing = timed(() => store.write(document(), { kind: "absent" }, null, never))
    setTimeout(() => wire.set("refuse"), 100)
    const { ms, value } = await writing
    expect(value).toMatchObject({ kind: "unknown" })
    expect(ms).toBeLessThan(1000)
    wire.set("pass")
    expect((await store.read(never)).kind).toBe("absent")
  })

  test.concurrent("write() that could not be sent fails, which is not unknown", async () => {
    await using wire = await startWire(port)
    await using here = on([wire.endpoint], millis(1000))
    const store = await here.store()
    wire.set("refuse")
    const { ms, error } = await timed(() =>
      store.write(document(), { kind: "absent" }, null, never),
    )
    expect(error).toMatchObject({ code: "unavailable" })
    expect(ms).toBeLessThan(1000 + slack)
  })

  test.concurrent("a store that does not answer costs every method its timeout and no more", async () => {
    await using wire = await startWire(port)
    await using here = on([wire.endpoint], millis(1000))
    wire.set("hang")
    const store = await here.store()
    const calls: readonly (() => Promise<unknown>)[] = [
      () => store.read(never),
      () => store.infos(never),
      () => store.leader(never),
      () => store.publish(sentinel("s1"), millis(5000), never),
      () => store.withdraw({ kind: "sentinel", uid: s("s1") }, never),
      () => store.campaign(s("s1"), never),
      () => store.write(document(), { kind: "absent" }, null, never),
    ]
    for (const result of await Promise.all(calls.map((call) => timed(call)))) {
      expect(result.error).toBeInstanceOf(StoreError)
      expect(result.error).toMatchObject({ code: "unavailable", retryable: true })
      expect(result.ms).toBeLessThan(1000 + slack)
      expect(result.ms).toBeGreaterThan(900)
    }
  })

  test.concurrent("read() gets through on a new connection when the old one is a black hole", async () => {
    await using wire = await startWire(port)
    await using here = on([wire.endpoint], millis(2000))
    const store = await here.store()
    await store.read(never)
    const seen = await here.watch(store, "clusterdata")
    wire.freeze()
    const { ms, error } = await timed(() => store.read(never))
    expect(error).toBeNull()
    expect(ms).toBeLessThan(2000)
    const before = seen.wakes // the watch moved to a new connection, too
    await store.write(document(), { kind: "absent" }, null, never)
    await until("a wake-up", () => seen.wakes > before, 3000)
  })

  test.concurrent("leadership ends before its key can when the leader is cut off", async () => {
    await using wire = await startWire(port)
    await using here = on([wire.endpoint])
    const [store, witness] = [await here.store(), await here.store({ endpoints: etcd.endpoints })]
    const office = await store.campaign(s("s0"), never)
    const next = witness.campaign(s("s1"), never)
    let order = ""
    office.signal.addEventListener("abort", () => (order += "lost "))
    const elected = next.then((leadership) => {
      order += "elected"
      return leadership
    })
    wire.set("hang")
    await (await elected).resign(never)
    expect(order).toBe("lost elected")
  })

  test.concurrent("watch() wakes after its connection was cut, and after compaction", async () => {
    await using wire = await startWire(port)
    await using here = on([wire.endpoint])
    const [store, other] = [await here.store(), await here.store({ endpoints: etcd.endpoints })]
    const seen = await here.watch(store, "everything")
    wire.set("refuse")
    const before = seen.wakes
    await other.publish(keeper("k1"), millis(20_000), never)
    const written = await other.write(document(), { kind: "anything" }, null, never)
    const revision = written.kind === "written" ? String(written.version) : ""
    await etcd.request("kv/compaction", { revision })
    wire.set("pass")
    await until("a wake-up after the reconnect", () => seen.wakes > before, 5000)
    const again = seen.wakes
    await other.publish(keeper("k1", 2), millis(20_000), never)
    await until("a wake-up by an event", () => seen.wakes > again, 2000)
  })

  test.concurrent("D-57 publish() has one lease for each key, for as long as it publishes", async () => {
    await using here = on(etcd.endpoints)
    const store = await here.store()
    const kinds = ["keepers", "sentinels", "proxies"]
    const leases = async (): Promise<readonly unknown[]> => {
      const at = kinds.map(async (kind) => {
        const prefix = `${here.base}/${kind}/info/`
        const range = { key: btoa(prefix), range_end: btoa(`${prefix}~`) }
        const { kvs } = await etcd.request("kv/range", range)
        return Array.isArray(kvs) ? kvs.map(({ lease }) => lease) : []
      })
      return (await Promise.all(at)).flat()
    }
    const seen = new Set<unknown>()
    const ttl = millis(1000)
    const start = performance.now()
    // twice as long as a lease lives that nobody renews
    for (let i = 0; i < 50 || performance.now() - start < 4000; i++) {
      await store.publish(keeper("k1", i), ttl, never)
      await store.publish(sentinel("s1"), ttl, never)
      await store.publish(proxy("p1"), ttl, never)
      const now = await leases()
      expect(now).toHaveLength(3)
      for (const lease of now) seen.add(lease)
    }
    expect(seen.size).toBe(3)
    for (const ID of seen) {
      const life = await etcd.request("kv/lease/timetolive", { ID, keys: true })
      expect(Number(life["grantedTTL"])).toBe(2)
    }
  })

  test.concurrent("D-57 ctl's question for the leader makes no lease", async () => {
    await using here = on(etcd.endpoints)
    const [store, asker] = [await here.store(), await here.store()]
    const office = await store.campaign(s("s1"), never)
    const prefix = `${here.base}/sentinel-leader/`
    expect(await asker.leader(never)).toBe(s("s1"))
    const range = { key: btoa(prefix), range_end: btoa(`${prefix}~`) }
    expect((await etcd.request("kv/range", range))["count"]).toBe("1")
    await office.resign(never)
  })

  test.concurrent("D-56 a look at what has not changed transfers next to nothing", async () => {
    await using wire = await startWire(port)
    await using here = on([wire.endpoint])
    const [store, other] = [await here.store(), await here.store({ endpoints: etcd.endpoints })]
    const ttl = millis(20_000)
    for (let i = 0; i < 50; i++) await other.publish(keeper(`k${i}`), ttl, never)
    await other.write(document(), { kind: "anything" }, null, never)
    const look = async (times: number): Promise<number> => {
      const before = wire.passed
      for (let i = 0; i < times; i++) {
        await store.read(never)
        expect((await store.infos(never)).keepers.size).toBe(50)
      }
      return (wire.passed - before) / times
    }
    const first = await look(1)
    expect(first).toBeGreaterThan(5_000)
    expect(await look(20)).toBeLessThan(1000)
    await other.publish(keeper("k7", 2), ttl, never)
    expect(await look(1)).toBeLessThan(first / 5)
  })

  test.concurrent("campaign() uses the keys of Go's election (reference 3.3)", async () => {
    await using here = on(etcd.endpoints)
    const store = await here.store()
    const office = await store.campaign(s("7e3a91d2"), never)
    const prefix = `${here.base}/sentinel-leader/`
    const answer = await etcd.request("kv/range", {
      key: btoa(prefix),
      range_end: btoa(`${prefix}~`),
    })
    const [found] = answer["kvs"] as readonly { key: string; value: string; lease: string }[]
    const lease = BigInt(found?.lease ?? 0).toString(16)
    expect(atob(found?.key ?? "")).toBe(`${prefix}${lease}`)
    expect(atob(found?.value ?? "")).toBe("7e3a91d2")
    await office.resign(never)
  })
})

describe("etcdv3: three members of which some are bad", () => {
  let etcd: EtcdCluster
  beforeAll(async () => {
    etcd = await startEtcd({ members: 3 })
  })
  afterAll(() => etcd[Symbol.asyncDispose]())

  test("D-57 a dead and a hung endpoint before the good one cost a fraction of the timeout", async () => {
    const [port = 0] = etcd.members.map((member) => member.port)
    await using dead = await startWire(port)
    await using hung = await startWire(port)
    dead.set("refuse")
    hung.set("hang")
    await using here = on([dead.endpoint, hung.endpoint, ...etcd.endpoints], millis(5000))
    const store = await here.store()
    const first = await timed(() => store.read(never))
    expect(first.error).toBeNull()
    expect(first.ms).toBeLessThan(2500)
    const calls: readonly (() => Promise<unknown>)[] = [
      () => store.write(document(), { kind: "absent" }, null, never),
      () => store.publish(keeper("k1"), millis(5000), never),
      () => store.infos(never),
    ]
    for (const call of calls) {
      const { ms, error } = await timed(call)
      expect(error).toBeNull()
      expect(ms).toBeLessThan(500) // it stays with the one that answered
    }
    const other = await here.store()
    const write = await timed(() => other.write(document(), { kind: "anything" }, null, never))
    expect(write.value).toMatchObject({ kind: "written" })
    expect(write.ms).toBeLessThan(2500)
    const third = await here.store()
    const publish = await timed(() => third.publish(keeper("k2"), millis(5000), never))
    expect(publish.error).toBeNull()
    expect(publish.ms).toBeLessThan(5000)
  })

  test("members frozen, killed, restarted: no acknowledged write is lost, leader and watch stay", async () => {
    await using here = on(etcd.endpoints, millis(4000))
    const [writer, reader] = [await here.store(), await here.store()]
    const office = await writer.campaign(s("s0"), never)
    const seen = await here.watch(reader, "clusterdata")
    const history = await faultsDuringWrites(writer, async () => {
      for (const member of etcd.members) {
        member.pause()
        await wokenBy(reader, seen)
        member.resume()
        await until("it to serve", () => member.healthy())
        await member.kill()
        await wokenBy(reader, seen)
        member.start()
        await until("it to serve", () => member.healthy())
      }
    })
    const reading = await reader.read(never)
    const last = reading.kind === "found" ? nonceOf(reading.data) : ""
    expect(history.possible).toContain(last)
    expect(history.failures).toEqual([])
    expect(history.written).toBeGreaterThan(20)
    expect(office.signal.aborted).toBe(false)
    await office.resign(never)
  })

  test("the leading member frozen: bounded answers, and all is well after its election", async () => {
    await using here = on(etcd.endpoints, millis(4000))
    const store = await here.store()
    await store.read(never)
    const leader = await until("a leading member", async () => {
      for (const member of etcd.members) if (await member.isLeader()) return member
      return null
    })
    leader.pause()
    try {
      const { ms, error } = await timed(() => store.read(never))
      expect(error).toBeNull()
      expect(ms).toBeLessThan(4000 + slack)
      const write = await timed(() => store.write(document(), { kind: "anything" }, null, never))
      expect(write.ms).toBeLessThan(4000 + slack)
      await until("a write to go through", async () => {
        const written = await store.write(document(), { kind: "anything" }, null, never)
        return written.kind === "written"
      })
    } finally {
      leader.resume()
      await etcd.settled()
    }
  })

  test("a member without a quorum says so instead of going silent (hasleader)", async () => {
    const [alone, ...others] = etcd.members
    if (alone === undefined) throw new Error("no members")
    await using here = on([alone.endpoint], millis(8000))
    await using whole = on(etcd.endpoints, millis(8000))
    const store = await here.store()
    const seen = await here.watch(store, "everything")
    for (const other of others) other.pause()
    try {
      await until("the member to lose its leader", async () => !(await alone.healthy()))
      const quick = await here.store({ timeout: millis(1000) })
      const { ms, error } = await timed(() => quick.read(never))
      expect(error).toMatchObject({
        code: "unavailable",
        message: expect.stringContaining("no leader"),
      })
      expect(ms).toBeLessThan(1000 + slack)
      const write = await timed(() => quick.write(document(), { kind: "absent" }, null, never))
      expect(write.error).toMatchObject({ code: "unavailable" })
    } finally {
      for (const other of others) other.resume()
    }
    await etcd.settled()
    const before = seen.wakes
    const writer = await whole.store({ clusterName: here.settings.clusterName })
    await writer.write(document(), { kind: "anything" }, null, never)
    await until("the watch to wake", () => seen.wakes > before)
  })
})

/** Reads as an agent does, until something written after now has woken the watch. */
async function wokenBy(reader: Store, seen: { readonly wakes: number }): Promise<void> {
  await reader.read(never)
  const before = seen.wakes
  await until("a wake-up", () => seen.wakes > before, 15_000)
}

interface History {
  /**
   * Nonces of which one must be the last in the store: the last acknowledged and whatever was
   * unknown after it.
   */
  readonly possible: readonly string[]
  readonly failures: readonly string[]
  readonly written: number
}

/** Writes again and again, each time over the last version, while `faults` happen. */
async function faultsDuringWrites(store: Store, faults: () => Promise<void>): Promise<History> {
  let over = false
  let count = 0
  let possible: string[] = []
  const failures: string[] = []
  const writing = (async () => {
    while (!over) {
      const reading = await store.read(never).catch(() => null)
      if (reading === null) continue
      const last = reading.kind === "found" ? nonceOf(reading.data) : null
      if (last !== null && possible.length > 0 && !possible.includes(last))
        failures.push(`read ${last}, expected one of ${possible.join(", ")}`)
      const data = document()
      const expected =
        reading.version === null
          ? ({ kind: "absent" } as const)
          : ({ kind: "version", version: reading.version } as const)
      const written = await store.write(data, expected, null, never).catch(() => null)
      if (written?.kind === "written") {
        possible = [nonceOf(data)]
        count++
      }
      if (written?.kind === "unknown") possible = [...(last === null ? [] : [last]), nonceOf(data)]
      await Bun.sleep(5)
    }
  })()
  try {
    await faults()
  } finally {
    over = true
    await writing
  }
  return { possible, failures, written: count }
}

test("a store that was begun anew is read anew, though it counts the same revisions", async () => {
  await using etcd = await startEtcd()
  await using here = on(etcd.endpoints)
  const [store, other] = [await here.store(), await here.store()]
  const seen = await here.watch(store, "clusterdata")
  await other.write(document(), { kind: "absent" }, null, never)
  const before = await store.read(never)
  const [member] = etcd.members
  await member?.kill()
  rmSync(join(etcd.directory, member?.name ?? ""), { recursive: true })
  const { wakes } = seen
  member?.start()
  await etcd.settled()
  const data = document()
  await other.write(data, { kind: "absent" }, null, never)
  await until("the watch to stand again", () => seen.wakes > wakes, 10_000)
  const after = await store.read(never)
  expect(after.kind === "found" && nonceOf(after.data)).toBe(nonceOf(data))
  expect(after.kind === before.kind && after.version === before.version).toBe(true)
})
