/**
 * Real Consul servers on bad days: hung, killed, started again with and without their data, cut
 * off, three of them without their leader, an answer lost after the write was applied.
 */
import { rmSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { millis } from "#base/brand.ts"
import { StoreError } from "#port/store.ts"
import { type ConsulCluster, type ConsulServer, consulMissing, startConsul } from "./consul.ts"
import { document, k, keeper, never, nonceOf, s, scene, sentinel, settingsOf } from "./scene.ts"
import { timed, until } from "./wait.ts"
import { startWire } from "./wire.ts"

const slack = 500
const portOf = ({ endpoint }: ConsulServer): number => Number(new URL(endpoint).port)

if (consulMissing !== null) test.skip(`a bad Consul (skipped: ${consulMissing})`, () => {})
else {
  describe("consul: the way to it", () => {
    let consul: ConsulCluster
    beforeAll(async () => {
      consul = await startConsul()
    }, 60_000)
    afterAll(() => consul[Symbol.asyncDispose]())
    ways(() => consul)
  })
  describe("consul: one server", one)
  describe("consul: three servers", three)
}

const first = ({ servers: [server] }: ConsulCluster): ConsulServer => {
  if (server === undefined) throw new Error("there is no server")
  return server
}
const candidates = async (server: ConsulServer): Promise<number> =>
  (await server.request("GET", "session/list")).split("/sentinel-leader").length - 1
const on = (endpoints: readonly string[], timeout = 5_000): ReturnType<typeof scene> =>
  scene((name) => settingsOf("consul", endpoints, name, millis(timeout)))

function ways(consul: () => ConsulCluster): void {
  test.concurrent("write() whose answer is lost is unknown, and is found by its nonce", async () => {
    await using wire = await startWire(portOf(first(consul())))
    await using here = on([wire.endpoint], 1_000)
    const [store, other] = [await here.store(), await here.store(consul())]
    await store.read(never) // the endpoint has proved itself
    const data = document()
    wire.set("mute")
    const { ms, value } = await timed(() => store.write(data, { kind: "absent" }, null, never))
    expect(value?.kind).toBe("unknown")
    expect(ms).toBeLessThan(1_000 + slack)
    const after = await other.read(never)
    expect(after.kind === "found" && nonceOf(after.data)).toBe(nonceOf(data))
    wire.set("pass")
    expect((await store.read(never)).kind).toBe("found")
  })

  test.concurrent("write() whose connection ends without an answer is unknown, and is not sent again", async () => {
    // what comes first on each connection is read, and then it ends
    let puts = 0
    using broken = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data(socket, chunk) {
          if (chunk.toString().startsWith("PUT")) {
            puts++
            return void socket.end()
          }
          const body = "[]"
          const head = "HTTP/1.1 200 OK\r\nX-Consul-Index: 1\r\nContent-Length: 2\r\n\r\n"
          socket.write(head + body)
        },
      },
    })
    await using here = on([`http://127.0.0.1:${broken.port}`], 1_000)
    const store = await here.store()
    const written = await store.write(document(), { kind: "anything" }, null, never)
    expect(written.kind).toBe("unknown")
    expect(puts).toBe(1)
  })

  test.concurrent("D-85 every method ends within the timeout where nothing answers", async () => {
    await using wire = await startWire(portOf(first(consul())))
    await using here = on([wire.endpoint], 1_000)
    wire.set("hang")
    const store = await here.store()
    const calls: readonly (() => Promise<unknown>)[] = [
      () => store.read(never),
      () => store.infos(never),
      () => store.leader(never),
      () => store.publish(sentinel("s1"), millis(20_000), never),
      () => store.withdraw({ kind: "keeper", uid: k("k1") }, never),
      () => store.campaign(s("s1"), never),
      () => store.unseat(s("s1"), never),
      () => store.write(document(), { kind: "absent" }, null, never),
    ]
    for (const result of await Promise.all(calls.map((call) => timed(call)))) {
      expect(result.error).toBeInstanceOf(StoreError)
      expect(result.error).toMatchObject({ code: "unavailable", retryable: true })
      expect(result.ms).toBeLessThan(1_000 + slack)
    }
  })

  test.concurrent("D-65 a dead, a hung and a refusing endpoint cost a part of the timeout, not the answer", async () => {
    await using hung = await startWire(portOf(first(consul())))
    await using refusing = await startWire(portOf(first(consul())))
    hung.set("hang")
    refusing.set("refuse")
    const dead = "http://127.0.0.1:1"
    await using here = on([dead, hung.endpoint, refusing.endpoint, ...consul().endpoints], 4_000)
    const store = await here.store()
    const { ms, error } = await timed(() => store.read(never))
    expect(error).toBeNull()
    expect(ms).toBeLessThan(4_000)
    const again = await timed(() => store.write(document(), { kind: "absent" }, null, never))
    expect(again.value?.kind).toBe("written")
    expect(again.ms).toBeLessThan(1_000) // the one that answered is remembered
  })

  test.concurrent("leadership ends before its session can when the leader is cut off", async () => {
    await using wire = await startWire(portOf(first(consul())))
    await using here = on([wire.endpoint])
    const [store, witness] = [await here.store(), await here.store(consul())]
    const office = await store.campaign(s("s0"), never)
    let order = ""
    office.signal.addEventListener("abort", () => (order += "lost "))
    const elected = witness.campaign(s("s1"), never).then((leadership) => {
      order += "elected"
      return leadership
    })
    wire.set("hang")
    await (await elected).resign(never)
    expect(order).toBe("lost elected")
  }, 40_000)

  test.concurrent("watch() wakes after its connection was cut", async () => {
    await using wire = await startWire(portOf(first(consul())))
    await using here = on([wire.endpoint])
    const [store, other] = [await here.store(), await here.store(consul())]
    const seen = await here.watch(store, "everything")
    wire.set("refuse")
    const before = seen.wakes
    await other.publish(keeper("k1"), millis(20_000), never)
    wire.set("pass")
    await until("a wake-up after the reconnect", () => seen.wakes > before, 8_000)
    await until("calm", () => true)
    const again = seen.wakes
    await other.publish(keeper("k1", 2), millis(20_000), never)
    await until("a wake-up by a change", () => seen.wakes > again, 2_000)
  })
}

function one(): void {
  test("D-82 a server that is killed and started again ends no candidacy and no info", async () => {
    await using consul = await startConsul()
    const server = first(consul)
    await using here = on(consul.endpoints, 2_000)
    const [store, two] = [await here.store(), await here.store()]
    await store.write(document(), { kind: "absent" }, null, never)
    await store.publish(keeper("k1"), millis(20_000), never)
    const office = await store.campaign(s("s0"), never)
    const standing = two.campaign(s("s1"), never)
    await until("both to stand", async () => (await candidates(server)) === 2)
    await server.kill()
    expect((await timed(() => store.read(never))).error).toMatchObject({ code: "unavailable" })
    server.start()
    await consul.settled()
    expect((await store.read(never)).kind).toBe("found")
    expect((await store.infos(never)).keepers.size).toBe(1)
    // whoever leads now, somebody does, and one of the two goes on where the other ends
    if (!office.signal.aborted) await office.resign(never)
    const next = await standing
    expect(await store.leader(never)).toBe(s("s1"))
    const written = await two.write(document(), { kind: "anything" }, next, never)
    expect(written.kind).toBe("written")
    await next.resign(never)
  }, 60_000)

  test("D-85 a server that stands still is noticed in time, and work goes on when it comes back", async () => {
    await using consul = await startConsul()
    const server = first(consul)
    await using here = on(consul.endpoints, 1_000)
    const store = await here.store()
    const seen = await here.watch(store, "clusterdata")
    server.pause()
    const missed = await until("silence", async () => {
      const { ms, error } = await timed(() => store.read(never))
      return error === null ? null : { ms, error } // it took a moment to stand still
    })
    expect(missed.error).toMatchObject({ code: "unavailable" })
    expect(missed.ms).toBeLessThan(1_000 + slack)
    server.resume()
    await until("a read", async () => (await store.read(never)).kind === "absent", 20_000)
    const before = seen.wakes
    await until("a write", async () => {
      const { kind } = await store.write(document(), { kind: "anything" }, null, never)
      return kind === "written"
    })
    await until("a wake-up", () => seen.wakes > before)
  }, 60_000)

  test("an index that goes backwards begins the watch anew", async () => {
    await using consul = await startConsul()
    const server = first(consul)
    await using here = on(consul.endpoints, 2_000)
    const store = await here.store()
    for (let i = 0; i < 30; i++) await store.write(document(), { kind: "anything" }, null, never)
    const seen = await here.watch(store, "clusterdata")
    const before = seen.wakes
    await server.kill()
    rmSync(join(consul.directory, "server0"), { recursive: true })
    server.start()
    await consul.settled()
    expect(await store.read(never)).toEqual({ kind: "absent", version: null })
    await until("it to wake by itself", () => seen.wakes > before, 20_000)
    const again = seen.wakes
    await store.write(document(), { kind: "absent" }, null, never)
    await until("a wake-up", () => seen.wakes > again, 2_000)
  }, 60_000)
}

function three(): void {
  test("D-82 the servers lose their leader, and ours goes on or is followed", async () => {
    await using consul = await startConsul({ servers: 3 })
    await using here = on(consul.endpoints, 5_000)
    const [store, two] = [await here.store(), await here.store()]
    await store.write(document(), { kind: "absent" }, null, never)
    await store.publish(keeper("k1"), millis(20_000), never)
    const office = await store.campaign(s("s0"), never)
    const standing = two.campaign(s("s1"), never)
    await until("both to stand", async () => (await candidates(first(consul))) === 2)
    const leaders = await Promise.all(consul.servers.map((server) => server.isLeader()))
    const leader = consul.servers[leaders.indexOf(true)]
    if (leader === undefined) throw new Error("no server leads")
    await leader.kill()
    await until(
      "a write of whoever leads",
      async () => {
        const { kind } = await (office.signal.aborted
          ? two.write(document(), { kind: "anything" }, await standing, never)
          : store.write(document(), { kind: "anything" }, office, never))
        return kind === "written"
      },
      40_000,
    )
    await store.publish(keeper("k1", 2), millis(20_000), never)
    expect((await two.infos(never)).keepers.get(k("k1"))?.infoUID).toBe(
      keeper("k1", 2).info.infoUID,
    )
    if (!office.signal.aborted) await office.resign(never)
    await (await standing).resign(never)
  }, 90_000)

  test("without a majority nothing is written, and with it again work goes on", async () => {
    await using consul = await startConsul({ servers: 3 })
    await using here = on(consul.endpoints, 2_000)
    const store = await here.store()
    await store.write(document(), { kind: "absent" }, null, never)
    const [, second, third] = consul.servers
    await second?.kill()
    await third?.kill()
    const write = await timed(() => store.write(document(), { kind: "anything" }, null, never))
    expect(write.value?.kind ?? "refused").not.toBe("written")
    expect((await timed(() => store.read(never))).error).toMatchObject({ code: "unavailable" })
    second?.start()
    await until("a read", async () => (await store.read(never)).kind === "found", 40_000)
    // the two may still change their minds about who leads, which leaves a write unknown
    await until("a write", async () => {
      const end = await store.write(document(), { kind: "anything" }, null, never)
      if (end.kind === "written") return true
      throw new Error(JSON.stringify(end))
    })
  }, 90_000)
}
