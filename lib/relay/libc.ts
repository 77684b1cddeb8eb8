/**
 * The few calls of the C library that the relay needs and Bun does not offer.
 *
 * Why at all: a dial that Bun.connect has begun cannot be taken back, and into a black hole it
 * holds its descriptor for two minutes. So the relay makes the socket itself, starts the connect,
 * and hands the descriptor to Bun, which gives a socket that can be terminated at any time.
 * Keepalive's interval and count, and the descriptor limit, have no other door either.
 *
 * Linux only (glibc or musl). Nothing here blocks, and no address of memory outlives the call
 * that uses it.
 */
import { dlopen } from "bun:ffi"
import { networkInterfaces } from "node:os"

const inet = 2
const inet6 = 10
const stream = 1
const nonblocking = 0o4000
const closeOnExec = 0o2000000
const solSocket = 1
const soKeepalive = 9
const solTcp = 6
const tcpNodelay = 1
const tcpKeepIdle = 4
const tcpKeepInterval = 5
const tcpKeepCount = 6
const tcpUserTimeout = 18
const limitDescriptors = 7

/**
 * Keepalive in seconds and probes, TCP_USER_TIMEOUT in milliseconds; 0 leaves the system's value.
 */
export interface Keepalive {
  readonly idle: number
  readonly interval: number
  readonly count: number
  readonly userTimeout: number
}

const symbols = {
  socket: { args: ["int", "int", "int"], returns: "int" },
  connect: { args: ["int", "ptr", "int"], returns: "int" },
  close: { args: ["int"], returns: "int" },
  setsockopt: { args: ["int", "int", "int", "ptr", "int"], returns: "int" },
  inet_pton: { args: ["int", "ptr", "ptr"], returns: "int" },
  getrlimit: { args: ["int", "ptr"], returns: "int" },
} as const

const open = () => {
  const names = [
    "libc.so.6",
    "libc.so",
    `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`,
  ]
  const failures: string[] = []
  for (const name of names) {
    try {
      return dlopen(name, symbols).symbols
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error))
    }
  }
  throw new Error(`the C library cannot be opened, the proxy cannot dial: ${failures.join("; ")}`)
}

let loaded: ReturnType<typeof open> | null = null
const libc = (): ReturnType<typeof open> => (loaded ??= open())

/**
 * A non-blocking TCP socket on its way to `address` (an IP literal); -1 when there is none to be
 * had (descriptors, address family). Whether the connect succeeds is seen on the socket later,
 * also when the kernel refused it at once.
 */
export function startConnect(address: string, port: number, keepalive: Keepalive): number {
  const name = socketAddress(address, port)
  if (name === null) return -1
  const family = name.byteLength === 16 ? inet : inet6
  const fd = libc().socket(family, stream | nonblocking | closeOnExec, 0)
  if (fd < 0) return -1
  setInteger(fd, solTcp, tcpNodelay, 1)
  setKeepalive(fd, keepalive)
  libc().connect(fd, name, name.byteLength)
  return fd
}

/** Closes a descriptor that nobody else owns yet. */
export function closeDescriptor(fd: number): void {
  libc().close(fd)
}

/** Turns keepalive on. On a listening socket: sockets that it accepts inherit all of it (Linux). */
export function setKeepalive(fd: number, keepalive: Keepalive): void {
  setInteger(fd, solSocket, soKeepalive, 1)
  if (keepalive.idle > 0) setInteger(fd, solTcp, tcpKeepIdle, keepalive.idle)
  if (keepalive.interval > 0) setInteger(fd, solTcp, tcpKeepInterval, keepalive.interval)
  if (keepalive.count > 0) setInteger(fd, solTcp, tcpKeepCount, keepalive.count)
  if (keepalive.userTimeout > 0) setInteger(fd, solTcp, tcpUserTimeout, keepalive.userTimeout)
}

/** Sockets and listeners carry their descriptor at run time; bun-types 1.4.5 does not say so. */
export const descriptor = (socket: object): number =>
  "fd" in socket && typeof socket.fd === "number" ? socket.fd : -1

/** How many descriptors this process may have. */
export function descriptorLimit(): number {
  const limit = new BigUint64Array(2)
  if (libc().getrlimit(limitDescriptors, limit) !== 0) return 1024
  const soft = limit[0] ?? 1024n
  return soft > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(soft)
}

function setInteger(fd: number, level: number, option: number, value: number): void {
  libc().setsockopt(fd, level, option, new Int32Array([value]), 4)
}

/** `struct sockaddr_in` or `sockaddr_in6`; null when `address` is not an IP literal. */
function socketAddress(address: string, port: number): Uint8Array | null {
  const [literal = "", zone = ""] = address.split("%", 2)
  const six = literal.includes(":")
  const bytes = new Uint8Array(six ? 28 : 16)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, six ? inet6 : inet, true)
  view.setUint16(2, port)
  const parsed = bytes.subarray(six ? 8 : 4)
  const text = new TextEncoder().encode(`${literal}\0`)
  if (libc().inet_pton(six ? inet6 : inet, text, parsed) !== 1) return null
  if (six && zone !== "") view.setUint32(24, scope(zone), true)
  return bytes
}

/** The index of the interface that an IPv6 zone names. */
function scope(zone: string): number {
  if (/^\d+$/.test(zone)) return Number(zone)
  const found = networkInterfaces()[zone]?.find((address) => address.family === "IPv6")
  return found !== undefined && "scopeid" in found ? (found.scopeid ?? 0) : 0
}
