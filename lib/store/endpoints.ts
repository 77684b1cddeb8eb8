/**
 * `--store-endpoints` for etcd and Consul, read as Go stolon reads it (reference 1.3), with its
 * texts for what it refuses. Gentler than Go in three ways that only help: blanks around an entry
 * and empty entries do not matter, and a missing port is the server's usual one.
 */
import { goQuote } from "#base/text.ts"
import { StoreError } from "#port/store.ts"

export interface Endpoints {
  readonly scheme: "http" | "https"
  /** `host:port`, IPv6 in brackets. */
  readonly addresses: readonly string[]
}

/** Where a server of a kind is found that nothing is said about. */
export interface UsualPlace {
  readonly port: number
}
export const etcdPlace: UsualPlace = { port: 2379 }
export const consulPlace: UsualPlace = { port: 8500 }
const withScheme = /^[a-zA-Z][a-zA-Z0-9+-.]*:\/\//

export function parseEndpoints(
  typed: readonly string[],
  { port }: UsualPlace = etcdPlace,
): Endpoints {
  const entries = typed.map((entry) => entry.trim()).filter((entry) => entry !== "")
  const parsed = (entries.length === 0 ? [`http://127.0.0.1:${port}`] : entries).map((entry) =>
    parseEndpoint(entry, port),
  )
  const schemes = new Set(parsed.map(({ scheme }) => scheme))
  if (schemes.size > 1) throw refused("all the endpoints must have the same scheme")
  const [scheme] = schemes
  if (scheme !== "http" && scheme !== "https")
    throw refused("endpoints scheme must be http or https")
  return { scheme, addresses: parsed.map(({ address }) => address) }
}

/** A setting that cannot work, in the words of Go's store constructor. */
export const refused = (why: string): StoreError =>
  new StoreError("invalid", `cannot create kv store: ${why}`)

function parseEndpoint(
  entry: string,
  usualPort: number,
): { readonly scheme: string; readonly address: string } {
  const marked = withScheme.test(entry)
  const scheme = marked ? entry.slice(0, entry.indexOf("://")).toLowerCase() : "http"
  const rest = marked ? entry.slice(entry.indexOf("://") + 3) : entry
  const authority = marked ? (/^[^/?#]*/.exec(rest)?.[0] ?? "") : rest
  const host = authority.slice(authority.lastIndexOf("@") + 1)
  const wrong = hostTrouble(host)
  if (wrong !== null)
    throw refused(`cannot parse endpoint ${goQuote(entry)}: parse ${goQuote(entry)}: ${wrong}`)
  return { scheme, address: withPort(host, usualPort) }
}

/** What net/url says of such a host; null when it is fine. */
function hostTrouble(host: string): string | null {
  if (/[\u0000-\u001f\u007f]/.test(host)) return "net/url: invalid control character in URL"
  const escape = /%(?![0-9a-fA-F]{2})[^]{0,2}/.exec(host)
  if (escape !== null) return `invalid URL escape ${goQuote(escape[0])}`
  const bad = /[ "<>\\^`{|}]/.exec(host)
  if (bad !== null) return `invalid character ${goQuote(bad[0])} in host name`
  if (host === "" || host.startsWith(":")) return "missing host"
  if (host.startsWith("[")) {
    const end = host.indexOf("]")
    if (end < 0) return "missing ']' in host"
    return portTrouble(host.slice(end + 1))
  }
  const colon = host.indexOf(":")
  return colon < 0 ? null : portTrouble(host.slice(colon))
}

const portTrouble = (port: string): string | null =>
  /^(:\d*)?$/.test(port) && Number(port.slice(1)) <= 65535
    ? null
    : `invalid port ${goQuote(port)} after host`

function withPort(host: string, usual: number): string {
  const port = /:(\d*)$/.exec(host.slice(host.lastIndexOf("]") + 1))
  if (port === null) return `${host}:${usual}`
  return port[1] === "" ? `${host}${usual}` : host
}
