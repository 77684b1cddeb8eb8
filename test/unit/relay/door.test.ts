/**
 * How clients come in: no more than there may be, and with the word of the load balancer before
 * them where there is one.
 */
import { expect, test } from "bun:test"

import { lastWord, startup } from "./postgres.ts"
import {
  connect,
  destination,
  drainFor,
  type End,
  fence,
  over,
  relayWith,
  send,
  text,
  to,
  until,
} from "./world.ts"

const word = (end: End) => lastWord(Buffer.concat(end.received))
const header = "PROXY TCP4 192.0.2.7 10.0.0.1 56789 5432\r\n"

test("D-60 relay() tells the client that is one too many 53300, and lets the next in when one has gone", async () => {
  await using proxy = await relayWith({ max: 2 })
  using server = destination()
  await proxy.apply(to(server.port))
  const [first] = [await connect(proxy.port), await connect(proxy.port)]
  await until("two are led", () => server.ends.length === 2)
  const third = await connect(proxy.port)
  send(third, startup)
  await until("told", () => over(third))
  expect(word(third)?.fields.get("C")).toBe("53300")
  expect(proxy.stats()).toMatchObject({ sessions: 2, refused: 1 })
  first.socket.terminate()
  await until("one has gone", () => proxy.stats().sessions === 1)
  await connect(proxy.port)
  await until("the next is led", () => server.ends.length === 3)
})

test("relay() counts those that wait among those that may be there", async () => {
  await using proxy = await relayWith({ max: 2 })
  for (let i = 0; i < 2; i++) send(await connect(proxy.port), startup)
  await until("held", () => proxy.stats().held === 2)
  const third = await connect(proxy.port)
  send(third, startup)
  await until("told", () => over(third))
  expect(word(third)?.fields.get("C")).toBe("53300")
})

test("relay() takes a load balancer's header off, in pieces or together with what follows, and leads on the rest", async () => {
  await using proxy = await relayWith({ prefaced: true })
  using server = destination()
  await proxy.apply(to(server.port))
  const whole = await connect(proxy.port)
  send(whole, `${header}hello`)
  await until("led", () => server.ends.length === 1 && server.end(0).bytes === 5)
  expect(text(server.end(0))).toBe("hello")
  const pieces = await connect(proxy.port)
  for (const piece of [header.slice(0, 7), header.slice(7, 30), header.slice(30)]) {
    const before = proxy.stats().bytesIn
    send(pieces, piece)
    await until("heard", () => proxy.stats().bytesIn === before + piece.length)
  }
  await until("led with nothing said", () => server.ends.length === 2)
  send(pieces, "world")
  await until("passed on", () => server.end(1).bytes === 5)
  send(server.end(1), "answer")
  await until("answered", () => text(pieces) === "answer")
})

test("relay() closes whoever says no header, or only half of one, and leads none of it", async () => {
  await using proxy = await relayWith({ prefaced: true })
  using server = destination()
  await proxy.apply(to(server.port))
  const bare = await connect(proxy.port)
  send(bare, startup)
  await until("closed", () => over(bare))
  const half = await connect(proxy.port)
  send(half, header.slice(0, 10), true)
  await until("closed, too", () => over(half))
  expect(server.ends).toHaveLength(0)
  expect(proxy.stats()).toMatchObject({ sessions: 0, accepted: 0, refused: 1 })
})

test("relay() lets those that have not said their header wait for nothing and hold up no drain", async () => {
  await using proxy = await relayWith({ prefaced: true })
  using server = destination()
  await proxy.apply(to(server.port))
  const silent = await connect(proxy.port)
  expect(await proxy.apply(drainFor(60_000))).toBe("done")
  expect(await proxy.apply(fence)).toBe("done")
  send(silent, `${header}hello`)
  await until("it waits", () => proxy.stats().held === 1)
  await proxy.apply(to(server.port))
  await until("led", () => server.ends.length === 1 && server.end(0).bytes === 5)
})
