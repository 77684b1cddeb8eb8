/**
 * The files that PostgreSQL is to run with, as a pure function of specification, role and what is
 * there (reference 4.2 to 4.4, without D-47 to D-49 and D-68). `stolon.revision` names their
 * content, so that a running server can say which it has loaded.
 */
import { sortedEntries } from "#base/order.ts"
import type { DB } from "#model/cluster.ts"
import { slotOf } from "#model/ids.ts"
import type { ConfigFiles, Local } from "#model/local.ts"
import type { PITRConfig } from "#model/spec.ts"
import { type Parameters, formatConf, parseConf } from "./conf.ts"
import { followConninfo } from "./conninfo.ts"
import type { Role, Run } from "./desire.ts"
import { type Guard, formatHba } from "./hba.ts"
import { refusal, rowOf, rows } from "./parameters.ts"
import { revisionOf } from "./revision.ts"
import type { Settings } from "./settings.ts"

/** A parameter of the specification that is not used, and why. */
export interface Ignored {
  readonly name: string
  readonly why: string
}

export interface Rendered {
  readonly files: ConfigFiles
  readonly revision: string
}

/**
 * The revision of every temporary configuration: a server that shows it is one of an
 * initialisation.
 */
export const temporaryRevision = "temporary"

export interface Scene {
  readonly local: Local
  readonly want: Run
  readonly settings: Settings
}

/**
 * `role` and `signal` are given apart, because a primary that is not yet promoted starts as a
 * standby.
 */
export function render(scene: Scene, guard: Guard, signal: ConfigFiles["signal"]): Rendered {
  const { parameters } = ordinary(scene)
  const all = new Map([...parameters, ...recoveryParameters(scene)])
  const hba = hbaOf(scene, guard)
  const revision = revisionOf(formatConf(all), hba)
  const conf = formatConf(new Map([...all, ["stolon.revision", revision]]))
  return { files: { conf, hba, signal }, revision }
}

export const hbaOf = ({ settings, want }: Scene, guard: Guard): string =>
  formatHba({
    settings,
    peers: want.spec.defaultSUReplAccessMode === "strict" ? strictPeers(want) : null,
    rules: want.db.spec.pgHBA,
    guard,
  })

/** Nobody but the cluster's master needs to let the others in. */
const strictPeers = ({ role, peers }: Run): readonly string[] =>
  role.kind === "internal" ? [] : peers

/**
 * The whole text of the configuration for an initialisation's own start: what the instance brought,
 * then ours. Nobody can connect over the network meanwhile.
 */
export function renderTemporary(scene: Scene, pitr: PITRConfig | null): string {
  const { parameters } = ordinary(scene)
  const recovery = pitr === null ? new Map<string, string>() : pitrParameters(scene.want.role, pitr)
  const all = new Map([
    ...parameters,
    ...recovery,
    ["listen_addresses", ""] as const,
    ["synchronous_standby_names", ""] as const,
    ["stolon.revision", temporaryRevision] as const,
  ])
  return `include_if_exists 'postgresql.conf'\n${formatConf(all)}`
}

interface Ordinary {
  readonly parameters: Parameters
  readonly ignored: readonly Ignored[]
}

/** Everything but recovery: the order of 4.2, later wins. */
function ordinary(scene: Scene): Ordinary {
  const { local, want } = scene
  const major = local.binary.Maj
  const previous = want.db.spec.includePreviousConfig ? local.db.initPGParameters : null
  const result = new Map<string, string>()
  const ignored: Ignored[] = []
  // what the instance had before is nobody's mistake: dropped without a word
  for (const [name, value] of sortedEntries(previous ?? new Map<string, string>()))
    if (refusal(name, value, major) === null) put(result, name, value)
  for (const [name, value] of sortedEntries(want.db.spec.pgParameters)) {
    const why = refusal(name, value, major)
    if (why === null) put(result, name, value)
    else ignored.push({ name, why })
  }
  for (const [name, value] of defaults(scene)) if (!result.has(name)) result.set(name, value)
  for (const [name, value] of managed(scene, result)) result.set(name, value)
  for (const [name, value] of standbyFloors(scene, result)) result.set(name, value)
  return { parameters: result, ignored }
}

/** What of the specification is left out. */
export const ignoredParameters = (scene: Scene): readonly Ignored[] => ordinary(scene).ignored

/** PostgreSQL's names do not care for case; the last spelling wins. */
function put(result: Map<string, string>, name: string, value: string): void {
  const twin = [...result.keys()].find((key) => key.toLowerCase() === name.toLowerCase())
  if (twin !== undefined) result.delete(twin)
  result.set(rowOf(name)?.name ?? name, value)
}

function* defaults({ local, want, settings }: Scene): Iterable<readonly [string, string]> {
  // D-06: a crashed synchronous primary must come back through the keeper, with its guard
  if (want.db.spec.synchronousReplication) yield ["restart_after_crash", "off"]
  // a standby whose primary was away for a moment is back at once, not after PostgreSQL's 5 s
  yield ["wal_retrieve_retry_interval", "500ms"]
  const scram = [settings.superuser, settings.replication].some(
    ({ method }) => method === "scram-sha-256",
  )
  if (scram && local.binary.Maj < 14) yield ["password_encryption", "scram-sha-256"]
}

function* managed(scene: Scene, asked: Parameters): Iterable<readonly [string, string]> {
  const { local, want, settings } = scene
  yield ["unix_socket_directories", settings.socketDirectory]
  yield ["wal_level", asked.get("wal_level") === "logical" ? "logical" : "replica"]
  yield ["hot_standby", "on"]
  if (local.binary.Maj >= 13) yield ["wal_keep_size", asked.get("wal_keep_size") ?? "128"]
  else yield ["wal_keep_segments", String(Math.max(8, integer(asked.get("wal_keep_segments"))))]
  yield ["listen_addresses", settings.listenAddress]
  yield ["port", settings.port]
  const { maxStandbys, additionalWalSenders } = want.db.spec
  const senders = 2 * maxStandbys + 2 + additionalWalSenders
  yield ["max_wal_senders", String(Math.max(senders, integer(asked.get("max_wal_senders"))))]
  yield ["max_replication_slots", String(slotsMax(scene, asked))]
  if (want.db.spec.usePgrewind) yield ["wal_log_hints", "on"]
  yield ["synchronous_standby_names", syncNames(want.db)]
}

/**
 * Room for every slot that is wanted or there: PostgreSQL does not start with fewer than it has
 * (D-49). While it is down the slots cannot be counted; then the file's value stands.
 */
function slotsMax({ local, want }: Scene, asked: Parameters): number {
  const wanted =
    want.db.spec.maxStandbys + (want.spec.additionalMasterReplicationSlots?.length ?? 0)
  const there =
    local.server.kind === "up"
      ? local.server.slots.length
      : integer(currentConf(local).get("max_replication_slots"))
  return Math.max(wanted, there, integer(asked.get("max_replication_slots")))
}

export const currentConf = (local: Local): Parameters => parseConf(local.files?.conf ?? "")

const integer = (text: string | undefined): number =>
  text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : 0

/** Which standbys a commit waits for (4.2, step 5); all of them. */
export function syncNames({ spec }: DB): string {
  if (!spec.synchronousReplication) return ""
  const names = [
    ...(spec.synchronousStandbys ?? []).map(slotOf),
    ...(spec.externalSynchronousStandbys ?? []),
  ]
  return names.length > 1 ? `${names.length} (${names.join(",")})` : (names[0] ?? "")
}

/**
 * On a standby these never shrink while it may still have to replay what a primary with more of
 * them wrote: it would stop, or refuse to start (D-46). What the primary reports is what stands in
 * its files, not what it runs with, so a standby keeps what its own file has. A primary takes the
 * specification's value.
 */
function* standbyFloors(scene: Scene, wanted: Parameters): Iterable<readonly [string, string]> {
  const { local, want } = scene
  const { role } = want
  if (role.kind === "primary") return
  const reported =
    role.kind === "internal" ? role.followed.status.pgParameters : new Map<string, string>()
  const current = currentConf(local)
  for (const { name, standbyFloor } of rows) {
    if (!standbyFloor) continue
    const least = Math.max(integer(reported.get(name)), integer(current.get(name)))
    const value = wanted.get(name)
    if (least > integer(value) && (value === undefined || integer(value) > 0))
      yield [name, String(least)]
  }
}

/**
 * Recovery of the role itself, reference 4.3. A primary has none, also while it is still to be
 * promoted; but for the timeline, which is PostgreSQL's default anyway: taking it out of the file
 * would leave every promoted primary with a pending restart.
 */
function recoveryParameters({ want, settings }: Scene): Parameters {
  const { role, db } = want
  const result = new Map([["recovery_target_timeline", "latest"]])
  if (role.kind === "primary") return result
  if (role.kind === "internal") {
    result.set("primary_conninfo", followConninfo(db.uid, role.followed, settings))
    result.set("primary_slot_name", slotOf(db.uid))
    return result
  }
  return new Map([...result, ...externalParameters(role)])
}

function externalParameters(role: Extract<Role, { kind: "external" }>): Parameters {
  const { standby, archive } = role
  const given: readonly (readonly [string, string])[] = [
    ["primary_conninfo", standby?.primaryConninfo ?? ""],
    ["primary_slot_name", standby?.primarySlotName ?? ""],
    ["recovery_min_apply_delay", standby?.recoveryMinApplyDelay ?? ""],
  ]
  const result = new Map(given.filter(([, value]) => value !== ""))
  if (archive !== null) result.set("restore_command", archive.restoreCommand)
  return result
}

/**
 * Recovery from a backup: up to the target, or for ever when the cluster follows an external
 * primary.
 */
function pitrParameters(role: Role, pitr: PITRConfig): Parameters {
  const archive = pitr.archiveRecoverySettings ?? null
  if (role.kind === "external")
    return new Map([
      ["recovery_target_timeline", "latest"],
      ...externalParameters({ ...role, archive }),
    ])
  const result = new Map<string, string>()
  if (archive !== null) result.set("restore_command", archive.restoreCommand)
  const target = pitr.recoveryTargetSettings
  if (target === undefined) return result.set("recovery_target_timeline", "latest")
  const given: readonly (readonly [string, string])[] = [
    ["recovery_target", target.recoveryTarget],
    ["recovery_target_lsn", target.recoveryTargetLsn],
    ["recovery_target_name", target.recoveryTargetName],
    ["recovery_target_time", target.recoveryTargetTime],
    ["recovery_target_xid", target.recoveryTargetXid],
    ["recovery_target_timeline", target.recoveryTargetTimeline],
  ]
  for (const [name, value] of given) if (value !== "") result.set(name, value)
  return result.set("recovery_target_action", "promote")
}

/**
 * True when going from one file to the other needs a restart because of where the standby recovers
 * from (D-45).
 */
export function recoveryNeedsRestart(
  before: Parameters,
  after: Parameters,
  major: number,
): boolean {
  return rows.some(
    ({ name, owner, since, reloadSince }) =>
      owner === "keeper" &&
      recoveryNames.test(name) &&
      major >= since &&
      major < reloadSince &&
      (before.get(name) ?? "") !== (after.get(name) ?? ""),
  )
}
const recoveryNames = /^(primary_|recovery_|restore_)/

/**
 * What the keeper reports of the instance's own parameters: nothing that it manages, or it would be
 * frozen into the specification.
 */
export function reportedParameters(file: Parameters, db: DB | null): Parameters {
  const user = db?.spec.pgParameters ?? new Map<string, string>()
  const kept = sortedEntries(file).flatMap(([name, value]): (readonly [string, string])[] => {
    const owner = rowOf(name)?.owner ?? "user"
    if (owner === "keeper" || owner === "floor" || name.startsWith("stolon.")) return []
    if (owner !== "default") return [[name, value]]
    const theirs = user.get(name)
    return theirs === undefined ? [] : [[name, theirs]]
  })
  return new Map(kept)
}
