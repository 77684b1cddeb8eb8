/**
 * Whether a primary's disk still takes data (D-43). A PostgreSQL whose disk is full, or was mounted
 * read-only after an error, answers every question and fails every write: healthy to whoever only
 * asks. So a page is written beside its data, made durable and removed again.
 *
 * The name is one that PostgreSQL takes for its own temporary files: base backups and pg_rewind
 * leave it out. A disk that hangs answers nothing here either; that is not judged here, and nobody
 * is kept waiting for it.
 */
import { type FileHandle, open, rm } from "node:fs/promises"
import { join } from "node:path"
import { type Millis, millis } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"

const probeName = "pgsql_tmp.stolon-probe"
const page = new Uint8Array(8192)
const every = millis(2_000)

/** What says that no data can be written; any other error says nothing of the disk. */
const reasons: Readonly<Record<string, string>> = {
  ENOSPC: "no space left on the device",
  EDQUOT: "the disk quota is exceeded",
  EROFS: "the file system is read-only",
  EIO: "the device answers with an error",
}

/** The last answer about a directory; asks anew, beside the caller, when it is old. */
export function writableReader(clock: Clock): (directory: string) => string | null {
  let answer: string | null = null
  let askedAt: Millis | null = null
  let asking = false
  return (directory) => {
    const now = clock.now().mono
    if (!asking && (askedAt === null || now - askedAt >= every)) {
      asking = true
      askedAt = now
      void troubleOf(directory).then((trouble) => {
        answer = trouble
        asking = false
      })
    }
    return answer
  }
}

/** Why nothing can be written to the directory; null when it can, or when nobody knows. */
export async function troubleOf(directory: string): Promise<string | null> {
  const path = join(directory, probeName)
  try {
    await writePage(path)
    return null
  } catch (error) {
    return reasonOf(error)
  } finally {
    await rm(path, { force: true }).catch(() => {})
  }
}

async function writePage(path: string): Promise<void> {
  let file: FileHandle | null = null
  try {
    file = await open(path, "w", 0o600)
    await file.writeFile(page)
    await file.sync()
  } finally {
    await file?.close()
  }
}

const reasonOf = (error: unknown): string | null =>
  error instanceof Error && "code" in error ? (reasons[String(error.code)] ?? null) : null
