/**
 * The answering side of `lib/port/peer.ts`: a few paths over HTTP, one request a connection.
 *
 * Whoever connects can hold what is bounded and no more: so many connections (the oldest gives
 * way), so many bytes, so many seconds for the whole request. `attend` is the exception that others
 * rely on: it is never answered and never timed out, so that its end tells of ours. Nothing that
 * comes in may end the process.
 */
import { type Server, type Socket, createServer } from "node:net"
import type { ClusterUID } from "#model/ids.ts"
import type { PeerEndpoint, PeerHandlers } from "#port/peer.ts"
import { MalformedError, type Message, parseMessage, printMessage } from "./http.ts"
import {
  keyring,
  paths,
  printAnswered,
  printLease,
  readAsked,
  sign,
  signatureHeader,
  signed,
} from "./wire.ts"

export interface EndpointOptions {
  /** Where to listen; an empty host means all interfaces, port 0 a free one. */
  readonly listen: { readonly host: string; readonly port: number }
  /** The host that others reach us at. */
  readonly advertise: string
  /** The replication user's; empty: promises are declined, since nobody could believe them. */
  readonly password: string
}

const requestTime = 5_000
/** More clusters than these keepers and sentinels have do not exist. */
const askersMax = 64
const attendedMax = 128
/** For hosts that vanished while they listened: they would stay for ever. */
const keepaliveAfter = 60_000
const nudgePause = 100

interface Endpoint {
  readonly options: EndpointOptions
  handlers: PeerHandlers | null
  /** Oldest first. */
  readonly askers: Set<Socket>
  readonly attended: Set<Socket>
  readonly nudge: { last: number; timer: ReturnType<typeof setTimeout> | null }
  readonly keyOf: (cluster: ClusterUID) => Buffer
}

interface Reply {
  readonly status: number
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}
const plain = (status: number, body: string): Reply => ({ status, body: `${body}\n` })

/** Listens; throws when the address cannot be had. */
export async function openPeerEndpoint(options: EndpointOptions): Promise<PeerEndpoint> {
  const endpoint: Endpoint = {
    options,
    handlers: null,
    askers: new Set(),
    attended: new Set(),
    nudge: { last: Number.NEGATIVE_INFINITY, timer: null },
    keyOf: keyring(options.password),
  }
  const server = createServer((socket) => accept(endpoint, socket))
  const port = await listening(server, options.listen)
  const { advertise } = options
  return {
    address: `${advertise.includes(":") ? `[${advertise}]` : advertise}:${port}`,
    answer: (handlers) => {
      endpoint.handlers = handlers
    },
    [Symbol.asyncDispose]: async () => {
      if (endpoint.nudge.timer !== null) clearTimeout(endpoint.nudge.timer)
      const ended = new Promise((resolve) => server.close(resolve))
      for (const socket of [...endpoint.askers, ...endpoint.attended]) socket.destroy()
      await ended
    },
  }
}

function listening(server: Server, { host, port }: EndpointOptions["listen"]): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject)
    server.listen(host === "" ? { port } : { host, port }, () => {
      server.removeListener("error", reject)
      server.on("error", () => undefined) // of one accept; the next may be well
      const address = server.address()
      if (address === null || typeof address === "string") reject(new Error("no port"))
      else resolve(address.port)
    })
  })
}

/** The oldest gives way: it has had its time. */
function enter(set: Set<Socket>, max: number, socket: Socket): void {
  const [oldest] = set
  if (set.size >= max && oldest !== undefined) {
    set.delete(oldest) // its close comes later, and many may come in before
    oldest.destroy()
  }
  set.add(socket)
}

function accept(endpoint: Endpoint, socket: Socket): void {
  const { askers, attended } = endpoint
  enter(askers, askersMax, socket)
  const timer = setTimeout(() => socket.destroy(), requestTime)
  let received = Buffer.alloc(0)
  let taken = false
  const take = (chunk: Buffer): void => {
    if (taken) return
    received = Buffer.concat([received, chunk])
    try {
      const message = parseMessage(received)
      if (message === null) return
      taken = true
      if (message.first.startsWith(`GET ${paths.attend} `)) {
        clearTimeout(timer)
        askers.delete(socket)
        socket.setKeepAlive(true, keepaliveAfter)
        return enter(attended, attendedMax, socket)
      }
      // what fails in here answers 500, never an unhandled rejection
      void replyTo(endpoint, message).then((reply) => finish(socket, reply))
    } catch (error) {
      taken = true
      finish(socket, refusal(error))
    }
  }
  socket.on("data", take)
  socket.on("error", () => socket.destroy())
  socket.on("close", () => {
    clearTimeout(timer)
    askers.delete(socket)
    attended.delete(socket)
  })
}

const statusTexts: Readonly<Record<number, string>> = {
  200: "OK",
  204: "No Content",
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  411: "Length Required",
  413: "Content Too Large",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
}

function finish(socket: Socket, { status, body, headers = {} }: Reply): void {
  if (socket.destroyed) return
  socket.end(printMessage(`HTTP/1.1 ${status} ${statusTexts[status] ?? ""}`, headers, body))
}

const refusal = (error: unknown): Reply =>
  error instanceof MalformedError ? plain(error.status, error.message) : plain(400, "malformed")

async function replyTo(endpoint: Endpoint, message: Message): Promise<Reply> {
  const match = /^([A-Z]+) (\S+) HTTP\/1\.[01]$/.exec(message.first)
  if (match === null) return plain(400, "not a request")
  const [, method = "", path = ""] = match
  const route = routes.get(path)
  if (route === undefined) return plain(404, "not here")
  if (method !== route.method) return plain(405, `only ${route.method}`)
  const { handlers } = endpoint
  if (handlers === null) return plain(503, "not ready")
  try {
    return await route.reply(endpoint, handlers, message)
  } catch {
    return plain(500, "this did not work")
  }
}

interface Route {
  readonly method: "GET" | "POST"
  readonly reply: (
    endpoint: Endpoint,
    handlers: PeerHandlers,
    message: Message,
  ) => Reply | Promise<Reply>
}
const routes: ReadonlyMap<string, Route> = new Map<string, Route>([
  [paths.promise, { method: "POST", reply: promise }],
  [
    paths.lease,
    {
      method: "GET",
      reply: (_, { lease }) =>
        lease === undefined ? plain(404, "not here") : json(printLease(lease())),
    },
  ],
  [
    paths.nudge,
    {
      method: "POST",
      reply: (endpoint, { nudge }) => {
        if (nudge === undefined) return plain(404, "not here")
        ring(endpoint, nudge)
        return plain(200, "ok")
      },
    },
  ],
])
const jsonType = { "content-type": "application/json" }
const json = (body: string): Reply => ({ status: 200, body, headers: jsonType })

async function promise(
  endpoint: Endpoint,
  handlers: PeerHandlers,
  message: Message,
): Promise<Reply> {
  const { body, headers } = message
  if (handlers.promise === undefined) return plain(404, "not here")
  let asked
  try {
    asked = readAsked(body)
  } catch {
    return plain(400, "not a question")
  }
  const key = keyFor(endpoint, asked.question.cluster)
  if (key === null) return plain(403, "no promises to this cluster")
  if (!signed(key, "question", body, headers.get(signatureHeader)))
    return plain(403, "not signed with our key")
  const text = printAnswered(asked, await handlers.promise(asked.question))
  return {
    status: 200,
    body: text,
    headers: { ...jsonType, [signatureHeader]: sign(key, "answer", text) },
  }
}

/** Null for a cluster that is not ours: a stranger could have us make keys all day. */
function keyFor({ options, handlers, keyOf }: Endpoint, cluster: ClusterUID): Buffer | null {
  const own = handlers?.cluster?.() ?? ""
  return options.password === "" || own === "" || own !== cluster ? null : keyOf(cluster)
}

/** Unsigned, so rationed: a ring in a pause comes at its end, together with all others in it. */
function ring({ nudge }: Endpoint, handler: () => void): void {
  if (nudge.timer !== null) return
  const wait = Math.max(0, nudge.last + nudgePause - performance.now())
  nudge.timer = setTimeout(() => {
    nudge.timer = null
    nudge.last = performance.now()
    handler()
  }, wait)
}
