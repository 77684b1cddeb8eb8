/**
 * From a session to a connection: resolve the name, try its addresses one after the other, all
 * within one bound.
 *
 * A session dials the destination that it was led to and no other. When that is taken back,
 * whatever comes in late (a name, a connect) finds another `session.dial` or none, and opens
 * nothing.
 */
import { lookup } from "node:dns/promises"
import { isIP } from "node:net"

import type { Destination } from "#port/relay.ts"

import { closeDescriptor, type Keepalive, startConnect } from "./libc.ts"
import { handlers } from "./pump.ts"
import { type Dial, reset, type Session, type Side } from "./session.ts"

/** Go's default for dialled connections: a destination that vanished without a word is noticed. */
const keepalive: Omit<Keepalive, "userTimeout"> = { idle: 15, interval: 15, count: 9 }

/** Leads a client that has been accepted to `to`. */
export function dial(session: Session, to: Destination): void {
  const { host, port } = to
  const since = performance.now()
  const until = since + session.shared.dialTimeout
  const started: Dial = { port, addresses: [], next: 0, since, until, timer: null }
  session.phase = "led"
  session.route = to
  session.dial = started
  if (isIP(host) !== 0) {
    started.addresses = [host]
    return attempt(session)
  }
  started.timer = setTimeout(() => failed(session, started), session.shared.dialTimeout)
  lookup(host, { all: true, order: "verbatim" }).then(
    (found) => {
      if (session.dial !== started) return // taken back, over, or out of time
      started.addresses = found.map(({ address }) => address)
      attempt(session)
    },
    () => failed(session, started),
  )
}

/** Dials the next address of the list; without one left the destination is unreachable. */
export function attempt(session: Session): void {
  const current = session.dial
  if (current === null) return
  if (current.timer !== null) clearTimeout(current.timer)
  current.timer = null
  const address = current.addresses[current.next++]
  const left = current.until - performance.now()
  if (address === undefined || left <= 0) return failed(session, current)
  const { userTimeout } = session.shared
  const fd = startConnect(address, current.port, { ...keepalive, userTimeout })
  if (fd < 0) return attempt(session)
  if (fd >= session.shared.descriptorsMax) {
    closeDescriptor(fd)
    return failed(session, current)
  }
  adopt(fd, session, current)
  if (session.dial !== current) return // connected at once, as on loopback
  const share = left / (current.addresses.length - current.next + 1)
  current.timer = setTimeout(() => giveUp(session), share)
}

/** Hands the connecting socket to Bun, which calls `open` before this returns. */
function adopt(fd: number, session: Session, current: Dial): void {
  const options: Bun.SocketOptions<Side> & { readonly fd: number } = {
    fd,
    data: session.upstream,
    socket: handlers,
    allowHalfOpen: true,
  }
  // Bun.connect takes `fd` (bun-types has FdSocketOptions) but bun-types 1.4.5 forgot the overload.
  const typed = options as unknown as Bun.TCPSocketConnectOptions<Side>
  Bun.connect(typed).catch(() => failed(session, current))
}

/** This address took too long. */
function giveUp(session: Session): void {
  reset(session.upstream) // whose close is not taken for a refusal then
  attempt(session)
}

function failed(session: Session, which: Dial): void {
  if (session.dial !== which) return
  session.shared.counters.dialErrors++
  session.shared.troubledAt = performance.now()
  session.shared.unreachable(session)
}
