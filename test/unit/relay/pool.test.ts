/**
 * A relay of several processes: it promises what one does, whatever becomes of a worker. The
 * workers are real processes and run the real command.
 */
import { expect, test } from "bun:test"

import { present } from "#base/assert.ts"
import { millis } from "#base/brand.ts"
import { pool } from "#relay/pool.ts"
import { bootMillis } from "#system/libc.ts"
import {
  type End,
  connect,
  destination,
  drainFor,
  fence,
  local,
  over,
  send,
  text,
  to,
  until,
} from "./world.ts"
import { realWorkers } from "./workers.ts"

const options = {
  host: local,
  port: 0,
  dialTimeout: millis(5_000),
  keepalive: { idle: 0, interval: 0, count: 0 },
  hold: { timeout: millis(30_000), max: 100 },
  max: 0,
  prefaced: false,
}

const { start, started } = realWorkers()

const setup = { primary: options, reads: null }

const opened = async (count = 2, patience = 3_000) => {
  const all = pool(setup, count, start, { patience: millis(patience) })
  await all.relay.listen()
  return all
}

/** As many clients as it takes for each worker to have one. */
async function clientsOf(port: number, server: { readonly ends: readonly End[] }, count = 24) {
  const clients = await Promise.all(Array.from({ length: count }, () => connect(port)))
  for (const client of clients) send(client, "hello")
  await until(
    "all led",
    () => server.ends.filter((end) => end.bytes === 5).length === count,
    20_000,
  )
  return clients
}

test("pool() shares one port out to its workers, and answers for all of them", async () => {
  await using all = await opened()
  const proxy = all.relay
  using server = destination()
  await proxy.apply(to(server.port))
  const clients = await clientsOf(proxy.port, server)
  for (const end of server.ends) send(end, "answer")
  await until("answered", () => clients.every((client) => text(client) === "answer"))
  await until("counted", () => proxy.stats().sessions === clients.length)
  expect(await proxy.apply(fence)).toBe("done")
  await until("all cut", () => clients.every(over) && server.ends.every(over))
  expect(proxy.stats()).toMatchObject({ sessions: 0, accepted: clients.length })
}, 60_000)

test("pool() kills a worker that does not do as it is told before it says that it is done", async () => {
  await using all = await opened(2, 500)
  const proxy = all.relay
  using server = destination()
  await proxy.apply(to(server.port))
  const clients = await clientsOf(proxy.port, server)
  const frozen = present(started.at(-1), "a worker")
  process.kill(frozen.pid, "SIGSTOP")
  expect(await proxy.apply(fence)).toBe("done")
  expect(() => process.kill(frozen.pid, 0)).toThrow() // gone, not only told to go
  await until("all cut", () => clients.every(over) && server.ends.every(over))
}, 60_000)

test("pool() replaces a worker that ends, and the next one leads where the others do", async () => {
  await using all = await opened()
  const proxy = all.relay
  using server = destination()
  await proxy.apply(to(server.port))
  const before = started.length
  process.kill(present(started.at(-1), "a worker").pid, "SIGKILL")
  await until("another one", () => started.length === before + 1, 20_000)
  const clients = await clientsOf(proxy.port, server)
  expect(await proxy.apply(fence)).toBe("done")
  await until("all cut", () => clients.every(over))
}, 60_000)

test("pool() drains in all workers, and says so when it was overtaken", async () => {
  await using all = await opened()
  const proxy = all.relay
  using server = destination()
  await proxy.apply(to(server.port))
  const clients = await clientsOf(proxy.port, server)
  const draining = proxy.apply(drainFor(60_000)) // they never begin a session, so none is idle
  await until("nobody left yet", () => proxy.stats().sessions === clients.length)
  expect(await proxy.apply(to(server.port))).toBe("done")
  expect(await draining).toBe("overtaken")
  for (const end of server.ends) send(end, "still here")
  await until("they go on", () => clients.every((client) => text(client) === "still here"))
}, 60_000)

test("a worker cuts by itself when its proxy is frozen past the time it gave", async () => {
  await using all = await opened(1)
  const proxy = all.relay
  using server = destination()
  await proxy.apply(to(server.port))
  const clients = await clientsOf(proxy.port, server, 3)
  proxy.allow(millis(bootMillis() + 100)) // and nothing more is heard of the proxy
  await until("all cut", () => clients.every(over))
}, 60_000)

test("pool() refuses a port that somebody has, and shares none with a stranger", async () => {
  await using first = await opened(1)
  const taken = { ...options, port: first.relay.port }
  await using second = pool({ primary: taken, reads: null }, 1, start)
  await expect(second.relay.listen()).rejects.toThrow()
  expect(second.relay.listening).toBe(false)
}, 60_000)

test("pool() leads reads to standbys and, where there is none, to the primary, whichever worker it is", async () => {
  const both = { primary: options, reads: { options, fallback: true } }
  await using all = pool(both, 2, start, { patience: millis(3_000) })
  const { relay, readers } = all
  const reads = present(readers, "a listener for reads")
  await relay.listen()
  await reads.listen()
  using primary = destination()
  using standby = destination()
  await relay.apply(to(primary.port))
  await clientsOf(reads.port, primary, 12)
  // a judge of standbys knows more of each, and not all of that is JSON
  const judged = { host: local, port: standby.port, lag: 5n }
  await reads.apply({ to: [[judged]], leaving: [judged] })
  const clients = await clientsOf(reads.port, standby, 12)
  await until("counted", () => reads.passed === 12 && reads.stats().sessions === 12)
  // the one that began after it knows where reads go as well
  const before = started.length
  process.kill(present(started.at(-1), "a worker").pid, "SIGKILL")
  await until("another one", () => started.length === before + 1, 20_000)
  await reads.apply({ to: [], leaving: [] })
  await until("all cut", () => clients.every(over))
}, 60_000)
