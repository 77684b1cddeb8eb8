/**
 * One connection of the soak, as plain as the protocol allows: every byte that comes is kept until
 * it is asked for, and the connection may carry a fuse, which ends it abruptly after so many bytes
 * in both directions, wherever the protocol is then.
 *
 * Nothing is interpreted here but the frames of messages.
 */

export interface Message {
  readonly type: string
  readonly body: Buffer
}

/** Why nothing more comes: our own fuse, or somebody else. */
export class Gone extends Error {
  override readonly name = "Gone"
  readonly burnt: boolean
  constructor(burnt: boolean, why: string) {
    super(why)
    this.burnt = burnt
  }
}

export interface Wire {
  /** What the kernel does not take at once goes later, in order. */
  send(bytes: Uint8Array): void
  /** The next message; throws `Gone`. */
  read(): Promise<Message>
  /** Bytes in both directions so far. */
  readonly carried: () => number
  /** Lets what comes lie for a moment, as a slow reader does. */
  rest(resting: boolean): void
  /** Politely: what was sent goes out first. Resolves when the connection is gone. */
  end(): Promise<void>
  terminate(): void
}

interface State {
  readonly opened: PromiseWithResolvers<void>
  readonly closed: PromiseWithResolvers<void>
  pending: Uint8Array[]
  /** What has come lies between `from` and `to`. */
  heard: Buffer
  from: number
  to: number
  carried: number
  readonly fuse: number
  gone: Gone | null
  wake: () => void
}

type Socket = Bun.Socket<State>

function burn(socket: Socket): void {
  socket.data.gone ??= new Gone(true, "the fuse burnt")
  socket.terminate()
  lost(socket, "closed")
}

function lost({ data: state }: Socket, why: string): void {
  state.gone ??= new Gone(false, why)
  state.opened.reject(state.gone)
  state.closed.resolve()
  state.wake()
}

function keep(state: State, chunk: Uint8Array): void {
  const { heard, from, to } = state
  const held = to - from
  if (to + chunk.byteLength > heard.byteLength) {
    const room = Buffer.allocUnsafe(Math.max(heard.byteLength, 2 * (held + chunk.byteLength)))
    heard.copy(room, 0, from, to)
    Object.assign(state, { heard: room, from: 0, to: held })
  }
  state.heard.set(chunk, state.to)
  state.to += chunk.byteLength
}

/** Sends what waits, as far as the kernel takes it. */
function flush(socket: Socket): void {
  const { pending } = socket.data
  for (let first = pending[0]; first !== undefined; first = pending[0]) {
    const taken = Math.max(0, socket.write(first))
    if (taken < first.byteLength) {
      pending[0] = first.subarray(taken)
      return
    }
    pending.shift()
  }
}

const handlers: Bun.SocketHandler<State> = {
  open: (socket) => socket.data.opened.resolve(),
  data(socket, chunk) {
    const state = socket.data
    state.carried += chunk.byteLength
    keep(state, chunk)
    state.wake()
    if (state.carried >= state.fuse) burn(socket)
  },
  drain: flush,
  end: (socket) => void socket.end(),
  close: (socket) => lost(socket, "the connection was closed"),
  error: (socket, error) => lost(socket, error.message),
  connectError: (socket, error) => lost(socket, error.message),
}

/** `fuse`: `Infinity` for a connection that is to live. */
export async function connectWire(port: number, fuse: number): Promise<Wire> {
  const data: State = {
    ...{ opened: Promise.withResolvers(), closed: Promise.withResolvers() },
    ...{ pending: [], heard: Buffer.alloc(1024), from: 0, to: 0, carried: 0, fuse },
    ...{ gone: null, wake: () => {} },
  }
  data.opened.promise.catch(() => {}) // is told by `read`, too
  const socket = await Bun.connect<State>({ hostname: "127.0.0.1", port, data, socket: handlers })
  if (fuse <= 0) burn(socket)
  const send = (bytes: Uint8Array): void => {
    if (data.gone !== null) return
    const left = data.fuse - data.carried
    const part = bytes.byteLength < left ? bytes : bytes.subarray(0, left)
    data.carried += part.byteLength
    data.pending.push(part)
    if (data.pending.length === 1) flush(socket)
    if (part.byteLength < bytes.byteLength) burn(socket)
  }
  return {
    send,
    read: () => nextOf(data),
    carried: () => data.carried,
    rest: (resting) => (resting ? socket.pause() : socket.resume()),
    end: async () => {
      if (data.gone === null) socket.end()
      await data.closed.promise
    },
    terminate: () => burn(socket),
  }
}

async function nextOf(state: State): Promise<Message> {
  for (;;) {
    const { heard, from, to } = state
    const size = to - from < 5 ? Infinity : heard.readUInt32BE(from + 1) + 1
    if (to - from >= size) {
      state.from += size
      const type = String.fromCharCode(heard[from] ?? 0)
      return { type, body: Buffer.from(heard.subarray(from + 5, from + size)) }
    }
    if (state.gone !== null) throw state.gone
    await new Promise<void>((resolve) => (state.wake = resolve))
  }
}
