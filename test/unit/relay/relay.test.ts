/**
 * The relay's promises: bytes, ends, cuts, dials. Everything on loopback, waiting for conditions,
 * never for time.
 */
import { expect, test } from "bun:test"

import { present } from "#base/assert.ts"
import { millis } from "#base/brand.ts"
import { relay } from "#relay/relay.ts"

import {
  blackHole,
  connect,
  descriptors,
  destination,
  local,
  openRelay,
  over,
  send,
  synSent,
  text,
  to,
  until,
} from "./world.ts"

test("relay() forwards both ways and counts what it did", async () => {
  await using proxy = await openRelay()
  using server = destination()
  await proxy.apply(to(server.port))
  const client = await connect(proxy.port)
  send(client, "ping")
  await until("ping arrives", () => server.ends[0] !== undefined && text(server.ends[0]) === "ping")
  send(server.end(0), "pongpong")
  await until("pong arrives", () => text(client) === "pongpong")
  expect(proxy.stats()).toMatchObject({
    sessions: 1,
    accepted: 1,
    refused: 0,
    dialErrors: 0,
    bytesIn: 4,
    bytesOut: 8,
  })
  client.socket.terminate()
  await until("the session is gone", () => proxy.stats().sessions === 0)
  await until("the server knows", () => over(server.end(0)))
})

test("relay() closes a client at once while the route is closed", async () => {
  await using proxy = await openRelay()
  const client = await connect(proxy.port)
  await until("closed", () => over(client))
  expect(proxy.stats()).toMatchObject({ sessions: 0, accepted: 1, refused: 1 })
  client.socket.terminate()
})

test("D-61 relay() passes on a client's end and still delivers the whole answer to a slow reader", async () => {
  await using proxy = await openRelay()
  const size = 64 * 1024 * 1024
  using server = destination()
  await proxy.apply(to(server.port))
  const client = await connect(proxy.port, false, true)
  send(client, "query", true)
  await until("the server has the end", () => server.ends[0]?.ended === true)
  expect(text(server.end(0))).toBe("query")
  const before = process.memoryUsage().rss
  const block = new Uint8Array(1024 * 1024).fill(7)
  let left = size
  // One megabyte after the other, so that what waits must wait in the relay or the kernel, not
  // here.
  const server0 = server.end(0)
  const feed = (): void => {
    while (left > 0 && server0.outgoing === null) {
      left -= block.byteLength
      send(server0, block, left === 0)
    }
  }
  feed()
  await until("the server is held back", () => server0.outgoing !== null)
  expect(left).toBeGreaterThan(size / 2)
  expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024)
  client.socket.resume()
  await until("all arrived", () => (feed(), client.bytes === size), 20_000)
  await until("both ends closed it", () => over(client) && proxy.stats().sessions === 0)
  expect(proxy.stats().bytesOut).toBe(size)
})

test("D-61 relay() passes on a server's end and still takes what the client sends", async () => {
  await using proxy = await openRelay()
  using server = destination()
  await proxy.apply(to(server.port))
  const client = await connect(proxy.port)
  await until("dialled", () => server.ends.length === 1)
  send(server.end(0), "bye", true)
  await until("the client has the end", () => client.ended && text(client) === "bye")
  const size = 20 * 1024 * 1024
  send(client, new Uint8Array(size), true)
  await until("all arrived", () => server.ends[0]?.bytes === size && over(server.ends[0]))
  await until("the session is gone", () => proxy.stats().sessions === 0)
})

test("relay() keeps order and content when both directions flood and both readers are slow", async () => {
  await using proxy = await openRelay()
  using server = destination()
  await proxy.apply(to(server.port))
  const client = await connect(proxy.port)
  await until("dialled", () => server.ends.length === 1)
  const server0 = server.end(0)
  const size = 24 * 1024 * 1024
  const pattern = (seed: number): Uint8Array => {
    const words = new Uint32Array(size / 4)
    for (let i = 0; i < words.length; i++) words[i] = i * seed
    return new Uint8Array(words.buffer)
  }
  const up = pattern(3)
  const down = pattern(5)
  client.socket.pause()
  server0.socket.pause()
  send(client, up, true)
  send(server0, down, true)
  await until("both are held back", () => client.outgoing !== null && server0.outgoing !== null)
  // Bun's write() re-arms reading on a socket that could not take everything: a paused one must
  // stay paused none the less.
  client.socket.resume()
  await until("the client has all", () => client.bytes === size)
  expect(server0.bytes).toBe(0)
  expect(proxy.stats().bytesIn).toBeLessThan(size - 4 * 1024 * 1024)
  server0.socket.resume()
  await until("all arrived", () => client.bytes === size && server0.bytes === size, 20_000)
  expect(Bun.hash(Buffer.concat(server0.received))).toBe(Bun.hash(up))
  expect(Bun.hash(Buffer.concat(client.received))).toBe(Bun.hash(down))
  await until("the session is gone", () => proxy.stats().sessions === 0)
})

test("apply() cuts both sides at once, also while data is pending", async () => {
  await using proxy = await openRelay()
  using old = destination()
  using next = destination()
  await proxy.apply(to(old.port))
  const quiet = await connect(proxy.port)
  const stalled = await connect(proxy.port, false, true)
  await until("dialled", () => old.ends.length === 2)
  send(old.end(1), new Uint8Array(32 * 1024 * 1024))
  await until("held back", () => old.ends[1]?.outgoing !== null)
  const open = descriptors()
  await proxy.apply(to(next.port))
  expect(proxy.stats().sessions).toBe(0)
  expect(descriptors()).toBe(open - 4) // both sockets of both sessions, before apply() resolved
  stalled.socket.resume()
  await until("both clients know", () => quiet.closed && stalled.closed)
  await until("both servers know", () => old.ends.every((end) => end.closed))
  expect(stalled.bytes).toBeLessThan(32 * 1024 * 1024)
  const again = await connect(proxy.port)
  send(again, "x")
  await until(
    "the next destination serves",
    () => next.ends[0] !== undefined && text(next.ends[0]) === "x",
  )
  expect(old.ends.length).toBe(2)
})

test("apply() of the same destination leaves sessions alone", async () => {
  await using proxy = await openRelay()
  using server = destination()
  await proxy.apply(to(server.port))
  const client = await connect(proxy.port)
  await until("dialled", () => server.ends.length === 1)
  await proxy.apply(to(server.port))
  expect(proxy.stats().sessions).toBe(1)
  send(client, "still")
  await until("still there", () => text(server.end(0)) === "still")
})

test("apply() takes back a dial into a black hole", async () => {
  using hole = blackHole()
  using server = destination()
  await using proxy = await openRelay()
  await proxy.apply(to(hole.port))
  const fillers = synSent(hole.port)
  const client = await connect(proxy.port)
  send(client, "for the old master only")
  await until("the dial is under way", () => synSent(hole.port) === fillers + 1)
  await proxy.apply(to(server.port))
  expect(synSent(hole.port)).toBe(fillers)
  expect(proxy.stats().sessions).toBe(0)
  await until("the client knows", () => client.closed)
  expect(server.ends.length).toBe(0)
})

test("relay() gives up a dial after its bound and closes the client", async () => {
  using hole = blackHole()
  await using proxy = await openRelay(100)
  await proxy.apply(to(hole.port))
  const client = await connect(proxy.port)
  await until("the client is closed", () => over(client))
  expect(proxy.stats()).toMatchObject({ sessions: 0, dialErrors: 1 })
  client.socket.terminate()
})

test("relay() closes the client when the destination refuses", async () => {
  const gone = destination()
  gone[Symbol.dispose]()
  await using proxy = await openRelay()
  await proxy.apply(to(gone.port))
  const clients = await Promise.all(Array.from({ length: 20 }, () => connect(proxy.port)))
  for (const [i, client] of clients.entries()) if (i % 2 === 0) send(client, "early")
  await until("all closed", () => clients.every(over))
  expect(proxy.stats()).toMatchObject({ sessions: 0, dialErrors: 20 })
  for (const client of clients) client.socket.terminate()
})

test("relay() resolves a host name when it dials, and tries its next address", async () => {
  await using proxy = await openRelay()
  using server = destination() // 127.0.0.1 only, while localhost may be ::1 first
  await proxy.apply({ kind: "forward", host: "localhost", port: server.port })
  const client = await connect(proxy.port)
  send(client, "by name")
  await until("arrived", () => server.ends[0] !== undefined && text(server.ends[0]) === "by name")
  await proxy.apply({ kind: "forward", host: "no-such-host.invalid", port: server.port })
  const lost = await connect(proxy.port)
  await until("closed", () => over(lost))
  expect(proxy.stats()).toMatchObject({ sessions: 0, dialErrors: 1 })
  lost.socket.terminate()
})

test("apply() between accept and a name's answer keeps the client from the old destination", async () => {
  await using proxy = await openRelay()
  using old = destination()
  await proxy.apply({ kind: "forward", host: "localhost", port: old.port })
  const client = await connect(proxy.port)
  await until("accepted", () => proxy.stats().accepted === 1)
  const dialled = old.ends.length
  await proxy.apply({ kind: "wait", drain: null })
  expect(proxy.stats().sessions).toBe(0)
  await until("the client knows", () => over(client))
  // A second client, served after the first one's name came in, shows that nothing late was opened.
  await proxy.apply({ kind: "forward", host: "localhost", port: old.port })
  const next = await connect(proxy.port)
  send(next, "second")
  await until("served", () => old.ends.some((end) => text(end) === "second"))
  expect(old.ends.length).toBe(dialled + 1)
  client.socket.terminate()
})

test("relay() serves 500 sessions at a time and leaks none, whoever closes and however", async () => {
  await using proxy = await openRelay()
  using server = destination(true, (end) => send(end, "hello"))
  await proxy.apply(to(server.port))
  const before = descriptors()
  const clients = await Promise.all(Array.from({ length: 500 }, () => connect(proxy.port)))
  for (const [i, client] of clients.entries()) send(client, `client ${i}`)
  await until("all greeted", () => clients.every((client) => text(client) === "hello"))
  await until("all heard", () => server.ends.every((end) => text(end).startsWith("client ")))
  expect(new Set(server.ends.map(text)).size).toBe(500)
  expect(proxy.stats().sessions).toBe(500)
  for (let i = 0; i < 500; i++) {
    const end = i % 2 === 0 ? present(clients[i], "client") : server.end(i)
    if (i % 3 === 0) end.socket.terminate()
    else if (i % 3 === 1) end.socket.close()
    else end.socket.shutdown()
  }
  const half = (): void => {
    for (const end of [...clients, ...server.ends]) if (end.ended && !end.closed) end.socket.close()
  }
  await until("no session is left", () => (half(), proxy.stats().sessions === 0))
  for (const end of [...clients, ...server.ends]) end.socket.terminate()
  await until("no descriptor is left", () => descriptors() <= before)
})

test("relay() closes a session whose reset side had bytes under way for the other", async () => {
  await using proxy = await openRelay()
  using server = destination(false)
  await proxy.apply(to(server.port))
  const client = await connect(proxy.port, false, true)
  await until("dialled", () => server.ends.length === 1)
  send(server.end(0), new Uint8Array(32 * 1024 * 1024))
  await until("held back", () => server.ends[0]?.outgoing !== null)
  server.end(0).socket.terminate()
  client.socket.resume()
  await until("the client knows", () => over(client))
  expect(client.bytes).toBe(proxy.stats().bytesOut) // all that had been taken from the server
  client.socket.terminate()
  await until("the session is gone", () => proxy.stats().sessions === 0)
})

test("relay() passes on an end that came before the dial was done", async () => {
  await using proxy = await openRelay()
  using server = destination()
  await proxy.apply({ kind: "forward", host: "localhost", port: server.port })
  const client = await connect(proxy.port)
  client.socket.shutdown()
  await until("the server has the end", () => server.ends[0]?.ended === true)
  send(server.end(0), "bye", true)
  await until("the client has the answer", () => text(client) === "bye" && over(client))
  await until("the session is gone", () => proxy.stats().sessions === 0)
})

test("relay() cuts a reader that takes nothing for long after the other side is gone", async () => {
  await using proxy = await openRelay(5_000, 50)
  using server = destination(false)
  await proxy.apply(to(server.port))
  const client = await connect(proxy.port)
  await until("dialled", () => server.ends.length === 1)
  server.end(0).socket.pause()
  send(client, new Uint8Array(32 * 1024 * 1024))
  await until("held back", () => client.outgoing !== null)
  client.socket.terminate()
  await until("the session is gone", () => proxy.stats().sessions === 0)
})

test("unlisten() leaves sessions, listen() opens the same port again, a taken port throws", async () => {
  using server = destination()
  const options = {
    host: local,
    dialTimeout: millis(1000),
    keepalive: { idle: 0, interval: 0, count: 0 },
    hold: { timeout: millis(0), max: 0 },
    max: 0,
    prefaced: false,
  }
  await using first = relay({ ...options, port: 0 })
  await first.listen()
  const { port } = first
  await using proxy = relay({ ...options, port })
  expect(proxy.listen()).rejects.toThrow()
  await first.unlisten()
  await proxy.listen()
  await proxy.apply(to(server.port))
  const client = await connect(port)
  await until("dialled", () => server.ends.length === 1)
  await proxy.unlisten()
  expect(proxy.listening).toBe(false)
  expect(connect(port)).rejects.toThrow()
  send(client, "still")
  await until("the session lives", () => text(server.end(0)) === "still")
  await proxy.listen()
  expect(proxy.port).toBe(port)
  const second = await connect(port)
  send(second, "again")
  await until(
    "it serves again",
    () => server.ends[1] !== undefined && text(server.ends[1]) === "again",
  )
})
