/**
 * The processes of one PostgreSQL instance, ours or not: found by what they are (the postgres
 * program standing in the data directory) and by descent, never by the pid file alone, which
 * outlives its process and may sit on a disk that hangs.
 *
 * Backends put themselves into sessions of their own, so no process group holds them together, and
 * when the postmaster is killed they lose their parent too. Where they stand is the one thing they
 * keep.
 */
import { basename } from "node:path"
import {
  argumentsOf,
  directoryOf,
  executableOf,
  type Process,
  type ProcessId,
  processes,
  signalProcess,
  withDescendants,
} from "./process.ts"

const programs = new Set(["postgres", "postmaster"])

/**
 * Every living process of the instances in `directories` (real paths): PostgreSQL's own and what
 * they started, such as archive commands. `parents` adds the descendants of these pids (not
 * themselves): orphans that a subreaper inherited.
 */
export function instanceProcesses(
  directories: ReadonlySet<string>,
  parents: ReadonlySet<number> = new Set(),
): readonly Process[] {
  const all = processes()
  const stands = (each: Process): boolean =>
    parents.has(each.parent) || (isPostgres(each) && directories.has(directoryOf(each.pid) ?? ""))
  return withDescendants(all, stands).filter((each) => !parents.has(each.pid))
}

/**
 * The name is cheap; `exe` decides, because anybody may call itself postgres. A process that is
 * just being torn down has no executable any more while its shared memory is still being given
 * back, which takes its time: it counts, by its name, as long as it stands anywhere. (Somebody
 * else's process, of which we may see neither, stands nowhere.)
 */
export function isPostgres(process: Process): boolean {
  if (!programs.has(process.name)) return false
  const executable = executableOf(process.pid)
  return executable === null || programs.has(basename(executable))
}

/**
 * What runs in `directory` without our having started it: the postmaster, whose parent is not of
 * the instance and whose title is still its command line; or, when only backends are left whose
 * postmaster was killed, a name for it that is not alive. Programs of a single user (`postgres
 * --boot` below initdb, `--single` below pg_rewind) serve nobody and are none of both.
 */
export function findInstance(directory: string): ProcessId | null {
  const found = instanceProcesses(new Set([directory])).filter(
    (each) => isPostgres(each) && directoryOf(each.pid) === directory,
  )
  const pids = new Set(found.map((each) => each.pid))
  let orphan: ProcessId | null = null
  for (const each of found) {
    if (pids.has(each.parent)) continue
    const [title = "", first = ""] = argumentsOf(each.pid)
    if (title.startsWith("postgres:")) orphan = { pid: each.parent, start: "dead" }
    else if (!alone.has(first)) return each
  }
  return orphan
}

const alone = new Set(["--boot", "--single", "--check", "--describe-config", "-C"])

/**
 * SIGKILL to all of them, `first` (the postmaster) before the others: it would answer the death of
 * a child by starting everything anew.
 */
export function killAll(first: ProcessId | null, others: readonly ProcessId[]): void {
  if (first !== null) signalProcess(first, "SIGKILL")
  for (const each of others) signalProcess(each, "SIGKILL")
}
