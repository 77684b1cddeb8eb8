/** Connections to servers that are silent, go away, or are not there: every wait ends. */
import { expect, test } from "bun:test"
import { createServer, type Server, type Socket } from "node:net"
import { millis } from "#base/brand.ts"
import { newSession, SilenceError } from "#postgres/session.ts"
import { realClock } from "#system/clock.ts"
import { until } from "../system/until.ts"

const never = new AbortController().signal

interface Listener extends AsyncDisposable {
  readonly port: number
  readonly open: () => number
}

async function listener(greet: (socket: Socket) => void): Promise<Listener> {
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
    socket.on("close", () => sockets.delete(socket))
    greet(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no port")
  return {
    port: address.port,
    open: () => sockets.size,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const sessionAt = (port: number, ms: number, onClose?: () => void) =>
  newSession(
    {
      at: { host: "127.0.0.1", port },
      user: "su",
      password: "secret",
      database: "postgres",
      parameters: {},
    },
    realClock,
    millis(ms),
    onClose,
  )

test("a server that is silent costs the timeout, and the connection is closed", async () => {
  await using silent = await listener((socket) => socket.resume())
  const session = sessionAt(silent.port, 300)
  const before = performance.now()
  const failure = await session.run("select 1", never).catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(SilenceError)
  expect(performance.now() - before).toBeLessThan(8_000)
  expect(session.closed).toBe(true)
  await until("the server sees it closed", () => silent.open() === 0)
  await expect(session.run("select 1", never)).rejects.toThrow("is closed")
})

test("aborting ends a wait with the signal's own reason", async () => {
  await using silent = await listener((socket) => socket.resume())
  const session = sessionAt(silent.port, 10_000)
  const controller = new AbortController()
  const query = session.run("select 1", controller.signal)
  await until("it is connected", () => silent.open() === 1)
  controller.abort(new Error("given up"))
  await expect(query).rejects.toThrow("given up")
  await until("the server sees it closed", () => silent.open() === 0)
})

test("a server that hangs up, or is not there, is an error at once and no second connection", async () => {
  let connections = 0
  await using rude = await listener((socket) => {
    connections++
    socket.destroy()
  })
  const session = sessionAt(rude.port, 10_000)
  const before = performance.now()
  await expect(session.run("select 1", never)).rejects.toThrow()
  expect(session.closed).toBe(true)
  await expect(session.run("select 1", never)).rejects.toThrow("is closed")
  expect(connections).toBe(1)
  await rude[Symbol.asyncDispose]()
  await expect(sessionAt(rude.port, 10_000).run("select 1", never)).rejects.toThrow("ECONNREFUSED")
  expect(performance.now() - before).toBeLessThan(8_000)
})
