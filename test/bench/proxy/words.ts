/**
 * What the stand-in server says, and when: the start-up of a session, an answer without rows to
 * every query, a goodbye. Pure: bytes in, bytes out.
 */
import { join, message, readyIn } from "../../unit/relay/postgres.ts"

/** Sessions of this user the stand-in answers itself. */
export const standInUser = "standin"

/** What the first packet of a client asks for; null while not all of it is there. */
export type Beginning =
  | { readonly kind: "encryption" }
  | { readonly kind: "own" }
  /** Somebody else's session, or a cancel request: not ours to answer. */
  | { readonly kind: "other" }

const encryptionCodes = [80_877_103, 80_877_104]
const majorVersion = 3

export function beginning(bytes: Uint8Array): { readonly it: Beginning; size: number } | null {
  if (bytes.byteLength < 8) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const [size, code] = [view.getUint32(0), view.getUint32(4)]
  if (bytes.byteLength < size) return null
  if (encryptionCodes.includes(code)) return { it: { kind: "encryption" }, size }
  const text = new TextDecoder().decode(bytes.subarray(8, size)).split("\0")
  const user = text.findIndex((word, i) => i % 2 === 0 && word === "user")
  const own = code >>> 16 === majorVersion && user >= 0 && text[user + 1] === standInUser
  return { it: { kind: own ? "own" : "other" }, size }
}

/** Encryption is not offered. */
export const noEncryption: Uint8Array = new TextEncoder().encode("N")

const parameter = (name: string, value: string): Uint8Array => message("S", `${name}\0${value}\0`)

export const greeting: Uint8Array = join(
  message("R", "\0\0\0\0"),
  parameter("server_version", "15.0"),
  parameter("server_encoding", "UTF8"),
  parameter("client_encoding", "UTF8"),
  parameter("DateStyle", "ISO, MDY"),
  parameter("TimeZone", "UTC"),
  parameter("integer_datetimes", "on"),
  parameter("standard_conforming_strings", "on"),
  message("K", "pid.key."),
  readyIn("I"),
)

const queryAnswer = join(message("C", "SELECT 0\0"), readyIn("I"))
const syncAnswer = readyIn("I")
const nothing = new Uint8Array(0)

export interface Heard {
  readonly answer: Uint8Array
  /** The beginning of a message of which the end is still to come. */
  readonly rest: Uint8Array
  readonly goodbye: boolean
}

/** Answers the messages of a session that has begun. */
export function heard(bytes: Uint8Array): Heard {
  const said: Uint8Array[] = []
  let at = 0
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  while (at + 5 <= bytes.byteLength) {
    const size = 1 + view.getUint32(at + 1)
    if (at + size > bytes.byteLength) break
    const type = String.fromCharCode(bytes[at] ?? 0)
    at += size
    if (type === "X") return { answer: join(...said), rest: nothing, goodbye: true }
    if (type === "Q") said.push(queryAnswer)
    if (type === "S") said.push(syncAnswer)
  }
  return { answer: join(...said), rest: bytes.subarray(at), goodbye: false }
}
