/**
 * What only Consul has: sessions that live for ten seconds at least, one lock for all candidates,
 * Go's among them. Keys, flags and sessions are looked at as an operator sees them.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { millis } from "#base/brand.ts"
import { type ConsulCluster, type ConsulServer, consulMissing, startConsul } from "./consul.ts"
import { document, k, keeper, never, proxy, s, scene, sentinel, settingsOf } from "./scene.ts"
import { timed, until } from "./wait.ts"

/** Go's flag, on every key. */
const flag = "3304740253564472344"

interface Session {
  readonly ID: string
  readonly Name: string
  readonly TTL: string
  readonly Behavior: string
}

if (consulMissing !== null)
  test.skip(`sessions and locks of Consul (skipped: ${consulMissing})`, () => {})
else {
  let consul: ConsulCluster
  beforeAll(async () => {
    consul = await startConsul()
  }, 60_000)
  afterAll(() => consul[Symbol.asyncDispose]())
  const on = (): Here => {
    const [server] = consul.servers
    if (server === undefined) throw new Error("there is no server")
    const here = scene((name) => settingsOf("consul", consul.endpoints, name))
    return Object.assign(here, seen(server, here.base))
  }
  describe("consul: infos", () => infos(on))
  describe("consul: the lock", () => lock(on))
}

type Here = ReturnType<typeof scene> & ReturnType<typeof seen>

/** As an operator sees it. */
function seen(server: ConsulServer, base: string) {
  const pair = async (path: string): Promise<string> =>
    server.request("GET", `kv/${base}/${path}`).catch(() => "")
  const sessionOf = async (path: string): Promise<string> =>
    /"Session":"([^"]+)"/.exec(await pair(path))?.[1] ?? ""
  const sessions = async (): Promise<readonly Session[]> =>
    JSON.parse(await server.request("GET", "session/list"))
  return { server, pair, sessionOf, sessions }
}

function infos(on: () => Here): void {
  test.concurrent("an info vanishes when it is published no more, and a watch wakes for it", async () => {
    await using here = on()
    const [one, two] = [await here.store(), await here.store()]
    const watch = await here.watch(two, "everything")
    await one.publish(keeper("k1"), millis(20_000), never)
    await until("a wake-up", () => watch.wakes > 1)
    const [last, before] = [performance.now(), watch.wakes]
    await until("it to vanish", async () => !(await two.infos(never)).keepers.has(k("k1")), 25_000)
    expect(performance.now() - last).toBeGreaterThan(10_000)
    await until("a wake-up for its end", () => watch.wakes > before, 2_000)
    await one.publish(keeper("k1", 2), millis(20_000), never) // by another session
    expect((await two.infos(never)).keepers.has(k("k1"))).toBe(true)
  }, 40_000)

  test.concurrent("keys, flags and sessions are Go's", async () => {
    await using here = on()
    const store = await here.store()
    await store.write(document(), { kind: "absent" }, null, never)
    await store.publish(keeper("k1"), millis(20_000), never)
    await store.publish(proxy("p1"), millis(30_000), never)
    await store.publish(sentinel("s1"), millis(20_000), never)
    const office = await store.campaign(s("s1"), never)
    const sessions = await here.sessions()
    const paths = [
      ["clusterdata", ""],
      ["keepers/info/k1", "delete 10s"],
      ["proxies/info/p1", "delete 15s"],
      ["sentinels/info/s1", "delete 10s"],
      ["sentinel-leader", "release 10s"],
    ] as const
    for (const [path, kind] of paths) {
      expect(await here.pair(path)).toContain(`"Flags":${flag}`)
      const id = await here.sessionOf(path)
      const session = sessions.find(({ ID }) => ID === id)
      expect(session === undefined ? "" : `${session.Behavior} ${session.TTL}`).toBe(kind)
    }
    expect(await here.pair("sentinel-leader")).toContain(`"Value":"${btoa("s1")}"`)
    await office.resign(never)
  })

  test.concurrent("D-84 another time to live is another session, and the key is there all the time", async () => {
    await using here = on()
    const [store, other] = [await here.store(), await here.store()]
    await store.publish(proxy("p1"), millis(30_000), never)
    const before = await here.sessionOf("proxies/info/p1")
    let looks = 0
    let over = false
    const looking = (async () => {
      while (!over) {
        expect((await other.infos(never)).proxies.size).toBe(1)
        looks++
      }
    })()
    await store.publish(proxy("p1"), millis(140_000), never)
    await until("some looks", () => looks > 20)
    over = true
    await looking
    const after = await here.sessionOf("proxies/info/p1")
    const sessions = await here.sessions()
    expect(sessions.find(({ ID }) => ID === after)?.TTL).toBe("70s")
    expect(sessions.some(({ ID }) => ID === before)).toBe(false)
  })

  test.concurrent("D-65 a key never stands without a session, also when its session was lost", async () => {
    await using here = on()
    const store = await here.store()
    for (let i = 1; i <= 3; i++) {
      await store.publish(keeper("k1", i), millis(20_000), never)
      const id = await here.sessionOf("keepers/info/k1")
      expect(id).not.toBe("")
      await here.server.request("PUT", `session/destroy/${id}`)
      expect(await here.pair("keepers/info/k1")).toBe("")
    }
    // what somebody left there without one is taken over with one
    await here.server.request("PUT", `kv/${here.base}/keepers/info/k2`, { uid: "k2" })
    await store.publish(keeper("k2"), millis(20_000), never)
    expect(await here.sessionOf("keepers/info/k2")).not.toBe("")
  })

  test.concurrent("D-85 nobody sees an info without its value", async () => {
    await using here = on()
    const [store, other] = [await here.store(), await here.store()]
    const broken: unknown[] = []
    let over = false
    let looks = 0
    const looking = (async () => {
      while (!over) {
        broken.push(...(await other.infos(never)).broken)
        looks++
      }
    })()
    for (let i = 0; i < 30; i++) await store.publish(keeper(`k${i}`), millis(20_000), never)
    await until("some looks", () => looks > 10)
    over = true
    await looking
    expect(broken).toEqual([])
  })

  test.concurrent("D-85 what Go's keeper puts before its value is no broken info", async () => {
    await using here = on()
    const store = await here.store()
    const made = await here.server.request("PUT", "session/create", {
      Behavior: "delete",
      TTL: "10s",
    })
    const { ID: id } = JSON.parse(made)
    await here.server.request("PUT", `kv/${here.base}/keepers/info/k1?acquire=${id}&flags=${flag}`)
    expect(await here.sessionOf("keepers/info/k1")).toBe(id)
    expect((await store.infos(never)).broken).toEqual([])
  })

  test.concurrent("publish() makes one session for each key, for as long as it publishes", async () => {
    await using here = on()
    const store = await here.store()
    const ids = new Set<string>()
    for (let i = 0; i < 40; i++) {
      await store.publish(keeper("k1", i), millis(20_000), never)
      ids.add(await here.sessionOf("keepers/info/k1"))
    }
    expect(ids.size).toBe(1)
  })
}

/** One lock for all candidates. */
function lock(on: () => Here): void {
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
    const start = performance.now()
    expect(await other.unseat(s("s0"), never)).toBe(true)
    const second = await next
    expect(performance.now() - start).toBeLessThan(1_500)
    await until("the first to know", () => first.signal.aborted, 2_000)
    const unaware = { ...first, signal: never }
    const late = await one.write(document(), { kind: "anything" }, unaware, never)
    expect(late).toEqual({ kind: "conflict" })
    expect(await other.leader(never)).toBe(s("s1"))
    await second.value?.resign(never)
  })

  test.concurrent("D-83 a leader that was frozen and unseated finds its late write refused", async () => {
    await using here = on()
    const store = await here.store()
    await store.write(document(), { kind: "absent" }, null, never)
    const child = here.child({ kind: "lead", uid: "s0" })
    await child.said("leading")
    child.say("write")
    await child.said("leading written")
    child.signal("SIGSTOP")
    const standing = store.campaign(s("s1"), never)
    expect(await store.unseat(s("s0"), never)).toBe(true)
    const next = await standing
    child.signal("SIGCONT")
    child.say("write")
    await until("its write", () => child.lines.some((line) => line.endsWith(" conflict")))
    await child.said("lost")
    expect(await store.leader(never)).toBe(s("s1"))
    await next.resign(never)
  })

  test.concurrent("a killed leader that nobody unseats is followed when its session has ended", async () => {
    await using here = on()
    const store = await here.store()
    const child = here.child({ kind: "lead", uid: "s0" })
    await child.said("leading")
    const standing = store.campaign(s("s1"), never)
    child.signal("SIGKILL")
    const { ms, value } = await timed(() => standing)
    expect(ms).toBeLessThan(22_000)
    await value?.resign(never)
  }, 40_000)

  test.concurrent("leadership ends when somebody removes the lock's key, or destroys its session", async () => {
    await using here = on()
    const store = await here.store()
    const ways = [
      () => here.server.request("DELETE", `kv/${here.base}/sentinel-leader`),
      async () =>
        here.server.request("PUT", `session/destroy/${await here.sessionOf("sentinel-leader")}`),
    ]
    for (const way of ways) {
      const office = await store.campaign(s("s0"), never)
      await way()
      await until("the signal", () => office.signal.aborted, 2_000)
      const unaware = { ...office, signal: never }
      const write = await store.write(document(), { kind: "anything" }, unaware, never)
      expect(write).toEqual({ kind: "conflict" })
    }
  })

  test.concurrent("D-82 a candidate that gives up leaves no session, and another one may stand", async () => {
    await using here = on()
    const [one, two] = [await here.store(), await here.store()]
    const office = await one.campaign(s("s0"), never)
    const candidates = async (): Promise<number> =>
      (await here.sessions()).filter(({ Name: name }) => name === `${here.base}/sentinel-leader`)
        .length
    const stop = new AbortController()
    const standing = timed(() => two.campaign(s("s1"), stop.signal))
    await until("its session", async () => (await candidates()) === 2)
    stop.abort(new Error("enough"))
    expect((await standing).error).toMatchObject({ message: "enough" })
    await until("it to go", async () => (await candidates()) === 1)
    const again = two.campaign(s("s1"), never)
    await office.resign(never)
    await (await again).resign(never)
  })

  test.concurrent("Go's sentinels and ours wait for the same lock", async () => {
    await using here = on()
    const store = await here.store()
    const { ID: go } = JSON.parse(
      await here.server.request("PUT", "session/create", {
        ...{ Behavior: "release", TTL: "10s", LockDelay: "1ms" },
      }),
    )
    const path = `kv/${here.base}/sentinel-leader`
    const acquire = async (): Promise<string> => {
      // as Go does: the UID as it is, no JSON
      const url = `${here.server.endpoint}/v1/${path}?acquire=${go}&flags=${flag}`
      return (await (await fetch(url, { method: "PUT", body: "go" })).text()).trim()
    }
    expect(await acquire()).toBe("true")
    expect(await store.leader(never)).toBe(s("go"))
    let elected = false
    const standing = store.campaign(s("s1"), never).then((office) => {
      elected = true
      return office
    })
    const ours = async (): Promise<boolean> =>
      (await here.sessions()).some(({ Name: name }) => name === `${here.base}/sentinel-leader`)
    await until("our candidate to stand", ours)
    expect(elected).toBe(false)
    await here.server.request("PUT", `${path}?release=${go}&flags=${flag}`)
    const office = await standing
    expect(await store.leader(never)).toBe(s("s1"))
    expect(await acquire()).toBe("false")
    await office.resign(never)
    await until("Go's turn", async () => (await acquire()) === "true") // after a delay of Consul's
  })
}
