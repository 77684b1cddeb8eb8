/**
 * The keys by which clients cancel: each session's BackendKeyData, read while the session begins,
 * and where the session is. A CancelRequest comes over a connection of its own, to any listener and
 * any worker; with the key it finds the server that issued it (PostgreSQL documentation, 55.2.9).
 *
 * A key is a secret: it is never logged, and forgotten with its session.
 */
import type { Destination } from "#port/relay.ts"

import type { Session, Socket } from "./session.ts"
import { cancelCode } from "./startup.ts"

/** Which of the two listeners. */
export type Part = "primary" | "reads"

/** Where the session of a key is. */
export interface Found {
  readonly part: Part
  readonly at: Destination
}

/** A listener's way of leading a cancel to where one of its sessions is. */
export type LeadCancel = (client: Socket, said: Uint8Array, at: Destination) => void

/** Of all listeners of a process. */
export interface Keys {
  own(part: Part, lead: LeadCancel): void
  learn(session: Session, part: Part, key: string): void
  forget(session: Session): void
  find(key: string): Found | null
  /** Other processes are asked; null: there are none. */
  readonly others: ((key: string) => Promise<Found | null>) | null
  lead(found: Found, client: Socket, said: Uint8Array): void
}

export function newKeys(others: Keys["others"] = null): Keys {
  const sessions = new Map<string, { readonly session: Session; readonly part: Part }>()
  const byPart = new Map<Part, LeadCancel>()
  return {
    others,
    own: (part, lead) => void byPart.set(part, lead),
    learn(session, part, key) {
      session.key = key
      sessions.set(key, { session, part })
    },
    forget(session) {
      const { key } = session
      if (key !== null && sessions.get(key)?.session === session) sessions.delete(key)
      session.key = null
    },
    find(key) {
      const found = sessions.get(key)
      const at = found?.session.route ?? null
      return found === undefined || at === null ? null : { part: found.part, at }
    },
    lead({ part, at }, client, said) {
      const lead = byPart.get(part)
      if (lead === undefined) client.terminate()
      else lead(client, said, at)
    },
  }
}

const textOf = (key: Uint8Array): string => Buffer.from(key).toString("base64")

/** A CancelRequest's key; `partial` while it may still become one. */
export type CancelWish =
  | { readonly kind: "none" | "partial" }
  | { readonly kind: "cancel"; readonly key: string }

const [none, partial] = [{ kind: "none" }, { kind: "partial" }] as const
/** Length, code, pid, and a secret of 4 bytes; up to 256 since protocol 3.2. */
const shortest = 16
const longest = 12 + 256
const code = new Uint8Array([0, 0, 0, 0])
new DataView(code.buffer).setInt32(0, cancelCode)

/** What a client's first bytes are, as far as cancelling goes. */
export function cancelWish(said: Uint8Array): CancelWish {
  if (said[0] !== 0 || (said.byteLength > 1 && said[1] !== 0)) return none
  const known = Math.min(8, said.byteLength)
  for (let at = 4; at < known; at++) if (said[at] !== code[at - 4]) return none
  if (said.byteLength < 8) return partial
  const length = ((said[2] ?? 0) << 8) | (said[3] ?? 0)
  if (length < shortest || length > longest) return none
  if (said.byteLength < length) return partial
  return { kind: "cancel", key: textOf(said.subarray(8, length)) }
}

/** Reads what a server says until its key has come, or the session has begun without. */
export interface KeyReader {
  have: number
  type: number
  length: number
  /** Bytes of the body to come. */
  skip: number
  body: Uint8Array | null
}
export const newKeyReader = (): KeyReader => ({ have: 0, type: 0, length: 0, skip: 0, body: null })

const backendKeyData = 0x4b
const readyForQuery = 0x5a

/** The key; empty: there is none; null: it may still come. */
export function readKey(reader: KeyReader, chunk: Uint8Array): string | null {
  let at = 0
  while (at < chunk.byteLength) {
    if (reader.skip > 0) {
      const here = chunk.subarray(at, at + reader.skip)
      const { body } = reader
      body?.set(here, body.byteLength - reader.skip)
      reader.skip -= here.byteLength
      at += here.byteLength
      if (reader.skip === 0 && body !== null) return textOf(body)
      continue
    }
    const byte = chunk[at++] ?? 0
    if (reader.have++ === 0) reader.type = byte
    else reader.length = (reader.length << 8) | byte
    if (reader.have < 5) continue
    const { type, length } = reader
    reader.have = reader.length = 0
    if (type === readyForQuery || length < 4) return ""
    reader.skip = length - 4
    if (type !== backendKeyData) continue
    if (length < shortest - 4 || length > longest - 4) return ""
    reader.body = new Uint8Array(length - 4)
  }
  return null
}
