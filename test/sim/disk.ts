/**
 * A keeper's data directory as the model has it: what survives every crash. Steps change it at one
 * instant each, as the real executors do with a rename after an fsync; what they leave half done is
 * marked `half`, and only the keeper's own mark file tells that to its next life.
 */
import type { Nonce } from "#model/ids.ts"
import type { Certificate } from "#model/info.ts"
import type {
  ConfigFiles,
  DBState,
  FencingMode,
  KeeperState,
  Mark,
  PromiseMade,
} from "#model/local.ts"
import { type Wal, copyWal, firstPosition, newWal } from "./wal.ts"

/** One PostgreSQL instance on disk: `postgres/`, `postgres.new/` or an aside. */
export interface Dir {
  systemID: string
  wal: Wal
  /** Where the WAL that is still there begins: whoever is further behind cannot stream. */
  walFrom: number
  /** Neither an old copy nor a new one: an interrupted initialisation, copy or rewind. */
  half: "init" | "copy" | "rewind" | null
  /** postgresql.conf and pg_hba.conf. */
  conf: string
  hba: string
  signal: ConfigFiles["signal"]
  slots: ReadonlySet<string>
  state: "shut down" | "shut down in recovery" | "in production" | "in archive recovery"
  /** A standby may not answer before it has replayed up to here. */
  minRecoveryEnd: number
  /** The timeline that the control file names; lags behind after a promotion until a checkpoint. */
  controlTimeline: number
  checkpoint: number
  readonly checksums: boolean
  hints: boolean
  /** Replication role and passwords are set. */
  roles: boolean
}

export interface Aside {
  readonly name: string
  readonly dir: Dir
}

export interface Disk {
  keeper: KeeperState | null
  db: DBState | null
  mark: Mark | null
  data: Dir | null
  side: Dir | null
  asides: readonly Aside[]
  certificate: Certificate | null
  handled: readonly Nonce[]
  fencing: FencingMode | null
  promise: PromiseMade | null
  /** WAL kept beside before a rewind (N3): records that exist nowhere else in a data directory. */
  saved: readonly Wal[]
}

export const emptyDisk = (): Disk => ({
  keeper: null,
  db: null,
  mark: null,
  data: null,
  side: null,
  asides: [],
  certificate: null,
  handled: [],
  fencing: null,
  promise: null,
  saved: [],
})

/** What initdb leaves, as far as parameters are captured from it. */
const initdbConf = "max_connections = 100\nshared_buffers = 128MB\nlog_timezone = 'Etc/UTC'\n"

export const newDir = (systemID: string, checksums: boolean): Dir => ({
  systemID,
  wal: newWal(),
  walFrom: firstPosition,
  half: null,
  conf: initdbConf,
  hba: "local all all trust\n",
  signal: "none",
  slots: new Set(),
  state: "shut down",
  minRecoveryEnd: 0,
  controlTimeline: 1,
  checkpoint: 0,
  checksums,
  hints: false,
  roles: false,
})

/** What pg_basebackup brings: everything but the slots. */
export const copyDir = (dir: Dir): Dir => ({
  ...dir,
  wal: copyWal(dir.wal),
  slots: new Set(),
  half: null,
})

/** Every log on a disk that somebody could still get data back from. */
export function copiesOn(disk: Disk): readonly Wal[] {
  const dirs = [disk.data, disk.side, ...disk.asides.map(({ dir }) => dir)]
  const whole = dirs.flatMap((dir) => (dir === null || dir.half !== null ? [] : [dir.wal]))
  return [...whole, ...disk.saved]
}
