/**
 * What the relay's tests stand on: loopback peers, a destination that never answers, and waiting
 * for a condition.
 */
import { dlopen } from "bun:ffi"
import { readdirSync, readFileSync } from "node:fs"

import { present } from "#base/assert.ts"
import { millis } from "#base/brand.ts"
import type { RelayOptions } from "#port/relay.ts"
import { relay, type TcpRelay } from "#relay/relay.ts"

export const local = "127.0.0.1"

/** Resolves when `condition` holds; throws after `ms` with what was waited for. */
export async function until(what: string, condition: () => boolean, ms = 5_000): Promise<void> {
  const deadline = performance.now() + ms
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never happened: ${what}`)
    await Bun.sleep(2)
  }
}

export const descriptors = (): number => readdirSync("/proc/self/fd").length

/** Connects of this machine that have sent SYN to `port` and got nothing back. */
export const synSent = (port: number): number =>
  readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , remote, state]) => state === "02" && remote?.endsWith(hex(port))).length
/** Bytes that came to connections at `port` and were not read, and those not yet sent there. */
export function queues(port: number): { readonly unread: number; readonly unsent: number } {
  let [unread, unsent] = [0, 0]
  for (const line of readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1)) {
    const [, here = "", there = "", state = "0A", both = ":"] = line.trim().split(/\s+/)
    const [tx = "0", rx = "0"] = both.split(":")
    if (state !== "0A" && here.endsWith(hex(port))) unread += Number.parseInt(rx, 16)
    if (state !== "0A" && there.endsWith(hex(port))) unsent += Number.parseInt(tx, 16)
  }
  return { unread, unsent }
}

export const hex = (port: number): string => `:${port.toString(16).toUpperCase().padStart(4, "0")}`

export const openRelay = async (dialTimeout = 5_000, linger = 30_000): Promise<TcpRelay> =>
  opened(0, 0, dialTimeout, linger)

/** A relay that lets clients wait. */
export const holdingRelay = async (timeout = 30_000, max = 100): Promise<TcpRelay> =>
  opened(timeout, max, 5_000, 30_000)

/** One that lets clients wait, with other options. */
export const relayWith = async (change: Partial<RelayOptions>): Promise<TcpRelay> =>
  opened(30_000, 100, 5_000, 30_000, change)

async function opened(
  timeout: number,
  max: number,
  dial: number,
  linger: number,
  change: Partial<RelayOptions> = {},
) {
  const options = {
    host: local,
    port: 0,
    dialTimeout: millis(dial),
    keepalive: { idle: 0, interval: 0, count: 0 },
    hold: { timeout: millis(timeout), max },
    max: 0,
    prefaced: false,
    ...change,
  }
  const it = relay(options, { linger: millis(linger) })
  await it.listen()
  return it
}

export const to = (port: number) => ({ kind: "forward", host: local, port }) as const
export const fence = { kind: "wait", drain: null } as const
export const drainFor = (bound: number) => ({ kind: "wait", drain: millis(bound) }) as const

/** One end of a connection that remembers what came. */
export interface End {
  socket: Bun.Socket<End>
  received: Buffer[]
  bytes: number
  ended: boolean
  closed: boolean
  /** Still to be written, by `drain`. */
  outgoing: Uint8Array | null
  endAfter: boolean
}

export const text = (end: End): string => Buffer.concat(end.received).toString()

/** The other side sent its end or reset. After its own shutdown() Bun reports an end as a close. */
export const over = (end: End): boolean => end.ended || end.closed

const fresh = (socket: Bun.Socket<End>): End => ({
  socket,
  received: [],
  bytes: 0,
  ended: false,
  closed: false,
  outgoing: null,
  endAfter: false,
})

export const push = (end: End): void => {
  if (end.outgoing !== null) {
    const taken = Math.max(0, end.socket.write(end.outgoing))
    end.outgoing = taken === end.outgoing.byteLength ? null : end.outgoing.subarray(taken)
  }
  if (end.outgoing === null && end.endAfter) {
    end.endAfter = false
    end.socket.shutdown()
  }
}

/** Sends all of `bytes`, and then the end when asked. */
export const send = (end: End, bytes: Uint8Array | string, thenEnd = false): void => {
  end.outgoing = typeof bytes === "string" ? Buffer.from(bytes) : bytes
  end.endAfter = thenEnd
  push(end)
}

const handlers = (keep: boolean, opened: (end: End) => void): Bun.SocketHandler<End> => ({
  open(socket) {
    socket.data = fresh(socket)
    opened(socket.data)
  },
  data(socket, chunk) {
    socket.data.bytes += chunk.byteLength
    if (keep) socket.data.received.push(Buffer.from(chunk))
  },
  drain: (socket) => push(socket.data),
  end(socket) {
    socket.data.ended = true
  },
  close(socket) {
    socket.data.closed = true
  },
  error() {},
})

// Sockets are given their End in `open`; until then the field is never read.
const unset = null as unknown as End

/** A destination that accepts; `ends` holds its connections in order. */
export function destination(keep = true, onOpen: (end: End) => void = () => {}, port = 0) {
  const ends: End[] = []
  const server = Bun.listen<End>({
    hostname: local,
    port,
    allowHalfOpen: true,
    data: unset,
    socket: handlers(keep, (end) => {
      ends.push(end)
      onOpen(end)
    }),
  })
  const end = (i: number): End => present(ends[i], `connection ${i} of the destination`)
  return { port: server.port, ends, end, [Symbol.dispose]: () => server.stop(true) }
}

/** A client of `port`. */
export async function connect(port: number, keep = true, pausedFromStart = false): Promise<End> {
  const socket = await Bun.connect<End>({
    hostname: local,
    port,
    allowHalfOpen: true,
    data: unset,
    socket: handlers(keep, (end) => pausedFromStart && end.socket.pause()),
  })
  return socket.data
}

/**
 * A destination that never answers: a listener whose queue is full and whom nobody asks to
 * accept, so that the kernel drops each further SYN. Needs no network and no rights.
 */
export function blackHole() {
  const libc = dlopen("libc.so.6", {
    socket: { args: ["int", "int", "int"], returns: "int" },
    bind: { args: ["int", "ptr", "int"], returns: "int" },
    listen: { args: ["int", "int"], returns: "int" },
    connect: { args: ["int", "ptr", "int"], returns: "int" },
    getsockname: { args: ["int", "ptr", "ptr"], returns: "int" },
    close: { args: ["int"], returns: "int" },
  })
  const { socket, bind, listen, connect: connectTo, getsockname, close } = libc.symbols
  const name = new Uint8Array(16)
  name.set([2, 0, 0, 0, 127, 0, 0, 1])
  const nonblocking = 1 | 0o4000
  const open = [socket(2, nonblocking, 0)]
  const [server = -1] = open
  bind(server, name, 16)
  listen(server, 0)
  getsockname(server, name, new Int32Array([16]))
  for (let i = 0; i < 4; i++) {
    const filler = socket(2, nonblocking, 0)
    connectTo(filler, name, 16)
    open.push(filler)
  }
  return {
    port: new DataView(name.buffer).getUint16(2),
    [Symbol.dispose]() {
      for (const fd of open) close(fd)
      libc.close()
    },
  }
}
