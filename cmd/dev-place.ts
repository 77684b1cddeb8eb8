/**
 * The directory of a `stolon dev`: its lock, its passwords, its ports, its logs. What a first run
 * settled, later runs keep, so that a connection line goes on working.
 *
 *   lock  dev.json  superuser.password  replication.password  pgpass
 *   keepers/keeper1/…  logs/keeper1.log  store.db (sqlite) or etcd/
 */
import { randomBytes } from "node:crypto"
import { existsSync, readdirSync, realpathSync } from "node:fs"
import { chmod } from "node:fs/promises"
import { dirname, join } from "node:path"
import * as v from "valibot"
import { by, byNumber, descending } from "#base/order.ts"
import { privateDirectory, readIfPresent, writeAtomic } from "#system/files.ts"
import { type Lock, LockError, takeLock } from "#system/lock.ts"

/** Something the person has to settle; the message says how. */
export class DevError extends Error {
  override readonly name = "DevError"
}

const settingsSchema = v.object({
  clusterName: v.string(),
  storeBackend: v.picklist(["sqlite", "etcdv3"]),
  port: v.number(),
  keeperPorts: v.array(v.number()),
  etcdPorts: v.array(v.number()),
})
type Settings = Readonly<v.InferOutput<typeof settingsSchema>>

export interface Wishes {
  readonly clusterName: string
  readonly storeBackend: "sqlite" | "etcdv3"
  readonly keepers: number
  /** Null: whatever is free. */
  readonly port: number | null
}

export interface Place extends Settings {
  readonly directory: string
  readonly lock: Lock
  readonly superuserFile: string
  readonly replicationFile: string
  readonly passFile: string
  /** Why the proxy's port is not the one that was to be expected; null when it is. */
  readonly portNote: string | null
}

export const superuser = "stolon"
export const replicationUser = "repl"
export const host = "127.0.0.1"
const usualPort = 5432

/** Takes the directory for this process, or throws a `DevError`. */
export async function openPlace(directory: string, wishes: Wishes): Promise<Place> {
  await privateDirectory(directory)
  await chmod(directory, 0o711) // psql of another user gets as far as its own error message
  const lock = lockDirectory(directory)
  try {
    return { ...(await settle(directory, wishes)), lock }
  } catch (error) {
    lock.close()
    throw error
  }
}

/** Everything but the lock, which must be held. */
async function settle(directory: string, wishes: Wishes): Promise<Omit<Place, "lock">> {
  for (const name of ["keepers", "logs"]) await privateDirectory(join(directory, name))
  const before = await readSettings(directory)
  if (before !== null) agree(directory, before, wishes)
  const [port, portNote] = await proxyPort(before, wishes)
  const settings: Settings = {
    clusterName: wishes.clusterName,
    storeBackend: wishes.storeBackend,
    port,
    keeperPorts: await keeperPorts(directory, before, wishes, port),
    etcdPorts: before?.etcdPorts ?? [await freePort(0), await freePort(0)],
  }
  await writeAtomic(join(directory, "dev.json"), `${JSON.stringify(settings)}\n`)
  const superuserFile = await secret(directory, "superuser.password")
  const replicationFile = await secret(directory, "replication.password")
  const passFile = join(directory, "pgpass")
  const password = (await readIfPresent(superuserFile)) ?? ""
  await writeAtomic(passFile, `${host}:*:*:${superuser}:${password}\n`)
  return { ...settings, directory, superuserFile, replicationFile, passFile, portNote }
}

function lockDirectory(directory: string): Lock {
  try {
    return takeLock(join(directory, "lock"))
  } catch (error) {
    if (error instanceof LockError && error.held)
      throw new DevError(`another stolon dev runs in ${directory}; end it, or choose another --dir`)
    throw error
  }
}

async function readSettings(directory: string): Promise<Settings | null> {
  const text = await readIfPresent(join(directory, "dev.json"))
  if (text === null) return null
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), settingsSchema), text)
  if (parsed.success) return parsed.output
  throw new DevError(`${directory}/dev.json cannot be read; remove it if you do not need its ports`)
}

function agree(directory: string, before: Settings, wishes: Wishes): void {
  for (const [flag, had, wanted] of [
    ["--store-backend", before.storeBackend, wishes.storeBackend],
    ["--cluster-name", before.clusterName, wishes.clusterName],
  ] as const)
    if (had !== wanted)
      throw new DevError(
        `${directory} holds a cluster with ${flag} ${had}; say so, or choose another --dir`,
      )
}

/** The port and, when it is not the expected one, a sentence about it. */
async function proxyPort(
  before: Settings | null,
  wishes: Wishes,
): Promise<readonly [number, string | null]> {
  if (wishes.port !== null) {
    if (await isFree(wishes.port)) return [wishes.port, null]
    throw new DevError(`port ${wishes.port} of ${host} is taken; choose another --port`)
  }
  const expected = before?.port ?? usualPort
  for (let port = expected; port < expected + 100; port++)
    if (await isFree(port))
      return [port, port === expected ? null : `port ${expected} is taken, the proxy has ${port}`]
  throw new DevError(
    `ports ${expected} to ${expected + 99} of ${host} are all taken; choose a --port`,
  )
}

/** Ports stay with their keeper, also while a PostgreSQL of an earlier run still has them. */
async function keeperPorts(
  directory: string,
  before: Settings | null,
  wishes: Wishes,
  proxy: number,
): Promise<number[]> {
  const ports: number[] = []
  let next = proxy + 1
  for (let i = 0; i < wishes.keepers; i++) {
    const old = before?.keeperPorts[i]
    const running = existsSync(join(keeperDirectory(directory, i), "postgres", "postmaster.pid"))
    if (old !== undefined && old !== proxy && (running || (await isFree(old)))) ports.push(old)
    else {
      while (ports.includes(next) || before?.keeperPorts.includes(next) || !(await isFree(next)))
        next++
      ports.push(next++)
    }
  }
  return [...ports, ...(before?.keeperPorts.slice(wishes.keepers) ?? [])]
}

export const keeperName = (index: number): string => `keeper${index + 1}`
export const keeperDirectory = (directory: string, index: number): string =>
  join(directory, "keepers", keeperName(index))

async function isFree(port: number): Promise<boolean> {
  try {
    Bun.listen({ hostname: host, port, exclusive: true, socket: { data: () => {} } }).stop(true)
    return true
  } catch {
    return false
  }
}

async function freePort(port: number): Promise<number> {
  const listener = Bun.listen({ hostname: host, port, socket: { data: () => {} } })
  const found = listener.port
  listener.stop(true)
  return found
}

/** A password, made once. */
async function secret(directory: string, name: string): Promise<string> {
  const path = join(directory, name)
  if ((await readIfPresent(path)) === null)
    await writeAtomic(path, randomBytes(16).toString("hex"), 0o600)
  return path
}

/** The directory of PostgreSQL's programs, or a `DevError` that says how to get them. */
export function postgresPrograms(wanted: string): string {
  const candidates =
    wanted === ""
      ? [...fromPath(), ...installed("/usr/lib/postgresql", "bin"), ...pgdg()]
      : [wanted]
  const found = candidates.find((path) =>
    ["postgres", "initdb", "pg_basebackup", "pg_rewind"].every((name) =>
      existsSync(join(path, name)),
    ),
  )
  if (found !== undefined) return found
  throw new DevError(
    wanted === ""
      ? "PostgreSQL is not installed here: apt-get install postgresql, or --pg-bin-path DIR"
      : `--pg-bin-path ${wanted}: postgres, initdb, pg_basebackup and pg_rewind are not all there`,
  )
}

const fromPath = (): readonly string[] => {
  const path = Bun.which("postgres")
  return path === null ? [] : [dirname(realpathSync(path))]
}
/** Red Hat's places: /usr/pgsql-15/bin. */
const pgdg = (): readonly string[] =>
  installed("/usr", "bin").filter((path) => path.startsWith("/usr/pgsql-"))

/** `root/N/below`, the greatest N first. */
function installed(root: string, below: string): readonly string[] {
  if (!existsSync(root)) return []
  const version = (name: string): number => Number(/(\d+)$/.exec(name)?.[1] ?? -1)
  return readdirSync(root)
    .filter((name) => version(name) > 0)
    .toSorted(descending(by(version, byNumber)))
    .map((name) => join(root, name, below))
}
