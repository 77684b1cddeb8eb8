/**
 * One connection to PostgreSQL, and no more than one: when it is gone it stays gone, and its owner
 * decides whether to open another. (The client library would reconnect by itself and go on in the
 * middle of a transaction.)
 *
 * Every wait is bounded here, because neither the library nor a stopped server bounds it. After a
 * timeout the connection is closed: an answer that comes late must never be taken for the answer to
 * the next question. Queries go by the simple protocol, the only one that replication connections
 * speak, and nothing is prepared.
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
  const options = {
    host: "path" in target.at ? "local" : target.at.host,
    port: "path" in target.at ? 0 : target.at.port,
    database: target.database,
    user: target.user,
    password: target.password ?? "",
    ssl: "path" in target.at ? false : ("prefer" as const),
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
    onclose: () => {
      if (closed) return
      close()
      onClose()
    },
    // Our own socket, so that closing really closes it, also while a stopped server does not
    // answer.
    socket: async () => {
      if (closed || socket !== null) throw new Error("the connection to PostgreSQL is closed")
      socket = dial(target)
      return await connected(socket)
    },
  }
  const sql = postgres(options) // a constant first: the library's types do not know `socket`

  const close = (): void => {
    closed = true
    socket?.destroy()
    void sql.end({ timeout: 0 }).catch(() => undefined)
  }

  const ask = async (
    text: string,
    signal: AbortSignal,
    ms: Millis,
  ): Promise<readonly unknown[]> => {
    signal.throwIfAborted()
    if (closed) throw new Error("the connection to PostgreSQL is closed")
    const answered = new AbortController() // releases the deadline's timer
    const limit = clock.deadline(ms, AbortSignal.any([signal, answered.signal]))
    const { promise, reject } = Promise.withResolvers<never>()
    const abort = (): void => {
      close()
      const silent = new SilenceError(`PostgreSQL did not answer within ${Math.round(ms)} ms`)
      reject(signal.aborted ? signal.reason : silent)
    }
    limit.addEventListener("abort", abort, { once: true })
    try {
      return [...(await Promise.race([sql.unsafe(text).simple(), promise]))]
    } catch (error) {
      if (!fromServer(error)) close()
      throw error
    } finally {
      limit.removeEventListener("abort", abort)
      answered.abort()
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

/** A server's word after which the connection is as good as before. FATAL ones end it. */
const fromServer = (error: unknown): boolean =>
  error instanceof postgres.PostgresError && error.severity === "ERROR"

function dial({ at }: Target): Socket {
  const socket = "path" in at ? connect(at.path) : connect(at.port, at.host)
  // What goes wrong later is told by the query that suffers from it; unheard it would end the process.
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
