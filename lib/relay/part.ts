/**
 * How a client is let go: with a last word in the protocol, the end after it, and a moment in which
 * what it still sends is dropped, because a reset would destroy the word on its way.
 *
 * The destination is left first: nothing that it says from then on reaches the client, and nothing
 * of the client reaches it. No client can draw the moment out.
 */
import { type Millis, millis } from "#base/brand.ts"

import { finish } from "./pump.ts"
import { cut, reset, type Session, stopWaiting } from "./session.ts"
import { beginning, declined, terminate } from "./startup.ts"

/** How long a client may take to hear why it is let go. */
export const moment = millis(2_000)

/**
 * Says `words` and ends. With `politely` the server is told that its client goes, which it
 * understands between two messages only.
 */
export function part(session: Session, words: Uint8Array, politely: boolean): void {
  const { client, upstream } = session
  stopWaiting(session)
  session.phase = "parting"
  if (politely && upstream.ready && upstream.socket !== null) {
    const { socket } = upstream
    upstream.socket = null
    upstream.ready = false
    socket.write(terminate)
    socket.close()
  } else reset(upstream)
  upstream.pending = null
  const { socket } = client
  if (socket === null) return cut(session)
  if (client.paused) socket.resume()
  client.paused = false
  client.ready = false
  client.after = "shut"
  session.linger = setTimeout(() => leave(session), moment)
  const taken = socket.write(words)
  if (taken < 0) return cut(session)
  if (taken < words.byteLength) client.pending = words.slice(taken)
  else finish(client)
}

/** The moment is over. The kernel delivers what it has been given. */
export function leave(session: Session): void {
  const { socket } = session.client
  session.client.socket = null
  socket?.close()
  cut(session)
}

/**
 * There is no destination: the client gets `words` as soon as it has said what it wants, which it
 * has to begin with within `patience`.
 */
export function refuse(session: Session, words: Uint8Array, patience: Millis): void {
  stopWaiting(session)
  session.phase = "refused"
  const begun = beginning(session.upstream.pending ?? nothing).kind !== "partial"
  session.linger = setTimeout(() => leave(session), begun ? moment : patience)
  session.refusal = words
  answerBeginning(session)
}

const nothing = new Uint8Array(0)

/** Answers what a refused client has sent so far. */
export function answerBeginning(session: Session): void {
  const { client, upstream, refusal } = session
  for (;;) {
    const wish = beginning(upstream.pending ?? nothing)
    if (wish.kind === "partial") return
    if (wish.kind === "session") return part(session, refusal ?? nothing, false)
    if (wish.kind === "other" || client.socket?.write(declined) !== 1) return leave(session)
    upstream.pending = upstream.pending?.subarray(wish.length) ?? null
  }
}
