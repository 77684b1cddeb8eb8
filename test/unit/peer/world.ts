/** Endpoints on loopback for the tests of `lib/peer`, and a peer that says what a test wants. */
import { type Server, type Socket, createServer } from "node:net"
import { millis } from "#base/brand.ts"
import type { ClusterUID, Epoch } from "#model/ids.ts"
import { dbUID, keeperUID } from "#model/ids.ts"
import { type EndpointOptions, openPeerEndpoint } from "#peer/serve.ts"
import type { PeerEndpoint, PeerHandlers, PromiseQuestion } from "#port/peer.ts"

export const local = "127.0.0.1"
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- test data
export const cluster = "c1" as ClusterUID

export const question: PromiseQuestion = {
  cluster,
  epoch: "e1" as Epoch,
  db: dbUID("db1"),
  asker: keeperUID("k1"),
  asked: keeperUID("k2"),
  width: millis(2_500),
}

export async function endpoint(
  handlers: PeerHandlers | null,
  change: Partial<EndpointOptions> = {},
): Promise<PeerEndpoint> {
  const opened = await openPeerEndpoint({
    listen: { host: local, port: 0 },
    advertise: local,
    password: "secret",
    ...change,
  })
  if (handlers !== null) opened.answer({ cluster: () => cluster, ...handlers })
  return opened
}

/** Whoever connects is handed to `talk`. */
export async function stranger(
  talk: (socket: Socket) => void,
): Promise<AsyncDisposable & { readonly address: string; readonly sockets: readonly Socket[] }> {
  const sockets: Socket[] = []
  const server: Server = createServer((socket) => {
    sockets.push(socket)
    socket.on("error", () => undefined)
    talk(socket)
  })
  await new Promise<void>((resolve) => server.listen({ host: local, port: 0 }, resolve))
  const at = server.address()
  if (at === null || typeof at === "string") throw new Error("no port")
  return {
    address: `${local}:${at.port}`,
    sockets,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** An address that nobody listens at. */
export async function vacant(): Promise<string> {
  const gone = await stranger(() => undefined)
  await gone[Symbol.asyncDispose]()
  return gone.address
}
