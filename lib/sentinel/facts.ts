/**
 * Facts: everything the rules ask about keepers, DBs and proxies, computed once a round from
 * snapshot and memory. Rules read these and never raw infos.
 */
import { type Millis, type Now, millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import { type LSN, maxLsn, zeroLsn } from "#base/lsn.ts"
import { by, byText, sortedValues } from "#base/order.ts"
import { type DB, type Keeper, isMasterType } from "#model/cluster.ts"
import type { DBUID, KeeperUID, ProxyUID, SentinelUID } from "#model/ids.ts"
import {
  type KeeperInfo,
  type PostgresState,
  type ProxyInfo,
  type SentinelInfo,
  capabilities,
} from "#model/info.ts"
import { isStranger, lineageOfHead, readLineage } from "#model/lineage.ts"
import { type FullSpec, withDefaults } from "#model/spec.ts"
import { type Evidence, evidenceOf, sightings } from "./evidence.ts"
import { diverged, hasWalFor, isAhead, isComparable } from "#model/timeline.ts"
import {
  type Memory,
  type Snapshot,
  isCopying,
  patienceFor,
  reportsHealthy,
  silenceLimit,
  stateOf,
} from "./memory.ts"
import { type Seen, hasDouble } from "./voice.ts"

export interface KeeperFact {
  readonly uid: KeeperUID
  readonly keeper: Keeper | null
  readonly info: KeeperInfo | null
  readonly silentFor: Millis
  /** When its present info was first seen. */
  readonly since: Millis
  /** When the one before was first seen: the present info was gathered later than that. */
  readonly previous: Millis
  /** It published while we watched, and not too long ago. */
  readonly alive: boolean
  /** Silent for failInterval, or forced to fail. */
  readonly failed: boolean
  readonly obeys: boolean
  /** It has said twice what it has applied. */
  readonly repeated: boolean
  /** Another keeper runs with its uid (D-16). */
  readonly double: boolean
}

export type Convergence = "converged" | "converging" | "failed"
export type Validity = "valid" | "invalid" | "unknown"

export interface DBFact {
  readonly uid: DBUID
  readonly db: DB
  readonly kind: "master" | "standby"
  readonly keeper: KeeperFact
  /** What its keeper publishes of it now. */
  readonly state: PostgresState | null
  /** Published healthy, and still the system that this DB has always been. */
  readonly trusted: boolean
  /** Trusted, by a keeper that is alive. */
  readonly up: boolean
  /** Up, or not for longer than failInterval; a primary that was put back has more time. */
  readonly healthy: boolean
  readonly convergence: Convergence
  readonly validity: Validity
  /** On a timeline that the primary may have begun after its last report. */
  readonly ahead: boolean
  /** What the primary reports of its history reaches back to this copy's timeline (D-26). */
  readonly comparable: boolean
  readonly verdict: "good" | "converging" | "failed"
  /** Stuck behind WAL that the primary no longer has (D-37). */
  readonly starved: boolean
  /** A standby whose keeper lives and says that it holds no DB at all: its disk was lost. */
  readonly lost: boolean
  readonly position: LSN
}

export interface ProxyFact {
  readonly uid: ProxyUID
  readonly info: ProxyInfo
  /** It may be forwarding: its last sign of life is younger than its own timeout allows. */
  readonly active: boolean
  /** Until when that is so, if nothing more comes from it. */
  readonly until: Millis
  /** It spoke since this sentinel has read the store without a gap. */
  readonly heard: boolean
}

export interface SentinelFact {
  readonly uid: SentinelUID
  readonly info: SentinelInfo
  /** Its info changed within two sleepIntervals (D2). */
  readonly live: boolean
}

export interface Facts {
  readonly spec: FullSpec
  readonly failInterval: Millis
  readonly keepers: ReadonlyMap<KeeperUID, KeeperFact>
  readonly dbs: ReadonlyMap<DBUID, DBFact>
  readonly proxies: readonly ProxyFact[]
  /** Whose key is there. */
  readonly sentinels: readonly SentinelFact[]
  readonly primary: DBFact | null
  /** What speaks against the primary before it has been silent for long (D2); null: nothing. */
  readonly evidence: Evidence | null
}

export function observe(snapshot: Snapshot, memory: Memory, now: Now): Facts {
  const spec = withDefaults(snapshot.data.cluster.spec)
  const failInterval = silenceLimit(spec, memory.pace)
  const keepers = new Map<KeeperUID, KeeperFact>()
  for (const uid of new Set([...snapshot.data.keepers.keys(), ...memory.keepers.keys()]))
    keepers.set(uid, keeperFact(uid, snapshot, memory, failInterval, now))
  const { data } = snapshot
  const primary = data.dbs.get(data.cluster.status.master) ?? null
  const dbs = new Map<DBUID, DBFact>()
  for (const db of sortedValues(data.dbs)) {
    const keeper = keepers.get(db.spec.keeperUID)
    if (keeper === undefined) continue // a dangling reference: the reducers drop such a DB
    dbs.set(db.uid, dbFact(db, keeper, primary, spec, failInterval, memory, now))
  }
  const sentinels = sentinelFacts(snapshot, memory, spec, now)
  const facts: Facts = {
    spec,
    failInterval,
    keepers,
    dbs,
    proxies: [...memory.proxies]
      .map(([uid, seen]) => proxyFact(uid, seen, snapshot, now))
      .toSorted(by((proxy) => proxy.uid, byText)),
    sentinels,
    primary: primary === null ? null : (dbs.get(primary.uid) ?? null),
    evidence: null,
  }
  if (spec.failureDetection !== "evidence") return facts
  return { ...facts, evidence: evidenceOf(sightings(data, facts, memory), facts) }
}

const sentinelFacts = (
  { infos }: Snapshot,
  { sentinels }: Memory,
  spec: FullSpec,
  now: Now,
): SentinelFact[] => {
  const limit = 2 * toMillis(spec.sleepInterval)
  return [...sentinels]
    .filter(([uid]) => infos.sentinels.has(uid))
    .map(([uid, { info, since }]) => ({ uid, info, live: now.mono - since <= limit }))
    .toSorted(by((sentinel) => sentinel.uid, byText))
}

function keeperFact(
  uid: KeeperUID,
  { data }: Snapshot,
  memory: Memory,
  failInterval: Millis,
  now: Now,
): KeeperFact {
  const keeper = data.keepers.get(uid) ?? null
  const seen = memory.keepers.get(uid)
  const ours = seen !== undefined && seen.info.clusterUID === data.cluster.uid ? seen : null
  // a key that is not there proves nothing yet to who has just begun to look (W6, P6), and one that
  // nobody waited for in a pause was missed by nobody
  const missedSince = Math.max(
    ours?.since ?? memory.watchingSince,
    memory.resumed.get(uid) ?? -Infinity,
  )
  const silentFor = millis(now.mono - missedSince)
  const silent = silentFor > failInterval
  return {
    uid,
    keeper,
    info: ours?.info ?? null,
    silentFor,
    since: ours?.since ?? millis(-Infinity),
    previous: ours?.previous ?? millis(-Infinity),
    alive: ours !== null && ours.heard && !silent,
    failed: silent || keeper?.status.forceFail === true,
    repeated: ours?.repeated === true,
    obeys: ours?.info.capabilities.includes(capabilities.certificate) === true,
    double: ours !== null && hasDouble(ours, failInterval, now.mono),
  }
}

function dbFact(
  db: DB,
  keeper: KeeperFact,
  primary: DB | null,
  spec: FullSpec,
  failInterval: Millis,
  memory: Memory,
  now: Now,
): DBFact {
  const state = (keeper.info === null ? undefined : stateOf(db, memory.keepers)) ?? null
  const ailingSince = memory.ailing.get(db.uid)
  const patience = db.uid === primary?.uid ? patienceFor(spec, failInterval, memory) : failInterval
  const healthy =
    !keeper.failed && (ailingSince === undefined || now.mono - ailingSince <= patience)
  const trusted = keeper.info !== null && reportsHealthy(db, memory.keepers)
  const up = trusted && keeper.alive
  const convergence = convergenceOf(db, spec, memory, now)
  const reported = reportedBranch(db, state)
  const validity = validityOf(reported, primary, memory)
  const kind = isMasterType(db) ? "master" : "standby"
  const settled = convergence === "converged" && healthy && validity !== "unknown"
  const verdict =
    keeper.failed || convergence === "failed" || (convergence === "converged" && !healthy)
      ? "failed"
      : settled
        ? "good"
        : "converging"
  return {
    uid: db.uid,
    db,
    kind,
    keeper,
    state,
    trusted,
    up,
    healthy,
    convergence,
    validity,
    ahead: primary !== null && isAhead(mainBranch(primary, memory), reported),
    comparable: primary !== null && isComparable(mainBranch(primary, memory), reported),
    verdict,
    starved: kind === "standby" && isStarved(db, state, primary, memory),
    lost: kind === "standby" && db.spec.initMode === "none" && holdsNothing(keeper),
    position: trusted ? reported.xLogPos : db.status.xLogPos,
  }
}

/**
 * Only our keepers say so in these words; of a Go keeper an empty uid may mean that it has not
 * looked yet.
 */
const holdsNothing = (keeper: KeeperFact): boolean =>
  keeper.alive && keeper.obeys && keeper.info?.postgresState?.uid === ""

interface Reported {
  readonly systemID: string
  readonly generation: number
  readonly timelineID: number
  readonly timelinesHistory: DB["status"]["timelinesHistory"]
  readonly xLogPos: LSN
  readonly lineage: string
}
/** What the keeper says now, else what the document remembers. */
const reportedBranch = (db: DB, state: PostgresState | null): Reported =>
  state?.healthy === true
    ? state
    : { ...db.status, systemID: db.status.systemdID, generation: db.status.currentGeneration }

/** The limit for a DB to apply its generation; null = none (5.5). */
export function convergenceLimit(db: DB, spec: FullSpec): Millis | null {
  const limit = toMillis(isCopying(db) ? spec.syncTimeout : spec.convergenceTimeout)
  return isCopying(db) && limit === 0 ? null : limit
}

function convergenceOf(db: DB, spec: FullSpec, memory: Memory, now: Now): Convergence {
  const pending = memory.converging.get(db.uid)
  if (pending === undefined) return "converged"
  const limit = convergenceLimit(db, spec)
  return limit !== null && now.mono - pending.since > limit ? "failed" : "converging"
}

/**
 * The primary's history: of the system that the document knows, whatever lies in its place now
 * (W3).
 */
const mainBranch = (primary: DB, memory: Memory): Reported =>
  reportedBranch(
    primary,
    reportsHealthy(primary, memory.keepers) ? (stateOf(primary, memory.keepers) ?? null) : null,
  )

function validityOf(own: Reported, primary: DB | null, memory: Memory): Validity {
  if (own.generation === 0 || primary === null) return "unknown"
  const main = mainBranch(primary, memory)
  if (own.systemID !== "" && main.systemID !== "" && own.systemID !== main.systemID)
    return "invalid"
  return diverged(main, own) || isStrange(own, main, primary) ? "invalid" : "valid"
}

/** W9: another DB began one of its timelines than the one of that number of the primary's. */
function isStrange(own: Reported, main: Reported, { uid, spec, generation }: DB): boolean {
  if (own.lineage === "" || own.lineage === main.lineage) return false
  const { timelineID, lineage } = main
  const settled = main.generation === generation
  const head = { uid, master: spec.role === "master", settled, timelineID, lineage }
  return isStranger(readLineage(own.lineage), uid, lineageOfHead(head))
}

/**
 * More than ten reports of one position, behind the primary, whose WAL begins later than what is
 * needed (canSync, 5.5).
 */
function isStarved(
  db: DB,
  state: PostgresState | null,
  primary: DB | null,
  memory: Memory,
): boolean {
  if (state === null || !state.healthy || primary === null || db.generation === 1) return false
  const main = stateOf(primary, memory.keepers)
  if (main === undefined || main.olderWalFile === "" || main.xLogPos === state.xLogPos) return false
  const times = memory.stalled.get(db.uid)?.times ?? 0
  return times > 10 && !hasWalFor(main.olderWalFile, state.xLogPos, main.walSegmentSize)
}

/**
 * A proxy of ours counts its timeout from the beginning of its last good check, which is not later
 * than the publish we saw; clock rates may differ by 5 %. A Go proxy gets twice its timeout (P2).
 */
function proxyFact(uid: ProxyUID, seen: Seen<ProxyInfo>, { infos }: Snapshot, now: Now): ProxyFact {
  const timeout = seen.info.ProxyTimeout / 1e6
  const allowance = seen.info.capabilities.includes(capabilities.boundedView)
    ? 1.05 * timeout
    : 2 * timeout
  const until = millis(seen.since + allowance)
  // A key that is gone was withdrawn by a proxy that had cut, or expired, which takes longer than
  // any timeout (3.1).
  const active = now.mono <= until && infos.proxies.has(uid)
  return { uid, info: seen.info, active, until, heard: seen.heard }
}

/** The furthest position that the primary is known to have had. */
export const knownEnd = (primary: DBFact): LSN =>
  maxLsn(
    primary.db.status.xLogPos,
    maxLsn(primary.position, primary.keeper.info?.certificate?.finalLSN ?? zeroLsn),
  )
