/**
 * What can be said of a PostgreSQL data directory by looking at its files (reference 4.8), whether
 * PostgreSQL runs or not.
 *
 * The list of what belongs to a whole instance is data, a row each with the versions that have it
 * (D-50). Nothing here writes.
 */
import { lstat, open, readdir } from "node:fs/promises"
import { join } from "node:path"
import type { Control, DataDir } from "#model/local.ts"
import { isMissing, readIfPresent } from "#system/files.ts"
import { readHistory } from "./timeline.ts"

interface Row {
  readonly name: string
  /** First and last major version that has it. */
  readonly since?: number
  readonly until?: number
}
const row = (name: string, since = 0, until = Number.POSITIVE_INFINITY): Row => ({
  name,
  since,
  until,
})

const belongings: readonly Row[] = [
  row("base"),
  row("global"),
  row("global/pg_control"),
  row("pg_dynshmem"),
  row("pg_logical"),
  row("pg_multixact"),
  row("pg_notify"),
  row("pg_replslot"),
  row("pg_serial"),
  row("pg_snapshots"),
  row("pg_stat"),
  row("pg_stat_tmp"),
  row("pg_subtrans"),
  row("pg_tblspc"),
  row("pg_twophase"),
  row("pg_xact", 10),
  row("pg_wal", 10),
  row("pg_clog", 0, 9),
  row("pg_xlog", 0, 9),
]

/** A file system's own entry, on a mount point. */
const ignored = new Set(["lost+found"])

export async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (error) {
    if (isMissing(error) || isNotDirectory(error)) return false
    throw error
  }
}
const isNotDirectory = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "ENOTDIR"

/** What lies in a directory; nothing when it is missing. */
export async function contentOf(directory: string): Promise<readonly string[]> {
  try {
    return (await readdir(directory)).filter((name) => !ignored.has(name)).toSorted()
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

/** `control` is asked only about a whole instance, and answers null while PostgreSQL runs. */
export async function readDataDir(
  directory: string,
  control: (directory: string) => Promise<Control | null>,
): Promise<DataDir> {
  if ((await contentOf(directory)).length === 0) return { kind: "missing" }
  const major = await majorOf(directory)
  if (major === null || !(await isWhole(directory, major))) return { kind: "partial" }
  const systemID = await systemIdOf(directory)
  if (systemID === null) return { kind: "partial" }
  const standby = await exists(join(directory, "standby.signal"))
  const facts = await control(directory)
  const newest = await newestTimeline(directory)
  const timeline = facts?.timeline ?? newest
  return {
    kind: "initialized",
    role: standby ? "standby" : "master",
    systemID,
    major,
    control: facts,
    newest,
    history: await readHistory(directory, timeline),
  }
}

async function majorOf(directory: string): Promise<number | null> {
  const text = await readIfPresent(join(directory, "PG_VERSION"))
  return text !== null && /^\d+(\.\d+)?\s*$/.test(text) ? Number.parseInt(text, 10) : null
}

async function isWhole(directory: string, major: number): Promise<boolean> {
  const names = belongings
    .filter(({ since = 0, until = major }) => major >= since && major <= until)
    .map(({ name }) => name)
  // at once: this is asked at every look, and each question waits for a turn of its own
  const found = await Promise.all(names.map((name) => exists(join(directory, name))))
  return found.every((there) => there)
}

/**
 * The first eight bytes of pg_control, in every version. Null when there is no such file, or half
 * of it.
 */
export async function systemIdOf(directory: string): Promise<string | null> {
  const path = join(directory, "global", "pg_control")
  if (!(await exists(path))) return null
  const file = await open(path)
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(8), 0, 8, 0)
    return bytesRead === 8 ? String(buffer.readBigUInt64LE()) : null
  } finally {
    await file.close()
  }
}

/** By the history files: only while PostgreSQL runs and cannot be asked yet. */
async function newestTimeline(directory: string): Promise<number> {
  const names = (await contentOf(join(directory, "pg_wal"))).filter((name) =>
    /^[0-9A-F]{8}\.history$/.test(name),
  )
  return Number.parseInt(names.at(-1)?.slice(0, 8) ?? "1", 16)
}

/** The name of the oldest WAL file that is whole; Go reckons with 16 MiB alone (D-39). */
export async function oldestWalFile(directory: string, segmentBytes: number): Promise<string> {
  const wal = join(directory, "pg_wal")
  const oldest = (await contentOf(wal)).find((name) => /^[0-9A-F]{24}$/.test(name))
  if (oldest === undefined) return ""
  try {
    return (await lstat(join(wal, oldest))).size === segmentBytes ? oldest : ""
  } catch (error) {
    if (isMissing(error)) return "" // recycled meanwhile
    throw error
  }
}
