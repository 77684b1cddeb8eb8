/**
 * The way out for the Dockerfile's apt-get, and for nothing else. The engine lives in a network
 * namespace that has none, so that it cannot touch this machine's firewall and bridges. A socket in
 * the file system is the same in there and out here: outside an HTTP proxy answers on it, inside a
 * port of the loopback leads to it.
 *
 * What comes through is signed, and apt checks it. Only GET is answered.
 */
import { type IncomingMessage, type ServerResponse, createServer } from "node:http"
import { createConnection, createServer as createPipe } from "node:net"
import { rm } from "node:fs/promises"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"

/** The port of the loopback inside; nobody else is there. */
export const gatewayPort = 3142

/** Outside: answers on the socket until disposed. */
export async function openGateway(path: string): Promise<AsyncDisposable> {
  await rm(path, { force: true })
  const server = createServer((request, response) => void answer(request, response))
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return {
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await rm(path, { force: true })
    },
  }
}

/** What a cache or a proxy on the way may know; the rest of the headers is apt's own business. */
const passed = ["if-modified-since", "range", "if-range", "cache-control", "user-agent"]
const returned = ["content-length", "content-type", "last-modified", "content-range", "date"]

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    if (request.method !== "GET") return void response.writeHead(405).end()
    const headers = Object.fromEntries(
      passed.flatMap((name) => {
        const value = request.headers[name]
        return typeof value === "string" ? [[name, value]] : []
      }),
    )
    const found = await fetch(request.url ?? "", { headers, decompress: false })
    const back = returned.flatMap((name) => {
      const value = found.headers.get(name)
      return value === null ? [] : [[name, value] as const]
    })
    response.writeHead(found.status, Object.fromEntries(back))
    if (found.body === null) response.end()
    else await pipeline(Readable.fromWeb(found.body), response)
  } catch (error) {
    if (response.headersSent) response.destroy()
    else response.writeHead(502).end(`${String(error)}\n`)
  }
}

/** Inside: leads the port to the socket until the namespace ends. */
export async function joinGateway(path: string): Promise<void> {
  const server = createPipe((client) => {
    const out = createConnection(path)
    const end = (): void => {
      client.destroy()
      out.destroy()
    }
    client.on("error", end).pipe(out)
    out.on("error", end).pipe(client)
  })
  await new Promise<void>((resolve) => server.listen(gatewayPort, "127.0.0.1", resolve))
  server.unref()
}
