/**
 * Connecting to a peer, or finding out why not.
 *
 * `refused` is evidence (D2) and so must mean what it says: every address of the name answered the
 * attempt with a reset. Whatever else goes wrong (no such name, no route, no answer) is silence.
 */
import { lookup } from "node:dns/promises"
import { type Socket, connect, isIP } from "node:net"
import type { Millis } from "#base/brand.ts"
import type { Door } from "#port/peer.ts"
import { splitAddress } from "#system/address.ts"
import { attemptConnect } from "#system/libc.ts"

export type Reached =
  | { readonly kind: "open"; readonly socket: Socket }
  | { readonly kind: "refused" }
  | { readonly kind: "silent"; readonly why: string }

/** Rejects when `signal` aborts, whatever the resolver or the network are doing then. */
export async function reach(address: string, bound: Millis, signal: AbortSignal): Promise<Reached> {
  signal.throwIfAborted()
  const limit = new AbortController()
  const abort = (): void => limit.abort(signal.reason)
  signal.addEventListener("abort", abort, { once: true })
  const timer = setTimeout(() => limit.abort(late), bound)
  try {
    return await within(tryAll(address, limit.signal), limit.signal)
  } catch (error) {
    if (error !== late) throw error
    return { kind: "silent", why: `no answer within ${bound} ms` }
  } finally {
    clearTimeout(timer)
    signal.removeEventListener("abort", abort)
  }
}
const late = new Error("no answer in time")

/** One after the other, in the resolver's order. */
async function tryAll(address: string, signal: AbortSignal): Promise<Reached> {
  let hosts: readonly string[]
  let port: number
  try {
    const split = splitAddress(address)
    port = split.port
    if (split.host === "") throw new Error(`no host: ${address}`)
    hosts =
      isIP(split.host) === 0
        ? (await lookup(split.host, { all: true })).map((one) => one.address)
        : [split.host]
  } catch (error) {
    return { kind: "silent", why: textOf(error) }
  }
  let last: Reached = { kind: "silent", why: `${address} has no address` }
  let allRefused = true
  for (const host of hosts) {
    signal.throwIfAborted()
    try {
      last = await attempt(host, port, signal)
    } catch (error) {
      signal.throwIfAborted()
      last = { kind: "silent", why: textOf(error) } // no descriptor left, a zone in the address
    }
    if (last.kind === "open") return last
    allRefused &&= last.kind === "refused"
  }
  return last.kind === "refused" && !allRefused
    ? { kind: "silent", why: "not every address refuses" }
    : last
}

/**
 * A refusal that Bun reports is one only when the kernel says so too: Bun 1.4.5 has ECONNREFUSED
 * for whatever failed, and a host without power would pass for a process that has ended.
 */
async function attempt(host: string, port: number, signal: AbortSignal): Promise<Reached> {
  const reached = await attemptOnce(host, port, signal)
  if (reached.kind !== "refused") return reached
  const code = await outcome(host, port, signal)
  return code === "ECONNREFUSED" ? reached : { kind: "silent", why: code || "closed at once" }
}

async function outcome(host: string, port: number, signal: AbortSignal): Promise<string> {
  using connecting = attemptConnect(host, port)
  for (let pause = 1; ; pause = Math.min(2 * pause, lookPause)) {
    const code = connecting.outcome()
    if (code !== null) return code
    await sleep(pause)
    signal.throwIfAborted()
  }
}
const lookPause = 20
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

function attemptOnce(host: string, port: number, signal: AbortSignal): Promise<Reached> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port })
    const abort = (): void => {
      socket.destroy()
      reject(signal.reason)
    }
    const settle = (reached: Reached): void => {
      signal.removeEventListener("abort", abort)
      resolve(reached)
    }
    signal.addEventListener("abort", abort, { once: true })
    // stays: a socket without a listener for errors ends the process
    socket.on("error", (error: NodeJS.ErrnoException) => {
      settle(
        error.code === "ECONNREFUSED"
          ? { kind: "refused" }
          : { kind: "silent", why: error.message },
      )
    })
    socket.once("connect", () => settle({ kind: "open", socket }))
  })
}

/** Whichever is first; `work` itself cannot always be ended. */
function within<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason)
    if (signal.aborted) abort()
    signal.addEventListener("abort", abort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort))
  })
}

/** One attempt, and nothing is said. */
export async function knock(address: string, bound: Millis, signal: AbortSignal): Promise<Door> {
  const reached = await reach(address, bound, signal)
  if (reached.kind === "open") reached.socket.destroy()
  return reached.kind
}

/**
 * The same for a process whose connection has just closed: the kernel closes the sockets of a dying
 * process one after the other, so the door may be open for a moment more.
 */
export async function lookAgain(
  address: string,
  bound: Millis,
  signal: AbortSignal,
): Promise<Door> {
  for (const pause of [0, 5, 20, 50, 100]) {
    if (pause > 0) await sleep(pause)
    const door = await knock(address, bound, signal)
    if (door !== "open") return door
  }
  return "open"
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
