/**
 * One connection to PostgreSQL, as plain as the protocol allows: no pool, no dialling again behind
 * the caller's back, every word of the server kept. The bench counts what an application would have
 * been told, and client libraries swallow just that: what a server says to an idle session.
 *
 * No authentication but trust: both systems let the bench's ordinary role in from loopback.
 */
import { type Socket, createConnection } from "node:net"

export interface Failure {
  /** SQLSTATE; empty when the connection ended without a word, or nobody answered. */
  readonly code: string
  readonly text: string
}

/** What a statement came to; `notices` are the server's, as SQLSTATE and text. */
export type Answer =
  | { readonly kind: "done"; readonly notices: readonly string[] }
  | { readonly kind: "failed"; readonly failure: Failure }

export interface Wire {
  /** A simple query; after `ms` without an answer the connection is given up. */
  query(sql: string, ms: number): Promise<Answer>
  /** Why this connection is of no use any more, null while it is. */
  broken(): Failure | null
  end(): void
}

export interface Login {
  readonly port: number
  readonly user: string
  readonly database: string
}

/** Connects and waits for the first ReadyForQuery; throws nothing, a failure is an answer. */
export async function connectWire(login: Login, ms: number): Promise<Wire | Failure> {
  const socket = createConnection({ host: "127.0.0.1", port: login.port, noDelay: true })
  const session = newSession(socket)
  socket.once("connect", () => socket.write(startup(login)))
  const answer = await session.answered(ms)
  if (answer.kind === "failed") {
    socket.destroy()
    return answer.failure
  }
  return {
    query: (sql, limit) => {
      socket.write(message("Q", `${sql}\0`))
      return session.answered(limit)
    },
    broken: session.broken,
    end: () => {
      if (session.broken() === null) socket.write(message("X", ""))
      socket.destroy()
    },
  }
}

interface Session {
  answered(ms: number): Promise<Answer>
  broken(): Failure | null
}

function newSession(socket: Socket): Session {
  let buffered = Buffer.alloc(0)
  let end: Failure | null = null
  let failure: Failure | null = null
  let notices: string[] = []
  let waiting: ((answer: Answer) => void) | null = null

  const answer = (): void => {
    const told: Answer = failure === null ? { kind: "done", notices } : { kind: "failed", failure }
    failure = null
    notices = []
    waiting?.(told)
    waiting = null
  }
  const take = (type: string, body: Buffer): void => {
    if (type === "E") {
      const { severity, ...told } = fields(body)
      failure ??= told
      // FATAL: the server goes; whether it says so in between or in answer to something
      if (severity === "FATAL" || severity === "PANIC") end ??= told
    }
    if (type === "N") notices.push(Object.values(fields(body)).join(" "))
    if (type === "Z") answer()
  }
  const give = (why: Failure): void => {
    end ??= why
    failure ??= end
    answer()
    socket.destroy()
  }
  socket.on("data", (chunk) => {
    const more = typeof chunk === "string" ? Buffer.from(chunk) : chunk // always bytes
    buffered = buffered.length === 0 ? more : Buffer.concat([buffered, more])
    for (let size = frame(buffered); size !== null; size = frame(buffered)) {
      take(String.fromCharCode(buffered[0] ?? 0), buffered.subarray(5, size))
      buffered = buffered.subarray(size)
    }
  })
  socket.on("error", ({ message: text }) => give({ code: "", text }))
  socket.on("close", () => give({ code: "", text: "the connection was closed" }))

  return {
    answered: (ms) =>
      new Promise((resolve) => {
        const late = setTimeout(() => give({ code: "", text: `no answer within ${ms} ms` }), ms)
        waiting = (told) => {
          clearTimeout(late)
          resolve(told)
        }
        if (end !== null) give(end)
      }),
    broken: () => end,
  }
}

/** The length of the first message when all of it is there. */
function frame(buffer: Buffer): number | null {
  if (buffer.length < 5) return null
  const size = buffer.readUInt32BE(1) + 1
  return buffer.length < size ? null : size
}

function fields(body: Buffer): Failure & { readonly severity: string } {
  const found = new Map(
    body
      .toString("utf8")
      .split("\0")
      .filter((each) => each !== "")
      .map((each) => [each.charAt(0), each.slice(1)]),
  )
  return {
    severity: found.get("V") ?? found.get("S") ?? "",
    code: found.get("C") ?? "",
    text: found.get("M") ?? "",
  }
}

function message(type: string, body: string): Buffer {
  const text = Buffer.from(body, "utf8")
  const head = Buffer.alloc(5)
  head.write(type, "latin1")
  head.writeUInt32BE(text.length + 4, 1)
  return Buffer.concat([head, text])
}

function startup({ user, database }: Login): Buffer {
  const words = ["user", user, "database", database, "application_name", "bench", "", ""]
  const text = Buffer.from(words.join("\0"), "utf8")
  const head = Buffer.alloc(8)
  head.writeUInt32BE(text.length + 8, 0)
  head.writeUInt32BE(196_608, 4) // protocol 3.0
  return Buffer.concat([head, text])
}
