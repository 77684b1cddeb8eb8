/**
 * Removing, syncing and moving whole directories, without ever following a symbolic link:
 * tablespaces and a pg_wal elsewhere belong to the operator, and only their links are ours.
 *
 * A directory that cannot be renamed (a mount point) is moved by its content: copied, synced, and
 * only then emptied. The file `stolon-move` says which side of such a move is complete, so that a
 * crash in the middle is repaired without a guess.
 */
import { constants } from "node:fs"
import { lstat, mkdir, open, readdir, rename, rm, rmdir, unlink } from "node:fs/promises"
import { join } from "node:path"
import * as v from "valibot"
import { run } from "#system/command.ts"
import {
  isMissing,
  readIfPresent,
  removeDurably,
  syncDirectory,
  writeAtomic,
} from "#system/files.ts"
import { contentOf, exists } from "./datadir.ts"
import { codeOf, type Places } from "./settings.ts"

/** Removes what is inside; pg_control first, so that the remains can never be started. */
export async function emptyTree(directory: string, signal: AbortSignal): Promise<void> {
  await rm(join(directory, "global", "pg_control"), { force: true })
  for (const name of await contentOf(directory)) {
    signal.throwIfAborted()
    await rm(join(directory, name), { recursive: true, force: true })
  }
}

/**
 * Removes a directory; a link to one is only unlinked, a mount point stays, empty. Missing is fine.
 */
export async function removeTree(path: string, signal: AbortSignal): Promise<void> {
  if (!(await exists(path))) return
  if (!(await lstat(path)).isDirectory()) return await unlink(path)
  await emptyTree(path, signal)
  try {
    await rmdir(path)
  } catch (error) {
    if (!mounted(error) && codeOf(error) !== "ENOTEMPTY") throw error
  }
}

/** Makes everything below `directory` durable. */
export async function syncTree(directory: string, signal: AbortSignal): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    signal.throwIfAborted()
    const path = join(directory, entry.name)
    if (entry.isDirectory()) await syncTree(path, signal)
    else if (entry.isFile()) await syncFile(path)
  }
  await syncDirectory(directory)
}

export async function syncFile(path: string): Promise<void> {
  const file = await open(path, constants.O_RDONLY)
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

/** What a rename says of a mount point, or between two file systems. */
const mounted = (error: unknown): boolean => codeOf(error) === "EBUSY" || codeOf(error) === "EXDEV"

const moveFile = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ kind: v.picklist(["aside", "swap"]) }),
)
const partName = "postgres.part"

/** Moves in this process: `settleMove` must not take one that runs for one that broke off. */
const underWay = new Set<string>()

/** Finishes or undoes a content move that a crash interrupted. Cheap when there was none. */
export async function settleMove(places: Places, signal: AbortSignal): Promise<void> {
  if (underWay.has(places.root)) return
  const text = await readIfPresent(places.move)
  if (text === null) return
  v.parse(moveFile, text)
  // Either way what lies in `postgres/` is a remainder: of what stands aside complete, or a piece
  // of what waits in `postgres.new/`.
  await emptyTree(places.data, signal)
  await removeDurably(places.move)
}

/** `postgres/` becomes `aside`. */
export async function moveAside(places: Places, aside: string, signal: AbortSignal): Promise<void> {
  try {
    await rename(places.data, aside)
  } catch (error) {
    if (!mounted(error)) throw error
    const part = join(places.root, partName)
    await removeTree(part, signal)
    await copyContent(places.data, part, signal)
    await rename(part, aside)
    await syncDirectory(places.root)
    await guarded(places, "aside", () => emptyTree(places.data, signal))
  }
  await syncDirectory(places.root)
}

/**
 * `postgres.new/` becomes `postgres/`, which is missing or empty. Throws when something is there.
 */
export async function moveIn(places: Places, signal: AbortSignal): Promise<void> {
  if ((await contentOf(places.data)).length > 0)
    throw new Error(`${places.data} is in the way of ${places.side}: it is not empty`)
  try {
    await rename(places.side, places.data)
  } catch (error) {
    if (!mounted(error) && codeOf(error) !== "ENOTEMPTY") throw error
    // ENOTEMPTY: a mount point's lost+found.
    await guarded(places, "swap", () => copyContent(places.side, places.data, signal))
    await removeTree(places.side, signal)
  }
  await syncDirectory(places.root)
}

async function guarded(
  places: Places,
  kind: "aside" | "swap",
  work: () => Promise<void>,
): Promise<void> {
  await writeAtomic(places.move, JSON.stringify({ kind }))
  underWay.add(places.root)
  try {
    await work()
    await removeDurably(places.move)
  } finally {
    underWay.delete(places.root)
  }
}

async function copyContent(from: string, to: string, signal: AbortSignal): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o700 })
  const names = await contentOf(from)
  if (names.length > 0) {
    const paths = names.map((name) => join(from, name))
    const outcome = await run({ argv: ["cp", "-a", "--", ...paths, to] }, signal)
    if (outcome.code !== 0) throw new Error(`cannot copy ${from} to ${to}: ${outcome.tail}`)
  }
  await syncTree(to, signal)
}

/** Unlinks a file that may be missing. */
export async function unlinkIfPresent(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}
