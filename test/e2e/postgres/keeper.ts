/**
 * A keeper's PostgreSQL for tests of the adapter: a data directory, a free port, `openPostgres`,
 * and the steps in the order in which a plan would give them. Everything that was started is ended
 * with it.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { millis } from "#base/brand.ts"
import { dbUID } from "#model/ids.ts"
import type { Event } from "#model/events.ts"
import type { ConfigFiles, Local } from "#model/local.ts"
import type { Source, Step } from "#model/step.ts"
import type { Postgres } from "#port/postgres.ts"
import { openPostgres } from "#postgres/open.ts"
import type { PostgresSettings } from "#postgres/settings.ts"
import { realClock } from "#system/clock.ts"
import { instanceProcesses } from "#system/instance.ts"
import { isAlive, type ProcessId, readProcess } from "#system/process.ts"

process.env["STOLON_SELF"] = JSON.stringify([
  process.execPath,
  join(import.meta.dir, "..", "..", "unit", "system", "entry.ts"),
])

export const bin = "/usr/lib/postgresql/15/bin"
export const never = new AbortController().signal
export const seconds = (n: number) => millis(n * 1_000)

export interface Keeper extends AsyncDisposable {
  readonly dataDir: string
  readonly pgData: string
  readonly settings: PostgresSettings
  readonly postgres: Postgres
  readonly source: Source
  readonly events: readonly Event[]
  readonly progress: readonly string[]
  /** Another `openPostgres` on the same directory, as a restarted keeper would do. */
  reopen(): Promise<Postgres>
  run(...steps: readonly Step[]): Promise<void>
  observe(): Promise<Local>
  /** The server as observed; fails unless it is up. */
  up(): Promise<Extract<Local["server"], { kind: "up" }>>
  postmaster(): ProcessId
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === "string") throw new Error("no port")
  return address.port
}

export const passwords = { superuser: `s"u:p\\w'1 $x`, replication: `re:pl'\\ pw"` } as const

export async function keeper(name: string, more: Partial<PostgresSettings> = {}): Promise<Keeper> {
  const dataDir = mkdtempSync(join("/tmp", `stolon-${name}-`))
  const port = await freePort()
  const events: Event[] = []
  const progress: string[] = []
  const settings: PostgresSettings = {
    dataDir,
    binPath: bin,
    port: `${port}`,
    socketDirectory: dataDir,
    superuser: { name: "su", method: "scram-sha-256", password: passwords.superuser },
    replication: { name: "repl", method: "md5", password: passwords.replication },
    requestTimeout: seconds(5),
    initialDeadline: seconds(120),
    store: null,
    clock: realClock,
    log: { event: (each) => events.push(each) },
    ...more,
  }
  const postgres = await openPostgres(settings, never)
  const all = [postgres]
  const pgData = join(dataDir, "postgres")
  const observe = (): Promise<Local> => postgres.observe(never)
  return {
    dataDir,
    pgData,
    settings,
    postgres,
    source: { db: dbUID(name), host: "127.0.0.1", port: `${port}` },
    events,
    progress,
    observe,
    reopen: async () => {
      const next = await openPostgres(settings, never)
      all.push(next)
      return next
    },
    run: async (...steps) => {
      for (const step of steps) await postgres.run(step, (text) => progress.push(text), never)
    },
    up: async () => {
      const { server } = await observe()
      if (server.kind !== "up") throw new Error(`not up: ${JSON.stringify(server)}`)
      return server
    },
    postmaster: () => {
      const pid = Number(readFileSync(join(pgData, "postmaster.pid"), "utf8").split("\n")[0])
      const found = readProcess(pid)
      if (found === null) throw new Error(`no process ${pid}`)
      return found
    },
    [Symbol.asyncDispose]: async () => {
      for (const each of all) await each[Symbol.asyncDispose]()
      kill(() => [JSON.parse(readFileSync(join(dataDir, "guardian.json"), "utf8"))])
      kill(() => instanceProcesses(new Set([pgData])))
      rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

function kill(find: () => readonly ProcessId[]): void {
  try {
    for (const each of find()) if (isAlive(each)) process.kill(each.pid, "SIGKILL")
  } catch {
    // Nothing there, or gone in between: that is what cleaning up is for.
  }
}

export interface Wish {
  readonly revision?: string
  readonly sync?: string
  readonly follow?: Keeper
  readonly own?: string
  readonly lines?: readonly string[]
  readonly signal?: ConfigFiles["signal"]
}

/** Files as a plan would render them. */
export function files(of: Keeper, wish: Wish = {}): ConfigFiles {
  const { settings } = of
  const { follow } = wish
  const conf = [
    `listen_addresses = '127.0.0.1'`,
    `port = '${settings.port}'`,
    `unix_socket_directories = '${settings.socketDirectory}'`,
    `wal_level = 'replica'`,
    `hot_standby = 'on'`,
    `wal_log_hints = 'on'`,
    `max_connections = '20'`,
    `shared_buffers = '16MB'`,
    `wal_keep_size = '64MB'`,
    `synchronous_standby_names = '${wish.sync ?? ""}'`,
    `stolon.revision = '${wish.revision ?? "r1"}'`,
    ...(wish.lines ?? []),
  ]
  if (follow !== undefined) conf.push(...followLines(follow, wish.own ?? "x"))
  const hba = [
    `local postgres su scram-sha-256`,
    `local replication repl md5`,
    `host all su 127.0.0.1/32 md5`,
    `host replication repl 127.0.0.1/32 md5`,
    `host all app 127.0.0.1/32 trust`,
  ]
  const signal = wish.signal ?? (follow === undefined ? "none" : "standby")
  return { conf: `${conf.join("\n")}\n`, hba: `${hba.join("\n")}\n`, signal }
}

function followLines(follow: Keeper, own: string): readonly string[] {
  const password = follow.settings.replication.password.replace(/['\\]/g, "\\$&")
  const info = `application_name=stolon_${own} host=127.0.0.1 port=${follow.settings.port} user=repl password='${password}'`
  return [
    `primary_conninfo = '${info.replace(/\\/g, "\\\\").replace(/'/g, "''")}'`,
    `primary_slot_name = 'stolon_${own}'`,
    `recovery_target_timeline = 'latest'`,
  ]
}

export const stop: Step = {
  kind: "stop",
  why: "test",
  escalateAfter: seconds(20),
  checkpoint: true,
}
export const start: Step = { kind: "start", temporary: null }
export const ready: Step = { kind: "wait-ready", timeout: seconds(30) }

/** From nothing to a primary with roles. */
export async function primary(of: Keeper, wish: Wish = {}): Promise<void> {
  await of.run(
    { kind: "initdb", config: { locale: "C", encoding: "UTF8", dataChecksums: true } },
    { kind: "swap-in" },
    { kind: "write-config", files: files(of, wish) },
    start,
    ready,
    { kind: "create-roles" },
  )
}

/** A copy of `from` that streams from it. */
export async function standby(
  of: Keeper,
  from: Keeper,
  own: string,
  wish: Wish = {},
): Promise<void> {
  await from.run({ kind: "create-slot", name: `stolon_${own}`, reserve: true })
  await of.run(
    { kind: "clone", from: from.source, slot: `stolon_${own}` },
    { kind: "swap-in" },
    { kind: "write-config", files: files(of, { ...wish, follow: from, own }) },
    start,
    ready,
  )
}
