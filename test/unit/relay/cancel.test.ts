/**
 * A CancelRequest reaches the server that issued its key, whichever listener it comes to, in
 * whatever pieces, and however full the house is.
 */
import { expect, test } from "bun:test"

import { millis } from "#base/brand.ts"
import type { RelayOptions } from "#port/relay.ts"
import { cancelWish, newKeyReader, newKeys, readKey } from "#relay/keys.ts"
import { pool } from "#relay/pool.ts"
import { readers } from "#relay/readers.ts"
import { relay } from "#relay/relay.ts"

import { join, message, packet, readyIn, sslRequest, startup } from "./postgres.ts"
import {
  connect,
  destination,
  drainFor,
  type End,
  fence,
  local,
  over,
  send,
  to,
  until,
} from "./world.ts"
import { realWorkers } from "./workers.ts"

const options: RelayOptions = {
  ...{ host: local, port: 0, dialTimeout: millis(5_000) },
  keepalive: { idle: 0, interval: 0, count: 0 },
  hold: { timeout: millis(30_000), max: 10 },
  ...{ max: 0, prefaced: false },
}
const at = (port: number) => ({ host: local, port })

/** As a server begins a session under this key. */
const greeted = (key: string): Uint8Array =>
  join(message("R", "\0\0\0\0"), message("S", "a\0b\0"), message("K", key), readyIn("I"))
const cancel = (key: string): Uint8Array => packet(80_877_102, key)
const [first, second] = ["pid1key1", `pid2${"k".repeat(256)}`]

/** Both listeners of a process that share what they know, each with its own server. */
async function both(change: Partial<RelayOptions> = {}) {
  const stack = new AsyncDisposableStack()
  const keys = newKeys()
  const primary = stack.use(relay({ ...options, ...change }, { keys }))
  const reads = stack.use(readers({ ...options, ...change }, primary, { keys }))
  const servers = { a: stack.use(destination()), b: stack.use(destination()) }
  await primary.listen()
  await reads.listen()
  await primary.apply(to(servers.a.port))
  await reads.apply({ to: [[at(servers.b.port)]], leaving: [] })
  return { primary, reads, ...servers, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

/** A session under a key, greeted in pieces. */
async function session(port: number, server: ReturnType<typeof destination>, key: string) {
  const i = server.ends.length
  const client = await connect(port)
  send(client, startup)
  await until("begun", () => server.ends[i]?.bytes === startup.byteLength)
  const whole = greeted(key)
  for (const piece of [whole.subarray(0, 30), whole.subarray(30, 33), whole.subarray(33)]) {
    const before = client.bytes
    server.end(i).socket.write(piece)
    await until("greeted", () => client.bytes === before + piece.byteLength)
  }
  return client
}

const got = (end: End | undefined): string =>
  end === undefined ? "" : Buffer.concat(end.received).toString("latin1")
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1")

test("D-61 a cancel reaches the server of its key from either port, with short keys and long ones", async () => {
  await using w = await both()
  await session(w.primary.port, w.a, first)
  await session(w.reads.port, w.b, second)
  for (const [port, key, server] of [
    [w.primary.port, second, w.b],
    [w.reads.port, second, w.b],
    [w.primary.port, first, w.a],
    [w.reads.port, first, w.a],
  ] as const) {
    const cancelled = () => server.ends.filter((end) => got(end) === textOf(cancel(key)))
    const before = cancelled().length
    const client = await connect(port)
    send(client, cancel(key))
    await until("cancelled", () => cancelled().length > before)
    cancelled().at(-1)?.socket.end()
    await until("told by the end", () => over(client))
    client.socket.terminate()
  }
})

test("relay() leads a cancel in pieces, behind a declined encryption, and behind a load balancer's header", async () => {
  await using w = await both()
  await session(w.reads.port, w.b, first)
  const bytes = cancel(first)
  const slow = await connect(w.primary.port)
  for (const byte of bytes) {
    send(slow, new Uint8Array([byte]))
    await Bun.sleep(0)
  }
  await until("cancelled", () => got(w.b.ends[1]) === textOf(bytes))
  const polite = await connect(w.primary.port)
  send(polite, sslRequest)
  await until("asked", () => w.a.ends.some((end) => end.bytes === sslRequest.byteLength))
  w.a.ends.at(-1)?.socket.write("N")
  await until("declined", () => polite.bytes === 1)
  send(polite, bytes)
  await until("cancelled", () => got(w.b.ends[2]) === textOf(bytes))

  await using behind = await both({ prefaced: true })
  const header = Buffer.from("PROXY TCP4 192.0.2.7 10.0.0.1 56789 5432\r\n")
  const client = await connect(behind.reads.port)
  send(client, join(header, startup))
  await until("begun", () => behind.b.ends[0]?.bytes === startup.byteLength)
  send(behind.b.end(0), greeted(first))
  await until("greeted", () => client.bytes > 0)
  send(await connect(behind.primary.port), join(header, bytes))
  await until("cancelled", () => got(behind.b.ends[1]) === textOf(bytes))
})

test("relay() leads a cancel to a server that is being drained, and to none that was cut", async () => {
  await using w = await both()
  const client = await session(w.primary.port, w.a, first)
  send(client, message("Q", "select pg_sleep(60)\0"))
  await until("busy", () => got(w.a.ends[0]).includes("pg_sleep"))
  const drained = w.primary.apply(drainFor(60_000))
  const asks = await connect(w.primary.port)
  send(asks, cancel(first))
  await until("cancelled", () => got(w.a.ends[1]) === textOf(cancel(first)))
  asks.socket.terminate()
  send(w.a.end(0), join(message("E", "SERROR\0C57014\0\0"), readyIn("I")))
  expect(await drained).toBe("done")
  const late = await connect(w.primary.port)
  send(late, cancel(first))
  await until("closed", () => over(late))
  await w.primary.apply(to(w.a.port))
  await session(w.primary.port, w.a, second)
  await w.primary.apply(fence)
  const after = await connect(w.primary.port)
  send(after, cancel(second))
  await until("closed", () => over(after))
  expect(w.a.ends).toHaveLength(3)
})

test("relay() leads a cancel when there is no room for a session", async () => {
  await using w = await both({ max: 1 })
  await session(w.primary.port, w.a, first)
  const crowded = await connect(w.primary.port)
  send(crowded, startup)
  await until("refused", () => crowded.ended)
  send(await connect(w.primary.port), cancel(first))
  await until("cancelled", () => got(w.a.ends[1]) === textOf(cancel(first)))
})

test("relay() leads a cancel with a foreign key where it leads everybody", async () => {
  await using w = await both()
  const client = await connect(w.primary.port)
  send(client, cancel("pid9key9"))
  await until("passed on", () => w.a.ends.some((end) => got(end) === textOf(cancel("pid9key9"))))
  expect(over(client)).toBe(false)
})

const { start } = realWorkers()

test("D-61 a cancel finds its session in another worker", async () => {
  const setup = { primary: options, reads: { options, fallback: true } }
  await using all = pool(setup, 3, start, { patience: millis(10_000) })
  using a = destination()
  using b = destination()
  await all.relay.listen()
  await all.readers?.listen()
  await all.relay.apply(to(a.port))
  await all.readers?.apply({ to: [[at(b.port)]], leaving: [] })
  await session(all.readers?.port ?? 0, b, first)
  // the kernel deals connections out: with so many each worker has some
  const clients = await Promise.all(Array.from({ length: 24 }, () => connect(all.relay.port)))
  for (const client of clients) send(client, cancel(first))
  const cancelled = () => b.ends.filter((end) => got(end) === textOf(cancel(first))).length
  await until("all cancelled", () => cancelled() === clients.length)
  send(await connect(all.relay.port), cancel("pid9key9"))
  await until("nobody's", () => a.ends.some((end) => got(end) === textOf(cancel("pid9key9"))))
  for (const client of clients) client.socket.terminate()
})

test("readKey() finds the key however the stream is cut, and ends with the start", () => {
  const whole = greeted(second)
  for (let size = 1; size < 40; size++) {
    const reader = newKeyReader()
    let found: string | null = null
    for (let from = 0; found === null && from < whole.byteLength; from += size)
      found = readKey(reader, whole.subarray(from, from + size))
    expect(found).toBe(Buffer.from(second).toString("base64"))
  }
  expect(readKey(newKeyReader(), join(message("R", "\0\0\0\0"), readyIn("I")))).toBe("")
  expect(readKey(newKeyReader(), message("K", "short"))).toBe("")
})

test("cancelWish() tells a cancel from every other beginning, as soon as it can", () => {
  const bytes = cancel(first)
  for (let length = 1; length < bytes.byteLength; length++)
    expect(cancelWish(bytes.subarray(0, length)).kind).toBe("partial")
  expect(cancelWish(bytes)).toEqual({ kind: "cancel", key: Buffer.from(first).toString("base64") })
  const others = [
    startup,
    sslRequest,
    Buffer.from("GET /"),
    packet(80_877_102, "k"),
    new Uint8Array(0),
  ]
  expect(others.map((each) => cancelWish(each).kind)).toEqual(others.map(() => "none"))
})
