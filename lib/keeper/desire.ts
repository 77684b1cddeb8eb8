/**
 * What the view asks of this keeper: leave PostgreSQL as it is, keep it stopped, or run one DB in
 * one role.
 *
 * The rules are K1 to K5 of the reference and, under a leader of ours, parts 1 and 3 of the
 * protocol: a primary runs only while the view names it, has not revoked it, and it has not
 * certified its own end in this epoch (P1). A view that cannot be used never stops anything.
 */
import { type ClusterData, type DB, dbOfKeeper, isLedByUs } from "#model/cluster.ts"
import type { BootUUID, DBUID, Epoch, KeeperUID } from "#model/ids.ts"
import type { Certificate } from "#model/info.ts"
import type { ArchiveRecoverySettings, FullSpec, StandbySettings } from "#model/spec.ts"
import { withDefaults } from "#model/spec.ts"
import { validate } from "#model/validation.ts"
import { byText, sortedValues } from "#base/order.ts"

export type Role =
  | { readonly kind: "primary" }
  | {
      readonly kind: "internal"
      readonly followed: DB
      /** L3: it confirms no commit of the primary of this epoch any more, which is revoked. */
      readonly letGo?: Epoch
      /** W9: its timelines are not, or may not be, those of the DB followed (lineage.ts). */
      readonly apart?: "stranger" | "unsure"
    }
  /** The top of a standby cluster: it follows a primary outside. */
  | {
      readonly kind: "external"
      readonly standby: StandbySettings | null
      readonly archive: ArchiveRecoverySettings | null
    }

export interface Run {
  readonly kind: "run"
  readonly db: DB
  readonly role: Role
  readonly spec: FullSpec
  /** Where the cluster's other DBs are, for strict access rules; sorted, without repetitions. */
  readonly peers: readonly string[]
  /** The cluster's other DBs, by uid. */
  readonly others: readonly DB[]
  /** D3: the epoch in which somebody could take over from this primary at once. */
  readonly heirsIn?: Epoch
}
export interface Stopped {
  readonly kind: "stopped"
  readonly why: string
  /** The revoked primary of this epoch says so once PostgreSQL is stopped. */
  readonly certify: { readonly epoch: Epoch; readonly db: DBUID } | null
  /** Others wait for the stop. */
  readonly urgent: boolean
}
export interface Leave {
  readonly kind: "leave"
  readonly why: string
  /** The cluster that the data belongs to is gone, or does not know this keeper any more. */
  readonly orphan: boolean
}
export type Desired = Leave | Stopped | Run

/** Who asks: this keeper, this run of supervision, and the certificate on its disk. */
export interface Asker {
  readonly uid: KeeperUID
  readonly boot: BootUUID
  readonly certificate: Certificate | null
}

export function desire(view: ClusterData | null, asker: Asker): Desired {
  if (view === null) return orphan("there is no cluster data")
  const broken = validate(view.cluster.spec)
  if (broken !== null) return leave(`the cluster specification is invalid: ${broken}`)
  const keeper = view.keepers.get(asker.uid)
  if (keeper === undefined) return orphan("the cluster does not know this keeper")
  const db = dbOfKeeper(view, asker.uid)
  if (db === undefined) return stopped("no DB is assigned to this keeper")
  const forbidden = forbiddenPrimary(view, db, asker.certificate)
  if (forbidden !== null) return forbidden
  if (keeper.status.bootUUID !== asker.boot)
    return stopped("the leader has not seen this start of the keeper yet")
  return run(view, db)
}

/** Under a Go leader the words do not exist, and Go's rules hold. */
function forbiddenPrimary(
  view: ClusterData,
  db: DB,
  certificate: Certificate | null,
): Stopped | null {
  if (!isLedByUs(view) || db.spec.role !== "master") return null
  const { master, primaryEpoch: epoch, primaryRevoked } = view.cluster.status
  if (master !== db.uid) return { ...stopped("another DB is the primary"), urgent: true }
  const certified = certificate?.epoch === epoch && certificate.dbuid === db.uid
  if (primaryRevoked)
    return {
      kind: "stopped",
      why: "the primary is revoked",
      certify: { epoch, db: db.uid },
      urgent: true,
    }
  return certified ? stopped("this primary has certified its end in this epoch") : null
}

function run(view: ClusterData, db: DB): Desired {
  const role = roleOf(view, db)
  if (typeof role === "string") return leave(role)
  const others = sortedValues(view.dbs).filter((other) => other.uid !== db.uid)
  const peers = others
    .map((other) => other.status.listenAddress)
    .filter((address) => address !== "")
  return {
    kind: "run",
    db,
    role,
    spec: withDefaults(view.cluster.spec),
    peers: [...new Set(peers)].toSorted(byText),
    others,
    ...(hasHeirs(view, db) ? { heirsIn: view.cluster.status.primaryEpoch } : {}),
  }
}

/**
 * Whether it serves anybody to certify the end of this primary at once. Only where the leader acts
 * on evidence: otherwise who is back in time keeps its role (T11). And only where somebody could
 * take over: otherwise it is the one that has to come back, and needs no new epoch for it.
 */
export function hasHeirs({ cluster, dbs }: ClusterData, db: DB): boolean {
  const { primaryEpoch, master, electable } = cluster.status
  const asked = cluster.spec.failureDetection === "evidence" && primaryEpoch !== ""
  if (!asked || master !== db.uid || db.spec.role !== "master") return false
  if (electable !== undefined) return electable.dbs.some((uid) => uid !== db.uid)
  return sortedValues(dbs).some(
    ({ spec: { role, followConfig }, status }) =>
      role === "standby" &&
      status.healthy &&
      followConfig?.type === "internal" &&
      followConfig.dbuid === db.uid,
  )
}

function roleOf(view: ClusterData, db: DB): Role | string {
  if (db.spec.role === "master") return { kind: "primary" }
  if (db.spec.role !== "standby") return "the DB has no role yet"
  const follow = db.spec.followConfig
  if (follow?.type === "internal") {
    const followed = view.dbs.get(follow.dbuid)
    if (followed === undefined)
      return `the DB to follow, ${follow.dbuid}, is not in the cluster data`
    const { detach, primaryRevoked, primaryEpoch, master } = view.cluster.status
    const away = detach && primaryRevoked && primaryEpoch !== "" && master === followed.uid
    return { kind: "internal", followed, ...(away ? { letGo: primaryEpoch } : {}) }
  }
  if (follow?.type !== "external") return "the DB is a standby but follows nobody"
  return {
    kind: "external",
    standby: follow.standbySettings ?? null,
    archive: follow.archiveRecoverySettings ?? null,
  }
}

const leave = (why: string): Leave => ({ kind: "leave", why, orphan: false })
const orphan = (why: string): Leave => ({ kind: "leave", why, orphan: true })
const stopped = (why: string): Stopped => ({ kind: "stopped", why, certify: null, urgent: false })
