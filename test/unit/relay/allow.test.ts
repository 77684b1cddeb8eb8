/**
 * The time until which clients may be led: kept by the data plane itself, on every byte, whatever
 * the loops above it do meanwhile.
 */
import { expect, test } from "bun:test"

import { millis } from "#base/brand.ts"
import { bootMillis } from "#system/libc.ts"
import { greeting, startup } from "./postgres.ts"
import {
  connect,
  destination,
  holdingRelay,
  openRelay,
  over,
  send,
  text,
  to,
  until,
} from "./world.ts"

const fromNow = (ms: number) => millis(bootMillis() + ms)
const past = () => fromNow(-1)

/** As a process does that is suspended: what comes meanwhile waits. */
function standStill(ms: number): void {
  const end = bootMillis() + ms
  while (bootMillis() < end);
}

test("relay() passes on no byte of a client after the time, not even one that came before the timer", async () => {
  await using proxy = await openRelay()
  using server = destination()
  await proxy.apply(to(server.port))
  const client = await connect(proxy.port)
  send(client, "before")
  await until("through", () => server.ends[0]?.bytes === 6)
  proxy.allow(fromNow(20))
  send(client, "after") // is there when this process, which stands still now, goes on
  standStill(40)
  await until("cut", () => over(client) && over(server.end(0)))
  expect(text(server.end(0))).toBe("before")
  expect(proxy.stats()).toMatchObject({ sessions: 0, cut: 1 })
})

test("relay() cuts by itself when the time comes, and leads new clients only with a new one", async () => {
  await using proxy = await holdingRelay()
  using server = destination()
  await proxy.apply(to(server.port))
  const client = await connect(proxy.port)
  send(client, "hello")
  await until("led", () => server.ends.length === 1 && server.end(0).bytes === 5)
  proxy.allow(fromNow(20))
  await until("cut", () => over(client))
  const late = await connect(proxy.port)
  send(late, startup)
  await until("held", () => proxy.stats().held === 1)
  expect(server.ends).toHaveLength(1)
  proxy.allow(fromNow(60_000))
  await until("led after all", () => server.ends.length === 2 && server.end(1).bytes > 0)
  expect(proxy.stats()).toMatchObject({ sessions: 1, held: 0, cut: 1 })
})

test("relay() takes back a client whose dial ends after the time, and leads it with the next", async () => {
  await using proxy = await holdingRelay()
  using server = destination()
  proxy.allow(past())
  await proxy.apply(to(server.port))
  const client = await connect(proxy.port)
  send(client, startup)
  await until("held", () => proxy.stats().held === 1)
  proxy.allow(fromNow(60_000))
  await until("led", () => server.ends.length === 1 && server.end(0).bytes > 0)
  proxy.allow(past())
  expect(proxy.stats()).toMatchObject({ sessions: 0, held: 1, cut: 0 }) // nobody has answered it
  proxy.allow(fromNow(60_000))
  await until("led again", () => server.ends.length === 2 && server.end(1).bytes > 0)
  send(server.end(1), greeting)
  await until("answered", () => client.bytes === greeting.byteLength)
  proxy.allow(past())
  await until("cut", () => over(client))
  expect(proxy.stats().cut).toBe(1)
})

test("relay() goes on without a word where the time is moved on before it comes", async () => {
  await using proxy = await openRelay()
  using server = destination()
  await proxy.apply(to(server.port))
  proxy.allow(fromNow(20))
  proxy.allow(fromNow(60_000))
  standStill(40)
  const client = await connect(proxy.port)
  send(client, "hello")
  await until("through", () => server.ends[0]?.bytes === 5)
  expect(proxy.stats().cut).toBe(0)
})
