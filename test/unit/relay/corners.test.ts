/**
 * Clients and servers at the corners of a session's life: cut packets, ends that come early,
 * answers that come late.
 */
import { expect, test } from "bun:test"

import { millis } from "#base/brand.ts"
import { newKeys } from "#relay/keys.ts"
import { readers } from "#relay/readers.ts"
import { relay } from "#relay/relay.ts"
import { bootMillis } from "#system/libc.ts"

import { join, message, packet, readyIn, sslRequest, startup } from "./postgres.ts"
import {
  connect,
  destination,
  drainFor,
  holdingRelay,
  local,
  over,
  queues,
  relayWith,
  send,
  to,
  until,
} from "./world.ts"

const greeted = (key: string): Uint8Array =>
  join(message("R", "\0\0\0\0"), message("K", key), readyIn("I"))
const cancel = (key: string): Uint8Array => packet(80_877_102, key)
const zeros = new Uint8Array([0, 0, 0])

test("a cancel behind a declined encryption is written once", async () => {
  using at = destination()
  await using proxy = await holdingRelay()
  await proxy.apply(to(at.port))
  const client = await connect(proxy.port)
  send(client, startup)
  await until("begun", () => at.ends[0]?.bytes === startup.byteLength)
  send(at.end(0), greeted("pid1key1"))
  await until("greeted", () => client.bytes > 0)
  const asks = await connect(proxy.port)
  send(asks, sslRequest)
  await until("asked", () => at.ends[1]?.bytes === sslRequest.byteLength)
  at.end(1).socket.write("N")
  await until("declined", () => asks.bytes === 1)
  send(asks, cancel("pid1key1"))
  await until("cancelled", () => at.end(1).bytes === sslRequest.byteLength + 16)
  at.end(1).socket.shutdown()
  await until("told by the end", () => over(asks))
  asks.socket.end()
  await until("one session left", () => proxy.stats().sessions === 1)
  expect(at.end(1).bytes).toBe(sslRequest.byteLength + 16)
})

test("the end of a client that said three bytes of nothing reaches its server", async () => {
  using at = destination()
  await using proxy = await holdingRelay()
  await proxy.apply(to(at.port))
  const client = await connect(proxy.port)
  await until("led", () => at.ends.length === 1)
  send(client, zeros, true)
  await until("the end", () => over(at.end(0)), 2_000)
})

test("a client behind a load balancer that begins and says no more waits no longer than others", async () => {
  await using proxy = await relayWith({
    prefaced: true,
    hold: { timeout: millis(300), max: 10 },
  })
  const client = await connect(proxy.port)
  send(client, join(Buffer.from("PROXY TCP4 192.0.2.7 10.0.0.1 56789 5432\r\n"), zeros))
  await until("let go", () => over(client), 7_000)
}, 10_000)

test("clients that wait are told when the proxy ends", async () => {
  const proxy = await holdingRelay()
  const client = await connect(proxy.port)
  send(client, startup)
  await until("waits", () => proxy.stats().bytesIn === startup.byteLength)
  await proxy[Symbol.asyncDispose]()
  await until("over", () => over(client))
  expect(client.bytes).toBeGreaterThan(0)
})

test("a client behind a load balancer whose first packet is cut is led", async () => {
  using at = destination()
  await using proxy = await relayWith({ prefaced: true })
  await proxy.apply(to(at.port))
  const header = Buffer.from("PROXY TCP4 192.0.2.7 10.0.0.1 56789 5432\r\n")
  const client = await connect(proxy.port)
  send(client, join(header, startup.subarray(0, 3)))
  await until("read", () => client.outgoing === null && queues(proxy.port).unread === 0)
  send(client, startup.subarray(3))
  await until("begun", () => at.ends[0]?.bytes === startup.byteLength, 3_000)
})

test("what a server says too late is not taken for the client's words", async () => {
  using next = destination()
  const auth = message("R", "\0\0\0\0")
  let due = 0
  // answers, and the process stands still until the time is over
  using slow = Bun.listen({
    hostname: local,
    port: 0,
    socket: {
      data(socket) {
        socket.write(auth)
        while (bootMillis() < due) {}
      },
    },
  })
  await using proxy = await holdingRelay()
  await proxy.apply(to(slow.port))
  const client = await connect(proxy.port)
  due = bootMillis() + 150
  proxy.allow(millis(due))
  send(client, startup)
  await until("late", () => bootMillis() > due + 50)
  await proxy.apply(to(next.port))
  proxy.allow(millis(bootMillis() + 60_000))
  await until("led", () => (next.ends[0]?.bytes ?? 0) > 0)
  expect(Buffer.concat(next.end(0).received)).toEqual(Buffer.from(startup))
})

test("no more is kept of a client than begins a session, however often it is led again", async () => {
  const gone = destination()
  gone[Symbol.dispose]()
  await using proxy = await holdingRelay(30_000)
  await proxy.apply(to(gone.port))
  const client = await connect(proxy.port)
  send(client, Buffer.alloc(64 << 20, "x"))
  await until("tried often", () => proxy.stats().dialErrors >= 20)
  expect(proxy.stats().bytesIn).toBeLessThan(2 << 20)
})

test("a drain is over when its last client waits again", async () => {
  const gone = destination()
  gone[Symbol.dispose]()
  using hole = destination()
  await using proxy = await holdingRelay()
  await proxy.apply(to(hole.port))
  const client = await connect(proxy.port)
  send(client, sslRequest)
  await until("asked", () => hole.ends[0]?.bytes === sslRequest.byteLength)
  const begun = performance.now()
  const drained = proxy.apply(drainFor(3_000))
  hole.end(0).socket.write("N")
  await until("declined", () => client.bytes === 1)
  send(client, startup)
  await until("begun", () => hole.end(0).bytes === sslRequest.byteLength + startup.byteLength)
  send(hole.end(0), message("E", "SFATAL\0VFATAL\0C57P03\0Mshutting down\0\0"), true)
  await until("waits", () => proxy.stats().held === 1)
  expect(proxy.stats().sessions).toBe(0)
  expect(await drained).toBe("done")
  expect(performance.now() - begun).toBeLessThan(2_000)
})

test("a server that ends before it answers is tried again like one that resets", async () => {
  using at = destination()
  await using proxy = await holdingRelay()
  await proxy.apply(to(at.port))
  const client = await connect(proxy.port)
  send(client, startup)
  await until("begun", () => at.ends[0]?.bytes === startup.byteLength)
  at.end(0).socket.end() // a backend that is killed has read all: an end, no reset
  await until("begun again", () => at.ends[1]?.bytes === startup.byteLength, 3_000)
})

test("a client is led to another standby when the first is still starting", async () => {
  const options = {
    ...{ host: local, port: 0, dialTimeout: millis(5_000), max: 0, prefaced: false },
    keepalive: { idle: 0, interval: 0, count: 0 },
    hold: { timeout: millis(30_000), max: 10 },
  }
  const keys = newKeys()
  await using primary = relay(options, { keys })
  await using reads = readers(options, primary, { keys })
  await reads.listen()
  using starting = destination()
  using well = destination()
  const place = (port: number) => ({ host: local, port })
  await reads.apply({ to: [[place(starting.port)], [place(well.port)]], leaving: [] })
  const client = await connect(reads.port)
  send(client, startup)
  const word = message("E", "SFATAL\0VFATAL\0C57P03\0Mstarting\0\0")
  let answered = 0
  await until(
    "the other one",
    () => {
      const end = starting.ends[answered]
      if (end !== undefined && end.bytes === startup.byteLength) {
        answered++
        send(end, word, true)
      }
      return well.ends.length > 0
    },
    2_000,
  )
})
