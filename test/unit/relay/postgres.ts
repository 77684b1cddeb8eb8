/** Bytes of the PostgreSQL protocol, for tests: what each side says, and what it hears. */

const text = new TextEncoder()

export const join = (...parts: readonly Uint8Array[]): Uint8Array => Buffer.concat(parts)

/** A message with a type. */
export function message(type: string, body: string | Uint8Array = ""): Uint8Array {
  const bytes = typeof body === "string" ? text.encode(body) : body
  const whole = new Uint8Array(5 + bytes.byteLength)
  whole[0] = type.charCodeAt(0)
  new DataView(whole.buffer).setInt32(1, 4 + bytes.byteLength)
  whole.set(bytes, 5)
  return whole
}

/** A packet without a type: a code and what follows it. */
export function packet(code: number, body = ""): Uint8Array {
  const bytes = text.encode(body)
  const whole = new Uint8Array(8 + bytes.byteLength)
  const view = new DataView(whole.buffer)
  view.setInt32(0, whole.byteLength)
  view.setInt32(4, code)
  whole.set(bytes, 8)
  return whole
}

export const startup: Uint8Array = packet(196_608, "user\0me\0\0")
export const sslRequest: Uint8Array = packet(80_877_103)
export const gssRequest: Uint8Array = packet(80_877_104)
export const cancelRequest: Uint8Array = packet(80_877_102, "pid.key.")

export const readyIn = (status: string): Uint8Array => message("Z", status)
export const greeting: Uint8Array = join(
  message("R", "\0\0\0\0"),
  message("S", "server_version\x0015\0"),
  message("K", "pid.key."),
  readyIn("I"),
)

/** The fields of the ErrorResponse at the end of `bytes`, and what came before it. */
export function lastWord(bytes: Uint8Array) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 0; at + 5 <= bytes.byteLength; at += 1 + view.getInt32(at + 1)) {
    if (bytes[at] !== 0x45) continue
    const fields = Buffer.from(bytes.subarray(at + 5))
      .toString()
      .split("\0")
      .filter((one) => one !== "")
    return {
      before: bytes.subarray(0, at),
      fields: new Map(fields.map((one) => [one.slice(0, 1), one.slice(1)])),
      whole: at + 1 + view.getInt32(at + 1) === bytes.byteLength,
    }
  }
  return null
}
