/**
 * The cluster specification: what an operator asks for (reference section 2).
 *
 * One table gives type, default, text for help, and Go's encoding. What the user typed is stored as
 * typed; defaults are applied on reading (`withDefaults`), so that a later version may better a
 * default. Rules across fields are in `validation.ts`.
 */
import { type Duration, duration } from "#base/duration.ts"
import {
  type StructOf,
  type Value,
  dictionary,
  flag,
  maybe,
  named,
  nullable,
  nullableList,
  omit,
  always,
  span,
  struct,
  text,
  uint,
} from "./codec.ts"

export const NewConfig = struct(
  {
    locale: omit(text, "locale given to initdb"),
    encoding: omit(text, "encoding given to initdb"),
    dataChecksums: omit(flag, "initialise with data checksums"),
  },
  "cluster.NewConfig",
)
export const ArchiveRecoverySettings = struct(
  {
    restoreCommand: omit(text, "restore_command"),
  },
  "cluster.ArchiveRecoverySettings",
)
export const RecoveryTargetSettings = struct(
  {
    recoveryTarget: omit(text),
    recoveryTargetLsn: omit(text),
    recoveryTargetName: omit(text),
    recoveryTargetTime: omit(text),
    recoveryTargetXid: omit(text),
    recoveryTargetTimeline: omit(text),
  },
  "cluster.RecoveryTargetSettings",
)
export const PITRConfig = struct(
  {
    dataRestoreCommand: omit(text, "shell command that fills the data directory (%d)"),
    archiveRecoverySettings: maybe(ArchiveRecoverySettings),
    recoveryTargetSettings: maybe(RecoveryTargetSettings),
  },
  "cluster.PITRConfig",
)
export const ExistingConfig = struct(
  {
    keeperUID: omit(text, "keeper whose data directory becomes the cluster"),
  },
  "cluster.ExistingConfig",
)
export const StandbySettings = struct(
  {
    primaryConninfo: omit(text, "primary_conninfo of the external primary"),
    primarySlotName: omit(text, "primary_slot_name on the external primary"),
    recoveryMinApplyDelay: omit(text, "recovery_min_apply_delay"),
  },
  "cluster.StandbySettings",
)
export const StandbyConfig = struct(
  {
    standbySettings: maybe(StandbySettings),
    archiveRecoverySettings: maybe(ArchiveRecoverySettings),
  },
  "cluster.StandbyConfig",
)
export type NewConfig = Value<typeof NewConfig>
export type PITRConfig = Value<typeof PITRConfig>
export type StandbySettings = Value<typeof StandbySettings>
export type ArchiveRecoverySettings = Value<typeof ArchiveRecoverySettings>
export type RecoveryTargetSettings = Value<typeof RecoveryTargetSettings>

export const fields = {
  sleepInterval: maybe(span, "upper bound between two rounds of a keeper or sentinel"),
  requestTimeout: maybe(span, "bound for one request to PostgreSQL"),
  convergenceTimeout: maybe(span, "bound for a DB to apply a changed specification"),
  initTimeout: maybe(span, "bound for the initialisation of a new cluster"),
  syncTimeout: maybe(span, "bound for the copy of a new standby; 0 = none"),
  dbWaitReadyTimeout: maybe(span, "bound for PostgreSQL to accept connections after a start"),
  failInterval: maybe(span, "silence after which a keeper or DB counts as failed"),
  deadKeeperRemovalInterval: maybe(span, "age after which a dead keeper without DB is forgotten"),
  proxyCheckInterval: maybe(span, "upper bound between two checks of a proxy"),
  proxyTimeout: maybe(span, "time without a good check after which a proxy cuts its clients"),
  maxStandbys: maybe(
    uint(16),
    "limit of standbys; sizes max_replication_slots and max_wal_senders",
  ),
  maxStandbysPerSender: maybe(uint(16), "wanted number of standbys"),
  maxStandbyLag: maybe(uint(32), "bytes an asynchronous standby may lag and still be elected"),
  synchronousReplication: maybe(flag, "commits wait for synchronous standbys"),
  minSynchronousStandbys: maybe(
    uint(16),
    "fewest synchronous standbys; 0 lets the primary go on alone",
  ),
  maxSynchronousStandbys: maybe(uint(16), "most synchronous standbys"),
  additionalWalSenders: always(nullable(uint(16)), "WAL senders beyond those of standbys"),
  additionalMasterReplicationSlots: always(
    nullableList(text),
    "physical slots on the primary, created as stolon_<name>",
  ),
  usePgrewind: maybe(flag, "bring an old primary back with pg_rewind"),
  initMode: maybe(
    named("cluster.ClusterInitMode", text),
    "how the cluster begins: new, existing or pitr",
  ),
  mergePgParameters: maybe(flag, "take the instance's own parameters over after initialisation"),
  role: maybe(named("cluster.ClusterRole", text), "master, or standby of an external primary"),
  newConfig: maybe(NewConfig, "settings of initMode new"),
  pitrConfig: maybe(PITRConfig, "settings of initMode pitr"),
  existingConfig: maybe(ExistingConfig, "settings of initMode existing"),
  standbyConfig: maybe(StandbyConfig, "settings of role standby"),
  defaultSUReplAccessMode: maybe(
    named("cluster.SUReplAccessMode", text),
    "pg_hba rules for superuser and replication: all or strict",
  ),
  pgParameters: omit(
    named("cluster.PGParameters", dictionary<string, string>(text)),
    "parameters for postgresql.conf",
  ),
  pgHBA: always(nullableList(text), "rules for pg_hba.conf; null accepts all with a password"),
  automaticPgRestart: always(nullable(flag), "restart PostgreSQL when a parameter needs it"),
  // beyond Go: dropped by a Go leader, which must be harmless (protocol part 8)
  selfFencing: maybe(flag, "a primary that cannot prove its role stops"),
  fencingLease: maybe(span, "how long a primary may write after its last proof"),
  failureDetection: maybe(text, "silence: timers only; evidence: also what peers saw"),
} as const

export const Spec = struct(fields, "cluster.ClusterSpec")
/** As the user typed it. */
export type Spec = StructOf<typeof fields>

type Mandatory = Exclude<
  keyof Spec,
  "initMode" | "newConfig" | "pitrConfig" | "existingConfig" | "standbyConfig" | Extension
>
type Extension = "selfFencing" | "fencingLease" | "failureDetection"
type Filled = {
  readonly [K in Mandatory]-?: K extends "pgHBA" | "additionalMasterReplicationSlots"
    ? Spec[K]
    : NonNullable<Spec[K]>
}
/** With Go's defaults in place of what was left out. */
export type FullSpec = Omit<Spec, Mandatory> & Filled

const seconds = (n: number): Duration => duration(n * 1000)
/** Go stolon's defaults (reference 2.1). */
export const defaults = {
  sleepInterval: seconds(5),
  requestTimeout: seconds(10),
  convergenceTimeout: seconds(30),
  initTimeout: seconds(300),
  syncTimeout: seconds(0),
  dbWaitReadyTimeout: seconds(60),
  failInterval: seconds(20),
  deadKeeperRemovalInterval: seconds(48 * 3600),
  proxyCheckInterval: seconds(5),
  proxyTimeout: seconds(15),
  maxStandbys: 20,
  maxStandbysPerSender: 3,
  maxStandbyLag: 1024 * 1204,
  synchronousReplication: false,
  minSynchronousStandbys: 1,
  maxSynchronousStandbys: 1,
  additionalWalSenders: 5,
  additionalMasterReplicationSlots: null,
  usePgrewind: false,
  mergePgParameters: true,
  role: "master",
  defaultSUReplAccessMode: "all",
  pgHBA: null,
  automaticPgRestart: false,
} as const

/** One specification is asked about in every round of everybody: the same answer, not its equal. */
const completed = new WeakMap<Spec, FullSpec>()

export function withDefaults(spec: Spec): FullSpec {
  const known = completed.get(spec)
  if (known !== undefined) return known
  const full = {
    ...defaults,
    ...spec,
    additionalWalSenders: spec.additionalWalSenders ?? defaults.additionalWalSenders,
    automaticPgRestart: spec.automaticPgRestart ?? defaults.automaticPgRestart,
  }
  completed.set(spec, full)
  return full
}

/**
 * What a new cluster gets besides the user's own words when `stolon` (not Go's name) initialises it
 * (protocol part 8).
 */
export const recommended: Partial<Spec> = {
  failInterval: seconds(3),
  sleepInterval: seconds(1),
  requestTimeout: seconds(2),
  proxyCheckInterval: seconds(1),
  proxyTimeout: seconds(3),
  usePgrewind: true,
  failureDetection: "evidence",
  selfFencing: true,
}

/** An empty specification, to be spread over. */
export const emptySpec: Spec = {
  additionalWalSenders: null,
  additionalMasterReplicationSlots: null,
  pgParameters: new Map(),
  pgHBA: null,
  automaticPgRestart: null,
}
