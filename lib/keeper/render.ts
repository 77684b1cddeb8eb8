/**
 * The files that PostgreSQL is to run with, as a pure function of specification, role and what is
 * there (reference 4.2 to 4.4, without D-47 to D-49 and D-68). `stolon.revision` names their
 * content, so that a running server can say which it has loaded.
 */
import { sortedEntries } from "#base/order.ts"
import { recall } from "#base/recall.ts"
import type { DB } from "#model/cluster.ts"
import { slotOf } from "#model/ids.ts"
import { type ConfigFiles, type Local, type Unfit, formerAutoConf } from "#model/local.ts"
import type { PITRConfig } from "#model/spec.ts"
import { type Parameters, formatConf, parseConf } from "./conf.ts"
import { followConninfo } from "./conninfo.ts"
import type { Role, Run } from "./desire.ts"
import { type Guard, formatHba } from "./hba.ts"
import { lineageFor, lineageName } from "./lineage.ts"
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
  const { role, db, spec, peers } = scene.want
  const strict = spec.defaultSUReplAccessMode === "strict" ? peers.join("\0") : ""
  const lineage = lineageFor(scene.local, scene.want)
  const others = [db.uid, guard, signal, strict, lineage, ...sourceOf(role)]
  return rendered(db.spec, [...others, ...askedBy(scene)], () => {
    const { parameters } = ordinary(scene, signal !== "none")
    const all = new Map([...parameters, ...recoveryParameters(scene), [lineageName, lineage]])
    const hba = hbaOf(scene, guard)
    const revision = revisionOf(formatConf(all), hba)
    const conf = formatConf(new Map([...all, ["stolon.revision", revision]]))
    return { files: { conf, hba, signal }, revision }
  })
}
/** One plan asks for a few, with other guards and signals, and the next asks for the same. */
const rendered = recall<Rendered>(4)

/**
 * What of a role stands in the files: all of it, whatever it may have one day, but for the followed
 * DB, of which every look brings another.
 */
function sourceOf(role: Role): readonly unknown[] {
  if (role.kind !== "internal") return Object.values(role)
  const { followed, ...rest } = role
  const { uid, status } = followed
  return [...Object.values(rest), uid, status.listenAddress, status.port]
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
  const { parameters } = ordinary(scene, pitr !== null)
  const recovery = pitr === null ? new Map<string, string>() : pitrParameters(scene.want.role, pitr)
  const all = new Map([
    ...parameters,
    ...recovery,
    ["listen_addresses", ""] as const,
    ["unix_socket_permissions", "0700"] as const,
    ["synchronous_standby_names", ""] as const,
    ...noArchiving(scene.local),
    ["stolon.revision", temporaryRevision] as const,
  ])
  // what ALTER SYSTEM had set, of an instance that is taken over
  const former = pitr === null ? `include_if_exists '${formerAutoConf}'\n` : ""
  return `include_if_exists 'postgresql.conf'\n${former}${formatConf(all)}`
}

/**
 * A restored instance would put its new timeline into the archive that it was restored from, where
 * the next restore follows it. What there is to archive waits for the regular configuration.
 */
const noArchiving = ({ binary }: Local): readonly (readonly [string, string])[] => [
  ["archive_command", ""],
  ...(refusal("archive_library", "", binary.Maj) === null
    ? [["archive_library", ""] as const]
    : []),
]

interface Ordinary {
  readonly parameters: Parameters
  readonly ignored: readonly Ignored[]
}

/**
 * Everything but recovery: the order of 4.2, later wins.
 *
 * @param recovering It starts or runs in recovery, whatever it is to become.
 */
const ordinary = (scene: Scene, recovering: boolean): Ordinary =>
  chosen(scene.want.db.spec, [recovering, ...askedBy(scene)], () => choose(scene, recovering))
/** A plan asks for two or three, and again in the next round. */
const chosen = recall<Ordinary>(4)

/**
 * Everything that the files are made from, but for the DB's specification and the role: what is not
 * named here may not be looked at, or an old answer would stand for a new question.
 */
function askedBy({ local, want, settings }: Scene): readonly unknown[] {
  const { server, db, binary, unfit, floors, diskBytes, walSegmentBytes, files } = local
  const slots = server.kind === "up" ? server.slotsUsed : null
  const there = [binary.Maj, unfit.length === 0 ? 0 : unfit, floors, diskBytes, walSegmentBytes]
  const told = Object.values(settings)
  return [want.role.kind, want.spec, slots, db.initPGParameters, files?.conf, ...there, ...told]
}

function choose(scene: Scene, recovering: boolean): Ordinary {
  const { local, want } = scene
  const refused = (name: string, value: string): string | null =>
    refusal(name, value, local.binary.Maj) ?? unfitness(local.unfit, name, value)
  const previous = want.db.spec.includePreviousConfig ? local.db.initPGParameters : null
  const result = new Map<string, string>()
  const ignored: Ignored[] = []
  // what the instance had before is nobody's mistake: dropped without a word
  for (const [name, value] of sortedEntries(previous ?? new Map<string, string>()))
    if (refused(name, value) === null) put(result, name, value)
  for (const [name, value] of sortedEntries(want.db.spec.pgParameters)) {
    const why = refused(name, value) ?? overruled(scene, name)
    if (why === null) put(result, name, value)
    else ignored.push({ name, why })
  }
  for (const [name, value] of defaults(scene)) if (!result.has(name)) result.set(name, value)
  for (const [name, value] of managed(scene, result)) result.set(name, value)
  if (recovering || want.role.kind !== "primary")
    for (const [name, value] of standbyFloors(scene, result)) result.set(name, value)
  return { parameters: result, ignored }
}

/** A promise stands above a wish (D-06). */
const overruled = ({ want }: Scene, name: string): string | null =>
  want.db.spec.synchronousReplication && name.toLowerCase() === "restart_after_crash"
    ? "synchronous replication needs it off: commits that hung at a crash must not become visible"
    : null

/** Why PostgreSQL would not start with it, as far as it said. */
const unfitness = (all: readonly Unfit[], name: string, value: string): string | null =>
  all.find(
    (unfit) =>
      unfit.name.toLowerCase() === name.toLowerCase() &&
      (unfit.line === null || `${unfit.line}\n` === formatConf(new Map([[unfit.name, value]]))),
  )?.why ?? null

/** What of the specification is left out. */
export const ignoredParameters = (scene: Scene): readonly Ignored[] =>
  ordinary(scene, false).ignored

/** PostgreSQL's names do not care for case; the last spelling wins. */
function put(result: Map<string, string>, name: string, value: string): void {
  const twin = [...result.keys()].find((key) => key.toLowerCase() === name.toLowerCase())
  if (twin !== undefined) result.delete(twin)
  result.set(rowOf(name)?.name ?? name, value)
}

function* defaults({ local, settings }: Scene): Iterable<readonly [string, string]> {
  // D-37: a slot whose standby is gone may not fill the disk; half of it is for nobody's sake
  const keep = Math.min(slotKeepMax, Math.floor((local.diskBytes ?? 0) / 2 ** 31))
  if (local.binary.Maj >= 13 && (local.diskBytes ?? 0) > 0)
    yield ["max_slot_wal_keep_size", `${Math.max(1, keep)}GB`]
  yield* walSizes(local)
  // a standby whose primary was away for a moment is back at once, not after PostgreSQL's 5 s
  yield ["wal_retrieve_retry_interval", "500ms"]
  const scram = [settings.superuser, settings.replication].some(
    ({ method }) => method === "scram-sha-256",
  )
  if (scram && local.binary.Maj < 14) yield ["password_encryption", "scram-sha-256"]
}

/**
 * In GB. Network file systems name sizes that nobody has (EFS: 8 EiB); PostgreSQL refuses to start
 * with 2 PB.
 */
const slotKeepMax = 2 ** 20

/**
 * PostgreSQL does not start with less room than two segments, and its defaults are meant for
 * segments of 16 MiB: what initdb writes for others, for when nobody asks for anything (D-39).
 */
function* walSizes(local: Local): Iterable<readonly [string, string]> {
  const { walSegmentBytes: bytes } = local
  const current = currentConf(local)
  for (const { name, segments, standard } of walSizeDefaults) {
    const before = current.get(name)
    if (bytes === null && before !== undefined) yield [name, before]
    if (bytes !== null && 2 * bytes > standard) yield [name, `${(segments * bytes) / 2 ** 20}MB`]
  }
}
const walSizeDefaults = [
  { name: "min_wal_size", segments: 5, standard: 80 * 2 ** 20 },
  { name: "max_wal_size", segments: 64, standard: 2 ** 30 },
] as const

function* managed(scene: Scene, asked: Parameters): Iterable<readonly [string, string]> {
  const { local, want, settings } = scene
  yield ["unix_socket_directories", settings.socketDirectory]
  yield ["wal_level", asked.get("wal_level") === "logical" ? "logical" : "replica"]
  yield ["hot_standby", "on"]
  // D-06: a crashed synchronous primary must come back through the keeper, with its guard
  if (want.db.spec.synchronousReplication) yield ["restart_after_crash", "off"]
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
      ? local.server.slotsUsed
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
 * them wrote: it would stop, or refuse to start (D-46). pg_control tells what the replayed WAL
 * demands, so a standby goes lower only after its primary was restarted with less. While that is
 * not known, it keeps what its own file has. A primary takes the specification's value, once it is
 * one: to be promoted, or brought back from a backup, it has to come up in recovery first.
 */
function* standbyFloors(scene: Scene, wanted: Parameters): Iterable<readonly [string, string]> {
  const { local } = scene
  const current = currentConf(local)
  const least = (name: string): number =>
    local.floors?.get(name) ?? Math.max(integer(current.get(name)), defaultFloors.get(name) ?? 0)
  for (const { name, standbyFloor } of rows) {
    if (!standbyFloor) continue
    const value = wanted.get(name)
    const has = value === undefined ? (defaultFloors.get(name) ?? 0) : integer(value)
    // what is no number is not ours to judge
    if (least(name) > has && (value === undefined || has > 0 || value === "0"))
      yield [name, String(least(name))]
  }
}

/** What a server has that was told nothing; the same in every version that we run. */
const defaultFloors: ReadonlyMap<string, number> = new Map([
  ["max_connections", 100],
  ["max_worker_processes", 8],
  ["max_wal_senders", 10],
  ["max_prepared_transactions", 0],
  ["max_locks_per_transaction", 64],
])

/**
 * Recovery of the role itself, reference 4.3. A primary has none, also while it is still to be
 * promoted; but for the timeline, which is PostgreSQL's default anyway: taking it out of the file
 * would leave every promoted primary with a pending restart.
 */
function recoveryParameters({ local, want, settings }: Scene): Parameters {
  const { role, db } = want
  const result = new Map([["recovery_target_timeline", "latest"]])
  if (role.kind === "primary") return result
  if (role.kind === "internal") {
    if (letsGo(role, local) || role.apart !== undefined) return result
    result.set("primary_conninfo", followConninfo(db.uid, role.followed, settings))
    result.set("primary_slot_name", slotOf(db.uid))
    return result
  }
  return new Map([...result, ...externalParameters(role)])
}

/**
 * Whether the standby is to have no primary now. Before PostgreSQL 13 that takes a restart, which
 * could cost the one standby that everybody waits for: it is not done, and not reported.
 */
export const letsGo = (role: Role, { binary }: Local): boolean =>
  role.kind === "internal" && role.letGo !== undefined && binary.Maj >= 13

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
