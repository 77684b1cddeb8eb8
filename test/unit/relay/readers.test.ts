/**
 * The listener for reads: who is led where, what becomes of sessions whose standby leaves, and how
 * a client without a standby becomes one of the primary's relay, gate and all.
 */
import { expect, test } from "bun:test"

import { millis } from "#base/brand.ts"
import type { Destination } from "#port/relay.ts"
import { readers, type TcpReaders } from "#relay/readers.ts"
import type { TcpRelay } from "#relay/relay.ts"

import { greeting, join, lastWord, message, readyIn, startup } from "./postgres.ts"
import {
  blackHole,
  connect,
  destination,
  drainFor,
  type End,
  fence,
  holdingRelay,
  local,
  over,
  relayWith,
  send,
  synSent,
  text,
  to,
  until,
} from "./world.ts"

const at = (port: number): Destination => ({ host: local, port })
const spread = (...ports: readonly number[]) => ({ to: [ports.map(at)], leaving: [] })
const nobody = { to: [], leaving: [] }
const query = message("Q", "select\0")
const result = join(message("C", "SELECT 1\0"), readyIn("I"))
const codeOf = (end: End) => lastWord(Buffer.concat(end.received))?.fields.get("C")

async function openReaders(
  primary: TcpRelay | null = null,
  dial = 5_000,
  prefaced = false,
): Promise<TcpReaders> {
  const it = readers(
    {
      host: local,
      port: 0,
      dialTimeout: millis(dial),
      keepalive: { idle: 0, interval: 0, count: 0 },
      hold: { timeout: millis(30_000), max: 100 },
      max: 0,
      prefaced,
    },
    primary,
  )
  await it.listen()
  return it
}

/** A client and its server's end, authenticated and idle. */
async function session(port: number, server: ReturnType<typeof destination>) {
  const before = server.ends.length
  const client = await connect(port)
  send(client, startup)
  await until("dialled", () => server.ends[before]?.bytes === startup.byteLength)
  const upstream = server.end(before)
  send(upstream, greeting)
  await until("greeted", () => client.bytes === greeting.byteLength)
  return { client, upstream }
}

test("D-61 apply() spreads sessions over equals in turns, and keeps to the first group while it answers", async () => {
  await using reads = await openReaders()
  using first = destination()
  using second = destination()
  using far = destination()
  await reads.apply({ to: [[at(first.port), at(second.port)], [at(far.port)]], leaving: [] })
  for (let i = 0; i < 6; i++) send(await connect(reads.port), "x")
  await until("all led", () => first.ends.length + second.ends.length === 6)
  expect([first.ends.length, second.ends.length, far.ends.length]).toEqual([3, 3, 0])
})

test("apply() leads a client on to the next when a standby refuses or is silent, with what it has said", async () => {
  using gone = destination()
  const refusing = gone.port
  gone[Symbol.dispose]()
  using hole = blackHole()
  using server = destination()
  await using reads = await openReaders(null, 100)
  await reads.apply({ to: [[at(refusing)], [at(hole.port)], [at(server.port)]], leaving: [] })
  const dials = synSent(hole.port)
  const client = await connect(reads.port)
  send(client, "hello")
  await until("led on", () => server.ends[0]?.bytes === 5)
  expect(reads.stats()).toMatchObject({ sessions: 1, dialErrors: 2 })
  send(server.end(0), "welcome")
  await until("answered", () => text(client) === "welcome")
  expect(synSent(hole.port)).toBe(dials)
  // who did not answer comes last for a while: the next one is not kept waiting
  send(await connect(reads.port), "next")
  await until("led at once", () => server.ends[1]?.bytes === 4)
  expect(reads.stats().dialErrors).toBe(2)
})

test("apply() leads a client again to standbys that did not answer, when there is no primary to fall back to", async () => {
  const gone = destination()
  gone[Symbol.dispose]()
  await using reads = await openReaders()
  await reads.apply(spread(gone.port))
  const client = await connect(reads.port)
  send(client, startup)
  await until("refused more than once", () => reads.stats().dialErrors > 1)
  using back = destination(true, () => {}, gone.port)
  await until("led", () => back.ends[0]?.bytes === startup.byteLength)
  expect([over(client), reads.stats().sessions]).toEqual([false, 1])
})

test("apply() cuts sessions of a standby that is named no more, at once, and touches no other", async () => {
  await using reads = await openReaders()
  using stays = destination()
  using promoted = destination()
  await reads.apply(spread(stays.port))
  const kept = await session(reads.port, stays)
  await reads.apply({ to: [[at(promoted.port)], [at(stays.port)]], leaving: [] })
  const pair = await session(reads.port, promoted)
  send(pair.client, query) // in the middle of a transaction
  await until("asked", () => pair.upstream.bytes > startup.byteLength)
  await reads.apply(spread(stays.port))
  await until("both know", () => over(pair.client) && over(pair.upstream))
  expect(codeOf(pair.client)).toBe("57P01")
  send(kept.client, query)
  send(kept.upstream, result)
  await until("the other goes on", () => kept.client.bytes === join(greeting, result).byteLength)
})

test("apply() lets sessions of a standby that is leaving end between transactions, and cuts the rest when it is named no more", async () => {
  await using reads = await openReaders()
  using lagging = destination()
  await reads.apply(spread(lagging.port))
  const [idle, busy, stuck] = [
    await session(reads.port, lagging),
    await session(reads.port, lagging),
    await session(reads.port, lagging),
  ]
  for (const { client } of [busy, stuck]) send(client, query)
  await until(
    "asked",
    () => busy.upstream.bytes + stuck.upstream.bytes > 2 * startup.byteLength + 8,
  )
  await reads.apply({ to: [], leaving: [at(lagging.port)] })
  await until("the idle one has its end", () => over(idle.client))
  expect(codeOf(idle.client)).toBe("57P01")
  send(busy.upstream, result)
  await until("the busy one has its answer and its end", () => over(busy.client))
  expect(lastWord(Buffer.concat(busy.client.received))?.before).toEqual(join(greeting, result))
  expect(reads.stats()).toMatchObject({ sessions: 1, drained: 2, cut: 0 })
  await reads.apply(nobody)
  await until("the rest is cut", () => over(stuck.client) && over(stuck.upstream))
  expect(reads.stats()).toMatchObject({ sessions: 0, drained: 2, cut: 1 })
})

test("apply() leaves sessions alone that were leaving, when their standby is back", async () => {
  await using reads = await openReaders()
  using server = destination()
  await reads.apply(spread(server.port))
  const { client, upstream } = await session(reads.port, server)
  send(client, query)
  await until("asked", () => upstream.bytes > startup.byteLength)
  await reads.apply({ to: [], leaving: [at(server.port)] })
  await reads.apply(spread(server.port))
  send(upstream, result)
  await until("answered", () => client.bytes === join(greeting, result).byteLength)
  send(client, query)
  await until("and on", () => upstream.bytes === join(startup, query, query).byteLength)
  expect(reads.stats()).toMatchObject({ sessions: 1, drained: 0, cut: 0 })
})

test("apply() takes back a dial to a standby that is named no more, and leads its client to another", async () => {
  using hole = blackHole()
  using server = destination()
  await using reads = await openReaders()
  await reads.apply(spread(hole.port))
  const dials = synSent(hole.port)
  const client = await connect(reads.port)
  send(client, "hello")
  await until("dialling", () => synSent(hole.port) > dials)
  await reads.apply(spread(server.port))
  expect(synSent(hole.port)).toBe(dials)
  await until("led to the other", () => server.ends[0]?.bytes === 5)
})

test("apply() lets clients wait while there is no standby, without a primary to fall back to", async () => {
  await using reads = await openReaders()
  using server = destination()
  const client = await connect(reads.port)
  send(client, "hello")
  await until("held", () => reads.stats().held === 1)
  await reads.apply(spread(server.port))
  await until("led", () => server.ends[0]?.bytes === 5)
})

test("a client without a standby is led, held, drained and cut with those of the primary's relay", async () => {
  await using primary = await holdingRelay()
  await using reads = await openReaders(primary)
  using server = destination()
  const early = await connect(reads.port)
  send(early, startup)
  await until("held by the primary's relay", () => primary.stats().held === 1)
  expect(reads.stats()).toMatchObject({ sessions: 0, held: 0, accepted: 0 })
  await primary.apply(to(server.port))
  await until("led to the primary", () => server.ends[0]?.bytes === startup.byteLength)
  send(server.end(0), greeting)
  await until("it is idle", () => early.bytes === greeting.byteLength)
  const { client, upstream } = await session(reads.port, server)
  send(client, query)
  await until("asked", () => upstream.bytes > startup.byteLength)
  const drained = primary.apply(drainFor(60_000))
  await until("the idle one has its end", () => over(early))
  send(upstream, result)
  expect(await drained).toBe("done")
  await primary.apply(to(server.port))
  const next = await session(reads.port, server)
  await primary.apply(fence)
  expect(primary.stats().sessions).toBe(0)
  await until("it is cut", () => over(next.client) && over(next.upstream))
  expect([reads.stats().sessions, reads.passed]).toEqual([0, 3])
})

test("a client of whom a standby took nothing is passed on with all that it has said", async () => {
  using gone = destination()
  const refusing = gone.port
  gone[Symbol.dispose]()
  using hole = blackHole()
  await using primary = await holdingRelay()
  await using reads = await openReaders(primary, 100)
  using server = destination()
  await primary.apply(to(server.port))
  await reads.apply(spread(refusing, hole.port))
  const said = Buffer.alloc(200_000, "s")
  const client = await connect(reads.port)
  send(client, said)
  await until("passed on", () => server.ends[0]?.bytes === said.byteLength)
  expect(text(server.end(0))).toBe(said.toString())
  send(server.end(0), "answer")
  await until("answered", () => text(client) === "answer")
  const stays = { reads: reads.stats().sessions, primary: primary.stats().sessions }
  expect([stays, reads.passed]).toEqual([{ reads: 0, primary: 1 }, 1])
  client.socket.shutdown()
  await until("its end is passed on, too", () => server.end(0).ended)
})

test("a client that dials a standby which leaves is passed on when it was the last", async () => {
  using hole = blackHole()
  using server = destination()
  await using primary = await holdingRelay()
  await using reads = await openReaders(primary)
  await primary.apply(to(server.port))
  await reads.apply(spread(hole.port))
  const dials = synSent(hole.port)
  const client = await connect(reads.port)
  send(client, "hello")
  await until("dialling", () => synSent(hole.port) > dials)
  await reads.apply(nobody)
  await until("led to the primary", () => server.ends[0]?.bytes === 5)
  expect(synSent(hole.port)).toBe(dials)
  expect([reads.stats().sessions, primary.stats().sessions]).toEqual([0, 1])
})

test("D-61 what a load balancer has said is not asked for again where a client is passed on", async () => {
  await using primary = await relayWith({ prefaced: true })
  await using reads = await openReaders(primary, 5_000, true)
  using server = destination()
  await primary.apply(to(server.port))
  const client = await connect(reads.port)
  send(client, join(Buffer.from("PROXY TCP4 192.0.2.7 10.0.0.1 56789 5432\r\n"), startup))
  await until("led to the primary", () => server.ends[0]?.bytes === startup.byteLength)
  expect([over(client), reads.passed]).toEqual([false, 1])
})
