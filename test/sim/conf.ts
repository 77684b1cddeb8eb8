/**
 * Reads what the keeper renders: the few parameters of postgresql.conf and the rules of pg_hba.conf
 * on which the model depends. The keeper's rendering is thereby part of every run; a parameter that
 * the model cannot find behaves like PostgreSQL's default.
 */

/** What PostgreSQL makes of one postgresql.conf. */
export interface Settings {
  readonly all: ReadonlyMap<string, string>
  readonly revision: string
  readonly syncNames: SyncNames
  readonly primary: Primary | null
  readonly slot: string
  readonly walTimeout: number
  readonly hints: boolean
  /** listen_addresses; null: nobody said, and it listens everywhere. */
  readonly listen: string | null
  readonly port: string
}

/** synchronous_standby_names: how many of which. Null: commits wait for nobody. */
export type SyncNames = { readonly count: number; readonly names: readonly string[] } | null

export interface Primary {
  readonly host: string
  readonly port: string
  readonly name: string
}

const settings = new Map<string, Settings>()

export function readConf(text: string): Settings {
  const known = settings.get(text)
  if (known !== undefined) return known
  const all = parseConf(text)
  const get = (name: string): string => all.get(name) ?? ""
  const made: Settings = {
    all,
    revision: get("stolon.revision"),
    syncNames: parseNames(get("synchronous_standby_names")),
    primary: parsePrimary(get("primary_conninfo")),
    slot: get("primary_slot_name"),
    walTimeout: parseMillis(get("wal_receiver_timeout")) ?? 60_000,
    hints: ["on", "true", "1"].includes(get("wal_log_hints")),
    listen: all.get("listen_addresses") ?? null,
    port: all.get("port") ?? "5432",
  }
  if (settings.size > 5_000) settings.clear()
  settings.set(text, made)
  return made
}

const line = /^\s*([A-Za-z_][\w.]*)\s*(?:=\s*|\s+)(?:'((?:[^'\\]|''|\\.)*)'|([^\s#']+))\s*(?:#.*)?$/

/**
 * PostgreSQL's file syntax, as far as a generated file uses it. Throws on a line that PostgreSQL
 * would refuse.
 */
function parseConf(text: string): Map<string, string> {
  const all = new Map<string, string>()
  for (const raw of text.split("\n")) {
    const plain = raw.trim()
    if (plain === "" || plain.startsWith("#") || plain.startsWith("include")) continue
    const match = line.exec(plain)
    if (match === null) throw new Error(`syntax error in postgresql.conf: ${plain}`)
    const quoted = match[2]
    const value = quoted === undefined ? (match[3] ?? "") : unquote(quoted)
    all.set((match[1] ?? "").toLowerCase(), value)
  }
  return all
}

const unquote = (text: string): string => text.replace(/''|\\(.)/g, (_, c?: string) => c ?? "'")

export function parseNames(text: string): SyncNames {
  const plain = text.trim()
  if (plain === "") return null
  const match = /^(?:(?:FIRST|ANY)\s+)?(\d+)\s*\(([^)]*)\)$/i.exec(plain)
  const names = (match?.[2] ?? plain)
    .split(",")
    .map((name) => name.trim().replace(/^"(.*)"$/, "$1"))
  return { count: match === null ? 1 : Number(match[1]), names }
}

/** A libpq connection string: `key=value` pairs, values quoted or with backslashes. */
export function parseConninfo(text: string): ReadonlyMap<string, string> {
  const pairs = new Map<string, string>()
  const pair = /\s*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s\\]|\\.)*))/gy
  for (let match = pair.exec(text); match !== null; match = pair.exec(text))
    pairs.set(match[1] ?? "", (match[2] ?? match[3] ?? "").replace(/\\(.)/g, "$1"))
  return pairs
}

function parsePrimary(text: string): Primary | null {
  if (text === "") return null
  const pairs = parseConninfo(text)
  const get = (name: string): string => pairs.get(name) ?? ""
  return { host: get("host"), port: get("port"), name: get("application_name") }
}

function parseMillis(text: string): number | null {
  const match = /^(\d+)\s*(ms|s|min)?$/.exec(text)
  if (match === null) return null
  return Number(match[1]) * ({ ms: 1, s: 1_000, min: 60_000 }[match[2] ?? "ms"] ?? 1)
}

/** The user that the simulated clients connect as, and those of the keepers. */
export const users = { client: "app", super: "stolon", replication: "repl" } as const

const hbas = new Map<string, { readonly clients: boolean; readonly replication: boolean }>()

/** Who may connect over the network: the first rule that fits decides, as in PostgreSQL. */
export function readHba(text: string): {
  readonly clients: boolean
  readonly replication: boolean
} {
  const known = hbas.get(text)
  if (known !== undefined) return known
  const rules = text
    .split("\n")
    .map((rule) => rule.trim())
    .filter((rule) => rule !== "" && !rule.startsWith("#"))
    .map((rule) => rule.match(/"[^"]*"|\S+/g) ?? [])
  const allowed = (database: string, user: string): boolean => {
    for (const [type = "", databases = "", names = "", ...rest] of rules) {
      if (!type.startsWith("host")) continue
      const databaseFits =
        databases === database || (databases === "all" && database !== "replication")
      const userFits = names === "all" || names.replaceAll('"', "") === user
      if (databaseFits && userFits) return !rest.includes("reject")
    }
    return false
  }
  // Some clusters replicate as the superuser.
  const replication = [users.replication, users.super].some((user) => allowed("replication", user))
  const made = { clients: allowed("app", users.client), replication }
  if (hbas.size > 5_000) hbas.clear()
  hbas.set(text, made)
  return made
}
