/**
 * A real PostgreSQL for tests of processes: a data directory of user `postgres`, copied from one
 * that is initialised once per test file, and a supervisor on it. Everything that was started is
 * killed at the end, by pid.
 */
import { chownSync, cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Millis, millis } from "#base/brand.ts"
import { openSupervisor } from "#postgres/supervisor.ts"
import type { Start, Supervisor } from "#port/supervision.ts"
import { realClock } from "#system/clock.ts"
import { run } from "#system/command.ts"
import { instanceProcesses } from "#system/instance.ts"
import { argumentsOf, isAlive, type ProcessId, readProcess } from "#system/process.ts"
import { until } from "../system/until.ts"

export const bin = "/usr/lib/postgresql/15/bin"
export const never = new AbortController().signal
export const entry = new URL("../system/entry.ts", import.meta.url).pathname

process.env["STOLON_SELF"] = JSON.stringify([process.execPath, entry])

const passwd = readFileSync("/etc/passwd", "utf8")
  .split("\n")
  .find((line) => line.startsWith("postgres:"))
const [, , uid = "", gid = ""] = passwd?.split(":") ?? []
/** PostgreSQL refuses root; tests run as root. */
export const identity = { uid: Number(uid), gid: Number(gid), groups: [] }

/** A directory owned by `postgres`, removed when disposed. */
export function privateTemp(prefix: string): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), prefix))
  chownSync(path, identity.uid, identity.gid)
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/** Runs initdb; for copying. */
export async function template(): Promise<{ readonly path: string } & Disposable> {
  const temp = privateTemp("stolon-template-")
  const initdb = join(bin, "initdb")
  const argv = [
    initdb,
    "-D",
    join(temp.path, "postgres"),
    "--no-sync",
    "-A",
    "trust",
    "-U",
    "su",
  ] as const
  const outcome = await run({ argv, identity }, never)
  if (outcome.code !== 0) throw new Error(outcome.tail)
  return temp
}

export interface Cluster extends AsyncDisposable {
  /** The keeper's data directory and PostgreSQL's. */
  readonly dataDir: string
  readonly pgData: string
  readonly what: Start
  open(initialDeadline?: number): Promise<Supervisor>
  guardian(): ProcessId
  postmaster(): ProcessId
}

/**
 * A copy of the template with everything needed to start it. Sockets lie in the directory; no port
 * is listened on.
 */
export async function cluster(from: { readonly path: string }): Promise<Cluster> {
  const temp = privateTemp("stolon-pg-")
  cpSync(join(from.path, "postgres"), join(temp.path, "postgres"), { recursive: true })
  await run({ argv: ["chown", "-R", `${identity.uid}:${identity.gid}`, temp.path] }, never)
  const pgData = join(temp.path, "postgres")
  const args = [
    "-c",
    "listen_addresses=",
    "-c",
    `unix_socket_directories=${temp.path}`,
    "-c",
    "fsync=off",
  ]
  const guardian = (): ProcessId =>
    JSON.parse(readFileSync(join(temp.path, "guardian.json"), "utf8"))
  const supervisors: Supervisor[] = []
  return {
    dataDir: temp.path,
    pgData,
    what: { postgres: join(bin, "postgres"), dataDir: pgData, args },
    open: async (initialDeadline = 60_000) => {
      const options = {
        dataDir: temp.path,
        clock: realClock,
        identity,
        initialDeadline: millis(initialDeadline),
      }
      const supervisor = await openSupervisor(options, never)
      supervisors.push(supervisor)
      return supervisor
    },
    guardian,
    postmaster: () =>
      processOf(Number(readFileSync(join(pgData, "postmaster.pid"), "utf8").split("\n")[0])),
    [Symbol.asyncDispose]: async () => {
      for (const each of supervisors) await each[Symbol.asyncDispose]()
      kill(() => [guardian()])
      kill(() => instanceProcesses(new Set([pgData])))
      temp[Symbol.dispose]()
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

/** The process as it is now; fails when there is none. */
export function processOf(pid: number): ProcessId {
  const found = readProcess(pid)
  if (found === null) throw new Error(`no process ${pid}`)
  return found
}

export const mono = (ahead: number) => millis(realClock.now().mono + ahead)

export const seconds = (n: number): Millis => millis(n * 1000)

/** Whether anything of PostgreSQL lives in this directory. */
export const stillRuns = (pgData: string): boolean =>
  instanceProcesses(new Set([pgData])).length > 0

/** Runs one statement, once PostgreSQL accepts sessions. */
export async function psql(host: string, sql: string) {
  await until(
    "PostgreSQL accepts",
    () => Bun.spawnSync([join(bin, "pg_isready"), "-h", host]).exitCode === 0,
  )
  const argv = [join(bin, "psql"), "-h", host, "-U", "su", "-d", "postgres", "-qc", sql]
  return { code: await Bun.spawn(argv, { stdio: ["ignore", "ignore", "ignore"] }).exited }
}

const works = (pid: number): boolean => /postgres: su .*SELECT/.test(argumentsOf(pid).join(" "))

/** A session with work in hand whose process is stopped: a fast shutdown waits for it. */
export async function freezeBackend(pg: { readonly dataDir: string; readonly pgData: string }) {
  const sleeper = psql(pg.dataDir, "select pg_sleep(1000)")
  void sleeper // ends when its session does
  const backend = await until("a session that sleeps", () =>
    instanceProcesses(new Set([pg.pgData])).find((each) => works(each.pid)),
  )
  process.kill(backend.pid, "SIGSTOP")
  return backend
}
