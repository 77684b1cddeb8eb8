/**
 * Clients that find no destination: they wait, they are led on in order, or they are told why not.
 */
import { expect, test } from "bun:test"

import { cancelRequest, gssRequest, lastWord, packet, sslRequest, startup } from "./postgres.ts"
import {
  blackHole,
  connect,
  destination,
  type End,
  fence,
  holdingRelay,
  openRelay,
  over,
  send,
  synSent,
  text,
  to,
  until,
} from "./world.ts"

const word = (end: End) => lastWord(Buffer.concat(end.received))

test("D-63 relay() holds clients while there is no destination, and leads them on in their order", async () => {
  await using proxy = await holdingRelay()
  using server = destination()
  const clients: End[] = []
  for (let i = 0; i < 20; i++) {
    const client = await connect(proxy.port)
    send(client, `client ${i}`)
    clients.push(client)
    await until("held", () => proxy.stats().held === i + 1)
  }
  expect(proxy.stats()).toMatchObject({ sessions: 0, held: 20, heldTotal: 20, refused: 0 })
  await until(
    "heard",
    () => proxy.stats().bytesIn === clients.map((_, i) => `client ${i}`).join("").length,
  )
  await proxy.apply(to(server.port))
  await until(
    "all served",
    () => server.ends.every((end) => end.bytes > 0) && server.ends.length === 20,
  )
  expect(server.ends.map(text)).toEqual(clients.map((_, i) => `client ${i}`))
  expect(proxy.stats()).toMatchObject({ sessions: 20, held: 0, heldTotal: 20 })
  send(server.end(3), "hello")
  await until("answered", () => text(clients[3] as End) === "hello")
  send(clients[3] as End, "more")
  await until("and on", () => text(server.end(3)) === "client 3more")
})

test("relay() forgets a held client that goes away, however it goes", async () => {
  await using proxy = await holdingRelay()
  using server = destination()
  const clients = await Promise.all([0, 1, 2, 3].map(() => connect(proxy.port)))
  for (const client of clients) send(client, startup)
  await until("held", () => proxy.stats().held === 4)
  clients[0]?.socket.terminate()
  clients[1]?.socket.shutdown()
  clients[2]?.socket.close()
  await until("one is left", () => proxy.stats().held === 1)
  await proxy.apply(to(server.port))
  await until("it is served", () => server.ends.length === 1 && server.end(0).bytes > 0)
  expect(proxy.stats()).toMatchObject({ sessions: 1, held: 0 })
})

test("relay() keeps a bounded part of what a held client sends", async () => {
  await using proxy = await holdingRelay()
  using server = destination()
  const client = await connect(proxy.port)
  const size = 32 * 1024 * 1024
  send(client, new Uint8Array(size).fill(1))
  await until("held back", () => client.outgoing !== null)
  expect(proxy.stats().bytesIn).toBeLessThan(1024 * 1024)
  await proxy.apply(to(server.port))
  await until("all arrived", () => server.ends[0]?.bytes === size)
})

test("relay() tells a client that waited in vain 57P03, and ends gracefully", async () => {
  await using proxy = await holdingRelay(150)
  const client = await connect(proxy.port)
  send(client, startup)
  await until("held", () => proxy.stats().held === 1)
  await until("told", () => client.ended)
  const said = word(client)
  expect(said?.whole).toBe(true)
  expect(Object.fromEntries(said?.fields ?? [])).toMatchObject({
    S: "FATAL",
    V: "FATAL",
    C: "57P03",
    M: "the database system is not available: no primary for 0.15 s",
  })
  expect(said?.fields.get("H")).toContain("Connect again")
  // What it sends meanwhile must not turn the word into a reset.
  send(client, new Uint8Array(1024 * 1024), true)
  await until("all over", () => over(client) && client.outgoing === null)
  expect(proxy.stats()).toMatchObject({ sessions: 0, held: 0, holdTimeouts: 1 })
})

test("relay() declines encryption first when a client asks for it, also in pieces", async () => {
  await using proxy = await holdingRelay(50)
  const client = await connect(proxy.port)
  send(client, gssRequest)
  await until("declined", () => text(client) === "N")
  send(client, sslRequest.subarray(0, 3))
  send(client, sslRequest.subarray(3))
  await until("declined again", () => text(client) === "NN")
  for (const byte of startup) send(client, new Uint8Array([byte]))
  await until("told", () => client.ended)
  const all = Buffer.concat(client.received)
  expect(lastWord(all.subarray(2))?.fields.get("C")).toBe("57P03")
  client.socket.terminate()
})

test("relay() closes who asks for a cancel, speaks something else or nothing, within the bound", async () => {
  await using proxy = await holdingRelay(100)
  const words = [cancelRequest, packet(131_072), Buffer.from("GET / HTTP/1.1\r\n\r\n"), null]
  const clients: End[] = []
  for (const one of words) {
    const client = await connect(proxy.port)
    if (one !== null) send(client, one)
    clients.push(client)
  }
  await until("all closed", () => clients.every(over))
  expect(clients.map((client) => client.bytes)).toEqual([0, 0, 0, 0])
  expect(proxy.stats()).toMatchObject({ held: 0, holdTimeouts: 3 })
})

test("relay() tells those beyond hold.max at once", async () => {
  await using proxy = await holdingRelay(30_000, 2)
  using server = destination()
  const clients: End[] = []
  for (let i = 0; i < 4; i++) {
    const client = await connect(proxy.port)
    send(client, startup)
    clients.push(client)
    await until("accepted", () => proxy.stats().accepted === i + 1)
  }
  await until("two are told", () => clients.filter((client) => client.ended).length === 2)
  expect(clients.map((client) => word(client)?.fields.get("C"))).toEqual([
    undefined,
    undefined,
    "57P03",
    "57P03",
  ])
  expect(proxy.stats()).toMatchObject({ held: 2, refused: 2, holdTimeouts: 0 })
  await proxy.apply(to(server.port))
  await until("two are served", () => server.ends.length === 2)
})

test("apply() takes a client back whose destination has not heard of it, and leads it on", async () => {
  using hole = blackHole()
  using silent = destination()
  using server = destination()
  await using proxy = await holdingRelay()
  await proxy.apply(to(hole.port))
  const fillers = synSent(hole.port)
  const early = await connect(proxy.port)
  send(early, "for whoever comes")
  await until("the dial is under way", () => synSent(hole.port) === fillers + 1)
  await proxy.apply(fence)
  expect(synSent(hole.port)).toBe(fillers)
  expect(proxy.stats()).toMatchObject({ sessions: 0, held: 1, cut: 0 })
  await proxy.apply(to(silent.port))
  await until("it spoke", () => silent.ends[0]?.bytes === 17)
  const quiet = await connect(proxy.port) // connected, and has said nothing yet
  await until("dialled", () => silent.ends.length === 2)
  await proxy.apply(fence)
  expect(proxy.stats()).toMatchObject({ sessions: 0, held: 1, cut: 1 })
  await until("the first knows", () => over(early))
  await until("the old one knows", () => silent.ends.every(over))
  await proxy.apply(to(server.port))
  send(quiet, "x")
  await until("served", () => server.ends[0] !== undefined && text(server.ends[0]) === "x")
  expect([early.bytes, silent.end(1).bytes]).toEqual([0, 0])
})

test("relay() holds nobody with the timeout 0", async () => {
  await using proxy = await openRelay()
  const client = await connect(proxy.port)
  send(client, startup)
  await until("closed", () => over(client))
  expect(client.bytes).toBe(0)
  expect(proxy.stats()).toMatchObject({ held: 0, heldTotal: 0, refused: 1 })
})

test("relay() ends held, refused and parting clients when it is disposed of", async () => {
  const clients: End[] = []
  {
    await using proxy = await holdingRelay(30_000, 1)
    clients.push(await connect(proxy.port))
    await until("held", () => proxy.stats().held === 1)
    clients.push(await connect(proxy.port))
    await until("refused", () => proxy.stats().refused === 1)
    const told = await connect(proxy.port)
    send(told, startup)
    await until("parting", () => told.ended)
    clients.push(told)
  }
  await until("all closed", () => clients.every(over))
})
