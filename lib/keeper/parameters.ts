/**
 * Facts about PostgreSQL parameters, one row each: who sets them, which versions know them, what a
 * change needs. Whatever the keeper must decide by the name of a parameter is decided by this table
 * (D-46, D-48, D-70).
 *
 * A parameter without a row is the user's and is passed on as typed.
 */

/** Who has the last word on a parameter. */
export type Owner =
  /** The keeper alone; never reported, never merged into the specification (4.2). */
  | "keeper"
  /** The keeper puts it there unless the user did; only the user's value is reported. */
  | "default"
  /** The keeper asks for at least something; the user may ask for more. */
  | "floor"
  /** The user. */
  | "user"
  /** Nobody: it would move the files that the keeper generates. */
  | "nobody"

export interface Row {
  readonly name: string
  readonly owner: Owner
  /** First and last major version that knows it. */
  readonly since: number
  readonly until: number
  /** From which major version on a change is taken by a reload; Infinity: it needs a restart. */
  readonly reloadSince: number
  /** A standby refuses to go on with less than its primary has (D-46). */
  readonly standbyFloor: boolean
}

const always = 0
const forever = Infinity
interface Facts {
  readonly since?: number
  readonly until?: number
  readonly reloadSince?: number
  readonly standbyFloor?: boolean
}
const row = (name: string, owner: Owner, facts: Facts = {}): Row => ({
  name,
  owner,
  since: always,
  until: forever,
  reloadSince: always,
  standbyFloor: false,
  ...facts,
})
const restart = { reloadSince: forever } as const
const recovery = { since: 12 } as const

export const rows: readonly Row[] = [
  // managed: the list that Go filters out of what it reports (4.2), and our own
  row("unix_socket_directories", "keeper", restart),
  row("wal_keep_segments", "keeper", { until: 12 }),
  row("wal_keep_size", "keeper", { since: 13 }),
  row("hot_standby", "keeper", restart),
  row("listen_addresses", "keeper", restart),
  row("port", "keeper", restart),
  row("max_replication_slots", "floor", restart),
  row("max_wal_senders", "floor", { ...restart, standbyFloor: true }),
  row("wal_log_hints", "keeper", restart),
  row("synchronous_standby_names", "keeper"),
  row("primary_conninfo", "keeper", { ...recovery, reloadSince: 13 }),
  row("primary_slot_name", "keeper", { ...recovery, reloadSince: 13 }),
  row("recovery_min_apply_delay", "keeper", recovery),
  row("restore_command", "keeper", { ...recovery, reloadSince: 14 }),
  row("recovery_target_timeline", "keeper", { ...recovery, ...restart }),
  row("recovery_target", "keeper", { ...recovery, ...restart }),
  row("recovery_target_lsn", "keeper", { ...recovery, ...restart }),
  row("recovery_target_name", "keeper", { ...recovery, ...restart }),
  row("recovery_target_time", "keeper", { ...recovery, ...restart }),
  row("recovery_target_xid", "keeper", { ...recovery, ...restart }),
  row("recovery_target_action", "keeper", { ...recovery, ...restart }),
  row("stolon.revision", "keeper"),
  row("stolon.lineage", "keeper"),
  row("restart_after_crash", "default"),
  row("max_slot_wal_keep_size", "default", { since: 13 }),
  row("password_encryption", "default"),
  row("wal_retrieve_retry_interval", "default"),
  row("min_wal_size", "default"),
  row("max_wal_size", "default"),
  row("archive_library", "user", { since: 15 }),
  // they must not shrink below the primary's on a standby
  row("max_connections", "user", { ...restart, standbyFloor: true }),
  row("max_worker_processes", "user", { ...restart, standbyFloor: true }),
  row("max_prepared_transactions", "user", { ...restart, standbyFloor: true }),
  row("max_locks_per_transaction", "user", { ...restart, standbyFloor: true }),
  // gone: PostgreSQL refuses to start with them (D-70)
  row("operator_precedence_warning", "user", { until: 13 }),
  row("vacuum_cleanup_index_scale_factor", "user", { until: 13 }),
  row("stats_temp_directory", "user", { until: 14 }),
  row("promote_trigger_file", "user", { ...recovery, until: 15 }),
  row("vacuum_defer_cleanup_age", "user", { until: 15 }),
  row("force_parallel_mode", "user", { until: 15 }),
  row("old_snapshot_threshold", "user", { until: 16 }),
  row("db_user_namespace", "user", { until: 16 }),
  row("trace_recovery_messages", "user", { until: 16 }),
  // files of the keeper
  row("data_directory", "nobody", restart),
  row("config_file", "nobody", restart),
  row("hba_file", "nobody", restart),
  row("include", "nobody"),
  row("include_dir", "nobody"),
  row("include_if_exists", "nobody"),
]

const byName: ReadonlyMap<string, Row> = new Map(rows.map((r) => [r.name, r]))

/** The row of a parameter; names are matched without case, as PostgreSQL does. */
export const rowOf = (name: string): Row | undefined => byName.get(name.toLowerCase())

/** Names that PostgreSQL's file parser takes; anything else would spoil the whole file. */
const wellFormed =
  /^[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*(\.[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)*$/

/** Why a parameter of the specification is not used, or null when it is. */
export function refusal(name: string, value: string, major: number): string | null {
  if (!wellFormed.test(name)) return "it is not a parameter's name"
  if (value.includes("\0")) return "its value holds a zero byte"
  const known = rowOf(name)
  if (known === undefined)
    return name.toLowerCase().startsWith("stolon.") ? "it is the keeper's own" : null
  if (major < known.since) return `PostgreSQL ${major} does not know it yet`
  if (major > known.until) return `PostgreSQL ${major} does not know it any more`
  if (known.owner === "nobody") return "it would move files that the keeper generates"
  return known.owner === "keeper" && !userVoice.has(known.name) ? "the keeper manages it" : null
}

/** Managed parameters on which the user's value is heard all the same (4.2, step 3). */
const userVoice: ReadonlySet<string> = new Set(["wal_keep_size", "wal_keep_segments"])
