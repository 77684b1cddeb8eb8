/**
 * Clients that ask for far more than they take: each reads what one look at its socket gives, then
 * nothing for a while. Whoever stands between them and the server has to stop reading there, or it
 * keeps the difference.
 */
import type { Login } from "../failover/wire.ts"
import { message } from "../../unit/relay/postgres.ts"
import { startupOf } from "./crowd.ts"

/** About eight gigabytes, made as they are sent. */
const question = "select repeat('x', 8000), generate_series(1, 1000000)"
const pauseMs = 100

export interface Readers extends Disposable {
  /** Bytes that all of them have taken so far. */
  taken(): number
  /** How many of them lost their connection. */
  lost(): number
}

export async function startReaders(login: Login, count: number): Promise<Readers> {
  const startup = startupOf(login)
  const timers = new Set<ReturnType<typeof setTimeout>>()
  const sockets: Bun.Socket[] = []
  let taken = 0
  let lost = 0
  let done = false
  const readers: Readers = {
    taken: () => taken,
    lost: () => lost,
    [Symbol.dispose]() {
      done = true
      for (const timer of timers) clearTimeout(timer)
      for (const socket of sockets) socket.terminate()
    },
  }
  const ask = message("Q", `${question}\0`)
  try {
    for (let i = 0; i < count; i++)
      sockets.push(
        await Bun.connect({
          ...{ hostname: "127.0.0.1", port: login.port },
          socket: {
            open: (socket) => void socket.write(Buffer.concat([startup, ask])),
            data(socket, chunk) {
              taken += chunk.byteLength
              socket.pause()
              const timer = setTimeout(() => {
                timers.delete(timer)
                socket.resume()
              }, pauseMs)
              timers.add(timer)
            },
            close() {
              if (!done) lost++
            },
            error: () => {},
          },
        }),
      )
    return readers
  } catch (error) {
    readers[Symbol.dispose]()
    throw error
  }
}
