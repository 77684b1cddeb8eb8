/**
 * libpq connection strings as the keeper writes them into files: sorted by key, empty values left
 * out (reference 4.3). Plain values stay plain, since tests and people read them; all others are
 * quoted the way libpq's own parser undoes (D-47).
 */
import { byText, sortedEntries } from "#base/order.ts"
import type { DB } from "#model/cluster.ts"
import { type DBUID, slotOf } from "#model/ids.ts"
import type { Account, Settings } from "./settings.ts"

export type Conninfo = ReadonlyMap<string, string>

export const formatConninfo = (info: Conninfo): string =>
  sortedEntries(info)
    .filter(([, value]) => value !== "")
    .map(([key, value]) => `${key}=${quoteValue(value)}`)
    .join(" ")

const plain = /^[^\s'\\\u0000-\u0020]+$/
const quoteValue = (value: string): string =>
  plain.test(value) ? value : `'${value.replace(/['\\]/g, "\\$&")}'`

/**
 * Reads what `formatConninfo` writes, and the rest of libpq's key=value syntax. Null for what libpq
 * would refuse.
 */
export function parseConninfo(text: string): Conninfo | null {
  const result = new Map<string, string>()
  const pair = /\s*([^\s=]+)\s*=\s*(?:'((?:[^'\\]|\\[^])*)'|((?:[^\s'\\]|\\[^])*))(?=\s|$)\s*/y
  while (pair.lastIndex < text.length) {
    const match = pair.exec(text)
    if (match === null) return null
    result.set(match[1] ?? "", (match[2] ?? match[3] ?? "").replace(/\\([^])/g, "$1"))
  }
  return new Map([...result].toSorted(([a], [b]) => byText(a, b)))
}

/** How the standby `own` reaches the DB that it follows. */
export const followConninfo = (own: DBUID, followed: DB, settings: Settings): string =>
  formatConninfo(
    new Map([
      ["application_name", slotOf(own)],
      ["host", followed.status.listenAddress],
      ["port", followed.status.port],
      ["sslmode", "prefer"],
      ["user", settings.replication.name],
      ["password", passwordOf(settings.replication)],
    ]),
  )

const passwordOf = ({ method, password }: Account): string => (method === "trust" ? "" : password)
