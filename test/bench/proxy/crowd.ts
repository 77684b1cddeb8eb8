/**
 * Many sessions that ask for next to nothing: kept open to see what they weigh, or opened and
 * ended one after the other to see what stays behind. A session counts from the server's
 * ReadyForQuery.
 *
 * Bun's own sockets and one table of handlers, because a client library with a pool per session
 * would be the heavier part.
 */
import type { Login } from "../failover/wire.ts"
import { message, packet } from "../../unit/relay/postgres.ts"

interface Session {
  /** The last bytes heard; the end of ReadyForQuery may come in pieces. */
  tail: Uint8Array
  heard: number
  /** The server has said that it is ready: for the first query, then for the next. */
  ready: PromiseWithResolvers<void>
  readonly closed: PromiseWithResolvers<void>
}

type Socket = Bun.Socket<Session>

const protocol = 196_608
/** The first packet of a session. */
export const startupOf = ({ user, database }: Login): Uint8Array =>
  packet(protocol, ["user", user, "database", database, "", ""].join("\0"))
const goodbye = message("X")

/** ReadyForQuery without its last byte, the state of the transaction. */
const readyHead = [0x5a, 0, 0, 0, 5]

/** Whether the server's words end with ReadyForQuery. */
export const isReady = (tail: Uint8Array): boolean =>
  tail.byteLength > readyHead.length &&
  readyHead.every((byte, i) => tail.at(i - readyHead.length - 1) === byte)

const errorType = 0x45 // E

const handlers: Bun.SocketHandler<Session> = {
  data({ data: session }, chunk) {
    if (session.heard === 0 && chunk[0] === errorType)
      session.ready.reject(new Error(`refused: ${Buffer.from(chunk).toString("latin1")}`))
    session.heard += chunk.byteLength
    session.tail = Buffer.concat([session.tail, chunk.subarray(-6)]).subarray(-6)
    if (isReady(session.tail)) session.ready.resolve()
  },
  close({ data: session }) {
    session.ready.reject(new Error("the connection was closed before the session began"))
    session.closed.resolve()
  },
  error({ data: session }, error) {
    session.ready.reject(error)
  },
}

async function begin(login: Login, startup: Uint8Array): Promise<Socket> {
  const data: Session = {
    tail: new Uint8Array(0),
    heard: 0,
    ready: Promise.withResolvers(),
    closed: Promise.withResolvers(),
  }
  data.ready.promise.catch(() => {}) // is heard below, unless connecting fails before
  const { port } = login
  const socket = await Bun.connect<Session>({ hostname: "127.0.0.1", port, data, socket: handlers })
  socket.write(startup)
  try {
    await data.ready.promise
    return socket
  } catch (error) {
    socket.terminate()
    throw error
  }
}

const question = message("Q", "select 1\0")

/** Without that PgBouncer gives a session no server connection, and carries nothing. */
async function askOnce(socket: Socket): Promise<void> {
  const { data } = socket
  data.ready = Promise.withResolvers()
  socket.write(question)
  await data.ready.promise
}

/** Says goodbye as libpq does, and waits until the connection is gone. */
async function leave(socket: Socket): Promise<void> {
  socket.write(goodbye)
  socket.end()
  await socket.data.closed.promise
}

/** Nothing got done for so long: a proxy has lost somebody. */
const stallMs = 30_000

/**
 * `work` again and again, `count` times in all, some at once; the first failure ends it, and
 * nothing more is begun after that.
 */
async function inTurns(count: number, atOnce: number, work: () => Promise<void>): Promise<void> {
  let left = count
  let done = 0
  const turn = async (): Promise<void> => {
    while (left-- > 0) {
      await work()
      done++
    }
  }
  const stall = Promise.withResolvers<never>()
  let seen = 0
  const watch = setInterval(() => {
    if (done === seen) stall.reject(new Error(`session ${done} of ${count} got stuck`))
    seen = done
  }, stallMs)
  try {
    const turns = Array.from({ length: Math.min(atOnce, count) }, turn)
    await Promise.race([Promise.all(turns), stall.promise])
  } finally {
    left = 0
    clearInterval(watch)
  }
}

const openingAtOnce = 100

/** `count` sessions that have asked once and are silent; they end when it is disposed of. */
export async function openCrowd(login: Login, count: number): Promise<AsyncDisposable> {
  const startup = startupOf(login)
  const sockets: Socket[] = []
  try {
    await inTurns(count, openingAtOnce, async () => {
      const socket = await begin(login, startup)
      sockets.push(socket)
      await askOnce(socket)
    })
    if (sockets.some(({ readyState }) => readyState < 1))
      throw new Error("a session ended while others began")
  } catch (error) {
    for (const socket of sockets) socket.terminate()
    throw error
  }
  return {
    [Symbol.asyncDispose]: () =>
      inTurns(sockets.length, openingAtOnce, async () => {
        const socket = sockets.pop()
        if (socket !== undefined) await leave(socket)
      }),
  }
}

const comingAtOnce = 32

/** Begins and ends `count` sessions. */
export async function comeAndGo(login: Login, count: number): Promise<void> {
  const startup = startupOf(login)
  await inTurns(count, comingAtOnce, async () => leave(await begin(login, startup)))
}
