/**
 * Lines of JSON over a unix socket, for both ends. Keeps what the kernel does not take at once
 * until it does, and closes a connection whose other end stopped reading or sends lines without
 * end: neither may fill our memory.
 *
 * Bun binds and connects paths longer than the 108 bytes of `sockaddr_un` by itself (through
 * /proc/self/fd); a test holds it to that, since data directories can be deep.
 */
import type { Socket, UnixSocketListener } from "bun"

export interface Connection {
  send(message: unknown): void
  close(): void
  readonly closed: boolean
}

export interface Handlers {
  readonly message: (connection: Connection, message: unknown) => void
  readonly closed: (connection: Connection) => void
}

/** Bounds what either direction may hold: far more than any conversation needs. */
const bytesMax = 1 << 20

interface State {
  readonly connection: Connection
  readonly receive: (chunk: Uint8Array) => void
  readonly drain: () => void
}

/**
 * Listens on `path`; the file must not exist. Whoever may open it may speak: the directory and the
 * umask guard it.
 */
export function listenLines(path: string, handlers: Handlers): UnixSocketListener<State> {
  return Bun.listen<State>({ unix: path, socket: shared(handlers) })
}

/** Connects to `path`; rejects when nobody listens there. */
export async function connectLines(path: string, handlers: Handlers): Promise<Connection> {
  const socket = await Bun.connect<State>({ unix: path, socket: shared(handlers) })
  return socket.data.connection
}

const shared = (handlers: Handlers) => ({
  open: (socket: Socket<State>) => {
    socket.data = stateOf(socket, handlers)
  },
  data: (socket: Socket<State>, chunk: Uint8Array) => socket.data.receive(chunk),
  drain: (socket: Socket<State>) => socket.data.drain(),
  close: (socket: Socket<State>) => handlers.closed(socket.data.connection),
  error: (socket: Socket<State>) => {
    socket.terminate()
  },
})

function stateOf(socket: Socket<State>, handlers: Handlers): State {
  let pending: Uint8Array = new Uint8Array()
  let partial = ""
  let closed = false
  const decoder = new TextDecoder()
  const close = (): void => {
    closed = true
    socket.terminate()
  }
  const drain = (): void => {
    if (closed || pending.length === 0) return
    const taken = socket.write(pending)
    if (taken < 0) close()
    else pending = pending.subarray(taken)
  }
  const connection: Connection = {
    send: (message) => {
      if (closed) return
      pending = Buffer.concat([pending, Buffer.from(`${JSON.stringify(message)}\n`)])
      if (pending.length > bytesMax) close()
      else drain()
    },
    close,
    get closed() {
      return closed || socket.readyState !== 1
    },
  }
  const receive = (chunk: Uint8Array): void => {
    const lines = (partial + decoder.decode(chunk, { stream: true })).split("\n")
    partial = lines.pop() ?? ""
    if (partial.length > bytesMax) return close()
    for (const line of lines) {
      const message = parse(line)
      if (message === undefined) return close()
      handlers.message(connection, message)
    }
  }
  return { connection, receive, drain }
}

/**
 * The value of a line; undefined when it is not JSON, which the other end does not do by accident.
 */
function parse(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
