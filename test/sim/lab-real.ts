/**
 * The script of `lab.ts` on PostgreSQL 15 itself: initdb, pg_ctl, pg_basebackup, pg_rewind and SQL,
 * in a temporary directory, on loopback. It kills only what it started and removes what it made.
 */
import { chmod, chown, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { tmpdir } from "node:os"
import postgres from "postgres"
import { users } from "./conf.ts"
import type { Config, Facts, Insert, Lab } from "./lab.ts"

const bin = "/usr/lib/postgresql/15/bin"
const isRoot = process.getuid?.() === 0

interface Server {
  readonly data: string
  readonly port: number
}

/** Runs a PostgreSQL program as an unprivileged user; throws with its output when it fails. */
async function run(program: string, ...args: readonly string[]): Promise<string> {
  const command = isRoot ? ["runuser", "-u", "postgres", "--"] : []
  const child = Bun.spawn([...command, join(bin, program), ...args], {
    stdout: "pipe",
    stderr: "pipe",
  })
  const [out, error] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  if ((await child.exited) !== 0) throw new Error(`${program} ${args.join(" ")}: ${error}`)
  return out
}

async function postgresUser(): Promise<{ uid: number; gid: number }> {
  const id = async (flag: string): Promise<number> =>
    Number(
      await new Response(Bun.spawn(["id", flag, "postgres"], { stdout: "pipe" }).stdout).text(),
    )
  return { uid: await id("-u"), gid: await id("-g") }
}

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } })
  const { port } = listener
  listener.stop(true)
  return port
}

export async function realLab(): Promise<Lab> {
  const base = await mkdtemp(join(tmpdir(), "lab-"))
  await chmod(base, 0o700)
  if (isRoot) {
    const { uid, gid } = await postgresUser()
    await chown(base, uid, gid)
  }
  const servers = new Map<string, Server>()
  const inserts: (() => void)[] = []
  const at = (name: string): Server => {
    const known = servers.get(name)
    if (known !== undefined) return known
    const made = { data: join(base, name), port: freePort() }
    servers.set(name, made)
    return made
  }
  const sql = (name: string, text: string, database = "dbname=postgres"): Promise<string> => {
    const where = `host=${base} port=${at(name).port} user=${users.super} ${database}`
    return run("psql", "-XAtq", "-d", where, "-c", text).then((out) => out.trim())
  }
  const start = async (name: string): Promise<void> => {
    const { data } = at(name)
    await run("pg_ctl", "-D", data, "-w", "-l", join(base, `${name}.log`), "start")
  }
  const stop = (name: string, mode = "fast"): Promise<string> =>
    run("pg_ctl", "-D", at(name).data, "-w", "-m", mode, "stop")
  const until = async (what: string, met: () => Promise<boolean> | boolean): Promise<void> => {
    const limit = performance.now() + 30_000
    while (!(await met())) {
      if (performance.now() > limit) throw new Error(`never: ${what}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  const source = (name: string, user: string): string =>
    `host=127.0.0.1 port=${at(name).port} user=${user} dbname=postgres`
  const configure = async (name: string, config: Config): Promise<void> => {
    const { data, port } = at(name)
    const follow = config.follow === undefined ? 0 : at(config.follow).port
    await Promise.all(
      Object.entries(files(name, base, port, follow, config)).map(([file, text]) =>
        writeFile(join(data, file), text, { mode: 0o600 }),
      ),
    )
    await rm(join(data, "standby.signal"), { force: true })
    if (config.follow !== undefined) await writeFile(join(data, "standby.signal"), "")
    await rm(join(data, "postgresql.auto.conf"), { force: true })
    await writeFile(join(data, "postgresql.auto.conf"), "")
    if (isRoot) await Bun.spawn(["chown", "-R", "postgres:", data]).exited
  }
  return {
    async initdb(name) {
      await run("initdb", "-D", at(name).data, "-U", users.super, "-k", "-N")
      await configure(name, { open: true })
      await start(name)
      await sql(
        name,
        `create role ${users.replication} login replication; create role ${users.client} login`,
      )
      await sql(name, `create table rows (n int); grant all on rows to ${users.client}`)
      await stop(name)
    },
    clone: (from, to) =>
      run(
        "pg_basebackup",
        "-D",
        at(to).data,
        "-d",
        source(from, users.replication),
        "-Xs",
        "-cfast",
      ).then(() => {}),
    configure,
    start,
    stop: (name) => stop(name).then(() => {}),
    async crash(name) {
      const { data } = at(name)
      const pid = Number((await readFile(join(data, "postmaster.pid"), "utf8")).split("\n")[0])
      const children = await new Response(
        Bun.spawn(["pgrep", "-P", String(pid)], { stdout: "pipe" }).stdout,
      ).text()
      const all = [
        pid,
        ...children
          .trim()
          .split("\n")
          .filter((line) => line !== "")
          .map(Number),
      ]
      for (const one of all) signal(one, "SIGKILL")
      await until("its processes are gone", () => all.every((one) => !signal(one, 0)))
    },
    reload: (name) => run("pg_ctl", "-D", at(name).data, "reload").then(() => {}),
    async promote(name) {
      await run("pg_ctl", "-D", at(name).data, "-w", "promote")
      await sql(name, "checkpoint") // or pg_rewind reads the old timeline (D-52)
    },
    rewind: (name, from) =>
      run(
        "pg_rewind",
        "-D",
        at(name).data,
        `--source-server=${source(from, users.super)}`,
        "-N",
      ).then(() => {}),
    insert: async (name, row) => insert(at(name).port, row, inserts),
    async cancel(name) {
      // Only what waits; a backend that just began would not be there yet.
      const waiting =
        "select count(pg_cancel_backend(pid)) from pg_stat_activity where wait_event = 'SyncRep'"
      await until("a commit waits", async () => (await sql(name, waiting)) !== "0")
    },
    facts: (name) => facts(sql, name),
    async covers(running, stopped) {
      const control = await run("pg_controldata", at(stopped).data)
      const checkpoint = /Latest checkpoint location:\s+(\S+)/.exec(control)?.[1] ?? ""
      return (
        (await sql(running, `select pg_last_wal_receive_lsn() >= '${checkpoint}'::pg_lsn`)) === "t"
      )
    },
    until,
    async [Symbol.asyncDispose]() {
      for (const end of inserts) end()
      await Promise.all([...servers.keys()].map((name) => stop(name, "immediate").catch(() => "")))
      await rm(base, { recursive: true, force: true })
    },
  }
}

/** True when the process was there. */
function signal(pid: number, what: "SIGKILL" | 0): boolean {
  try {
    return process.kill(pid, what)
  } catch {
    return false
  }
}

function files(name: string, base: string, port: number, follow: number, config: Config) {
  const conf = [
    `port = ${port}`,
    "listen_addresses = '127.0.0.1'",
    `unix_socket_directories = '${base}'`,
    `synchronous_standby_names = '${config.sync ?? ""}'`,
    "wal_log_hints = on",
    "fsync = off",
    "hot_standby = on",
    "max_connections = 20",
    "shared_buffers = 8MB",
    "wal_retrieve_retry_interval = 200ms",
    "wal_receiver_status_interval = 1s",
  ]
  if (config.follow !== undefined)
    conf.push(
      `primary_conninfo = 'application_name=${name} host=127.0.0.1 port=${follow} user=${users.replication}'`,
      "recovery_target_timeline = 'latest'",
    )
  const hba = [
    `local all ${users.super} trust`,
    `local replication ${users.super} trust`,
    `host all ${users.super} 127.0.0.1/32 trust`,
    `host replication ${users.replication} 127.0.0.1/32 trust`,
  ]
  if (config.open === true) hba.push("host all all 127.0.0.1/32 trust")
  return { "postgresql.conf": `${conf.join("\n")}\n`, "pg_hba.conf": `${hba.join("\n")}\n` }
}

function insert(port: number, row: number, ends: (() => void)[]): () => Insert {
  let state: Insert = "pending"
  let noticed = false
  const sql = postgres({
    host: "127.0.0.1",
    port,
    user: users.client,
    database: "postgres",
    max: 1,
    connect_timeout: 5,
    onnotice: () => void (noticed = true),
  })
  ends.push(() => void sql.end({ timeout: 0 }))
  const settle = (next: Insert): void => {
    state = next
    void sql.end({ timeout: 0 })
  }
  const query = sql.unsafe(`insert into rows values (${row})`)
  query.then(
    () => settle(noticed ? "done with notice" : "done"),
    (error: { readonly code?: string }) =>
      settle(["28000", "25006", "ECONNREFUSED"].includes(error.code ?? "") ? "refused" : "lost"),
  )
  return () => state
}

async function facts(
  sql: (name: string, text: string, database?: string) => Promise<string>,
  name: string,
): Promise<Facts> {
  const down = {
    up: false,
    inRecovery: false,
    timeline: 0,
    streaming: false,
    history: [],
    syncStandbys: [],
    rows: [],
  }
  const text = await sql(
    name,
    `select pg_is_in_recovery(),
       exists (select from pg_stat_wal_receiver where status = 'streaming'),
       (select string_agg(application_name, ' ') from pg_stat_replication where sync_state = 'sync'),
       (select string_agg(n::text, ' ' order by n) from rows)`,
  ).catch(() => null)
  if (text === null) return down
  const [recovery, streaming, sync = "", rows = ""] = text.split("|")
  const timeline = Number((await sql(name, "IDENTIFY_SYSTEM", "replication=1")).split("|")[1])
  const history =
    timeline > 1 ? await sql(name, `TIMELINE_HISTORY ${timeline}`, "replication=1") : ""
  const words = (line: string): readonly string[] => line.split(" ").filter((word) => word !== "")
  return {
    up: true,
    inRecovery: recovery === "t",
    timeline,
    streaming: streaming === "t",
    // Rows `timeline <tab> position <tab> reason`, after the file's name.
    history: [...history.matchAll(/(?:^|\||\n)(\d+)\t/g)].map((match) => Number(match[1])),
    syncStandbys: words(sync),
    rows: words(rows).map(Number),
  }
}
