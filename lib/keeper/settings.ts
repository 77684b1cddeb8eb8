/**
 * What a keeper is told by its flags, and the few spans that its plans wait for. Data only;
 * passwords travel here and end in connection strings, never in events.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { BootUUID, KeeperUID } from "#model/ids.ts"

export type Method = "md5" | "scram-sha-256" | "trust"

/** A PostgreSQL user of the keeper's own. */
export interface Account {
  readonly name: string
  readonly method: Method
  /** Empty with `trust`. */
  readonly password: string
}

export interface Settings {
  readonly uid: KeeperUID
  /** This run of supervision (G6). */
  readonly boot: BootUUID
  readonly listenAddress: string
  readonly port: string
  readonly advertiseAddress: string
  readonly advertisePort: string
  /** `/tmp` as with Go, unless chosen otherwise (D-67). */
  readonly socketDirectory: string
  readonly superuser: Account
  readonly replication: Account
  readonly canBeMaster: boolean
  readonly canBeSynchronousReplica: boolean
  /** Where this machine is, for proxies that prefer the near; empty: nothing is said. */
  readonly zone: string
}

/**
 * How long a copy waits for the followed DB to have applied what concerns it (its slot, its new
 * timeline) before it is tried anyway.
 */
export const settleTime: Millis = millis(10_000)
/**
 * The same for a copy, which would only fail without its slot (D-59): a Go primary and a Go leader
 * take a few of their rounds to say that it is there.
 */
export const slotTime: Millis = millis(30_000)
/**
 * How long a standby that was not freshly copied may be up without streaming before it counts as
 * diverged.
 */
export const streamTime: Millis = millis(30_000)
/** How long the replacement must have done well before what it replaced is removed (N3). */
export const asideTime: Millis = millis(300_000)
/**
 * How long a primary goes on while no cluster data speaks of its keeper: long enough for an
 * operator who writes them anew (T17).
 */
export const orphanTime: Millis = millis(60_000)
/** PostgreSQL that ends right after its start is not started again sooner. */
export const restartPause: Millis = millis(1_000)
/** From a fast stop to force. */
export const stopEscalation: Millis = millis(60_000)
/** The same where others wait for the stop: a revoked primary, a keeper that ends. */
export const urgentEscalation: Millis = millis(10_000)
/** Between two looks at something that changes soon and by itself. */
export const glance: Millis = millis(250)
