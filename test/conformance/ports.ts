/**
 * Free TCP ports on loopback, below the range from which the kernel takes ports for outgoing
 * connections, so that a port found free is still free when a server started a moment later binds
 * it.
 */
import { createServer } from "node:net"

export async function freePorts(count: number): Promise<readonly number[]> {
  const found: number[] = []
  while (found.length < count) {
    const port = 10_000 + Math.floor(Math.random() * 22_000)
    if (!found.includes(port) && (await isFree(port))) found.push(port)
  }
  return found
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once("error", () => resolve(false))
    server.listen({ port, host: "127.0.0.1" }, () => server.close(() => resolve(true)))
  })
