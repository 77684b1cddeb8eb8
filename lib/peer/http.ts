/**
 * One HTTP/1.1 message per connection and direction, in bounded memory.
 *
 * Neither Bun.serve nor fetch is used: the former (1.4.5) bounds neither the number of connections
 * nor the whole time that a request may take, the latter goes through `http_proxy`, and both keep
 * sockets for later. A peer is asked seldom, and must be seen to be gone at once. What is spoken is
 * plain HTTP all the same, so `curl` can ask too.
 */

export interface Message {
  /** Request line or status line. */
  readonly first: string
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

/** More is no message of ours. */
export const headMax = 4_096
export const bodyMax = 4_096

/** A message that will never be one; `status` is the answer to it. */
export class MalformedError extends Error {
  override readonly name = "MalformedError"
  readonly status: number
  constructor(status: number, text: string) {
    super(text)
    this.status = status
  }
}

/** What has come so far as a message; null while some of it is missing. */
export function parseMessage(bytes: Buffer): Message | null {
  const end = bytes.indexOf("\r\n\r\n")
  if (end > headMax || (end < 0 && bytes.length > headMax))
    throw new MalformedError(431, "the headers are too long")
  if (end < 0) return null
  const [first = "", ...lines] = bytes.toString("latin1", 0, end).split("\r\n")
  const headers = new Map(lines.map(header))
  const from = end + 4
  const length = lengthOf(headers)
  if (bytes.length < from + length) return null
  return { first, headers, body: bytes.toString("utf8", from, from + length) }
}

function header(line: string): [string, string] {
  const match = /^([\w-]+):[ \t]*(.*?)[ \t]*$/.exec(line)
  if (match === null) throw new MalformedError(400, "a header without a name")
  return [(match[1] ?? "").toLowerCase(), match[2] ?? ""]
}

function lengthOf(headers: Message["headers"]): number {
  if (headers.has("transfer-encoding")) throw new MalformedError(411, "a length is needed")
  const text = headers.get("content-length") ?? "0"
  if (!/^\d{1,9}$/.test(text)) throw new MalformedError(400, "not a length")
  if (Number(text) > bodyMax) throw new MalformedError(413, "the body is too long")
  return Number(text)
}

/** As bytes; every message says that nothing follows it. */
export function printMessage(
  first: string,
  headers: Readonly<Record<string, string>>,
  body: string,
): string {
  const all = { ...headers, connection: "close", "content-length": String(Buffer.byteLength(body)) }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${first}\r\n${lines.join("")}\r\n${body}`
}
