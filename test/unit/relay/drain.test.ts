/**
 * Sessions that end: when they are idle, with a word, at the bound, by force; and what a later
 * `apply` makes of it.
 */
import { expect, test } from "bun:test"

import { greeting, join, lastWord, message, readyIn, sslRequest, startup } from "./postgres.ts"
import {
  connect,
  destination,
  drainFor,
  type End,
  fence,
  holdingRelay,
  openRelay,
  over,
  send,
  to,
  until,
} from "./world.ts"
import type { TcpRelay } from "#relay/relay.ts"

const all = (end: End): Uint8Array => Buffer.concat(end.received)
const query = message("Q", "select\0")
const result = message("C", "SELECT 1\0")
const long = drainFor(60_000)

/** A client and its server's end, authenticated and idle. */
async function session(proxy: TcpRelay, server: ReturnType<typeof destination>) {
  const before = server.ends.length
  const client = await connect(proxy.port)
  send(client, startup)
  await until("dialled", () => server.ends[before]?.bytes === startup.byteLength)
  const upstream = server.end(before)
  send(upstream, greeting)
  await until("greeted", () => client.bytes === greeting.byteLength)
  return { client, upstream }
}
type Pair = Awaited<ReturnType<typeof session>>

const ask = async ({ client, upstream }: Pair): Promise<void> => {
  const before = upstream.bytes
  send(client, query)
  await until("asked", () => upstream.bytes === before + query.byteLength)
}
const codeOf = (end: End): string | undefined => lastWord(all(end))?.fields.get("C")

test("apply() ends idle sessions at once with 57P01, and tells the server that its client goes", async () => {
  await using proxy = await holdingRelay()
  using server = destination()
  await proxy.apply(to(server.port))
  const pairs = [await session(proxy, server), await session(proxy, server)]
  expect(await proxy.apply(long)).toBe("done")
  expect(proxy.stats()).toMatchObject({ sessions: 0, drained: 2, cut: 0 })
  for (const { client, upstream } of pairs) {
    await until("the client has the end", () => client.ended)
    const said = lastWord(all(client))
    expect(said?.before).toEqual(greeting)
    expect(said?.whole).toBe(true)
    expect(said?.fields.get("C")).toBe("57P01")
    await until("the server has the end", () => over(upstream))
    expect(all(upstream)).toEqual(join(startup, message("X")))
    client.socket.close()
  }
})

test("S6 apply() lets a begun transaction end, and ends the session right after its last answer", async () => {
  await using proxy = await holdingRelay()
  using server = destination()
  await proxy.apply(to(server.port))
  const pair = await session(proxy, server)
  const { client, upstream } = pair
  await ask(pair)
  const drained = proxy.apply(long)
  send(upstream, join(result, readyIn("T")))
  await until("answered", () => client.bytes > greeting.byteLength)
  await ask(pair)
  const next = await connect(proxy.port)
  send(next, startup)
  await until("the next one waits", () => proxy.stats().held === 1)
  expect(proxy.stats()).toMatchObject({ sessions: 1, drained: 0 })
  const last = join(result, readyIn("I"))
  send(upstream, last)
  expect(await drained).toBe("done")
  await until("the client has the end", () => client.ended)
  expect(lastWord(all(client))?.before).toEqual(join(greeting, result, readyIn("T"), last))
  expect(codeOf(client)).toBe("57P01")
  send(client, query) // too late: it reaches nobody
  await until("the server has the end", () => over(upstream))
  expect(upstream.bytes).toBe(join(startup, query, query, message("X")).byteLength)
  expect(proxy.stats()).toMatchObject({ sessions: 0, held: 1, drained: 1, cut: 0 })
})

test("apply() cuts at the bound what is not idle, with a word where one is understood", async () => {
  await using proxy = await holdingRelay()
  using server = destination()
  await proxy.apply(to(server.port))
  const between = await session(proxy, server)
  await ask(between)
  const inside = await session(proxy, server)
  await ask(inside)
  send(inside.upstream, result.subarray(0, 7))
  await until("half a message", () => inside.client.bytes === greeting.byteLength + 7)
  const hidden = await connect(proxy.port)
  send(hidden, sslRequest)
  await until("asked for TLS", () => server.ends[2]?.bytes === 8)
  send(server.end(2), "S")
  await until("TLS", () => hidden.bytes === 1)
  const half = await session(proxy, server)
  await ask(half)
  half.client.socket.shutdown()
  await until("half closed", () => half.upstream.ended)
  expect(await proxy.apply(drainFor(100))).toBe("done")
  expect(proxy.stats()).toMatchObject({ sessions: 0, drained: 0, cut: 4 })
  const clients = [between.client, inside.client, hidden, half.client]
  await until("all know", () => clients.every(over) && server.ends.every(over))
  expect(codeOf(between.client)).toBe("57P01")
  expect(inside.client.bytes).toBe(greeting.byteLength + 7)
  expect(hidden.bytes).toBe(1)
})

test("apply() cuts at once without a drain, with a word where one is understood", async () => {
  await using proxy = await holdingRelay()
  using server = destination()
  await proxy.apply(to(server.port))
  const busy = await session(proxy, server)
  await ask(busy)
  const rest = await session(proxy, server)
  const applied = proxy.apply(fence)
  send(busy.upstream, join(result, readyIn("I"))) // after the cut: it reaches no client
  expect(await applied).toBe("done")
  expect(proxy.stats()).toMatchObject({ sessions: 0, drained: 0, cut: 2 })
  for (const { client, upstream } of [busy, rest]) {
    await until("both know", () => client.ended && over(upstream))
    expect(lastWord(all(client))?.before).toEqual(greeting)
    expect(codeOf(client)).toBe("57P01")
  }
})

test("apply() is overtaken by a cut: the drain settles, and nothing is left", async () => {
  await using proxy = await holdingRelay()
  using server = destination()
  await proxy.apply(to(server.port))
  const pair = await session(proxy, server)
  await ask(pair)
  const drained = proxy.apply(long)
  const again = proxy.apply(long) // the same route: the same drain
  expect(await proxy.apply(fence)).toBe("done")
  expect(proxy.stats()).toMatchObject({ sessions: 0, cut: 1 })
  expect([await drained, await again]).toEqual(["overtaken", "overtaken"])
})

test("apply() of the destination that is being drained gives the drain up", async () => {
  await using proxy = await holdingRelay()
  using server = destination()
  await proxy.apply(to(server.port))
  const pair = await session(proxy, server)
  await ask(pair)
  const idle = await session(proxy, server)
  const drained = proxy.apply(long)
  const waiting = await connect(proxy.port)
  send(waiting, startup)
  await until("held", () => proxy.stats().held === 1)
  expect(await proxy.apply(to(server.port))).toBe("done")
  expect(await drained).toBe("overtaken")
  send(pair.upstream, join(result, readyIn("I")))
  await until("answered", () => pair.client.bytes > greeting.byteLength)
  await ask(pair)
  expect(codeOf(pair.client)).toBe(undefined)
  expect(codeOf(idle.client)).toBe("57P01")
  await until("the held one is led", () => server.ends[2]?.bytes === startup.byteLength)
  expect(proxy.stats()).toMatchObject({ sessions: 2, held: 0, drained: 1, cut: 0 })
})

test("apply() of another destination cuts what a drain has left", async () => {
  await using proxy = await holdingRelay()
  using old = destination()
  using next = destination()
  await proxy.apply(to(old.port))
  const pair = await session(proxy, old)
  await ask(pair)
  const drained = proxy.apply(long)
  expect(await proxy.apply(to(next.port))).toBe("done")
  expect(await drained).toBe("overtaken")
  expect(proxy.stats()).toMatchObject({ sessions: 0, cut: 1 })
  await until("both know", () => pair.client.ended && over(pair.upstream))
})

test("apply() ends a drain when the last session ends by itself", async () => {
  await using proxy = await holdingRelay()
  using server = destination()
  await proxy.apply(to(server.port))
  const pair = await session(proxy, server)
  await ask(pair)
  const drained = proxy.apply(long)
  pair.client.socket.terminate()
  expect(await drained).toBe("done")
  expect(proxy.stats()).toMatchObject({ sessions: 0, drained: 0, cut: 0 })
})

test("apply() waits for a slow reader to take its answer before the last word, and no longer than the bound", async () => {
  await using proxy = await holdingRelay()
  using server = destination()
  await proxy.apply(to(server.port))
  const pair = await session(proxy, server)
  const stuck = await session(proxy, server)
  const row = message("D", new Uint8Array(1024 * 1024))
  const many = join(...Array.from({ length: 32 }, () => row), result, readyIn("I"))
  for (const one of [pair, stuck]) {
    await ask(one)
    one.client.socket.pause()
    send(one.upstream, many)
    await until("held back", () => one.upstream.outgoing !== null)
  }
  const drained = proxy.apply(drainFor(700))
  pair.client.socket.resume()
  await until("the last word", () => pair.client.ended)
  expect(pair.client.bytes).toBeGreaterThan(greeting.byteLength + many.byteLength)
  expect(await drained).toBe("done")
  expect(proxy.stats()).toMatchObject({ sessions: 0, drained: 1, cut: 1 })
  stuck.client.socket.terminate()
})

test("apply() is not delayed by a client that floods", async () => {
  await using proxy = await holdingRelay()
  using server = destination()
  await proxy.apply(to(server.port))
  const pair = await session(proxy, server)
  pair.upstream.socket.pause()
  send(
    pair.client,
    join(...Array.from({ length: 1000 }, () => message("d", new Uint8Array(32_768)))),
  )
  await until("held back", () => pair.client.outgoing !== null)
  expect(await proxy.apply(drainFor(50))).toBe("done")
  expect(proxy.stats().sessions).toBe(0)
  pair.upstream.socket.resume()
  await until("both know", () => over(pair.client) && over(pair.upstream))
})

test("apply() drains without a word with the hold timeout 0", async () => {
  await using proxy = await openRelay()
  using server = destination()
  await proxy.apply(to(server.port))
  const idle = await session(proxy, server)
  const busy = await session(proxy, server)
  await ask(busy)
  const drained = proxy.apply(long)
  await until("the idle one knows", () => over(idle.client))
  const last = join(result, readyIn("I"))
  send(busy.upstream, last)
  expect(await drained).toBe("done")
  await until("the other knows", () => over(busy.client))
  expect(all(busy.client)).toEqual(join(greeting, last))
  expect(all(idle.client)).toEqual(greeting)
  expect(proxy.stats()).toMatchObject({ drained: 2, cut: 0 })
})
