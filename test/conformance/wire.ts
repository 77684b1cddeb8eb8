/**
 * A TCP connection that can be made to fail: between a client and its server, it passes everything,
 * swallows the answers, swallows everything, or refuses. The server is real, only the way to it is
 * bad.
 */
import { type Socket, connect, createServer } from "node:net"

export type WireMode =
  | "pass"
  | "mute" // requests arrive, answers do not
  | "hang" // connections are accepted and nothing arrives
  | "refuse" // connections are cut at once

export interface Wire extends AsyncDisposable {
  readonly endpoint: string
  readonly port: number
  /** Changes the mode. Connections that lost bytes are cut by the change. */
  set(mode: WireMode): void
  /** Makes black holes of the connections that there are; new ones pass. */
  freeze(): void
  /** Chunks of answers that were not passed on. */
  readonly swallowed: number
  /** Bytes of answers that were. */
  readonly passed: number
}

export async function startWire(toPort: number): Promise<Wire> {
  let mode: WireMode = "pass"
  let swallowed = 0
  let passed = 0
  const pairs = new Set<readonly [Socket, Socket]>()
  const frozen = new WeakSet<Socket>()
  const cut = (): void => {
    for (const pair of pairs) for (const socket of pair) socket.destroy()
    pairs.clear()
  }
  const server = createServer((client) => {
    client.on("error", () => {})
    if (mode === "refuse") {
      client.destroy()
      return
    }
    const upstream = connect(toPort, "127.0.0.1")
    upstream.on("error", () => client.destroy())
    const pair = [client, upstream] as const
    pairs.add(pair)
    client.on("data", (chunk) => {
      if (mode !== "hang" && !frozen.has(client)) upstream.write(chunk)
    })
    upstream.on("data", (chunk) => {
      if (mode === "pass" && !frozen.has(client)) {
        passed += chunk.length
        client.write(chunk)
      } else swallowed++
    })
    const over = (): void => {
      pairs.delete(pair)
      client.destroy()
      upstream.destroy()
    }
    client.on("close", over)
    upstream.on("close", over)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  return {
    endpoint: `http://127.0.0.1:${port}`,
    port,
    set(next) {
      const lossy = mode !== "pass"
      mode = next
      if (lossy || next === "refuse") cut()
    },
    freeze() {
      for (const [client] of pairs) frozen.add(client)
    },
    get swallowed() {
      return swallowed
    },
    get passed() {
      return passed
    },
    async [Symbol.asyncDispose]() {
      cut()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}
