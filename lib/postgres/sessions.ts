/**
 * The keeper's connections to its own PostgreSQL: one superuser session and one replication session
 * that stay open, so that a server whose connections are exhausted by clients is still seen and
 * steered (D5, D-43, D-58, D-81), and short new ones.
 *
 * It also remembers which configuration is loaded. A session that was idle answers that question
 * wrongly: it reads the files only when its next command comes, and may then show a newer file than
 * the postmaster ever loaded (written, not yet reloaded). A new session inherits what the
 * postmaster has. So `revision` is what the newest new session saw.
 */
import { join } from "node:path"
import * as v from "valibot"
import type { Clock } from "#port/clock.ts"
import { readIfPresent } from "#system/files.ts"
import { newSession, type Session, type Target } from "./session.ts"
import { type Account, codeOf, passwordOf, type Places, type PostgresSettings } from "./settings.ts"

export interface SqlSession extends Session {
  /** The server's process for it. */
  readonly pid: number
  /** As the new session saw it. */
  readonly revision: string
  /** As in `server_version_num`. */
  readonly version: number
}

export interface Sessions {
  /** The lasting superuser session; opened when there is none. */
  own(signal: AbortSignal): Promise<SqlSession>
  /** The lasting replication session; null while it cannot be had, or failed a moment ago. */
  replication(): Session | null
  /** A new superuser session; the caller closes it. */
  fresh(signal: AbortSignal): Promise<SqlSession>
  /** What new sessions see of `stolon.revision`. */
  readonly revision: string
  /** The replication session could not be used. */
  refused(): void
  /** Closes the lasting ones: PostgreSQL is about to stop, or has ended. */
  close(): void
}

const greetingRow = v.object({
  pid: v.number(),
  revision: v.nullable(v.string()),
  version: v.number(),
})
// idle_session_timeout exists since 14; a specification may set it, and our sessions idle.
const greeting = `select pg_backend_pid() as pid, current_setting('stolon.revision', true) as revision,
  current_setting('server_version_num')::int as version,
  case when current_setting('server_version_num')::int >= 140000
    then set_config('idle_session_timeout', '0', false) end as idle`

/**
 * What the specification may set for everybody must not end our own requests, nor make them wait
 * for standbys.
 */
const parameters = {
  statement_timeout: "0",
  lock_timeout: "0",
  idle_in_transaction_session_timeout: "0",
  default_transaction_read_only: "off",
  synchronous_commit: "local",
  client_min_messages: "error",
  lc_messages: "C", // a few texts are told apart
  DateStyle: "ISO, YMD",
} as const

/**
 * How long after a refusal the replication session is not asked for again; every try costs a
 * process and a line of its log.
 */
const refusalPause = 5_000

const localTarget = (path: string, account: Account, database: string): Target => ({
  at: { path },
  user: account.name,
  password: passwordOf(account),
  database,
  parameters,
})

/** Opens a superuser session and asks it who it is. */
export async function openSql(
  target: Target,
  clock: Clock,
  timeout: PostgresSettings["requestTimeout"],
  signal: AbortSignal,
  onClose?: () => void,
): Promise<SqlSession> {
  const session = newSession(target, clock, timeout, onClose)
  try {
    const [row] = await session.query(greetingRow, greeting, signal)
    if (row === undefined) throw new Error("PostgreSQL gave no answer to the first question")
    const { query, run, close } = session
    return {
      query,
      run,
      close,
      get closed() {
        return session.closed
      },
      pid: row.pid,
      version: row.version,
      revision: row.revision ?? "",
    }
  } catch (error) {
    session.close()
    throw error
  }
}

const tooManyConnections = "53300"

/**
 * Clients that are superusers take even the reserved connections, hung commits for as long as they
 * hang (D-81). A replication connection to a database counts among the WAL senders instead, and
 * takes SQL: that way `ask` is tried again.
 */
export async function sparing<T>(target: Target, ask: (target: Target) => Promise<T>): Promise<T> {
  try {
    return await ask(target)
  } catch (error) {
    if (codeOf(error) !== tooManyConnections) throw error
    return await ask({
      ...target,
      parameters: { ...target.parameters, replication: "database" },
    })
  }
}

/** PostgreSQL is not at the point where it takes connections. */
export class StartingError extends Error {
  override readonly name = "StartingError"
}

/**
 * The socket of the postmaster that runs, by its own pid file: a keeper that was started with
 * another port finds it there all the same (T11). Throws while the postmaster says in the last line
 * that it takes no connections: asking it would cost a process and a line of its log each time. A
 * file that cannot be read says nothing.
 */
async function socketOf(settings: PostgresSettings, dataDirectory: string): Promise<string> {
  const text = await readIfPresent(join(dataDirectory, "postmaster.pid")).catch(() => null)
  const [, , , port = "", directory = "", , , word = ""] = text?.split("\n") ?? []
  const why = Object.hasOwn(refusals, word.trim()) ? refusals[word.trim()] : undefined
  if (why !== undefined) throw new StartingError(why)
  const known = /^\d+$/.test(port) && directory.startsWith("/")
  const [at, number] = known ? [directory, port] : [settings.socketDirectory, settings.port]
  return join(at, `.s.PGSQL.${number}`)
}

const refusals: Readonly<Record<string, string>> = {
  starting: "it is starting up",
  stopping: "it is shutting down",
  standby: "it recovers and does not accept connections yet",
}

/**
 * `lost` hears when a lasting session ends by itself: a sign that something happened to PostgreSQL.
 */
export function openSessions(
  settings: PostgresSettings,
  { data }: Places,
  lost: () => void,
): Sessions {
  const { clock, requestTimeout, superuser } = settings
  let own: SqlSession | null = null
  let opening: Promise<SqlSession> | null = null
  let walsender: Session | null = null
  let refusedAt = Number.NEGATIVE_INFINITY
  let revision = ""
  let socket = ""
  /** Counts `close`: a session that was being opened meanwhile must not become the lasting one. */
  let era = 0

  const fresh = async (signal: AbortSignal, onClose?: () => void): Promise<SqlSession> => {
    const mine = era
    socket = await socketOf(settings, data)
    const target = localTarget(socket, superuser, "postgres")
    const session = await sparing(target, (one) =>
      openSql(one, clock, requestTimeout, signal, onClose),
    )
    if (mine === era) revision = session.revision
    return session
  }

  const open = async (signal: AbortSignal): Promise<SqlSession> => {
    const mine = era
    const session = await fresh(signal, lost)
    if (mine !== era) {
      session.close()
      throw new Error("the connection to PostgreSQL was closed while it was opened")
    }
    own = session
    return session
  }

  return {
    own: async (signal) => {
      if (own !== null && !own.closed) return own
      opening ??= open(signal).finally(() => (opening = null))
      return await opening
    },
    replication: () => {
      if (walsender !== null && !walsender.closed) return walsender
      if (clock.now().mono - refusedAt < refusalPause) return null
      if (socket === "") return null
      const target = localTarget(socket, settings.replication, "replication")
      const session = { ...target, parameters: { replication: "true" } }
      return (walsender = newSession(session, clock, requestTimeout))
    },
    refused: () => {
      refusedAt = clock.now().mono
      walsender?.close()
      walsender = null
    },
    fresh: (signal) => fresh(signal),
    get revision() {
      return revision
    },
    close: () => {
      era++
      own?.close()
      walsender?.close()
      own = walsender = null
      refusedAt = Number.NEGATIVE_INFINITY
      revision = ""
    },
  }
}
