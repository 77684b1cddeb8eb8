/**
 * From a session to a connection: resolve the name, try its addresses one after the other, all
 * within one bound.
 *
 * A session dials the destination that it was accepted for and no other. When it is over,
 * whatever comes in late (a name, a connect) finds `session.over` and opens nothing.
 */
import { lookup } from "node:dns/promises"
import { isIP } from "node:net"

import { closeDescriptor, type Keepalive, startConnect } from "./libc.ts"
import { handlers } from "./pump.ts"
import { cut, type Dial, type Session, type Side } from "./session.ts"

/** Go's default for dialled connections: a destination that vanished without a word is noticed. */
const keepalive: Keepalive = { idle: 15, interval: 15, count: 9 }

/** Starts to dial. The client has been accepted and is part of the session already. */
export function dial(session: Session): void {
  const { host } = session.route
  const started: Dial = {
    addresses: [],
    next: 0,
    until: performance.now() + session.shared.dialTimeout,
    timer: null,
  }
  session.dial = started
  if (isIP(host) !== 0) {
    started.addresses = [host]
    return attempt(session)
  }
  started.timer = setTimeout(() => failed(session), session.shared.dialTimeout)
  lookup(host, { all: true, order: "verbatim" }).then(
    (found) => {
      if (session.dial !== started) return // over, or out of time
      started.addresses = found.map(({ address }) => address)
      attempt(session)
    },
    () => {
      if (session.dial === started) failed(session)
    },
  )
}

/** Dials the next address of the list; the session ends when there is none left. */
export function attempt(session: Session): void {
  const current = session.dial
  if (session.over || current === null) return
  if (current.timer !== null) clearTimeout(current.timer)
  current.timer = null
  const address = current.addresses[current.next++]
  const left = current.until - performance.now()
  if (address === undefined || left <= 0) return failed(session)
  const fd = startConnect(address, session.route.port, keepalive)
  if (fd < 0) return attempt(session)
  if (fd >= session.shared.descriptorsMax) {
    closeDescriptor(fd)
    return failed(session)
  }
  adopt(fd, session)
  if (session.dial !== current) return // connected at once, as on loopback
  const share = left / (current.addresses.length - current.next + 1)
  current.timer = setTimeout(() => giveUp(session), share)
}

/** Hands the connecting socket to Bun, which calls `open` before this returns. */
function adopt(fd: number, session: Session): void {
  const options: Bun.SocketOptions<Side> & { readonly fd: number } = {
    fd,
    data: session.upstream,
    socket: handlers,
    allowHalfOpen: true,
  }
  // Bun.connect takes `fd` (bun-types has FdSocketOptions) but bun-types 1.4.5 forgot the overload.
  Bun.connect(options as unknown as Bun.TCPSocketConnectOptions<Side>).catch(() => failed(session))
}

/** This address took too long. */
function giveUp(session: Session): void {
  const { upstream } = session
  const socket = upstream.socket
  upstream.socket = null // so that its close is not taken for a refusal
  socket?.terminate()
  attempt(session)
}

function failed(session: Session): void {
  if (session.over) return
  session.shared.counters.dialErrors++
  cut(session)
}
