/**
 * The client whose view counts: it writes one row every 10 ms through the proxy and remembers which
 * rows were acknowledged, and when. An open loop: an attempt that hangs does not keep the next from
 * being made, so a hung connection cannot hide that writes are possible again.
 */
import { type Socket, createConnection } from "node:net"
import postgres from "postgres"
import { until } from "#test/conformance/wait.ts"
import { superuser, superuserPassword } from "./place.ts"

export interface Writer extends AsyncDisposable {
  readonly acknowledged: ReadonlySet<number>
  /**
   * The longest time between two acknowledgements since `from` (`performance.now()`), in
   * milliseconds.
   */
  longestGap(from: number): number
  /** Waits until rows that were begun after now are acknowledged. */
  resumes(ms?: number): Promise<void>
  /** Ends writing, and waits for what is under way. */
  stop(): Promise<void>
}

/** Whom to connect to, and as whom. */
export interface Door {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
}

/** Who wants to hear what. */
export interface Ears {
  readonly onnotice?: (notice: postgres.Notice) => void
  readonly onclose?: () => void
}

/** A port of this machine, to be entered as the superuser of our clusters; or any other door. */
export type At = number | Door

/** A connection; see `connectTo`. */
export const connect = (at: At, onnotice: () => void = () => {}): Connected =>
  connectTo(
    typeof at === "number" ? { host, port: at, user: superuser, password: superuserPassword } : at,
    { onnotice },
  )

export type Connected = ReturnType<typeof connectTo>

/**
 * A connection that is made once. By itself the library would dial again and again, without a
 * pause, while a proxy closes its clients at once: a hundred of those keep two cores busy and
 * measure themselves.
 */
// oxlint-disable-next-line typescript/explicit-module-boundary-types -- the library infers it
export function connectTo(door: Door, ears: Ears = {}) {
  let dialled = false
  const options = {
    ...door,
    database: "postgres",
    max: 1,
    connect_timeout: 1,
    fetch_types: false,
    onnotice: () => {}, // or the library prints them
    ...ears,
    socket: async () => {
      if (dialled) throw new Error("the connection is closed")
      dialled = true
      return await dial(door)
    },
  }
  return postgres(options) // by way of a constant: the library's types do not know `socket`
}

function dial({ host: to, port }: Door): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(port, to)
    socket.on("error", reject) // after connecting nobody hears it, and the query that suffers fails
    socket.once("connect", () => resolve(socket))
  })
}
const host = "127.0.0.1"

const everyMs = 10
/** An attempt without an answer for this long is given up, and its connection with it. */
const attemptMs = 1_000
const connectionsMax = 100

/** Begins to write; `table` is created when it is not there. */
export async function startWriter(port: At, table = "written"): Promise<Writer> {
  await until("the table to be there", () => createTable(port, table), 30_000)
  const acknowledged = new Set<number>()
  const times: number[] = []
  const idle: Connection[] = []
  let open = 0
  let next = (await highest(port, table)) + 1
  let pending = 0

  const attempt = async (): Promise<void> => {
    if (idle.length === 0 && open >= connectionsMax) return
    const id = next++
    const connection = idle.pop() ?? newConnection(port)
    if (connection.fresh) open++
    connection.fresh = false
    pending++
    const before = connection.cancelled
    const written = await inTime(
      connection.sql`insert into ${connection.sql(table)} values (${id})`,
    )
    pending--
    if (written && connection.cancelled === before) {
      acknowledged.add(id)
      times.push(performance.now())
      idle.push(connection)
      return
    }
    open--
    await connection.sql.end({ timeout: 0 })
  }
  const timer = setInterval(() => void attempt(), everyMs)

  const stop = async (): Promise<void> => {
    clearInterval(timer)
    await until("attempts to end", () => pending === 0, attemptMs * 5)
    await Promise.all(idle.splice(0).map(({ sql }) => sql.end({ timeout: 0 })))
  }
  return {
    acknowledged,
    longestGap: (from) => {
      const points = [from, ...times.filter((time) => time > from), performance.now()]
      return Math.max(...points.slice(1).map((time, i) => time - (points[i] ?? time)))
    },
    resumes: async (ms = 60_000) => {
      const first = next
      await until("writes to resume", () => [...acknowledged].some((id) => id >= first), ms)
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

interface Connection {
  readonly sql: Connected
  fresh: boolean
  /** Commits that returned without their standby (N2): no acknowledgement. */
  cancelled: number
}

function newConnection(port: At): Connection {
  const connection: Connection = {
    sql: connect(port, () => connection.cancelled++),
    fresh: true,
    cancelled: 0,
  }
  return connection
}

/** True when `query` was answered in time. */
async function inTime(query: Promise<unknown>): Promise<boolean> {
  const late = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => late.resolve(false), attemptMs)
  try {
    return await Promise.race([
      query.then(
        () => true,
        () => false,
      ),
      late.promise,
    ])
  } finally {
    clearTimeout(timer)
  }
}

async function once<T>(port: At, work: (sql: Connected) => Promise<T>): Promise<T> {
  const sql = connect(port)
  try {
    return await work(sql)
  } finally {
    await sql.end({ timeout: 0 })
  }
}

const createTable = (port: At, table: string): Promise<boolean> =>
  once(port, async (sql) => {
    await sql`create table if not exists ${sql(table)} (id bigint primary key)`
    return true
  })

const highest = (port: At, table: string): Promise<number> =>
  once(port, async (sql) => {
    const [row] = await sql`select coalesce(max(id), 0)::int as id from ${sql(table)}`
    return Number(row?.["id"] ?? 0)
  })

/** The ids in the table, as the server at `port` has them. */
export const rowsAt = (port: At, table = "written"): Promise<ReadonlySet<number>> =>
  once(port, async (sql) => {
    const rows = await sql`select id::int from ${sql(table)}`
    return new Set(rows.map((row) => Number(row["id"])))
  })

/** The rows that the server at `port` answers to a statement with. */
export const ask = (
  port: At,
  statement: string,
): Promise<readonly Readonly<Record<string, unknown>>[]> =>
  once(port, async (sql) => await sql.unsafe(statement))

/** The one value that it answers with, as text. */
export async function askOne(port: At, statement: string): Promise<string> {
  const [row] = await ask(port, statement)
  return String(Object.values(row ?? {})[0])
}
