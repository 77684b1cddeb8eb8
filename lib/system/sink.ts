/**
 * Lines to a descriptor that may be a pipe nobody reads, a terminal on hold, a socket of the init
 * system. Writing never waits: what does not fit now stays in a bounded queue, and when that is
 * full, lines are dropped and counted (T14).
 *
 * The descriptor belongs to many processes at once (shell, keeper, guardian, PostgreSQL), so it is
 * never switched to non-blocking: that switch would hit all of them. It is opened anew, or asked
 * before each write. A file is written by another thread, because its disk may hang; so `flush`
 * before the process ends.
 */
import { closeSync, constants, fstatSync, openSync, write as writeFile, writeSync } from "node:fs"
import { sendNow, writableNow } from "./libc.ts"

export interface Sink {
  /** Takes a line, which ends with a newline; drops it when there is no room. */
  write(line: string | Uint8Array): void
  /** Resolves when everything is out, or after `ms` at the latest. */
  flush(ms: number): Promise<void>
  /** Lines dropped since the start. */
  readonly dropped: number
}

export interface SinkOptions {
  /** Room for lines that cannot be written now. */
  readonly bytesMax?: number
  /** Text of a line to put in when lines were dropped and there is room again. */
  readonly notice?: (dropped: number) => string
}

/**
 * How often a full descriptor is tried again: there is no event for "writable" on a descriptor that
 * we do not own.
 */
const retryMs = 20

/** Bytes that a pipe takes at once or not at all (PIPE_BUF); poll answers for that many. */
const atomicMax = 4096

type Attempt = (bytes: Uint8Array) => number

export function openSink(fd: number, options: SinkOptions = {}): Sink {
  const bytesMax = options.bytesMax ?? 1 << 20
  const kind = kindOf(fd)
  const attempt = kind === "file" ? null : writer(fd, kind)
  const queue: Uint8Array[] = []
  let queued = 0
  let dropped = 0
  let noticed = 0
  let writing = false
  let timer: ReturnType<typeof setTimeout> | null = null

  const push = (bytes: Uint8Array): void => {
    queue.push(bytes)
    queued += bytes.length
  }
  /** Hands everything to another thread, one batch at a time so that lines stay in order. */
  const drainFile = (): void => {
    if (writing || queue.length === 0) return
    const batch = Buffer.concat(queue)
    queue.length = 0
    writing = true
    writeFile(fd, batch, 0, batch.length, null, () => {
      writing = false
      queued -= batch.length // what a full disk refused is lost
      remark()
      drainFile()
    })
  }
  /** Says how many lines were dropped, once there is room to say it. */
  const remark = (): void => {
    if (queue.length > 0 || dropped === noticed || options.notice === undefined) return
    push(Buffer.from(options.notice(dropped - noticed)))
    noticed = dropped
  }
  const drain = (): void => {
    if (attempt === null) return drainFile()
    timer = null
    for (let head = queue[0]; head !== undefined; head = queue[0]) {
      const written = attempt(head)
      queued -= written
      if (written === head.length) queue.shift()
      else if (written > 0) queue[0] = head.subarray(written)
      else break
      remark()
    }
    if (queue.length === 0) return
    timer = setTimeout(drain, retryMs)
    timer.unref()
  }
  return {
    write: (line) => {
      const bytes = typeof line === "string" ? Buffer.from(line) : line
      if (queued + bytes.length > bytesMax) dropped++
      else push(bytes)
      if (timer === null) drain()
    },
    flush: async (ms) => {
      const end = performance.now() + ms
      for (;;) {
        if (queued === 0 || performance.now() >= end) return
        await new Promise((resolve) => setTimeout(resolve, attempt === null ? 1 : retryMs))
        if (timer === null) drain()
      }
    },
    get dropped() {
      return dropped
    },
  }
}

/**
 * A function that writes what fits now and says how many bytes that was. A reader that has gone
 * away counts as one that takes everything: there is nobody to tell.
 */
function writer(fd: number, kind: "socket" | "stream" | "none"): Attempt {
  if (kind === "none") return (bytes) => bytes.length
  if (kind === "socket") return (bytes) => guarded(bytes, () => sendNow(fd, bytes))
  const own = openAnew(fd)
  if (own !== null) return (bytes) => guarded(bytes, () => writeSync(own, bytes))
  return (bytes) =>
    guarded(bytes, () => (writableNow(fd) ? writeSync(fd, bytes.subarray(0, atomicMax)) : 0))
}

function kindOf(fd: number): "file" | "socket" | "stream" | "none" {
  try {
    const status = fstatSync(fd)
    return status.isFile() ? "file" : status.isSocket() ? "socket" : "stream"
  } catch {
    return "none" // closed
  }
}

/**
 * The same pipe or terminal under a description of our own, non-blocking; null when the kernel
 * refuses (another owner).
 */
function openAnew(fd: number): number | null {
  try {
    const own = openSync(
      `/proc/self/fd/${fd}`,
      constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY,
    )
    if (fstatSync(own).ino === fstatSync(fd).ino) return own
    closeSync(own)
    return null
  } catch {
    return null
  }
}

function guarded(bytes: Uint8Array, write: () => number): number {
  try {
    return write()
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : null
    return code === "EAGAIN" || code === "EINTR" ? 0 : bytes.length
  }
}
