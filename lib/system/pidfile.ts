/**
 * Clearing away a dead postmaster's lock files where PostgreSQL itself would refuse to. It asks
 * only whether the pid exists, so a zombie that nobody collects (D-77), or another program that was
 * given the number (usual after a container's restart), keeps it from starting for ever.
 *
 * Never called while a process of the instance lives, and never for a pid that does not exist or
 * that we may not look at: there PostgreSQL decides by itself, and looks at its shared memory too.
 */
import { readFile, rm } from "node:fs/promises"
import { join } from "node:path"
import { readIfPresent } from "./files.ts"
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

function isStale(pid: number, directory: string): boolean {
  const process = readProcess(pid)
  if (process === null) return false // PostgreSQL finds that out
  if (!isAlive(process)) return true // a zombie
  const standing = directoryOf(pid)
  return standing !== null && standing !== directory
}
