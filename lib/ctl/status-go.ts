/**
 * `stolonctl status` byte for byte (reference 1.8): people's scripts cut its columns. Go's
 * tabwriter was flushed after every row, so the header lines up with the first row only; that is
 * kept, odd as it is.
 */
import type { ClusterData } from "#model/cluster.ts"
import { dbOfKeeper } from "#model/cluster.ts"
import type { DBUID } from "#model/ids.ts"
import { type Json, printJsonIndented } from "#model/json.ts"
import { sortedKeys, sortedValues } from "#base/order.ts"
import type { Found } from "./status.ts"

/** What Go's `status` needs: cluster data it is sure to have. */
export type GoFound = Found & {
  readonly data: ClusterData
  /** False: the document has no list of DBs, not even an empty one. */
  readonly available?: boolean
}

/** Go follows the primary's name without looking whether it is there, and crashes. */
export const crashes = ({ cluster, dbs }: ClusterData): boolean =>
  cluster.status.master !== "" && !dbs.has(cluster.status.master)

interface Row {
  readonly uid: string
  readonly address: string
  readonly healthy: boolean
  readonly postgresHealthy: boolean
  readonly wanted: number
  readonly current: number
}

const rows = (data: ClusterData): readonly Row[] =>
  sortedValues(data.keepers).map((keeper) => {
    const db = dbOfKeeper(data, keeper.uid)
    const known = db !== undefined && db.status.listenAddress !== ""
    const reported = known ? `${db.status.listenAddress}:${db.status.port}` : "(unknown)"
    return {
      uid: keeper.uid,
      address: db === undefined ? "(no db assigned)" : reported,
      healthy: keeper.status.healthy,
      postgresHealthy: db?.status.healthy ?? false,
      wanted: db?.generation ?? 0,
      current: db?.status.currentGeneration ?? 0,
    }
  })

export function goStatusJson(found: GoFound): string {
  const { data, infos, leader } = found
  const { master } = data.cluster.status
  const value: Json = {
    sentinels: sortedKeys(infos.sentinels).map((uid) => ({ uid, leader: uid === leader })),
    proxies: sortedValues(infos.proxies).map(({ UID, Generation }) => ({
      uid: UID,
      generation: Generation,
    })),
    keepers: rows(data).map((row) => ({
      uid: row.uid,
      listen_address: row.address,
      healthy: row.healthy,
      pg_healthy: row.postgresHealthy,
      pg_wanted_generation: row.wanted,
      pg_current_generation: row.current,
    })),
    cluster: {
      available: found.available ?? true,
      master_keeper_uid: data.dbs.get(master)?.spec.keeperUID ?? "",
      master_db_uid: master,
    },
  }
  return printJsonIndented(value)
}

export function goStatusText(found: GoFound): string {
  const { data, infos, leader } = found
  const sentinels = sortedKeys(infos.sentinels).map((uid) => [uid, String(uid === leader)])
  const proxies = sortedKeys(infos.proxies).map((uid) => [uid])
  const head = [
    "=== Active sentinels ===\n\n",
    sentinels.length === 0 ? "No active sentinels\n" : flushed(["ID", "LEADER"], sentinels, false),
    "\n=== Active proxies ===\n\n",
    proxies.length === 0 ? "No active proxies\n" : flushed(["ID"], proxies, false),
    "\n=== Keepers ===\n\n",
  ].join("")
  const keepers = rows(data)
  const list =
    keepers.length === 0
      ? "No keepers available\n\n"
      : flushed(
          [
            "UID",
            "HEALTHY",
            "PG LISTENADDRESS",
            "PG HEALTHY",
            "PG WANTEDGENERATION",
            "PG CURRENTGENERATION",
          ],
          keepers.map((row) =>
            [row.uid, row.healthy, row.address, row.postgresHealthy, row.wanted, row.current].map(
              String,
            ),
          ),
          true,
        )
  const master = data.dbs.get(data.cluster.status.master)
  if (master === undefined) return `${head}${list}No cluster available\n\n`
  const tree = [
    `${master.spec.keeperUID} (master)\n`,
    ...branches(data, master.uid, "", new Set([master.uid])),
  ].join("")
  return `${head}${list}\n=== Cluster Info ===\n\nMaster Keeper: ${master.spec.keeperUID}\n\n===== Keepers/DB tree =====\n\n${tree}\n`
}

/**
 * The header with the first row, then each row alone. `closed`: every data cell ends with a tab.
 */
function flushed(
  header: readonly string[],
  data: readonly (readonly string[])[],
  closed: boolean,
): string {
  const [first = [], ...others] = data
  const widths = first.map((cell, i) => Math.max(cell.length, header[i]?.length ?? 0))
  const cells = (row: readonly string[], own: readonly number[], lastToo: boolean): string =>
    `${row
      .map((cell, i) =>
        i < row.length - 1 || lastToo ? cell + tabs(cell.length, own[i] ?? cell.length) : cell,
      )
      .join("")}\n`
  // a column of one cell is as wide as that cell: the header's last cell has no tab and counts for
  // nothing
  const last = first.length - 1
  const shared = widths.map((width, i) => (i === last ? (first[i]?.length ?? 0) : width))
  return [
    cells(header, shared, false),
    cells(first, shared, closed),
    ...others.map((row) =>
      cells(
        row,
        row.map((cell) => cell.length),
        closed,
      ),
    ),
  ].join("")
}

/**
 * Go's tabwriter with padding 1 and tab width 8: the column is max+1 rounded up to 8, filled with
 * tabs.
 */
function tabs(length: number, longest: number): string {
  const width = Math.ceil((longest + 1) / 8) * 8
  return "\t".repeat(Math.ceil((width - length) / 8))
}

/**
 * The followers of a DB, depth first, in stored order. Those that do not exist and those already
 * shown are left out.
 */
function branches(
  data: ClusterData,
  uid: DBUID,
  prefix: string,
  shown: ReadonlySet<DBUID>,
): readonly string[] {
  const followers = data.dbs.get(uid)?.spec.followers ?? []
  const known = followers.filter((follower) => data.dbs.has(follower) && !shown.has(follower))
  return known.flatMap((follower, i) => {
    const tail = i === known.length - 1
    const keeper = data.dbs.get(follower)?.spec.keeperUID ?? ""
    const deeper = `${prefix}${tail ? "  " : "│ "}`
    const line = `${prefix}${tail ? "└─" : "├─"}${keeper}\n`
    return [line, ...branches(data, follower, deeper, new Set([...shown, follower]))]
  })
}
