/**
 * The backend for etcd's second API against one real member, and against three: the common suite,
 * and what is particular to one key for all candidates, Go's among them.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { millis } from "#base/brand.ts"
import { StoreError } from "#port/store.ts"
import { type EtcdCluster, startEtcd } from "./etcd.ts"
import { document, k, keeper, never, nonceOf, s, scene, sentinel, settingsOf } from "./scene.ts"
import { type Backend, storeConformance } from "./store.ts"
import { timed, until } from "./wait.ts"
import { startWire } from "./wire.ts"

const skip: Backend["skip"] = [
  {
    reason: "one key and no queue: who waits leaves no trace; see below",
    tests: [
      "campaign() elects one, in the order of standing",
      "campaign() that is aborted leaves no candidate behind",
      "D-56 unseat() takes the office from the leader that it names, and from nobody else",
      "leadership ends when somebody removes its key",
    ],
  },
]
const start = (members: 1 | 3): Promise<EtcdCluster> =>
  startEtcd({ members, args: ["--enable-v2=true"] })

for (const members of [1, 3] as const)
  describe(`${members} of etcd's members`, () => {
    let etcd: EtcdCluster
    beforeAll(async () => {
      etcd = await start(members)
    }, 30_000)
    afterAll(() => etcd[Symbol.asyncDispose]())
    storeConformance({
      name: "etcdv2",
      settings: (clusterName) => settingsOf("etcdv2", etcd.endpoints, clusterName),
      skip,
    })
  })

describe("etcdv2", () => {
  let etcd: EtcdCluster
  beforeAll(async () => {
    etcd = await start(3)
  }, 30_000)
  afterAll(() => etcd[Symbol.asyncDispose]())
  const on = (endpoints = etcd.endpoints, timeout = 5_000): ReturnType<typeof scene> =>
    scene((name) => settingsOf("etcdv2", endpoints, name, millis(timeout)))
  /** As any other client of the API. */
  const asked = async (method: string, path: string, body?: string): Promise<Response> =>
    fetch(`${etcd.endpoints[0]}/v2/keys/${path}`, {
      method,
      headers: { "content-type": "application/x-www-form-urlencoded" },
      ...(body === undefined ? {} : { body }),
    })

  test.concurrent("one of several leads, and the others after it, each at once when it resigns", async () => {
    await using here = on()
    const uids = ["s0", "s1", "s2"]
    const stores = await Promise.all(uids.map(() => here.store()))
    const led: string[] = []
    const campaigns = stores.map(async (store, i) => {
      const office = await store.campaign(s(uids[i] ?? ""), never)
      led.push(uids[i] ?? "")
      return office
    })
    for (let i = 1; i <= 3; i++) {
      await until(`number ${i}`, () => led.length === i, 3_000)
      const uid = led.at(-1) ?? ""
      expect(await stores[0]?.leader(never)).toBe(s(uid))
      await (await campaigns[uids.indexOf(uid)])?.resign(never)
    }
    expect(await stores[0]?.leader(never)).toBeNull()
  })

  test.concurrent("D-56 the office is taken from the leader that is named, and from nobody else", async () => {
    await using here = on()
    const [one, two, other] = [await here.store(), await here.store(), await here.store()]
    const first = await one.campaign(s("s0"), never)
    const next = timed(() => two.campaign(s("s1"), never))
    expect(await other.unseat(s("s1"), never)).toBe(false)
    const begun = performance.now()
    expect(await other.unseat(s("s0"), never)).toBe(true)
    const second = await next
    expect(performance.now() - begun).toBeLessThan(1_500)
    await until("the first to know", () => first.signal.aborted, 2_000)
    const unaware = { ...first, signal: never }
    const late = await one.write(document(), { kind: "anything" }, unaware, never)
    expect(late).toEqual({ kind: "conflict" })
    expect(await other.leader(never)).toBe(s("s1"))
    await second.value?.resign(never)
  })

  test.concurrent("leadership ends when somebody removes its key", async () => {
    await using here = on()
    const store = await here.store()
    const office = await store.campaign(s("s0"), never)
    await asked("DELETE", `${here.base}/sentinel-leader`)
    await until("the signal", () => office.signal.aborted, 2_000)
    const unaware = { ...office, signal: never }
    const write = await store.write(document(), { kind: "anything" }, unaware, never)
    expect(write).toEqual({ kind: "conflict" })
  })

  test.concurrent("Go's sentinels and ours wait for the same key", async () => {
    await using here = on()
    const store = await here.store()
    const path = `${here.base}/sentinel-leader`
    const go = (): Promise<Response> => asked("PUT", path, "value=go&ttl=20&prevExist=false")
    expect((await go()).status).toBe(201)
    expect(await store.leader(never)).toBe(s("go"))
    let elected = false
    const standing = store.campaign(s("s1"), never).then((office) => {
      elected = true
      return office
    })
    expect((await asked("PUT", path, "value=go&ttl=20&prevExist=true")).status).toBe(200)
    expect(elected).toBe(false)
    await asked("DELETE", path)
    const office = await standing
    expect((await go()).status).toBe(412)
    await office.resign(never)
    expect((await go()).status).toBe(201)
  })

  test.concurrent("every method ends within the timeout where nothing answers", async () => {
    await using wire = await startWire(etcd.members[0]?.port ?? 0)
    await using here = on([wire.endpoint], 1_000)
    wire.set("hang")
    const store = await here.store()
    const calls: readonly (() => Promise<unknown>)[] = [
      () => store.read(never),
      () => store.infos(never),
      () => store.leader(never),
      () => store.publish(sentinel("s1"), millis(20_000), never),
      () => store.withdraw({ kind: "keeper", uid: k("k1") }, never),
      () => store.unseat(s("s1"), never),
      () => store.write(document(), { kind: "absent" }, null, never),
    ]
    for (const result of await Promise.all(calls.map((call) => timed(call)))) {
      expect(result.error).toBeInstanceOf(StoreError)
      expect(result.error).toMatchObject({ code: "unavailable", retryable: true })
      expect(result.ms).toBeLessThan(1_500)
    }
  })

  test.concurrent("write() whose answer is lost is unknown, and is found by its nonce", async () => {
    await using wire = await startWire(etcd.members[0]?.port ?? 0)
    await using here = on([wire.endpoint], 1_000)
    const [store, other] = [await here.store(), await here.store({ endpoints: etcd.endpoints })]
    await store.write(document(), { kind: "absent" }, null, never)
    const data = document()
    wire.set("mute")
    const written = await store.write(data, { kind: "anything" }, null, never)
    expect(written.kind).toBe("unknown")
    const after = await other.read(never)
    expect(after.kind === "found" && nonceOf(after.data)).toBe(nonceOf(data))
  })

  test.concurrent("watch() begins anew where etcd has forgotten what it missed", async () => {
    await using wire = await startWire(etcd.members[0]?.port ?? 0)
    await using here = on([wire.endpoint])
    const [store, other] = [await here.store(), await here.store({ endpoints: etcd.endpoints })]
    const seen = await here.watch(store, "everything")
    wire.set("refuse")
    const before = seen.wakes
    await other.publish(keeper("k1"), millis(20_000), never)
    for (let i = 0; i < 1_100; i++) await asked("PUT", `${here.base}/noise`, `value=${i}`)
    wire.set("pass")
    await until("a wake-up", () => seen.wakes > before, 8_000)
    const again = seen.wakes
    await other.publish(keeper("k1", 2), millis(20_000), never)
    await until("a wake-up by an event", () => seen.wakes > again, 3_000)
  }, 60_000)
})

test("etcdv2: a member that leads is killed, and work goes on", async () => {
  await using etcd = await start(3)
  await using here = scene((name) => settingsOf("etcdv2", etcd.endpoints, name))
  const [store, two] = [await here.store(), await here.store()]
  await store.write(document(), { kind: "absent" }, null, never)
  const office = await store.campaign(s("s0"), never)
  const leads = await Promise.all(etcd.members.map((member) => member.isLeader()))
  await etcd.members[leads.indexOf(true)]?.kill()
  await until(
    "a write",
    async () => {
      const { kind } = await two.write(document(), { kind: "anything" }, null, never)
      return kind === "written"
    },
    20_000,
  )
  await two.publish(keeper("k1"), millis(20_000), never)
  expect((await two.infos(never)).keepers.size).toBe(1)
  if (!office.signal.aborted) await office.resign(never)
}, 60_000)
