/**
 * Bytes from one side to the other: the handler table that every socket of a relay shares.
 *
 * Backpressure is honest: what write() did not take is kept (one chunk per side at most, Bun
 * reads up to 512 KiB at a time), the source is paused and resumes when the slow side has
 * drained. An end is passed on after the bytes before it, and the other direction goes on. On the
 * fast path nothing is allocated here.
 *
 * Measured on Bun 1.4.5, and why the calls below are the ones they are: with allowHalfOpen
 * `shutdown()` sends the end and keeps reading, while `end()` closes both directions; `close()`
 * leaves the kernel to deliver what it has, `terminate()` resets.
 */
import { observed } from "#base/histogram.ts"

import { isLate } from "./deadline.ts"
import { fromClient, fromServer, isIdle } from "./follow.ts"
import { cancelWish, type KeyReader, readKey } from "./keys.ts"
import { cut, otherSide, type Session, type Side, type Socket } from "./session.ts"
import { isDeclined, isDenied, isNotYet, startupLongest } from "./startup.ts"

export const handlers: Bun.SocketHandler<Side> = {
  /** A Buffer for each chunk, the usual, costs up to a tenth more of a query's CPU. */
  binaryType: "uint8array",

  /** A dialled socket; Bun calls this while the connect may still be under way. */
  open(socket) {
    const side = socket.data
    if (side.session.phase !== "led") return socket.terminate()
    side.socket = socket
    if (socket.remotePort !== undefined) connected(side)
  },

  data(from, chunk) {
    const side = from.data
    const { session } = side
    if (session.phase !== "led") return unled(side, chunk)
    const { shared, follow } = session
    if (isLate(shared)) {
      shared.overdue()
      if (!side.isClient) return // of a server that is led to no more
      return unled(side, chunk) // who had not spoken yet waits, and what it says now is kept
    }
    const to = side.isClient ? session.upstream : session.client
    if (side.isClient) {
      shared.counters.bytesIn += chunk.byteLength
      if (follow !== null) fromClient(follow, chunk)
      if (session.opening !== null && opens(session, session.opening, chunk)) return
    } else {
      if (session.opening !== null && isDeferred(session, chunk)) return
      shared.counters.bytesOut += chunk.byteLength
      if (session.keyReader !== null) learn(session, session.keyReader, chunk)
      if (follow !== null) {
        fromServer(follow, chunk)
        if (session.leaving && to.ready && isIdle(follow)) return shared.rested(session, chunk)
      }
    }
    let taken = 0
    if (to.ready && to.socket !== null) {
      session.spoken = true
      taken = to.socket.write(chunk)
      if (taken === chunk.byteLength) return
      if (taken < 0) return cut(session) // it closed under us: nobody will ever take these bytes
    }
    keep(to, taken === 0 ? chunk : chunk.subarray(taken))
    side.paused = true
    from.pause()
  },

  drain(socket) {
    const side = socket.data
    if (side.socket !== socket) return
    // A refused connect may show up as writable first; then it has no peer, and close() follows.
    if (!side.connected && socket.remotePort !== undefined) return connected(side)
    if (side.connected) flush(side)
  },

  end(socket) {
    const side = socket.data
    if (side.socket !== socket || side.ended) return
    side.ended = true
    if (side.session.phase !== "led") return endUnled(side)
    // A peer that half-closed is still there, or it has gone for good: only probes tell, and
    // nobody else will ask.
    if (!side.isClient && side.session.opening !== null && side.session.shared.notYet(side.session))
      return
    socket.setKeepAlive(true, 60_000)
    const other = otherSide(side)
    if (other.after === "nothing") other.after = "shut"
    if (!other.connected) return
    if (other.pending === null) finish(other)
    else flush(other) // it may have waited for the rest of what might have been a CancelRequest
  },

  close(socket) {
    const side = socket.data
    if (side.socket !== socket) return // cut, or a dial that has been replaced
    side.socket = null
    side.ready = false
    const { session } = side
    if (session.phase !== "led") return cut(session)
    // What the client has sent meanwhile waits for the next address.
    if (!side.isClient && !side.connected) return session.shared.attempt(session)
    if (!side.isClient && session.follow?.leaving === false && !session.client.ended)
      session.shared.troubledAt = performance.now()
    // as one does whose server crashes meanwhile
    if (!side.isClient && session.opening !== null && session.shared.notYet(session)) return
    side.pending = null
    const other = otherSide(side)
    if (other.socket === null || !other.connected) return cut(session)
    other.after = "close"
    if (other.pending === null) return finish(other)
    // A last word, as PostgreSQL's reason for ending a session, is worth delivering, not worth
    // waiting for ever.
    session.linger ??= setTimeout(() => cut(session), session.shared.lingerTimeout)
  },

  error(socket) {
    if (socket.data.socket !== socket) return
    // Also a throw in one of these handlers: the session is of no use any more, the process goes
    // on.
    cut(socket.data.session)
  },
}

/**
 * The first words of a destination. One that is not up yet says no more than that, and the client
 * may be led there again; what it declines before a session begins is no answer.
 */
function isDeferred(session: Session, chunk: Uint8Array): boolean {
  if (isDeclined(chunk)) return false
  const { shared } = session
  const notYet = isNotYet(chunk)
  if (notYet) shared.troubledAt = performance.now()
  if ((notYet || (isDenied(chunk) && isTroubled(shared))) && shared.notYet(session)) return true
  session.opening = null
  if (chunk[0] === authentication) {
    const settledAt = performance.now() - recovering + settling
    shared.troubledAt = Math.min(shared.troubledAt, settledAt)
  }
  return false
}
const authentication = 0x52

/** For so long after it was not well, nobody is refused by a destination for good. */
const recovering = 10_000
/**
 * And for so long after it let one in: a server process that was forked a moment before PostgreSQL
 * read its rules again may answer after one that was forked later.
 */
const settling = 1_000
const isTroubled = ({ troubledAt }: Session["shared"]): boolean =>
  performance.now() - troubledAt < recovering

/**
 * The first words of a client whose destination has not answered. True: they are dealt with. What
 * has been kept so far waits for its connection, or for the rest of what may be a CancelRequest.
 */
function opens(session: Session, opening: Uint8Array, chunk: Uint8Array): boolean {
  const { upstream, shared, follow } = session
  if (opening.byteLength > 0 || session.spoken) {
    session.opening = chunk.slice()
    if (follow?.leaving !== true || cancelWish(chunk).kind !== "cancel") return false
    // encryption was declined before
    session.spoken = false
    upstream.pending = session.opening
    if (shared.cancels(session)) return true
    upstream.pending = null
    session.spoken = true
    return false
  }
  if (upstream.pending === null && cancelWish(chunk).kind === "none") {
    session.opening = chunk.slice()
    return false
  }
  keep(upstream, chunk)
  if (shared.cancels(session)) return true
  if (upstream.connected) flush(upstream)
  else limit(session)
  return true
}

/** The server's side of the start. */
function learn(session: Session, reader: KeyReader, chunk: Uint8Array): void {
  if ((session.follow?.offers ?? 0) > 0) return // one byte about encryption
  const found = readKey(reader, chunk)
  if (found === null) return
  session.keyReader = null
  if (found !== "" && session.follow?.opaque === false) session.shared.learn(session, found)
}

/** A client that is led nowhere has sent something. */
function unled(side: Side, chunk: Uint8Array): void {
  const { session } = side
  if (session.phase === "parting" || session.phase === "over") return
  const { shared, follow, upstream } = session
  shared.counters.bytesIn += chunk.byteLength
  if (follow !== null && session.phase !== "prefaced") fromClient(follow, chunk)
  keep(upstream, chunk)
  limit(session)
  shared.heard(session)
}

/** Of one who waits no more is kept than begins a session. */
function limit({ client, upstream }: Session): void {
  if ((upstream.pending?.byteLength ?? 0) <= startupLongest) return
  client.paused = true
  client.socket?.pause()
}

/** It has sent its end: one that waits is gone, one that parts is done. */
function endUnled(side: Side): void {
  if (side.session.phase === "asking") return // it has said all, and waits for nothing
  if (side.session.phase !== "parting") return cut(side.session)
  if (side.shut) finish(side)
}

/**
 * The dial is done: what the client has sent meanwhile goes out, or its end, and reading begins.
 */
function connected(side: Side): void {
  const { dial } = side.session
  const { shared } = side.session
  if (isLate(shared)) return shared.overdue()
  if (dial !== null && dial.timer !== null) clearTimeout(dial.timer)
  if (dial !== null)
    shared.counters.dials = observed(shared.counters.dials, performance.now() - dial.since)
  side.session.dial = null
  side.connected = true
  flush(side)
}

/** Copies, because the chunk's memory is only promised to us during the call. */
function keep(to: Side, bytes: Uint8Array): void {
  to.ready = false
  if (to.pending === null) {
    to.pending = bytes.slice()
    return
  }
  const joined = new Uint8Array(to.pending.byteLength + bytes.byteLength)
  joined.set(to.pending)
  joined.set(bytes, to.pending.byteLength)
  to.pending = joined
}

/** Hands the kernel what is pending; when it has taken everything, the other side goes on. */
function flush(side: Side): void {
  const { socket, pending } = side
  if (socket === null) return
  if (pending !== null) {
    if (isLate(side.session.shared)) return side.session.shared.overdue()
    if (!side.isClient) {
      side.session.spoken = true
      if (side.session.opening !== null) side.session.opening = pending
    }
    const taken = socket.write(pending)
    if (taken < 0) return cut(side.session)
    if (taken < pending.byteLength) {
      if (taken > 0) side.pending = pending.subarray(taken)
      return
    }
    side.pending = null
  }
  if (side.after !== "nothing") return finish(side)
  side.ready = true
  const { shared, follow, leaving } = side.session
  if (leaving && side.isClient && follow !== null && isIdle(follow))
    return shared.rested(side.session, null)
  const other = otherSide(side)
  if (!other.paused) return
  other.paused = false
  other.socket?.resume()
}

/**
 * Everything has been handed over: pass the end on, and close what has ended in both directions.
 */
export function finish(side: Side): void {
  const socket: Socket | null = side.socket
  if (socket === null) return
  side.ready = false
  if (side.after === "close" || side.ended) {
    side.socket = null
    socket.close()
    const other = otherSide(side)
    if (other.socket === null) cut(side.session)
    else if (other.pending === null) finish(other)
    return
  }
  if (side.shut) return
  side.shut = true
  socket.shutdown()
}
