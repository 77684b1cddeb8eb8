/**
 * What a keeper publishes of itself (reference 6.2, 6.6b): one look at the machine, put into the
 * words of the store.
 *
 * Never says more than was seen: a generation only together with the synchronous standbys of the
 * same look (W8), healthy only while PostgreSQL answers, and for a DB whose data is not there yet,
 * generation 0.
 */
import { lsn } from "#base/lsn.ts"
import type { DB, Electable } from "#model/cluster.ts"
import { type DBUID, type Epoch, type InfoUID, epoch as epochOf, generation } from "#model/ids.ts"
import {
  type Certificate,
  type KeeperInfo,
  type PostgresState,
  type Promised,
  capabilities,
} from "#model/info.ts"
import { formatLineage } from "#model/lineage.ts"
import type { Local, Server } from "#model/local.ts"
import type { Desired } from "./desire.ts"
import { guardOf } from "./hba.ts"
import { lineageHere } from "./lineage.ts"
import { reportedParameters } from "./reported.ts"
import type { Settings } from "./settings.ts"

export interface Report {
  readonly local: Local
  readonly settings: Settings
  /** What was asked for last; null before the first view. */
  readonly desired: Desired | null
  /** Long work in progress. */
  readonly work: string
  /** The leader of the last view follows our rules. */
  readonly ledByUs: boolean
  /** What it says beyond what was seen; absent: nothing. */
  readonly words?: Words
}

/** The keeper's own words, for the rules of the protocol. */
export interface Words {
  /** The epoch of the last view. */
  readonly epoch: Epoch
  /** The epoch of whose primary this standby has let go; null: of none. */
  readonly detached: Epoch | null
  /** The keeper ends in good order, and PostgreSQL with it. */
  readonly ending: boolean
  readonly peerAddress: string
  /** It follows the rules on promises, and can sign one (O5). */
  readonly promises: boolean
  readonly fencing: KeeperInfo["fencing"]
  readonly electable: Electable | null
  readonly promise: Promised | null
}

/** Null while the keeper belongs to no cluster (6.1). */
export function keeperInfo(report: Report, infoUID: InfoUID): KeeperInfo | null {
  const { local, settings } = report
  const { clusterUID } = local.keeper
  if (clusterUID === "") return null
  const certificate = certificateOf(report)
  return {
    ended: false,
    infoUID,
    uid: settings.uid,
    clusterUID,
    bootUUID: settings.boot,
    postgresBinaryVersion: local.binary,
    postgresState: postgresState(report),
    canBeMaster: settings.canBeMaster,
    canBeSynchronousReplica: settings.canBeSynchronousReplica,
    capabilities: [
      capabilities.certificate,
      capabilities.obeysMaster,
      capabilities.wishes,
      capabilities.lease,
      capabilities.switchover,
      ...(report.words?.promises === true ? [capabilities.promise] : []),
      ...(local.binary.Maj >= reloadsConninfo ? [capabilities.detach] : []),
    ],
    handled: local.handled,
    zone: settings.zone,
    peerAddress: report.words?.peerAddress ?? "",
    evidence: evidenceOf(report, certificate),
    ...optional(report.words),
    ...(certificate === null ? {} : { certificate }),
  }
}

/** From this version on a standby lets go of its primary without a restart. */
const reloadsConninfo = 13

function optional(words: Words | undefined): Partial<KeeperInfo> {
  if (words === undefined) return {}
  const { fencing, electable, promise } = words
  return {
    ...(fencing === undefined ? {} : { fencing }),
    ...(electable === null ? {} : { electable }),
    ...(promise === null ? {} : { promise: { epoch: promise.epoch, keeper: promise.keeper } }),
  }
}

/**
 * What is on disk, unless it is not true: leaders take it for a proof. A PostgreSQL that runs on in
 * the epoch that it ended was started past us, or by a guardian whose disk answered late.
 */
function certificateOf({ words, local }: Report): Certificate | null {
  const { certificate, postmaster, server, db } = local
  const standby = server.kind === "up" && server.inRecovery
  if (certificate === null || !postmaster || standby) return certificate
  return certificate.dbuid === db.uid && certificate.epoch === words?.epoch ? null : certificate
}

/** D2, in what the keeper says of its own PostgreSQL. */
function evidenceOf(
  { words, local: { db } }: Report,
  certificate: Certificate | null,
): KeeperInfo["evidence"] {
  if (words === undefined) return ""
  if (words.ending) return "stopping"
  const ended = words.epoch !== "" && certificate?.epoch === words.epoch
  return ended && certificate.dbuid === db.uid ? "failed" : ""
}

function postgresState(report: Report): PostgresState {
  const { local, settings, desired, work } = report
  const db = desired?.kind === "run" ? desired.db : null
  const uid = publishedDB(local, db)
  const applied =
    uid === local.db.uid && !local.db.initializing ? local.db.generation : generation(0)
  // while the data is not this DB's, what runs here says nothing about it
  const usable = uid === local.db.uid && !local.db.initializing && local.mark === null
  const none: PostgresState = {
    uid,
    generation: applied,
    listenAddress: settings.advertiseAddress,
    port: settings.advertisePort,
    healthy: false,
    systemID: "",
    timelineID: 0,
    xLogPos: lsn(0n),
    timelinesHistory: [],
    pgParameters: new Map(),
    synchronousStandbys: null,
    olderWalFile: "",
    inRecovery: false,
    streaming: false,
    acceptsClients: false,
    work,
    pendingRestart: false,
    walSegmentSize: 0,
    hasData: usable && local.data.kind === "initialized",
    lineage: "",
    detached: report.words?.detached ?? epochOf(""),
    replayed: lsn(0n),
  }
  return local.server.kind === "up" && usable
    ? { ...none, ...seen(report, local.server, db) }
    : none
}

/** During a copy the new DB is published already, with nothing applied (6.4). */
function publishedDB(local: Local, db: DB | null): DBUID {
  if (db === null || db.uid === local.db.uid) return local.db.uid
  return db.spec.initMode === "none" || db.spec.initMode === "" ? local.db.uid : db.uid
}

function seen(
  report: Report,
  server: Extract<Server, { kind: "up" }>,
  db: DB | null,
): Partial<PostgresState> {
  return {
    healthy: report.local.unwritable === null,
    systemID: server.systemID,
    timelineID: server.timeline,
    xLogPos: server.position,
    replayed: server.replayed,
    timelinesHistory: server.timeline > 1 ? server.history.slice(-historyMax) : [],
    pgParameters: reportedParameters(server.fileParameters, db),
    synchronousStandbys: server.syncStandbys,
    // a Go leader reckons with 16 MiB, whatever the size: better it knows nothing (D-39)
    olderWalFile: report.ledByUs || server.segmentBytes === goSegment ? server.olderWalFile : "",
    walSegmentSize: server.segmentBytes,
    inRecovery: server.inRecovery,
    streaming: server.streaming,
    acceptsClients: guardOf(report.local.files?.hba ?? "") === "none",
    pendingRestart: server.pendingRestart,
    lineage: formatLineage(lineageHere(report.local)),
  }
}
/**
 * The whole history, oldest first (D-26); the bound keeps the document within what a store takes.
 * No living copy is that many promotions behind.
 */
const historyMax = 200
const goSegment = 16 << 20

/** The parts that others wait for: when they change, the info is published at once. */
export function urgentPart(info: KeeperInfo): string {
  const state = info.postgresState
  return JSON.stringify([
    info.clusterUID,
    info.bootUUID,
    info.certificate?.epoch ?? "",
    info.handled,
    info.evidence,
    info.fencing === undefined,
    info.electable?.word ?? "",
    info.promise?.epoch ?? "",
    info.peerAddress,
    state?.detached,
    state?.uid,
    state?.generation,
    state?.healthy,
    state?.inRecovery,
    state?.streaming,
    state?.acceptsClients,
    state?.pendingRestart,
    state?.timelineID,
    state?.synchronousStandbys,
  ])
}
