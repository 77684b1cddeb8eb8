/**
 * A server that costs next to nothing: it begins sessions of one user and answers them without
 * rows, so that 10,000 of them, or a million one after the other, measure the proxy and not
 * PostgreSQL. Sessions of everybody else it passes on to the real server.
 *
 *   bun test/bench/proxy/stand-in.ts PORT SERVER-PORT
 *
 * Never a server for data: what a session says is thrown away.
 */
import { type Heard, beginning, greeting, heard, noEncryption } from "./words.ts"

const local = "127.0.0.1"

interface Peer {
  phase: "beginning" | "own" | "other"
  /** What has come and was not understood, or not passed on, yet. */
  rest: Uint8Array | null
  /** The other end of a session that is passed on. */
  other: Bun.Socket<Peer> | null
}

const newPeer = (other: Bun.Socket<Peer> | null): Peer => ({
  phase: other === null ? "beginning" : "other",
  rest: null,
  other,
})

const withRest = ({ data }: Bun.Socket<Peer>, chunk: Uint8Array): Uint8Array =>
  data.rest === null ? chunk : Buffer.concat([data.rest, chunk])

function begin(socket: Bun.Socket<Peer>, bytes: Uint8Array): void {
  const begun = beginning(bytes)
  socket.data.rest = begun === null ? Buffer.from(bytes) : null
  if (begun === null) return
  const after = bytes.subarray(begun.size)
  switch (begun.it.kind) {
    case "encryption":
      socket.write(noEncryption)
      if (after.byteLength > 0) begin(socket, after)
      return
    case "own":
      socket.data.phase = "own"
      socket.write(greeting)
      if (after.byteLength > 0) answer(socket, after)
      return
    case "other":
      socket.data.phase = "other"
      return passOn(socket, Buffer.from(bytes))
  }
}

function answer(socket: Bun.Socket<Peer>, bytes: Uint8Array): void {
  const { answer: said, rest, goodbye }: Heard = heard(bytes)
  socket.data.rest = rest.byteLength === 0 ? null : Buffer.from(rest)
  if (said.byteLength > 0) socket.write(said) // small, and who asks waits for it
  if (goodbye) socket.end()
}

/** A session that is not ours: few, and small. */
function passOn(client: Bun.Socket<Peer>, first: Uint8Array): void {
  client.data.rest = first
  Bun.connect<Peer>({
    ...{ hostname: local, port: serverPort, data: newPeer(client) },
    socket: {
      ...handlers,
      open(server) {
        client.data.other = server
        flush(client)
      },
    },
  }).catch(() => client.end())
}

function flush(from: Bun.Socket<Peer>): void {
  const { rest, other } = from.data
  if (rest === null || other === null) return
  const taken = Math.max(0, other.write(rest))
  from.data.rest = taken === rest.byteLength ? null : rest.subarray(taken)
}

const handlers: Bun.SocketHandler<Peer> = {
  data(socket, chunk) {
    const { phase } = socket.data
    if (phase === "beginning") return begin(socket, withRest(socket, chunk))
    if (phase === "own") return answer(socket, withRest(socket, chunk))
    socket.data.rest = Buffer.from(withRest(socket, chunk))
    flush(socket)
  },
  drain({ data: { other } }) {
    if (other !== null) flush(other)
  },
  end: (socket) => void socket.end(),
  close: ({ data: { other } }) => void other?.end(),
  error: (socket) => socket.terminate(),
}

const [port = 0, serverPort = 0] = process.argv.slice(2).map(Number)
Bun.listen<Peer>({
  ...{ hostname: local, port, data: newPeer(null) },
  socket: { ...handlers, open: (socket) => void (socket.data = newPeer(null)) },
})
