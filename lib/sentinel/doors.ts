/**
 * Which doors a sentinel watches (protocol D2): those of the primary's keeper and of its
 * PostgreSQL. What is found counts about the keeper's last word only; a word that came since voids
 * it, so nothing found is ever carried over to another run.
 */
import { sortedValues } from "#base/order.ts"
import type { ClusterData } from "#model/cluster.ts"
import type { InfoUID, KeeperUID } from "#model/ids.ts"
import { type Found, type Infos, capabilities } from "#model/info.ts"

type Door = Found["peer"]

export interface Doors {
  readonly keeper: KeeperUID
  /** Its last word. */
  readonly infoUID: InfoUID
  /** host:port; empty: it has none. */
  readonly peer: string
  readonly postgres: string
  /** Standbys' keepers, to be asked what they see. */
  readonly others: readonly string[]
  /** Standbys that say that they receive WAL. */
  readonly streaming: readonly KeeperUID[]
}

/** Null: there is nothing to watch, or nobody asked for evidence. */
export function doorsOf(data: ClusterData, infos: Infos): Doors | null {
  const { spec, status } = data.cluster
  const primary = data.dbs.get(status.master)
  const info = primary === undefined ? undefined : infos.keepers.get(primary.spec.keeperUID)
  if (spec.failureDetection !== "evidence" || info === undefined) return null
  if (info.postgresState?.uid !== status.master) return null
  const standbys = sortedValues(infos.keepers).filter(({ uid }) => uid !== info.uid)
  return {
    keeper: info.uid,
    infoUID: info.infoUID,
    peer: info.peerAddress,
    postgres: place(info.postgresState.listenAddress, info.postgresState.port),
    others: standbys.map((other) => other.peerAddress).filter((address) => address !== ""),
    streaming: standbys
      .filter((other) => other.postgresState?.streaming === true)
      .map(({ uid }) => uid),
  }
}
const place = (host: string, port: string): string =>
  host === "" || port === "" ? "" : `${host.includes(":") ? `[${host}]` : host}:${port}`

/** A standby has lost its stream since the last look: perhaps the primary's end. */
export const isSuspicious = (before: Doors | null, now: Doors): boolean =>
  before?.keeper === now.keeper && before.streaming.some((uid) => !now.streaming.includes(uid))

/** What a look says; null: nothing that anybody has to know. */
export const foundAt = (doors: Doors, peer: Door, postgres: Door): Found | null =>
  peer === "open" && postgres === "open"
    ? null
    : { keeper: doors.keeper, infoUID: doors.infoUID, peer, postgres }

/** Whether it still speaks of the run that it was about. */
export const isAbout = (found: Found, doors: Doors | null): boolean =>
  found.keeper === doors?.keeper && found.infoUID === doors.infoUID

/** Nothing more can be found at these doors. */
export const isClosed = ({ peer, postgres }: Found): boolean =>
  peer === "refused" && postgres === "refused"

/** D4: an office may be taken only from a sentinel that knows of it. */
export const mayUnseat = (infos: Infos | null, leader: string): string | null => {
  const info = [...(infos?.sentinels.values() ?? [])].find(({ UID }) => UID === leader)
  const able = info?.capabilities.includes(capabilities.evidence) === true
  return able && info.peerAddress !== "" ? info.peerAddress : null
}
