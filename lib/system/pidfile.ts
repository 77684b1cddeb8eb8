/**
 * Clearing away a dead postmaster's lock files where PostgreSQL itself would refuse to. It asks
 * only whether the pid exists, so a zombie that nobody collects (D-77), or another program that was
 * given the number (usual after a container's restart), keeps it from starting for ever.
 *
 * Never called while a process of the instance lives, and never for a pid that does not exist or
 * that we may not look at: there PostgreSQL decides by itself, and looks at its shared memory too.
 */
import { readFile, realpath, rm } from "node:fs/promises"
import { join } from "node:path"
import { readIfPresent } from "./files.ts"
import { isPostgres } from "./instance.ts"
import { directoryOf, isAlive, readProcess } from "./process.ts"

/**
 * Removes `postmaster.pid`, and the socket's lock that goes with it, when the pid in it provably is
 * not its postmaster.
 */
export async function clearStalePidFile(directory: string): Promise<boolean> {
  const file = join(directory, "postmaster.pid")
  const [word = "", , , port = "", sockets = ""] = ((await readIfPresent(file)) ?? "").split("\n")
  const pid = Math.abs(Number(word)) // negative for a single user's postgres
  if (!Number.isInteger(pid) || pid === 0 || !isStale(pid, directory)) return false
  // First the socket's: should we die in between, the pid file still leads here.
  if (sockets.startsWith("/")) {
    const lock = join(sockets, `.s.PGSQL.${port}.lock`)
    const [owner, home] = (await readFile(lock, "utf8").catch(() => "")).split("\n")
    if (owner === word && home === directory) await rm(lock, { force: true })
  }
  await rm(file, { force: true })
  return true
}

/**
 * Removes the lock of a socket that no postmaster holds any more, whose ever it was: another
 * instance used this port, and was killed. PostgreSQL looks at the pid there too, and refuses a
 * port for ever when any process of its own user has been given the number since.
 */
export async function clearStaleSocketLock(sockets: string, port: string): Promise<boolean> {
  if (!sockets.startsWith("/")) return false
  const lock = join(sockets, `.s.PGSQL.${port}.lock`)
  // one that may not be read is another user's, and PostgreSQL says so
  const [word = "", home = ""] = (await readFile(lock, "utf8").catch(() => "")).split("\n")
  const pid = Math.abs(Number(word))
  if (!Number.isInteger(pid) || pid === 0 || !(await isLeft(pid, home))) return false
  await rm(lock, { force: true })
  return true
}

/** Stricter than of our own directory: any PostgreSQL may be the one that holds it, by any path. */
async function isLeft(pid: number, home: string): Promise<boolean> {
  const process = readProcess(pid)
  if (process === null) return false // PostgreSQL finds that out
  if (!isAlive(process)) return true // a zombie
  const standing = directoryOf(pid)
  if (standing === null) return false
  if (!isPostgres(process)) return true
  const real = await realpath(home).catch(() => null)
  return real !== null && standing !== real
}

function isStale(pid: number, directory: string): boolean {
  const process = readProcess(pid)
  if (process === null) return false // PostgreSQL finds that out
  if (!isAlive(process)) return true // a zombie
  const standing = directoryOf(pid)
  return standing !== null && standing !== directory
}
