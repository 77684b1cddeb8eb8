/**
 * The beginning of a PostgreSQL session, before messages have types, and what a server says when
 * there is none: enough of the protocol to refuse a client so that it knows why.
 *
 * Pure. It never claims more than it was given bytes for.
 */

/** A CancelRequest: no session begins. */
export const cancelCode = 80_877_102
/** SSLRequest and GSSENCRequest: the server answers with one byte. */
export const encryptionCodes: ReadonlySet<number> = new Set([80_877_103, 80_877_104])
/** PostgreSQL takes no longer packet before the session has begun. */
export const startupLongest = 10_000

/** A StartupMessage of protocol 3. */
export const isStartup = (code: number): boolean => code >>> 16 === 3

export type Beginning =
  /** Nothing that can be answered yet. */
  | { readonly kind: "partial" }
  /** The client asks for encryption, in the first `length` bytes. */
  | { readonly kind: "encryption"; readonly length: number }
  | { readonly kind: "session" }
  /** A cancel request, or no PostgreSQL client. */
  | { readonly kind: "other" }

/** What the client's first packet wants. */
export function beginning(bytes: Uint8Array): Beginning {
  if (bytes.byteLength < 8) return { kind: "partial" }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = view.getInt32(0)
  const code = view.getInt32(4)
  if (length < 8 || length > startupLongest) return { kind: "other" }
  if (encryptionCodes.has(code)) return { kind: "encryption", length }
  if (!isStartup(code)) return { kind: "other" }
  return bytes.byteLength < length ? { kind: "partial" } : { kind: "session" }
}

/** The byte that declines encryption. */
export const declined: Uint8Array = new TextEncoder().encode("N")
export const isDeclined = (said: Uint8Array): boolean =>
  said.byteLength === 1 && said[0] === declined[0]

/** An ErrorResponse with this SQLSTATE (PostgreSQL, Appendix A); the severity is translated. */
const isError = (said: Uint8Array, state: string): boolean =>
  said[0] === 0x45 && Buffer.from(said).includes(`\0C${state}\0`)

/** Of a server that is starting, recovering or stopping: it lets nobody in for now. */
export const isNotYet = (said: Uint8Array): boolean => isError(said, "57P03")

/**
 * No rule of pg_hba.conf lets this client in. It may be so for good; but so says, too, a primary
 * that was started again, as long as it lets no ordinary client in (reference 6.6).
 */
export const isDenied = (said: Uint8Array): boolean => isError(said, "28000")

/** What a client that goes says to its server. */
export const terminate: Uint8Array = new Uint8Array([0x58, 0, 0, 0, 4])

/** An ErrorResponse that ends the session. */
export function farewell(state: string, message: string, hint: string): Uint8Array {
  const fields = ["SFATAL", "VFATAL", `C${state}`, `M${message}`, `H${hint}`]
  const body = new TextEncoder().encode(`${fields.join("\0")}\0\0`)
  const bytes = new Uint8Array(5 + body.byteLength)
  bytes[0] = 0x45
  new DataView(bytes.buffer).setInt32(1, 4 + body.byteLength)
  bytes.set(body, 5)
  return bytes
}
