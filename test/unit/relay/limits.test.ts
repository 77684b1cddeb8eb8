/** What the relay takes from the system: descriptors, and keepalive on the sockets it accepts. */
import { dlopen } from "bun:ffi"
import { expect, test } from "bun:test"
import { readdirSync, readFileSync } from "node:fs"

import { millis } from "#base/brand.ts"
import type { Histogram } from "#base/histogram.ts"
import { relay } from "#relay/relay.ts"

import {
  connect,
  destination,
  drainFor,
  fence,
  hex,
  local,
  over,
  relayWith,
  send,
  text,
  to,
  until,
} from "./world.ts"

test("relay() neither ends nor spins when descriptors run out, and serves again when there are some", async () => {
  using server = destination()
  const limited = `${import.meta.dir}/limited.ts`
  await using child = Bun.spawn(
    ["sh", "-c", `ulimit -n 96 && exec "${process.execPath}" "${limited}" ${server.port}`],
    { stdin: "pipe", stdout: "pipe", stderr: "inherit" },
  )
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader()
  const port = Number((await lines.read()).value)
  const clients = await Promise.all(Array.from({ length: 150 }, () => connect(port)))
  for (const client of clients) send(client, "hello")
  await until("each client is served or closed", () => {
    const heard = server.ends.filter((end) => text(end) === "hello").length
    return heard >= 20 && heard + clients.filter(over).length === 150
  })
  const spent = (): number => {
    const fields = readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? []
    return Number(fields[11]) + Number(fields[12])
  }
  const before = spent()
  // A span to measure, not a condition to wait for: spinning would spend all 30 ticks of it.
  await Bun.sleep(300)
  expect(spent() - before).toBeLessThan(10)
  for (const client of clients) client.socket.terminate()
  let again = await connect(port)
  await until("somebody is served again", () => {
    if (over(again)) void connect(port).then((next) => (again = next))
    else if (again.outgoing === null && again.bytes === 0) send(again, "again")
    return server.ends.some((end) => text(end).startsWith("again"))
  })
  expect(child.exitCode).toBe(null)
  await child.stdin.end()
  expect(await child.exited).toBe(0)
})

test("relay() gives accepted sockets the keepalive that was asked for", async () => {
  using server = destination()
  await using proxy = relay({
    host: local,
    port: 0,
    dialTimeout: millis(1000),
    keepalive: { idle: 77, interval: 7, count: 3 },
    hold: { timeout: millis(0), max: 0 },
    max: 0,
    prefaced: false,
  })
  await proxy.listen()
  await proxy.apply(to(server.port))
  const client = await connect(proxy.port)
  await until("dialled", () => server.ends.length === 1)
  // /proc/net/tcp: timer 02 is keepalive, its time in hundredths of a second.
  const timer = readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .find(
      ([, from, peer]) =>
        from?.endsWith(hex(proxy.port)) && peer?.endsWith(hex(client.socket.localPort)),
    )?.[5]
  const [kind, left] = (timer ?? "").split(":")
  expect(kind).toBe("02")
  expect(parseInt(left ?? "", 16) / 100).toBeWithin(70, 78)
})

/** How many sockets of this process have this TCP_USER_TIMEOUT. */
function withUserTimeout(wanted: number): number {
  const libc = dlopen("libc.so.6", {
    getsockopt: { args: ["int", "int", "int", "ptr", "ptr"], returns: "int" },
  })
  const value = new Int32Array(1)
  const found = readdirSync("/proc/self/fd").filter((fd) => {
    value[0] = -1
    const done = libc.symbols.getsockopt(Number(fd), 6, 18, value, new Int32Array([4]))
    return done === 0 && value[0] === wanted
  })
  libc.close()
  return found.length
}

test("relay() gives up connections that leave bytes unacknowledged, on both sides, when asked to", async () => {
  for (const userTimeout of [12_345, 0]) {
    using server = destination()
    await using proxy = await relayWith({ userTimeout: millis(userTimeout) })
    await proxy.apply(to(server.port))
    await connect(proxy.port)
    await until("dialled", () => server.ends.length === 1)
    // the listener's is what accepted sockets begin with
    expect(withUserTimeout(12_345)).toBe(userTimeout === 0 ? 0 : 3)
  }
})

test("relay() tells how long connects and waits took, and why it cut", async () => {
  using server = destination()
  await using proxy = await relayWith({ hold: { timeout: millis(30_000), max: 10 } })
  const count = ({ counts }: Histogram): number => counts.reduce((sum, each) => sum + each, 0)
  const client = await connect(proxy.port)
  send(client, "waits")
  await until("held", () => proxy.stats().held === 1)
  expect([count(proxy.stats().holds), count(proxy.stats().dials)]).toEqual([0, 0])
  await proxy.apply(to(server.port))
  await until("led", () => server.ends[0]?.bytes === 5)
  const { holds, dials } = proxy.stats()
  expect([count(holds), count(dials)]).toEqual([1, 1])
  expect(holds.sum).toBeGreaterThan(0)
  await proxy.apply(fence)
  const second = await connect(proxy.port)
  await proxy.apply(to(server.port))
  send(second, "x")
  await until("led", () => server.ends[1]?.bytes === 1)
  const drained = proxy.apply(drainFor(1))
  expect(await drained).toBe("done")
  const none = { "led-away": 0, bound: 0, overdue: 0, worker: 0 }
  expect(proxy.stats()).toMatchObject({ cut: 2, cutBy: { ...none, "led-away": 1, bound: 1 } })
  for (const each of [client, second]) each.socket.terminate()
})
