/**
 * A connection that behaves as pgjdbc's do: the extended protocol only, a statement gets a name on
 * its fifth use, BEGIN travels in front of the first statement of a transaction in the same packet,
 * several hosts are tried until one takes writes (`targetServerType=primary`), nothing is read
 * while nothing is asked, and an answer that does not come ends the connection (`socketTimeout`).
 *
 * No authentication but trust, and no results but text.
 */
import { type Socket, createConnection } from "node:net"
import { message, packet } from "#test/unit/relay/postgres.ts"

export interface Target {
  /** Tried in this order. */
  readonly ports: readonly number[]
  readonly user: string
  readonly database: string
  /** Milliseconds, as all here. */
  readonly connectTimeout: number
  readonly socketTimeout: number
}

/** SQLSTATE in front, as the pool looks for it. */
export class SqlException extends Error {
  override readonly name = "SqlException"
  readonly state: string
  constructor(state: string, text: string) {
    super(`${state} ${text}`)
    this.state = state
  }
}
const gone = (text: string): SqlException => new SqlException("08006", text)

export interface Jdbc {
  /** The first value of each row. Begins a transaction when there is none, unless `auto`. */
  execute(sql: string, values?: readonly string[], auto?: boolean): Promise<readonly string[]>
  commit(): Promise<void>
  rollback(): Promise<void>
  /** `Connection.isValid`: an empty statement. */
  isValid(ms: number): Promise<boolean>
  /** How many statements of it have a name on the server. */
  readonly named: () => number
  close(): void
}

/** To the first of the hosts that takes writes. */
export async function connectJdbc(target: Target): Promise<Jdbc> {
  const refused: string[] = []
  for (const port of target.ports) {
    try {
      const found = await connectTo(target, port)
      const [readOnly] = await found.execute("show transaction_read_only", [], true)
      if (readOnly === "off") return found
      refused.push(`${port} is a standby`)
      found.close()
    } catch (error) {
      refused.push(`${port}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  throw gone(`could not connect: ${refused.join("; ")}`)
}

const protocol = 196_608
/** From this use on a statement has a name (`prepareThreshold`). */
const threshold = 5

interface Statement {
  uses: number
  name: string
}

async function connectTo(target: Target, port: number): Promise<Jdbc> {
  const socket = createConnection({ host: "127.0.0.1", port, noDelay: true })
  const wire = newWire(socket)
  const parameters = ["user", target.user, "database", target.database]
  socket.write(packet(protocol, [...parameters, "extra_float_digits", "2", "", ""].join("\0")))
  const statements = new Map<string, Statement>()
  let named = 0
  /** As the last ReadyForQuery said: I idle, T in a transaction, E in a failed one. */
  let status = "I"

  const exchange = async (ms: number): Promise<readonly string[]> => {
    const told = await wire.answer(ms)
    status = told.status
    if (told.failure !== null) throw told.failure
    return told.rows
  }
  const run = (sql: string, values: readonly string[]): Uint8Array => {
    const known = statements.get(sql) ?? { uses: 0, name: "" }
    statements.set(sql, known)
    known.uses++
    const prepared = known.name !== ""
    if (!prepared && known.uses >= threshold) known.name = `S_${++named}`
    const parse = prepared ? [] : [message("P", `${known.name}\0${sql}\0\0\0`)]
    const describe = message("D", "P\0")
    const execute = message("E", "\0\0\0\0\0")
    return Buffer.concat([...parse, bind(known.name, values), describe, execute])
  }
  const ask = (parts: readonly Uint8Array[], ms = target.socketTimeout) => {
    socket.write(Buffer.concat([...parts, message("S")]))
    return exchange(ms)
  }
  const end = async (how: string): Promise<void> => {
    if (status !== "I") await ask([run(how, [])])
  }
  try {
    await exchange(target.connectTimeout)
  } catch (error) {
    socket.destroy()
    throw error
  }
  return {
    execute: (sql, values = [], auto = false) =>
      ask([...(auto || status !== "I" ? [] : [run("BEGIN", [])]), run(sql, values)]),
    commit: () => end("COMMIT"),
    rollback: () => end("ROLLBACK"),
    isValid: (ms) =>
      ask([run("", [])], ms).then(
        () => true,
        () => false,
      ),
    named: () => named,
    close: () => {
      if (socket.writable) socket.write(message("X"))
      socket.destroy()
    },
  }
}

function bind(statement: string, values: readonly string[]): Uint8Array {
  const bytes = values.map((value) => Buffer.from(value))
  const number = (size: 2 | 4, value: number): Buffer => {
    const field = Buffer.alloc(size)
    if (size === 2) field.writeInt16BE(value)
    else field.writeInt32BE(value)
    return field
  }
  const fields = bytes.flatMap((one) => [number(4, one.length), one])
  const head = Buffer.from(`\0${statement}\0`)
  return message(
    "B",
    Buffer.concat([head, number(2, 0), number(2, bytes.length), ...fields, number(2, 0)]),
  )
}

interface Told {
  readonly rows: readonly string[]
  readonly failure: SqlException | null
  readonly status: string
}

/** Reads up to the next ReadyForQuery; what came while nobody asked belongs to the next answer. */
function newWire(socket: Socket): { answer(ms: number): Promise<Told> } {
  let bytes = Buffer.alloc(0)
  let over: SqlException | null = null
  let failure: SqlException | null = null
  let rows: string[] = []
  let heard: () => void = () => {}

  /** Takes messages up to a ReadyForQuery; null: it has not come yet. */
  const take = (): Told | null => {
    while (bytes.length >= 5 && bytes.length > bytes.readUInt32BE(1)) {
      const size = bytes.readUInt32BE(1) + 1
      const [type, body] = [String.fromCharCode(bytes[0] ?? 0), bytes.subarray(5, size)]
      bytes = bytes.subarray(size)
      if (type === "D") rows.push(firstValue(body))
      if (type === "E") {
        const said = exceptionOf(body)
        if (said.fatal) over ??= said.exception
        failure ??= said.exception
      }
      if (type !== "Z") continue
      const told = { rows, failure, status: body.toString("latin1") }
      rows = []
      failure = null
      return told
    }
    return null
  }
  const lost = (why: string): void => {
    over ??= gone(why)
    heard()
  }
  socket.on("data", (chunk) => {
    bytes = Buffer.concat([bytes, typeof chunk === "string" ? Buffer.from(chunk) : chunk])
    heard()
  })
  socket.on("error", ({ message: text }) => lost(text))
  socket.on("close", () => lost("the connection was closed"))
  return {
    async answer(ms) {
      const late = setTimeout(() => lost(`no answer within ${ms} ms`), ms)
      try {
        for (;;) {
          const told = take()
          if (told !== null) return told
          if (over !== null) throw failure ?? over
          await new Promise<void>((resolve) => (heard = resolve))
        }
      } finally {
        clearTimeout(late)
      }
    },
  }
}

const firstValue = (body: Buffer): string =>
  body.readInt32BE(2) < 0 ? "" : body.subarray(6, 6 + body.readInt32BE(2)).toString()

function exceptionOf(body: Buffer): { readonly exception: SqlException; readonly fatal: boolean } {
  const fields = new Map(
    body
      .toString()
      .split("\0")
      .map((field) => [field.slice(0, 1), field.slice(1)]),
  )
  return {
    exception: new SqlException(fields.get("C") ?? "", fields.get("M") ?? ""),
    fatal: ["FATAL", "PANIC"].includes(fields.get("V") ?? fields.get("S") ?? ""),
  }
}
