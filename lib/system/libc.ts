/**
 * The few calls of the C library that Bun does not offer: the boot clock, record locks, the
 * parent-death signal, exec, peeking at zombies, writes that never block. Every `bun:ffi`
 * declaration of the project lives here, behind functions that take and return ordinary values.
 *
 * Linux on 64 bits only: struct layouts and constants below are those of x86-64 and arm64. `errno`
 * is read by a second call, so nothing may run between a failing call and `errno()`.
 */
import { dlopen, FFIType, type Pointer, ptr, read } from "bun:ffi"
import { getSystemErrorMap } from "node:util"

const { i32, u32, u64, ptr: pointer } = FFIType

const declarations = {
  clock_gettime: { args: [i32, pointer], returns: i32 },
  fcntl: { args: [i32, i32, pointer], returns: i32 },
  prctl: { args: [i32, u64, u64, u64, u64], returns: i32 },
  getppid: { args: [], returns: i32 },
  signal: { args: [i32, u64], returns: u64 },
  sigprocmask: { args: [i32, pointer, pointer], returns: i32 },
  setgroups: { args: [u64, pointer], returns: i32 },
  setgid: { args: [u32], returns: i32 },
  setuid: { args: [u32], returns: i32 },
  execve: { args: [pointer, pointer, pointer], returns: i32 },
  waitid: { args: [i32, u32, pointer, i32], returns: i32 },
  waitpid: { args: [i32, pointer, i32], returns: i32 },
  send: { args: [i32, pointer, u64, i32], returns: FFIType.i64 },
  poll: { args: [pointer, u64, i32], returns: i32 },
  socket: { args: [i32, i32, i32], returns: i32 },
  connect: { args: [i32, pointer, u32], returns: i32 },
  getsockopt: { args: [i32, i32, i32, pointer, pointer], returns: i32 },
  inet_pton: { args: [i32, pointer, pointer], returns: i32 },
  close: { args: [i32], returns: i32 },
  __errno_location: { args: [], returns: pointer },
} as const

/** glibc first, then musl under the name that its packages give it. */
const names = ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`]

function open() {
  const failures: string[] = []
  for (const name of names) {
    try {
      return dlopen(name, declarations).symbols
    } catch (error) {
      failures.push(`${name}: ${String(error)}`)
    }
  }
  throw new Error(`cannot load the C library: ${failures.join("; ")}`)
}

let opened: ReturnType<typeof open> | null = null
const c = (): ReturnType<typeof open> => (opened ??= open())

const errno = (): number => {
  // oxlint-disable-next-line no-underscore-dangle -- the name that glibc and musl share
  const location = c().__errno_location()
  return location === null ? 0 : read.i32(location, 0)
}

/** A failed call of the C library; `code` is the symbolic name, such as `EAGAIN`. */
export class SystemError extends Error {
  override readonly name = "SystemError"
  readonly code: string
  constructor(call: string, number: number) {
    const [code, text] = getSystemErrorMap().get(-number) ?? [`errno ${number}`, "unknown error"]
    super(`${call}: ${text}`)
    this.code = code
  }
}

const check = (call: string, result: number): void => {
  if (result < 0) throw new SystemError(call, errno())
}

const clockBoottime = 7
/** `struct timespec`; seconds since the boot fit in the lower half of theirs (little-endian). */
const timespec = new Int32Array(new ArrayBuffer(16))
const timespecAt = ptr(timespec)

/**
 * Milliseconds of CLOCK_BOOTTIME: the same for every process of the machine, running while it
 * sleeps. Cheap enough to be asked for every chunk that a proxy forwards: no BigInt, no address
 * looked up.
 */
export function bootMillis(): number {
  check("clock_gettime", c().clock_gettime(clockBoottime, timespecAt))
  return (timespec[0] ?? 0) * 1000 + (timespec[2] ?? 0) / 1e6
}

const setLock = 6 // F_SETLK
const writeLock = 1 // F_WRLCK

/**
 * A POSIX write lock on the whole file, without waiting. Throws `SystemError` when another process
 * holds it.
 */
export function lockFile(fd: number): void {
  // struct flock: type, whence, start, length (0 = to the end), pid
  const flock = new DataView(new ArrayBuffer(32))
  flock.setInt16(0, writeLock, true)
  check("fcntl", c().fcntl(fd, setLock, ptr(flock.buffer)))
}

/** The parent now; unlike `process.ppid` never a remembered value. */
export const parentPid = (): number => c().getppid()

/**
 * The kernel sends `signal` to this process when the thread that started it ends. Survives exec,
 * not a change of user.
 */
export const setParentDeathSignal = (signal: number): void =>
  check("prctl(PR_SET_PDEATHSIG)", c().prctl(1, BigInt(signal), 0n, 0n, 0n))

/** Orphans among our descendants become our children instead of those of process 1. */
export const becomeSubreaper = (): void =>
  check("prctl(PR_SET_CHILD_SUBREAPER)", c().prctl(36, 1n, 0n, 0n, 0n))

/**
 * Every signal back to its default, none blocked: what a program expects to be born with. Bun
 * ignores SIGPIPE, and exec would hand that on.
 */
export function resetSignals(): void {
  // Fails for SIGKILL and SIGSTOP, which have no other disposition.
  for (let signal = 1; signal <= 64; signal++) c().signal(signal, 0n)
  check("sigprocmask", c().sigprocmask(2, ptr(new Uint8Array(128)), null))
}

export interface Identity {
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
}

/**
 * Becomes another user, for good: supplementary groups, group, user, in the only order that works.
 */
export function setIdentity(identity: Identity): void {
  // One more than is counted: `ptr` refuses empty arrays.
  const groups = Uint32Array.from([...identity.groups, 0])
  check("setgroups", c().setgroups(BigInt(identity.groups.length), ptr(groups)))
  check("setgid", c().setgid(identity.gid))
  check("setuid", c().setuid(identity.uid))
}

/** Replaces this program; returns only by throwing. */
export function exec(path: string, argv: readonly string[], env: readonly string[]): never {
  const alive: unknown[] = [] // the buffers that the raw addresses below point into
  const text = (value: string): Pointer => {
    const bytes = Buffer.from(`${value}\0`)
    alive.push(bytes)
    return ptr(bytes)
  }
  const vector = (values: readonly string[]): Pointer => {
    const addresses = new BigUint64Array(values.length + 1)
    values.forEach((value, i) => (addresses[i] = BigInt(text(value))))
    alive.push(addresses)
    return ptr(addresses)
  }
  c().execve(text(path), vector(argv), vector(env))
  const number = errno()
  throw new SystemError(`exec ${path} (${alive.length} values)`, number)
}

const childPid = 16 // offset of si_pid in siginfo_t

/** A child that has ended and was not collected yet, left as it is; null when there is none. */
export function peekZombie(): number | null {
  const info = new DataView(new ArrayBuffer(128))
  const exitedNoHangNoWait = 4 | 1 | 0x0100_0000
  if (c().waitid(0, 0, ptr(info.buffer), exitedNoHangNoWait) < 0) return null // ECHILD: no children
  const pid = info.getInt32(childPid, true)
  return pid === 0 ? null : pid
}

/** Collects the ended child `pid`. */
export const reap = (pid: number): boolean => c().waitpid(pid, null, 1) === pid

/**
 * Writes to a socket as much as fits now; 0 when nothing does. Throws when the other side is gone.
 */
export function sendNow(fd: number, bytes: Uint8Array): number {
  const dontWaitNoSignal = 0x40 | 0x4000
  const sent = Number(c().send(fd, ptr(bytes), BigInt(bytes.length), dontWaitNoSignal))
  if (sent >= 0) return sent
  const failure = new SystemError("send", errno())
  if (failure.code === "EAGAIN" || failure.code === "ENOBUFS") return 0
  throw failure
}

/**
 * Whether a write to `fd` would be taken now; a broken pipe counts as writable, the write then says
 * so.
 */
export function writableNow(fd: number): boolean {
  const request = new DataView(new ArrayBuffer(8)) // struct pollfd
  request.setInt32(0, fd, true)
  request.setInt16(4, 4, true) // POLLOUT
  return c().poll(ptr(request.buffer), 1n, 0) > 0
}

const inet = 2
const inet6 = 10

/**
 * A TCP connection in the making that is only looked at: Bun 1.4.5 calls every failure to connect
 * ECONNREFUSED, also "no route to host", and between the two lies whether a process has ended.
 */
export interface Attempt extends Disposable {
  /** Null while nothing is known; "" when it is connected; else the error's name. */
  outcome(): string | null
}

/** Begins to connect to an IP literal (no zone). Throws when no socket is to be had. */
export function attemptConnect(host: string, port: number): Attempt {
  const six = host.includes(":")
  const name = new DataView(new ArrayBuffer(six ? 28 : 16)) // struct sockaddr_in6, sockaddr_in
  name.setUint16(0, six ? inet6 : inet, true)
  name.setUint16(2, port)
  const text = Buffer.from(`${host}\0`)
  if (c().inet_pton(six ? inet6 : inet, ptr(text), ptr(name.buffer, six ? 8 : 4)) !== 1)
    throw new Error(`not an IP address: ${host}`)
  const streamNonblockingCloexec = 1 | 0o4000 | 0o2000000
  const fd = c().socket(six ? inet6 : inet, streamNonblockingCloexec, 0)
  check("socket", fd)
  const begun = c().connect(fd, ptr(name.buffer), name.byteLength)
  const number = begun < 0 ? errno() : 0
  const inProgress = 115
  const code = (of: number): string => getSystemErrorMap().get(-of)?.[0] ?? `errno ${of}`
  return {
    outcome: () => {
      if (begun === 0) return ""
      if (number !== inProgress) return code(number)
      if (!writableNow(fd)) return null
      const error = socketError(fd)
      return error === 0 ? "" : code(error)
    },
    [Symbol.dispose]: () => void c().close(fd),
  }
}

/**
 * One datagram to a unix socket, without waiting; a leading `@` is the abstract name space. Throws
 * when nobody listens there.
 */
export function sendDatagram(path: string, text: string): void {
  const [unix, datagramNonblockingCloexec] = [1, 2 | 0o4000 | 0o2000000]
  const bytes = Buffer.from(path.startsWith("@") ? `\0${path.slice(1)}` : `${path}\0`)
  if (bytes.length > 108) throw new Error(`too long for the name of a socket: ${path}`)
  const name = new Uint8Array(2 + bytes.length) // struct sockaddr_un
  new DataView(name.buffer).setUint16(0, unix, true)
  name.set(bytes, 2)
  const fd = c().socket(unix, datagramNonblockingCloexec, 0)
  check("socket", fd)
  try {
    check("connect", c().connect(fd, ptr(name), name.length))
    sendNow(fd, Buffer.from(text))
  } finally {
    c().close(fd)
  }
}

/** SO_ERROR; reading it clears it. */
function socketError(fd: number): number {
  const [solSocket, soError] = [1, 4]
  const value = new Int32Array(1)
  const length = new Uint32Array([4])
  check("getsockopt", c().getsockopt(fd, solSocket, soError, ptr(value), ptr(length)))
  return value[0] ?? 0
}
