/**
 * A real API server on bad days: hung, killed and started again, too busy, with answers lost after
 * the write was applied, watches that end or that the server has forgotten.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { millis } from "#base/brand.ts"
import type { Store } from "#port/store.ts"
import { openStore } from "#store/open.ts"
import { type KubeCluster, kubeCluster } from "./kube-cluster.ts"
import { type Fate, type KubeRelay, failing, pass, startRelay } from "./kube-relay.ts"
import { type KubeServer, kubeMissing, startKube } from "./kube-server.ts"
import { document, keeper, never, nonceOf, s, settingsOf } from "./scene.ts"
import { timed, until } from "./wait.ts"

if (kubeMissing !== null) test.skip(`a bad API server (skipped: ${kubeMissing})`, () => {})
else {
  let server: KubeServer
  beforeAll(async () => {
    server = await startKube()
  }, 180_000)
  afterAll(() => server[Symbol.asyncDispose]())
  const open = (): KubeCluster => kubeCluster(server)
  describe("answers", () => answers(open, () => server))
  describe("watches", () => watches(open, () => server))
  describe("the server", () => outages(open, () => server))
}

type Open = () => KubeCluster

/** A store whose requests pass a relay. */
interface Relayed extends AsyncDisposable {
  readonly relay: KubeRelay
  readonly store: Store
}
async function relayed(
  here: KubeCluster,
  server: KubeServer,
  { timeout = 5000, pod = null as string | null } = {},
): Promise<Relayed> {
  const stack = new AsyncDisposableStack()
  const relay = stack.use(await startRelay(server))
  const kubeconfig = relay.kubeconfig(await server.token("sentinel"))
  const store = stack.use(
    await openStore({
      ...settingsOf("kubernetes", [], here.name, millis(timeout)),
      kubernetes: { kubeconfig, context: "", namespace: "", podName: pod },
    }),
  )
  return { relay, store, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

/** The first `count` requests of a kind meet a fate, the others pass. */
function first(count: number, method: string, fate: Fate): Parameters<KubeRelay["set"]>[0] {
  let left = count
  return (asked) =>
    asked.method === method && !asked.query.has("watch") && left-- > 0 ? fate : pass
}

function answers(open: Open, server: () => KubeServer): void {
  test("write() whose answer is lost is unknown, and is found by its nonce", async () => {
    await using here = open()
    await using it = await relayed(here, server(), { timeout: 1000 })
    await it.store.write(document(), { kind: "absent" }, null, never)
    const before = await it.store.read(never)
    if (before.version === null) throw new Error("expected a document")
    it.relay.set(first(1, "PUT", { kind: "lose" }))
    const data = document()
    const replace = { kind: "version", version: before.version } as const
    const { ms, value } = await timed(() => it.store.write(data, replace, null, never))
    expect(value?.kind).toBe("unknown")
    expect(ms).toBeLessThan(3000)
    const after = await it.store.read(never)
    expect(after.kind === "found" && nonceOf(after.data)).toBe(nonceOf(data))
  })

  test("write() that the server failed to answer properly is unknown, and is not sent again", async () => {
    await using here = open()
    await using it = await relayed(here, server())
    await it.store.write(document(), { kind: "absent" }, null, never)
    it.relay.set(first(1, "PUT", failing(500, "etcdserver: request timed out")))
    const written = await it.store.write(document(), { kind: "anything" }, null, never)
    expect(written).toMatchObject({ kind: "unknown", why: expect.stringContaining("timed out") })
    expect(it.relay.seen.filter(({ method }) => method === "PUT")).toHaveLength(1)
  })

  test("429 is waited out for as long as the server says, also by writes", async () => {
    await using here = open()
    await using it = await relayed(here, server())
    await it.store.write(document(), { kind: "absent" }, null, never)
    it.relay.set(first(1, "PUT", failing(429, "too many requests", { "retry-after": "1" })))
    const written = await timed(() => it.store.write(document(), { kind: "anything" }, null, never))
    expect(written.value?.kind).toBe("written")
    expect(written.ms).toBeGreaterThan(1000)
    it.relay.set(first(1, "GET", failing(429, "too many requests", { "retry-after": "1" })))
    const read = await timed(() => it.store.read(never))
    expect([read.error, read.ms > 1000]).toEqual([null, true])
  })

  test("read() is asked again after a 5xx, less and less often, until the time is over", async () => {
    await using here = open()
    await using it = await relayed(here, server(), { timeout: 1500 })
    it.relay.set(first(2, "GET", failing(503, "not yet")))
    expect(await it.store.read(never)).toEqual({ kind: "absent", version: null })
    it.relay.set(() => failing(503, "not yet"))
    const before = it.relay.seen.length
    const { ms, error } = await timed(() => it.store.read(never))
    expect(error).toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("not yet"),
    })
    expect(ms).toBeLessThan(3000)
    expect(it.relay.seen.length - before).toBeLessThan(12)
  })

  test("a request that hangs is bounded, and a later one finds another connection", async () => {
    await using here = open()
    await using it = await relayed(here, server(), { timeout: 1000 })
    it.relay.set(first(1, "GET", { kind: "hang" }))
    expect(await it.store.read(never)).toEqual({ kind: "absent", version: null })
  })

  test("a token is read anew for each request: one that was rotated is used at once", async () => {
    await using here = open()
    const tokenFile = join(server().directory, `token-${here.name}`)
    const kubeconfig = server().kubeconfig({ tokenFile })
    writeFileSync(tokenFile, await server().token("ctl"))
    await using store = await openStore({
      ...settingsOf("kubernetes", [], here.name, millis(2000)),
      kubernetes: { kubeconfig, context: "", namespace: "", podName: null },
    })
    expect((await store.read(never)).kind).toBe("absent")
    writeFileSync(tokenFile, "run out")
    const { error } = await timed(() => store.read(never))
    expect(error).toMatchObject({ code: "denied" })
    writeFileSync(tokenFile, await server().token("ctl"))
    expect((await store.read(never)).kind).toBe("absent")
  })
}

function watches(open: Open, server: () => KubeServer): void {
  interface Seen {
    wakes: number
  }
  const watching = async (it: Relayed, work: (seen: Seen) => Promise<void>): Promise<void> => {
    const stop = new AbortController()
    const seen = { wakes: 0 }
    const running = it.store.watch("clusterdata", () => seen.wakes++, stop.signal)
    await until("the watch to stand", () => seen.wakes > 0)
    await work(seen)
    stop.abort()
    await running
  }
  const streams = (it: Relayed) => it.relay.seen.filter(({ query }) => query.has("watch"))

  test("go on after a stream was cut, from the version heard of last", async () => {
    await using here = open()
    await using it = await relayed(here, server())
    const ctl = await here.store("ctl")
    await ctl.write(document(), { kind: "absent" }, null, never)
    await watching(it, async (seen) => {
      await until("its first event", () => seen.wakes > 1)
      it.relay.cut()
      await until("another stream", () => streams(it).length > 1)
      const before = seen.wakes
      await ctl.write(document(), { kind: "anything" }, null, never)
      await until("a wake-up", () => seen.wakes > before)
      expect(streams(it).at(1)?.query.get("resourceVersion")).toMatch(/^\d+$/)
    })
  })

  test("begin anew when the server has forgotten the version (410)", async () => {
    await using here = open()
    await using it = await relayed(here, server())
    const ctl = await here.store("ctl")
    await ctl.write(document(), { kind: "absent" }, null, never)
    const expired = { kind: "Status", code: 410, message: "too old resource version" }
    const line = `${JSON.stringify({ type: "ERROR", object: expired })}\n`
    it.relay.set(({ query }) =>
      query.has("watch") && query.has("resourceVersion")
        ? { kind: "answer", response: () => new Response(line) }
        : pass,
    )
    await watching(it, async (seen) => {
      await until("its first event", () => seen.wakes > 1)
      it.relay.cut()
      await until("a stream that begins anew", () => {
        const asked = streams(it)
        return asked.length > 2 && asked.at(-1)?.query.get("resourceVersion") === null
      })
      const before = seen.wakes
      await ctl.write(document(), { kind: "anything" }, null, never)
      await until("a wake-up", () => seen.wakes > before)
    })
  })

  test("do not run wild against a server that ends or refuses every stream", async () => {
    await using here = open()
    await using it = await relayed(here, server())
    await (await here.store("ctl")).write(document(), { kind: "absent" }, null, never)
    let bad: Fate = failing(500, "no")
    it.relay.set(({ query }) => (query.has("watch") ? bad : pass))
    const stop = new AbortController()
    let wakes = 0
    const running = it.store.watch("clusterdata", () => wakes++, stop.signal)
    const start = performance.now()
    await until("three seconds", () => performance.now() - start > 3000)
    expect(streams(it).length).toBeLessThan(15)
    bad = pass
    await until("the watch to stand", () => wakes > 0)
    stop.abort()
    await running
  })
}

function outages(open: Open, server: () => KubeServer): void {
  test("that hangs bounds every method by the store's timeout", async () => {
    await using here = open()
    const pod = await here.pod("sentinel", "s")
    const store = await here.store("sentinel", { pod, timeout: millis(1000) })
    await store.write(document(), { kind: "absent" }, null, never)
    const term = await store.campaign(s("s0"), never)
    server().pause()
    try {
      const calls: readonly (() => Promise<unknown>)[] = [
        () => store.read(never),
        () => store.infos(never),
        () => store.leader(never),
        () => store.publish(keeper("k"), millis(20_000), never),
        () => store.write(document(), { kind: "anything" }, null, never),
        () => store.unseat(s("s0"), never),
        () => store.campaign(s("s1"), never),
      ]
      const ends = await Promise.all(calls.map((call) => timed(call)))
      for (const { ms, error } of ends) {
        expect(error).toMatchObject({ name: "StoreError" })
        expect(ms).toBeLessThan(2500)
      }
      await until("the leader to leave its office by itself", () => term.signal.aborted, 8000)
    } finally {
      server().resume()
    }
    await until("an answer", async () => (await store.read(never)).kind === "found", 20_000)
  }, 60_000)

  test("may be killed and started again: watches wake, infos and the office come back", async () => {
    await using here = open()
    const pod = await here.pod("sentinel", "s")
    const store = await here.store("sentinel", { pod })
    await store.write(document(), { kind: "absent" }, null, never)
    await (await store.campaign(s("s0"), never)).resign(never)
    const stop = new AbortController()
    let wakes = 0
    const running = store.watch("everything", () => wakes++, stop.signal)
    await until("the watch to stand", () => wakes > 1)
    await server().kill()
    const refused = await timed(() => store.read(never))
    expect(refused.error).toMatchObject({ code: "unavailable" })
    expect(refused.ms).toBeLessThan(7000)
    const before = wakes
    server().start()
    await until("the server", () => server().ready(), 120_000)
    await until("a wake-up", () => wakes > before, 20_000)
    const term = await store.campaign(s("s0"), never)
    expect((await store.write(document(), { kind: "anything" }, term, never)).kind).toBe("written")
    await store.publish(keeper("k"), millis(20_000), never)
    await term.resign(never)
    stop.abort()
    await running
  }, 180_000)
}
