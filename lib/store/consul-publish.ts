/**
 * Keys that only this process writes, each held by a session of its own that ends, and takes the
 * key with it, when the key is not put any more.
 *
 * Nobody ever sees a key without its value, nor one that no session holds: both are written in one
 * transaction, where Go writes an empty value first (D-85), and a key whose session was lost
 * between two requests for ever (D-65). A change of the time to live takes another session (D-84).
 * A put compares the index that we know, so that a copy that was delayed on its way does nothing
 * (G7).
 */
import { type Millis, millis } from "#base/brand.ts"
import { StoreError } from "#port/store.ts"
import { type HttpPool, type HttpRequest, refusal, together } from "./http-pool.ts"
import { createSession, destroySession, lengthFor, renewSession } from "./consul-sessions.ts"
import {
  type Op,
  type Pair,
  applied,
  bare,
  kvPath,
  pairIn,
  transaction,
  written,
} from "./consul-text.ts"
import type { KeyValue } from "./keyvalue.ts"
import { queue } from "./scope.ts"

interface Held {
  readonly session: string
  readonly seconds: number
  /** Of the key, as we left it. */
  readonly index: number
  /** The start of the last renewal, by the monotonic clock. */
  readonly renewed: Millis
}

const retryPause = millis(20)
/** A session is renewed by every few puts: when this share of its key's time to live is over. */
const renewShare = 0.1

export function publisherOf(consul: HttpPool): Pick<KeyValue, "put" | "remove"> {
  const { clock } = consul
  const held = new Map<string, Held>()
  const queues = new Map<string, ReturnType<typeof queue>>()
  const inTurn = (key: string): ReturnType<typeof queue> => {
    const found = queues.get(key) ?? queue()
    queues.set(key, found)
    return found
  }

  /** Null: the session has ended, or the key is not as we left it. */
  async function again(
    key: string,
    value: string,
    ttl: Millis,
    mine: Held,
    signal: AbortSignal,
  ): Promise<Held | null> {
    const now = clock.now().mono
    let { renewed } = mine
    if (now - renewed >= ttl * renewShare) {
      if (!(await renewSession(consul, mine.session, signal))) return null
      renewed = now
    }
    const { session } = mine
    for (let { index } = mine; ;) {
      const request = transaction([
        { Verb: "check-session", Key: bare(key), Session: session },
        { Verb: "cas", Key: bare(key), Index: index, ...written(value) },
      ])
      const end = applied(request, await consul.ask(request, signal))
      if (end.kind === "done") return { ...mine, renewed, index: indexIn(request, end.pairs) }
      const there = await look(key, signal)
      if (there?.session !== session) return null
      if (there.value === value) return { ...mine, renewed, index: there.index } // a lost answer
      ;({ index } = there)
    }
  }
  const look = async (key: string, signal: AbortSignal): Promise<Pair | null> => {
    const question: HttpRequest = { method: "GET", path: kvPath(key), query: consistent }
    return pairIn(question, ok(question, await consul.ask(question, signal)))
  }

  /** Takes the key from whoever held it: an earlier life of this process, or nobody. */
  async function anew(key: string, value: string, ttl: Millis, signal: AbortSignal): Promise<Held> {
    const seconds = lengthFor(ttl)
    const renewed = clock.now().mono
    const session = await createSession(consul, key, seconds, "delete", signal)
    for (;;) {
      const there = await look(key, signal)
      if (there?.session === session && there.value === value)
        return { session, seconds, renewed, index: there.index } // an answer was lost
      const lock: Op = { Verb: "lock", Key: bare(key), Session: session, ...written(value) }
      const request = transaction([...freed(key, there), lock])
      const end = applied(request, await consul.ask(request, signal))
      if (end.kind === "refused") {
        if (end.at === freed(key, there).length && there?.session !== session)
          await stillThere(session, signal)
        await clock.sleep(retryPause, signal) // Consul delays locks of keys that were just let go
        continue
      }
      const before = there?.session ?? ""
      if (before !== "" && before !== session)
        await destroySession(consul, before, signal).catch(() => {}) // it holds nothing any more
      return { session, seconds, renewed, index: indexIn(request, end.pairs) }
    }
  }
  const stillThere = async (session: string, signal: AbortSignal): Promise<void> => {
    if (!(await renewSession(consul, session, signal)))
      throw new StoreError("unavailable", "consul: a session ended as soon as it was made")
  }

  return {
    put: (key, value, ttl, signal) =>
      inTurn(key)(() =>
        together(consul, `publish ${key}`, signal, async (inTime) => {
          inTime.throwIfAborted()
          const mine = held.get(key) ?? null
          const fits = mine !== null && mine.seconds === lengthFor(ttl)
          const kept = fits ? await again(key, value, ttl, mine, inTime) : null
          held.set(key, kept ?? (await anew(key, value, ttl, inTime)))
        }),
      ),
    remove: (key, signal) =>
      inTurn(key)(async () => {
        const mine = held.get(key)
        held.delete(key)
        const request: HttpRequest = { method: "DELETE", path: kvPath(key) }
        ok(request, await consul.ask(request, signal))
        if (mine !== undefined) await destroySession(consul, mine.session, signal)
      }),
  }
}

export const consistent = { consistent: "" } as const

/** An answer that says what there is, or that there is nothing. */
export function ok(
  request: HttpRequest,
  reply: Awaited<ReturnType<HttpPool["ask"]>>,
): typeof reply {
  if (reply.status === 200 || reply.status === 404) return reply
  throw refusal(request, reply)
}

/** Before a key can be locked: it is as it was found, and nobody's. */
function freed(key: string, there: Pair | null): readonly Op[] {
  const at = { Key: bare(key) }
  if (there === null) return [{ Verb: "check-not-exists", ...at }]
  const same: Op = { Verb: "check-index", ...at, Index: there.index }
  if (there.session === "") return [same]
  return [same, { Verb: "unlock", ...at, Session: there.session, ...written(there.value) }]
}

const indexIn = (request: HttpRequest, pairs: readonly Pair[]): number => {
  const last = pairs.at(-1)
  if (last === undefined)
    throw new StoreError("malformed", `consul: ${request.method} ${request.path}: no result`)
  return last.index
}
