/**
 * State files that survive power loss: written whole or not at all, and durable when the promise
 * resolves. Also cheap questions about directories for progress reports.
 *
 * A write that throws has changed nothing under the final name. What is written here is small;
 * nothing large belongs here.
 */
import { randomBytes } from "node:crypto"
import { constants } from "node:fs"
import { chmod, lstat, mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises"
import { basename, dirname, join } from "node:path"

/**
 * Replaces `path` by `content`: a temporary file in the same directory is written, synced, given
 * its mode and renamed over it, then the directory is synced, so that the new name survives a crash
 * too.
 */
export async function writeAtomic(
  path: string,
  content: string | Uint8Array,
  mode = 0o600,
): Promise<void> {
  const directory = dirname(path)
  const temporary = join(directory, `${basename(path)}${randomBytes(5).toString("hex")}`)
  try {
    const file = await open(
      temporary,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL,
      0o600,
    )
    try {
      await file.writeFile(content)
      await file.chmod(mode) // the mode of `open` is cut by the umask
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await syncDirectory(directory)
}

/** Makes names in `directory` (creations, renames, removals) durable. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Removes `path` durably; nothing happens when it is missing. */
export async function removeDurably(path: string): Promise<void> {
  try {
    await rm(path)
  } catch (error) {
    if (isMissing(error)) return
    throw error
  }
  await syncDirectory(dirname(path))
}

/** The text of a file, null when there is no such file. */
export async function readIfPresent(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8")
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}

/** A missing file or directory, as opposed to one that cannot be read. */
export const isMissing = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "ENOENT"

/** Creates a directory that only its owner can enter; tightens one that exists. */
export async function privateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 })
  await chmod(path, 0o700)
}

/**
 * Bytes of the files below `directory`, without following links. Entries that vanish while it
 * counts are skipped: it is asked about directories that are being filled.
 */
export async function directorySize(directory: string, signal: AbortSignal): Promise<number> {
  signal.throwIfAborted()
  let total = 0
  try {
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name)
      if (entry.isDirectory()) total += await directorySize(path, signal)
      else if (entry.isFile()) total += (await sizeOf(path)) ?? 0
    }
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  return total
}

async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await lstat(path)).size
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}
