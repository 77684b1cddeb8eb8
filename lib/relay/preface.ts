/**
 * What a load balancer in front says before the client does: from where the client really comes
 * (the PROXY protocol of HAProxy, versions 1 and 2). PostgreSQL does not understand it, so it ends
 * here.
 *
 * Pure, and given to strangers: it believes no length, reads nothing beyond the header, and takes
 * whatever is no header for what it is.
 */

export type Preface =
  /** Nothing that can be judged yet. */
  | { readonly kind: "partial" }
  /** The first `length` bytes; `source` is empty where the balancer speaks for itself. */
  | { readonly kind: "whole"; readonly length: number; readonly source: string }
  | { readonly kind: "none"; readonly why: string }

const signature = new Uint8Array([
  0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a,
])
const word = new TextEncoder().encode("PROXY ")
/** Of version 1, with its line end (section 2.1 of the protocol). */
const lineLongest = 107
const fixed = 16
/** Beyond the addresses of version 2 there may be anything, but not without end. */
const bodyLongest = 2048

const none = (why: string): Preface => ({ kind: "none", why })

export function preface(bytes: Uint8Array): Preface {
  if (startsLike(bytes, word)) return bytes.byteLength < word.byteLength ? partial : line(bytes)
  if (startsLike(bytes, signature)) return bytes.byteLength < fixed ? partial : binary(bytes)
  return none("it begins with no PROXY protocol header")
}
const partial: Preface = { kind: "partial" }

/** As far as there are bytes. */
const startsLike = (bytes: Uint8Array, beginning: Uint8Array): boolean =>
  bytes.subarray(0, beginning.byteLength).every((byte, i) => byte === beginning[i])

function line(bytes: Uint8Array): Preface {
  const end = bytes.subarray(0, lineLongest).indexOf(0x0a)
  if (end < 0) return bytes.byteLength < lineLongest ? partial : none("its line does not end")
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, end + 1))
  const length = end + 1
  if (/^PROXY UNKNOWN(?: [^\r\n]*)?\r\n$/.test(text)) return { kind: "whole", length, source: "" }
  const match = /^PROXY TCP[46] ([0-9A-Fa-f.:]+) [0-9A-Fa-f.:]+ (\d{1,5}) \d{1,5}\r\n$/.exec(text)
  if (match === null) return none("its line makes no sense")
  return { kind: "whole", length, source: join(match[1] ?? "", Number(match[2])) }
}

function binary(bytes: Uint8Array): Preface {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const [version, command] = [view.getUint8(12) >> 4, view.getUint8(12) & 15]
  const body = view.getUint16(14)
  if (version !== 2 || command > 1) return none("it is of a version that is not known")
  if (body > bodyLongest) return none("it is too long")
  const length = fixed + body
  if (bytes.byteLength < length) return partial
  // LOCAL: the balancer asks for itself, as for a health check
  if (command === 0) return { kind: "whole", length, source: "" }
  switch (view.getUint8(13)) {
    case 0x11:
      if (body < 12) return none("it is too short for its addresses")
      return { kind: "whole", length, source: join(four(bytes, fixed), view.getUint16(24)) }
    case 0x21:
      if (body < 36) return none("it is too short for its addresses")
      return { kind: "whole", length, source: join(six(view, fixed), view.getUint16(48)) }
    default:
      return { kind: "whole", length, source: "" } // neither TCP over IPv4 nor over IPv6
  }
}

const join = (host: string, port: number): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`
const four = (bytes: Uint8Array, at: number): string => bytes.subarray(at, at + 4).join(".")
const six = (view: DataView, at: number): string =>
  Array.from({ length: 8 }, (_, i) => view.getUint16(at + 2 * i).toString(16)).join(":")
