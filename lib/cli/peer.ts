/**
 * `--peer-listen-address`: where keepers and sentinels answer each other past the store (protocol
 * part 8). Under a Go name it does not exist and there is no such endpoint: a drop-in opens no port
 * that nobody asked for.
 */
import { never } from "#base/brand.ts"
import { type Dialect, table } from "./flag.ts"

const rule = (text: string): string | null =>
  peerPlace(text, "stolon") === null ? "expected HOST:PORT, HOST, :PORT or off" : null

export const peerFlags = table({
  "peer-listen-address": {
    type: "string",
    only: "stolon",
    group: "Peers",
    placeholder: "ADDR:PORT",
    rule,
    doc: "where other keepers, sentinels and proxies reach this one; empty: a free port; off: nowhere",
  },
})

/** What the flag asks for. */
export type PeerPlace =
  | { readonly kind: "off" }
  /** An empty host is to be found out; port 0 is a free one. */
  | { readonly kind: "at"; readonly host: string; readonly port: number }

/** Null: it cannot be read. */
export function peerPlace(text: string, dialect: Dialect): PeerPlace | null {
  switch (dialect) {
    case "go":
      return { kind: "off" }
    case "stolon":
      return text === "off" ? { kind: "off" } : placeOf(text)
    default:
      return never(dialect)
  }
}

function placeOf(text: string): PeerPlace | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]*))(?::(\d{1,5}))?$/.exec(text)
  const port = Number(match?.[3] ?? "0")
  return match === null || port > 65_535
    ? null
    : { kind: "at", host: match[1] ?? match[2] ?? "", port }
}
