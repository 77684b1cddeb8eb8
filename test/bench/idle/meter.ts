/**
 * What one component says to etcd, counted on its way: a TCP relay that knows enough of HTTP/2 to
 * tell how many calls were begun. A watch is one call however long it lasts; what comes through it
 * counts as bytes.
 */
import { type Socket, connect, createServer } from "node:net"

export interface Traffic {
  /** Calls begun by the client. */
  readonly requests: number
  /** Bytes from the client, and to it. */
  readonly sent: number
  readonly received: number
}

export interface Meter extends AsyncDisposable {
  readonly endpoints: readonly string[]
  now(): Traffic
}

/** A relay to each port; a component is told all of them. */
export async function startMeter(toPorts: readonly number[]): Promise<Meter> {
  const total = { requests: 0, sent: 0, received: 0 }
  const relays: Relay[] = []
  for (const port of toPorts) relays.push(await startRelay(port, total))
  return {
    endpoints: relays.map(({ port }) => `http://127.0.0.1:${port}`),
    now: () => ({ ...total }),
    async [Symbol.asyncDispose]() {
      for (const relay of relays) await relay[Symbol.asyncDispose]()
    },
  }
}

interface Relay extends AsyncDisposable {
  readonly port: number
}

type Total = { -readonly [Key in keyof Traffic]: Traffic[Key] }

async function startRelay(toPort: number, total: Total): Promise<Relay> {
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(toPort, "127.0.0.1")
    const calls = counter(() => total.requests++)
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true)
      sockets.add(socket)
      socket.on("error", () => {})
      socket.on("close", () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    client.on("data", (chunk) => {
      total.sent += chunk.length
      calls(typeof chunk === "string" ? Buffer.from(chunk) : chunk)
      if (!upstream.write(chunk)) client.pause()
    })
    upstream.on("data", (chunk) => {
      total.received += chunk.length
      if (!client.write(chunk)) upstream.pause()
    })
    client.on("drain", () => upstream.resume())
    upstream.on("drain", () => client.resume())
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

/** The text that every client begins with; then come frames. */
const prefaceBytes = 24
const headerBytes = 9
const headersFrame = 1

/** Calls `begun` for each HEADERS frame of a client's stream. */
function counter(begun: () => void): (chunk: Uint8Array) => void {
  let skip = prefaceBytes
  const header = new Uint8Array(headerBytes)
  let have = 0
  return (chunk) => {
    for (let at = 0; at < chunk.length;) {
      if (skip > 0) {
        const step = Math.min(skip, chunk.length - at)
        skip -= step
        at += step
        continue
      }
      header[have++] = chunk[at++] ?? 0
      if (have < headerBytes) continue
      have = 0
      const [high = 0, middle = 0, low = 0, type] = header
      skip = high * 65_536 + middle * 256 + low
      if (type === headersFrame) begun()
    }
  }
}
