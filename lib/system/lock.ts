/**
 * The lock on a data directory: two keepers on one directory would both run its PostgreSQL. A POSIX
 * record lock (fcntl, not flock), because that is what a Go keeper takes and the two kinds do not
 * see each other (reference 1.4 #18).
 *
 * Record locks belong to the process and fall when *any* descriptor of the file is closed in it. So
 * nothing else may ever open the lock file in this process, and the file stays open until `close`,
 * normally for the process's life.
 */
import { closeSync, constants, openSync } from "node:fs"
import { lockFile } from "./libc.ts"

export interface Lock extends Disposable {
  readonly path: string
  /**
   * Releases the lock. The file stays: removing it would let two processes lock two files of one
   * name.
   */
  close(): void
}

/** Thrown when the lock cannot be had; `held` when another process has it. */
export class LockError extends Error {
  override readonly name = "LockError"
  readonly held: boolean
  constructor(path: string, held: boolean, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    super(`cannot lock ${JSON.stringify(path)}: ${reason}`, { cause })
    this.held = held
  }
}

/** Takes the write lock on `path`, which is created when missing; never waits. */
export function takeLock(path: string): Lock {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o644)
  } catch (error) {
    throw new LockError(path, false, error)
  }
  try {
    lockFile(fd)
  } catch (error) {
    closeSync(fd)
    const code = error instanceof Error && "code" in error ? error.code : null
    throw new LockError(path, code === "EAGAIN" || code === "EACCES", error)
  }
  let open = true
  const close = (): void => {
    if (open) closeSync(fd)
    open = false
  }
  return { path, close, [Symbol.dispose]: close }
}
