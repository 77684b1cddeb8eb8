/**
 * Whether an address leads to the primary that the view means (D-15): addresses move, and what
 * answers there may be another cluster's PostgreSQL, or one that is no primary any more. Its keeper
 * knows and is asked before clients are led there.
 *
 * A keeper that does not answer, or is too old to say, is no reason to close: the view stands.
 */
import type { ClusterData } from "#model/cluster.ts"
import type { ClusterUID, DBUID, KeeperUID } from "#model/ids.ts"

/** Who has to be there. */
export interface Target {
  readonly cluster: ClusterUID
  readonly keeper: KeeperUID
  /** Where the keeper answers; empty: nowhere. */
  readonly address: string
  readonly db: DBUID
  /** Empty: the view does not know it. */
  readonly systemID: string
  /** The primary of a standby cluster follows another outside. */
  readonly recovering: boolean
}

/** What a keeper says of the PostgreSQL beside it. */
export interface Standing {
  readonly cluster: ClusterUID
  readonly keeper: KeeperUID
  /** Null: none that takes clients. Undefined: a keeper of an older version. */
  readonly serves?:
    | {
        readonly db: DBUID
        readonly systemID: string
        readonly recovering: boolean
      }
    | null
    | undefined
}

/** Whom the gate leads clients to; null: nobody. */
export function target({ cluster, keepers, dbs, proxy }: ClusterData): Target | null {
  const db = dbs.get(proxy.spec.masterDbUid)
  const keeper = db === undefined ? undefined : keepers.get(db.spec.keeperUID)
  if (db === undefined || keeper === undefined) return null
  return {
    cluster: cluster.uid,
    keeper: keeper.uid,
    address: keeper.status.peerAddress,
    db: db.uid,
    systemID: db.status.systemdID,
    recovering: cluster.spec.role === "standby",
  }
}

/** Why this is not the one; null: nothing speaks against it. */
export function contradiction(wanted: Target, said: Standing): string | null {
  if (said.cluster !== wanted.cluster) return `a keeper of another cluster (${said.cluster})`
  if (said.keeper !== wanted.keeper) return `another keeper (${said.keeper})`
  const { serves } = said
  if (serves === undefined) return null
  if (serves === null) return "its PostgreSQL is not up"
  if (serves.db !== wanted.db) return `its PostgreSQL is DB ${serves.db}`
  if (wanted.systemID !== "" && serves.systemID !== wanted.systemID)
    return `its PostgreSQL has the system identifier ${serves.systemID}`
  if (serves.recovering && !wanted.recovering) return "its PostgreSQL is in recovery"
  return null
}
