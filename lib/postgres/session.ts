/**
 * One connection to PostgreSQL, and no more than one: when it is gone it stays gone, and its owner
 * decides whether to open another. (The client library would reconnect by itself and go on in the
 * middle of a transaction.)
 *
 * Every wait is bounded here, because neither the library nor a stopped server bounds it. A
 * connection that has answered before is not thrown away for one silence: while clients take every
 * other connection it may be the only one to be had (D-81). The next question waits for the answer
 * to the last, and after a few silences in a row it is closed. Queries go by the simple protocol,
 * the only one that replication connections speak, and nothing is prepared.
 */
import { connect, type Socket } from "node:net"
import postgres from "postgres"
import * as v from "valibot"
import type { Millis } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"

export interface Target {
  /** The socket's path, or host and port. */
  readonly at: { readonly path: string } | { readonly host: string; readonly port: number }
  readonly user: string
  /** Null: none is sent. */
  readonly password: string | null
  readonly database: string
  /** Startup parameters. */
  readonly parameters: Readonly<Record<string, string>>
}

export interface Session {
  /**
   * Runs one SQL text and parses each row. Rejects when the server says no, is silent for too long,
   * or goes away.
   */
  query<T>(
    row: v.GenericSchema<unknown, T>,
    sql: string,
    signal: AbortSignal,
  ): Promise<readonly T[]>
  /** Runs SQL for its effect; `ms` in place of the usual bound. */
  run(sql: string, signal: AbortSignal, ms?: Millis): Promise<void>
  close(): void
  readonly closed: boolean
}

/** PostgreSQL was silent for longer than a request may take. */
export class SilenceError extends Error {
  override readonly name = "SilenceError"
}

/** Prepares a connection; the first query opens it. `onClose` hears when it ends by itself. */
export function newSession(
  target: Target,
  clock: Clock,
  timeout: Millis,
  onClose: () => void = () => {},
): Session {
  let socket: Socket | null = null
  let closed = false
  const sql = client(target, timeout, {
    closed: () => {
      if (closed) return
      close()
      onClose()
    },
    dial: async () => {
      if (closed || socket !== null) throw new Error("the connection to PostgreSQL is closed")
      socket = dial(target)
      return await connected(socket)
    },
  })
  const close = (): void => {
    closed = true
    socket?.destroy()
    void sql.end({ timeout: 0 }).catch(() => undefined)
  }
  /** Has answered before. */
  let established = false
  /** The question that was given up last, until it is answered after all. */
  let stuck: Promise<unknown> | null = null
  let silences = 0

  const send = async (text: string): Promise<readonly unknown[]> => {
    const query = sql.unsafe(text).simple()
    const mine: Promise<unknown> = query
      .catch(() => undefined)
      .then(() => {
        if (stuck === mine) stuck = null
      })
    stuck = mine
    return [...(await query)]
  }
  const ask = async (
    text: string,
    signal: AbortSignal,
    ms: Millis,
  ): Promise<readonly unknown[]> => {
    signal.throwIfAborted()
    if (closed) throw new Error("the connection to PostgreSQL is closed")
    try {
      const rows = await within(clock, ms, signal, async () => {
        if (silences > 0) await stuck
        return await send(text)
      })
      established = true
      silences = 0
      return rows
    } catch (error) {
      const patient = established && ++silences < silencesMax
      const silent = error instanceof SilenceError || signal.aborted
      if (silent ? !patient : !fromServer(error)) close()
      throw error
    }
  }
  return {
    query: async (row, text, signal) => v.parse(v.array(row), await ask(text, signal, timeout)),
    run: async (text, signal, ms = timeout) => void (await ask(text, signal, ms)),
    close,
    get closed() {
      return closed
    },
  }
}

/** How many questions in a row a connection may leave unanswered. */
const silencesMax = 5

/** What `work` resolves with, or a rejection when it takes longer or the signal aborts. */
async function within<T>(
  clock: Clock,
  ms: Millis,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const answered = new AbortController() // releases the deadline's timer
  const limit = clock.deadline(ms, AbortSignal.any([signal, answered.signal]))
  const { promise, reject } = Promise.withResolvers<never>()
  const abort = (): void => {
    const silent = new SilenceError(`PostgreSQL did not answer within ${Math.round(ms)} ms`)
    reject(signal.aborted ? signal.reason : silent)
  }
  limit.addEventListener("abort", abort, { once: true })
  try {
    return await Promise.race([work(), promise])
  } finally {
    limit.removeEventListener("abort", abort)
    answered.abort()
  }
}

interface Hooks {
  readonly closed: () => void
  /** Our own socket, so that closing really closes it, also while a stopped server is silent. */
  readonly dial: () => Promise<Socket>
}

function client(target: Target, timeout: Millis, hooks: Hooks): postgres.Sql {
  const { at } = target
  const options = {
    host: "path" in at ? "local" : at.host,
    port: "path" in at ? 0 : at.port,
    database: target.database,
    user: target.user,
    password: target.password ?? "",
    ssl: "path" in at ? false : ("prefer" as const),
    max: 1,
    idle_timeout: 0,
    max_lifetime: null,
    connect_timeout: Math.max(1, timeout / 1000),
    backoff: () => 0,
    prepare: false,
    fetch_types: false,
    keep_alive: 60,
    connection: { application_name: "stolon-keeper", ...target.parameters },
    onnotice: () => {},
    onclose: hooks.closed,
    socket: hooks.dial,
  }
  return postgres(options) // by way of a constant: the library's types do not know `socket`
}

/** A server's word after which the connection is as good as before. FATAL ones end it. */
const fromServer = (error: unknown): boolean =>
  error instanceof postgres.PostgresError && error.severity === "ERROR"

function dial({ at }: Target): Socket {
  const socket = "path" in at ? connect(at.path) : connect(at.port, at.host)
  // What goes wrong later is told by the query that suffers from it; unheard it would end us.
  socket.on("error", () => {})
  return socket
}

function connected(socket: Socket): Promise<Socket> {
  return new Promise((resolve, reject) => {
    socket.once("error", reject)
    socket.once("close", () => reject(new Error("the connection to PostgreSQL was closed")))
    socket.once("connect", () => {
      socket.removeAllListeners("close")
      socket.off("error", reject)
      resolve(socket)
    })
  })
}

/** A string literal, safe whatever `standard_conforming_strings` says. */
export function literal(text: string): string {
  if (text.includes("\0")) throw new Error("a value for PostgreSQL contains a zero byte")
  return `E'${text.replace(/\\/g, "\\\\").replace(/'/g, "''")}'`
}

/** A quoted identifier. */
export function identifier(name: string): string {
  if (name.includes("\0")) throw new Error("a name for PostgreSQL contains a zero byte")
  return `"${name.replace(/"/g, '""')}"`
}
