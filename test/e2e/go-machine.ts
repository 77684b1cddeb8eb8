/**
 * A scripted Go keeper's machine on a real PostgreSQL: the commands of reference 4.7 with their
 * arguments, the files of 4.1 to 4.5 where and how Go has them. Everything runs as the user that
 * PostgreSQL runs as; only questions (psql) do not.
 */
import { closeSync, existsSync, openSync, readFileSync } from "node:fs"
import { rename, rm, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { postgresPrograms } from "#cmd/dev-place.ts"
import { until } from "#test/conformance/wait.ts"
import type { GoMachine, GoSource } from "#test/peers/machine.ts"
import { conninfo } from "#test/peers/render.ts"
import {
  type Place,
  environment,
  own,
  ownedDirectory,
  superuser,
  superuserPassword,
  wordsOf,
} from "./place.ts"

export const replication = { name: "repl", password: "repl-password" } as const
const programs = postgresPrograms("")
const program = (name: string): string => join(programs, name)
const socket = ["-o", "-c unix_socket_directories=/tmp"]

export interface RealMachine extends GoMachine {
  readonly port: number
  readonly dataDir: string
  postmasterPid(): number | null
}

async function output(
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const child = Bun.spawn([...command], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...environment(), ...env },
    cwd: "/tmp",
  })
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  if (code !== 0) throw new Error(`${command.slice(-4).join(" ")} ended with ${code}: ${err}`)
  return out.trimEnd()
}
const asUser = (name: string, args: readonly string[]): Promise<string> =>
  output(wordsOf([program(name), ...args]), { PGPASSWORD: replication.password })

/** Asks the server on loopback; as the replication user when it is a replication command. */
function ask(port: number, sql: string, replicates = false): Promise<string> {
  const user = replicates ? replication.name : superuser
  const pairs = { host: "127.0.0.1", port: String(port), user, connect_timeout: "2" }
  const target = conninfo(
    replicates ? { ...pairs, replication: "1" } : { ...pairs, dbname: "postgres" },
  )
  const PGPASSWORD = replicates ? replication.password : superuserPassword
  return output([program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", target, "-c", sql], {
    PGPASSWORD,
  })
}

export async function realMachine(place: Place, uid: string, port: number): Promise<RealMachine> {
  const dataDir = join(place.directory, uid)
  await ownedDirectory(dataDir)
  const data = join(dataDir, "postgres")
  const file = (name: string): string => join(data, name)
  const postmasterPid = (): number | null => {
    try {
      const pid = Number(readFileSync(file("postmaster.pid"), "utf8").split("\n")[0])
      process.kill(pid, 0)
      return pid
    } catch {
      return null
    }
  }
  const put = async (path: string, content: string): Promise<void> => {
    await writeFile(`${path}123456789`, content, { mode: 0o600 })
    await own(`${path}123456789`)
    await rename(`${path}123456789`, path)
  }
  return {
    port,
    dataDir,
    postmasterPid,
    version: { Maj: 15, Min: 0 },
    load: async (name) =>
      existsSync(join(dataDir, name)) ? readFileSync(join(dataDir, name), "utf8") : null,
    save: (name, content) => put(join(dataDir, name), content),
    isInitialized: async () =>
      ["PG_VERSION", "base", "global/pg_control", "pg_wal", "pg_xact"].every((n) =>
        existsSync(file(n)),
      ),
    isStandby: async () => existsSync(file("standby.signal")),
    systemID: async () => String(readFileSync(file("global/pg_control")).readBigUInt64LE(0)),
    isRunning: async () => postmasterPid() !== null,
    async write({ conf, hba, signal }) {
      await put(file("postgresql.conf"), conf)
      await put(file("pg_hba.conf"), hba)
      if (signal === "standby") await put(file("standby.signal"), "")
    },
    async start(temporary) {
      const name = file("stolon-temp-postgresql.conf")
      if (temporary !== null) await put(name, `include 'postgresql.conf'\n${temporary}`)
      await rm(file("postgresql.auto.conf"), { force: true })
      await symlink("/dev/null", file("postgresql.auto.conf"))
      const log = openSync(join(place.directory, `${uid}.postgres.log`), "a")
      const config = temporary === null ? [] : ["-c", `config_file=${name}`]
      const arguments_ = ["-D", data, "-c", "unix_socket_directories=/tmp", ...config]
      const child = Bun.spawn([...wordsOf([program("postgres"), ...arguments_])], {
        stdio: ["ignore", log, log],
        env: environment(),
        cwd: "/tmp",
      })
      closeSync(log)
      child.unref()
      await until(`PostgreSQL of ${uid} to start`, () => {
        if (child.exitCode !== null) throw new Error("postgres exited unexpectedly")
        return postmasterPid() === child.pid
      })
    },
    waitReady: async (ms) =>
      void (await until(`PostgreSQL of ${uid} to be ready`, () => ask(port, "select 1"), ms)),
    async stop() {
      if (postmasterPid() !== null)
        await asUser("pg_ctl", ["stop", "-w", "-m", "fast", "-D", data, ...socket])
    },
    reload: async () => void (await asUser("pg_ctl", ["reload", "-D", data, ...socket])),
    promote: async () => void (await asUser("pg_ctl", ["promote", "-w", "-D", data])),
    remove: () => rm(data, { recursive: true, force: true }),
    async initdb(config) {
      const pairs = ["-D", data, "-U", superuser, "--pwfile", place.superuserFile, "--no-sync"]
      const sums = config?.dataChecksums === true ? ["--data-checksums"] : []
      await asUser("initdb", [...pairs, ...sums])
    },
    async setUpRoles() {
      const { name, password } = replication
      await ask(port, `create role ${name} with login replication encrypted password '${password}'`)
    },
    fileParameters: () => parameters(port),
    async baseBackup({ host, port: from }: GoSource, slot) {
      const target = conninfo({ host, port: from, user: replication.name, sslmode: "prefer" })
      const how = ["-R", "-v", "-P", "-Xs", "--checkpoint=fast", "-D", data, "--slot", slot]
      await asUser("pg_basebackup", [...how, "-d", target])
    },
    rewind: () => Promise.reject(new Error("usePgrewind is off here")),
    probe: () => probe(port),
    slots: async () => lines(await ask(port, "select slot_name from pg_replication_slots")),
    createSlot: async (name) =>
      void (await ask(port, `select pg_create_physical_replication_slot('${name}')`)),
    dropSlot: async (name) => void (await ask(port, `select pg_drop_replication_slot('${name}')`)),
    pendingRestart: async () =>
      (await ask(port, "select count(*) > 0 from pg_settings where pending_restart")) === "t",
  }
}

const lines = (out: string): readonly string[] => out.split("\n").filter((line) => line !== "")
const pairsOf = (out: string): Map<string, string> =>
  new Map(
    lines(out).map((line) => {
      const at = line.indexOf("|")
      return [line.slice(0, at), line.slice(at + 1)]
    }),
  )

const fileSettings = "select name, setting from pg_file_settings where setting is not null"
const parameters = async (port: number): Promise<Map<string, string>> =>
  pairsOf(await ask(port, fileSettings))

/** Reference 6.2, with as few processes as it takes. */
async function probe(port: number): Promise<Awaited<ReturnType<GoMachine["probe"]>>> {
  const names = "select substr(application_name, 8) from pg_stat_replication"
  const wal = "select min(name) from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$'"
  const [files, sync, older, identity] = await Promise.all([
    parameters(port),
    ask(port, `${names} where sync_state = 'sync' and application_name like 'stolon_%'`),
    ask(port, wal),
    ask(port, "IDENTIFY_SYSTEM", true),
  ])
  const [systemID = "", timeline = "", position = ""] = identity.split("|")
  const timelineID = Number(timeline)
  const [high = "0", low = "0"] = position.split("/")
  return {
    systemID,
    timelineID,
    xLogPos: (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`),
    timelinesHistory: timelineID > 1 ? await history(port, timelineID) : null,
    pgParameters: files,
    synchronousStandbys: [...lines(sync)],
    olderWalFile: older,
  }
}

async function history(port: number, timeline: number) {
  const out = await ask(port, `TIMELINE_HISTORY ${timeline}`, true)
  const entries = out.split(/[|\n]/).flatMap((line) => {
    const match = /^(\d+)\t([0-9A-F]+)\/([0-9A-F]+)\t(.*)$/.exec(line)
    if (match === null) return []
    const [, id = "0", high = "0", low = "0", reason = ""] = match
    const switchPoint = (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)
    return [{ timelineID: Number(id), switchPoint, reason }]
  })
  return entries.slice(-2)
}
