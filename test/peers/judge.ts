/**
 * What a Go leader thinks of a DB: reference 5.5, predicate by predicate, including those that are
 * defects (D-01 ascending order, D-02 old positions, D-09 nothing asks whether it streams, D-26).
 */
import { by, byBigint, byText, firstOf } from "#base/order.ts"
import { GoPanic } from "./codec.ts"
import type { GoDB, GoDBSpec, GoDBStatus } from "./documents.ts"
import type { GoRound } from "./leader.ts"
import type { Filled } from "./spec.ts"

export type Convergence = "converged" | "converging" | "failed"

/** A limit of 0 is none. */
export function convergence({ memory, mono }: GoRound, db: GoDB, limit: number): Convergence {
  if (db.status.currentGeneration === db.generation) return "converged"
  if (limit === 0) return "converging"
  const info = memory.convergence.get(db.uid)
  if (info === undefined) throw new GoPanic(`no db convergence info for db ${db.uid}`)
  return mono - info.timer > limit ? "failed" : "converging"
}

export const isMaster = ({ spec }: GoDB): boolean =>
  spec.role === "master" || (spec.role === "standby" && spec.followConfig?.type === "external")

/** What the master of a standby cluster follows. */
export const external = ({ standbyConfig }: Filled): NonNullable<GoDBSpec["followConfig"]> => ({
  type: "external",
  dbuid: "",
  standbySettings: standbyConfig?.standbySettings ?? null,
  archiveRecoverySettings: standbyConfig?.archiveRecoverySettings ?? null,
})

const switchOf = (status: GoDBStatus, timeline: number): bigint | undefined =>
  status.timelinesHistory?.find((entry) => entry.timelineID === timeline)?.switchPoint

/** differentTimelineBranch. */
export function otherBranch(followed: GoDBStatus, other: GoDBStatus): boolean {
  if (followed.timelineID < other.timelineID) return true
  if (followed.timelineID === other.timelineID) {
    if (other.timelineID <= 1) return false
    const mine = switchOf(followed, other.timelineID - 1)
    const theirs = switchOf(other, other.timelineID - 1)
    return mine !== undefined && theirs !== undefined && mine !== theirs
  }
  const left = switchOf(followed, other.timelineID)
  return left !== undefined && left < other.xLogPos
}

export function validity({ data }: GoRound, db: GoDB): "valid" | "invalid" | "unknown" {
  if (db.status.currentGeneration === 0) return "unknown"
  const master = data.dbs.get(data.cluster.status.master)
  if (master === undefined) throw new GoPanic("nil master db")
  const { systemdID } = db.status
  if (systemdID !== "" && systemdID !== master.status.systemdID) return "invalid"
  return otherBranch(master.status, db.status) ? "invalid" : "valid"
}

export function status(round: GoRound, db: GoDB): "good" | "converging" | "failed" {
  const { spec, data } = round
  if (data.keepers.get(db.spec.keeperUID)?.status.healthy !== true) return "failed"
  const copying = db.generation === 1 && db.spec.initMode === "resync"
  const state = convergence(round, db, copying ? spec.sync : spec.convergence)
  if (state === "failed") return "failed"
  if (state === "converging") return "converging"
  return db.status.healthy ? "good" : "failed"
}

/** Valid DBs of a type by their status; those still in the making are in no list. */
export const listed = (
  round: GoRound,
  wanted: "good" | "converging" | "failed",
  master: boolean,
): GoDB[] =>
  [...round.data.dbs.values()].filter(
    (db) =>
      isMaster(db) === master && validity(round, db) === "valid" && status(round, db) === wanted,
  )

export const isSync = ({ spec }: GoRound): boolean =>
  spec.synchronousReplication && spec.role === "master"

const lagFits = ({ spec }: GoRound, master: GoDB, db: GoDB): boolean =>
  master.status.xLogPos - db.status.xLogPos <= BigInt(spec.maxStandbyLag)

/** D-01: the least advanced comes first. Ties are left to the uid here, to chance in Go. */
const ascending = firstOf<GoDB>(
  by((db) => db.status.xLogPos, byBigint),
  by((db) => db.uid, byText),
)
const fits = (round: GoRound, master: GoDB, db: GoDB): boolean =>
  db.status.timelineID === master.status.timelineID && (isSync(round) || lagFits(round, master, db))

export const bestStandbys = (round: GoRound, master: GoDB): GoDB[] =>
  listed(round, "good", false)
    .filter((db) => db.uid !== master.uid && fits(round, master, db))
    .toSorted(ascending)

export function bestNewMasters(round: GoRound, master: GoDB): GoDB[] {
  const keepers = round.data.keepers
  const able = bestStandbys(round, master).filter(
    (db) => keepers.get(db.spec.keeperUID)?.status.canBeMaster !== false,
  )
  const former = listed(round, "good", true).filter(
    (db) => db.uid !== master.uid && fits(round, master, db),
  )
  return [...able, ...former].toSorted(ascending)
}

const hex8 = (n: bigint): string => n.toString(16).toUpperCase().padStart(8, "0")

export function canSync({ data, memory }: GoRound, db: GoDB): boolean {
  const master = data.dbs.get(data.cluster.status.master)
  const older = master?.status.olderWalFile ?? ""
  if (master === undefined || older === "" || db.uid === master.uid || isMaster(db)) return true
  if (db.generation === 1 || !db.status.healthy) return true
  if (db.status.xLogPos === master.status.xLogPos) return true
  if ((memory.notIncreasing.get(db.uid) ?? 0) <= 10) return true
  const at = db.status.xLogPos
  const needed = hex8(at >> 32n) + hex8((at & 0xffff_ffffn) / (16n * 1024n * 1024n))
  return needed >= older.slice(8, 24)
}
