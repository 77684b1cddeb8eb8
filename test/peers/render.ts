/**
 * The files of a Go keeper: parameters, recovery settings and access rules of reference 4.2 to 4.4,
 * with what is wrong about them (backslashes and recovery values unescaped, D-47; unfiltered user
 * parameters, D-48; slots counted by standbys alone, D-49).
 */
import { byText } from "#base/order.ts"
import type { GoDB, GoData } from "./documents.ts"
import type { GoSource } from "./machine.ts"

export interface GoAccount {
  readonly name: string
  readonly password: string
}
export interface GoSettings {
  readonly uid: string
  readonly address: string
  readonly port: string
  readonly superuser: GoAccount
  readonly replication: GoAccount
}

export function parameters(
  db: GoDB,
  captured: ReadonlyMap<string, string> | null,
  { address, port }: GoSettings,
): Map<string, string> {
  const { spec } = db
  const user = new Map(spec.pgParameters ?? [])
  const keep = user.get("wal_keep_size") ?? "128"
  return new Map([
    ...(spec.includePreviousConfig ? (captured ?? []) : []),
    ...user,
    ["unix_socket_directories", "/tmp"],
    ["wal_level", user.get("wal_level") === "logical" ? "logical" : "replica"],
    ["hot_standby", "on"],
    ["wal_keep_size", keep],
    ["listen_addresses", address],
    ["port", port],
    ["max_replication_slots", String(spec.maxStandbys)],
    ["max_wal_senders", String((2 * spec.maxStandbys + 2 + spec.additionalWalSenders) % 65_536)],
    ...(spec.usePgrewind ? ([["wal_log_hints", "on"]] as const) : []),
    ["synchronous_standby_names", syncNames(db)],
  ])
}

function syncNames({ spec }: GoDB): string {
  if (!spec.synchronousReplication) return ""
  const ours = (spec.synchronousStandbys ?? []).map((uid) => `stolon_${uid}`)
  const names = [...ours, ...(spec.externalSynchronousStandbys ?? [])]
  return names.length < 2 ? names.join("") : `${names.length} (${names.join(",")})`
}

const escaped = (value: string): string => value.replaceAll(/[\\' ]/g, (c) => `\\${c}`)
/** Sorted by key, empty values left out, one space between. */
export const conninfo = (pairs: Readonly<Record<string, string>>): string =>
  Object.entries(pairs)
    .filter(([, value]) => value !== "")
    .toSorted(([a], [b]) => byText(a, b))
    .map(([key, value]) => `${key}=${escaped(value)}`)
    .join(" ")

export const replicationConninfo = (
  { replication }: GoSettings,
  db: string,
  { host, port }: GoSource,
): string =>
  conninfo({
    application_name: `stolon_${db}`,
    host,
    port,
    user: replication.name,
    password: replication.password,
    sslmode: "prefer",
  })

/** Null: no recovery. */
export function recovery(
  data: GoData,
  db: GoDB,
  settings: GoSettings,
): ReadonlyMap<string, string> | null {
  const follow = db.spec.followConfig
  if (db.spec.role === "master" || follow === null) return null
  if (follow.type === "external") {
    const given = follow.standbySettings
    return new Map(
      [
        ["primary_conninfo", given?.primaryConninfo ?? ""] as const,
        ["primary_slot_name", given?.primarySlotName ?? ""] as const,
        ["recovery_min_apply_delay", given?.recoveryMinApplyDelay ?? ""] as const,
        ["restore_command", follow.archiveRecoverySettings?.restoreCommand ?? ""] as const,
        ["recovery_target_timeline", "latest"] as const,
      ].filter(([, value]) => value !== ""),
    )
  }
  const followed = data.dbs.get(follow.dbuid)
  if (followed === undefined) throw new Error(`no db object with id "${follow.dbuid}" available`)
  const { listenAddress: host, port } = followed.status
  return new Map([
    ["primary_conninfo", replicationConninfo(settings, db.uid, { host, port })],
    ["primary_slot_name", `stolon_${db.uid}`],
    ["recovery_target_timeline", "latest"],
  ])
}

/** Quotes are doubled in parameters; recovery values go in as they are. */
export const confText = (
  all: ReadonlyMap<string, string>,
  recover: ReadonlyMap<string, string> | null,
): string =>
  [
    ...[...all].map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`),
    ...[...(recover ?? [])].map(([name, value]) => `${name} = '${value}'\n`),
  ].join("")

export function hbaText(
  data: GoData,
  db: GoDB,
  { superuser, replication }: GoSettings,
  internal: boolean,
): string {
  const [su, repl] = [superuser.name, replication.name]
  const rules = [`local postgres ${su} md5`, `local replication ${repl} md5`]
  if ((data.cluster.spec.defaultSUReplAccessMode ?? "all") === "all") {
    for (const user of [`all ${su}`, `replication ${repl}`])
      rules.push(`host ${user} 0.0.0.0/0 md5`, `host ${user} ::0/0 md5`)
  } else if (db.spec.role === "master" || db.spec.followConfig?.type === "external") {
    const others = [...data.dbs.values()].filter(({ uid }) => uid !== db.uid)
    for (const address of others.map(({ status }) => status.listenAddress).toSorted(byText))
      rules.push(`host all ${su} ${address}/32 md5`, `host replication ${repl} ${address}/32 md5`)
  }
  if (!internal)
    rules.push(...(db.spec.pgHBA ?? ["host all all 0.0.0.0/0 md5", "host all all ::0/0 md5"]))
  return rules.map((rule) => `${rule}\n`).join("")
}

/** Names that are never reported as the user's (4.2). */
export const managed: ReadonlySet<string> = new Set([
  "unix_socket_directories",
  "wal_keep_segments",
  "wal_keep_size",
  "hot_standby",
  "listen_addresses",
  "port",
  "max_replication_slots",
  "max_wal_senders",
  "wal_log_hints",
  "synchronous_standby_names",
  "primary_conninfo",
  "primary_slot_name",
  "recovery_min_apply_delay",
  "restore_command",
  "recovery_target_timeline",
  "recovery_target",
  "recovery_target_lsn",
  "recovery_target_name",
  "recovery_target_time",
  "recovery_target_xid",
  "recovery_target_action",
])
