/**
 * The sentinel's brain: one look at the store in, the next document out (design part 3). No clock,
 * no chance, no I/O; time and a seed are arguments, so every decision can be replayed.
 *
 * Order: what components report (status.ts), then the primary (primary.ts), the gate (gate.ts), and
 * only with a primary that is healthy and converged the standbys and synchronous names; then specs
 * are derived, generations raised, the step checked and stamped.
 */
import type { Millis, Now } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import { generator } from "#base/random.ts"
import { ClusterData as ClusterDataKind } from "#model/cluster.ts"
import type { ClusterData, ClusterStatus, DB } from "#model/cluster.ts"
import { same, zeroTime } from "#model/codec.ts"
import type { Event } from "#model/events.ts"
import { type KeeperUID, type Nonce, newEpoch, newNonce } from "#model/ids.ts"
import { zeroLsn } from "#base/lsn.ts"
import { forgetDead } from "./dead.ts"
import { deriveSpecs, raiseGenerations, stamp } from "./derive.ts"
import { type DBFact, observe } from "./facts.ts"
import { keepGate } from "./gate.ts"
import { initialize } from "./initialize.ts"
import { brokenRules } from "./invariants.ts"
import { type Memory, type Snapshot } from "./memory.ts"
import { keepPredecessor } from "./predecessor.ts"
import { nextLook } from "./due.ts"
import { keepElectable } from "./electable.ts"
import { settleFence } from "./fence.ts"
import { answerRequest, depose, judge, restarted } from "./primary.ts"
import { restoreSpec } from "./restore.ts"
import {
  type Gathering,
  type Reducer,
  type Round,
  beginRound,
  inOrder,
  withStatus,
} from "./round.ts"
import { keepStandbys } from "./standbys.ts"
import { status } from "./status.ts"
import { release, succeed } from "./succession.ts"
import { isHolding, leadSwitchover } from "./switchover.ts"
import { keepSync } from "./sync.ts"
import { reclone } from "./wishes.ts"

export type Output =
  | { readonly kind: "write"; readonly data: ClusterData; readonly nonce: Nonce }
  /** Nothing but times and positions would change, and they were written lately enough. */
  | { readonly kind: "hold" }
  | { readonly kind: "broken"; readonly rules: readonly string[] }

export interface Decision {
  readonly output: Output
  /** To be kept when the output was committed; a hold commits by itself. */
  readonly memory: Memory
  readonly events: readonly Event[]
  /** Keepers whose next word the leader waits for: a nudge makes it come sooner. */
  readonly awaited: readonly KeeperUID[]
  /** When time alone may change the decision; null: nothing is timed. */
  readonly wake: Millis | null
}

/** @param memory As `watch` left it for this snapshot. */
export function decide(snapshot: Snapshot, memory: Memory, now: Now, seed: number): Decision {
  const { data } = snapshot
  const facts = observe(snapshot, memory, now)
  const random = generator(seed)
  const settled = settleFence(memory, data, facts)
  const { round, gathered } = beginRound(facts, settled, now, random)
  const isNormal = data.cluster.status.phase === "normal"
  if (isNormal && facts.primary === null) return headless(gathered, round)
  const settle = data.cluster.status.move === undefined ? steady : standing
  const phase = isNormal ? settle : initialize
  const wanted = raiseGenerations(
    data,
    inOrder(restoreSpec, status, phase, deriveSpecs)(data, round),
  )
  const rules = brokenRules(data, wanted)
  const { events, memory: after, awaited } = gathered()
  if (rules.length > 0)
    return { output: { kind: "broken", rules }, memory, events: [], awaited: [], wake: null }
  const timing = { awaited, wake: nextLook(data, facts, settled, now.mono) }
  const sleepInterval = toMillis(facts.spec.sleepInterval)
  const age = memory.writtenAt === null ? Infinity : now.mono - memory.writtenAt
  if (age < Math.max(sleepInterval, timesEvery) && isHeld(data, wanted, age < sleepInterval))
    return { output: { kind: "hold" }, memory: after, events, ...timing }
  const nonce = newNonce(random)
  return {
    output: { kind: "write", data: stamp(data, wanted, nonce, now.wall), nonce },
    memory: { ...after, writtenAt: now.mono },
    events,
    ...timing,
  }
}

/** Nobody knows what such a document means: it stays as it is until a person corrects it (D-23). */
function headless(gathered: Gathering["gathered"], round: Round): Decision {
  round.sayOnce("primary.stuck", {
    why: "the cluster data names a primary that does not exist, or whose keeper does not",
    remedy: "stolon ctl init, or clusterdata write with a correct document",
  })
  return { output: { kind: "hold" }, ...gathered(), wake: null }
}

const steady: Reducer = (data, round) => {
  const primary = round.facts.primary
  if (primary === null) return data
  const known = forgetDead(data, round)
  if (known.cluster.status.primaryRevoked) return succeed(known, round, primary)
  const judgement = judge(known, round.facts, primary)
  if (judgement.kind === "depose") return depose(known, round, primary, judgement.why)
  if (judgement.kind === "keep" && judgement.why !== null)
    round.sayOnce("failover.paused", { db: primary.uid, why: judgement.why })
  else round.over("failover.paused")
  if (judgement.kind === "stuck")
    round.sayOnce("primary.stuck", { why: judgement.why, remedy: judgement.remedy })
  else round.over("primary.stuck")
  return serve(answerRequest(restarted(known, round, primary), round, primary), round, primary)
}

/**
 * The cluster moves between stores, and who is missing here may be there (M1): the primary stays,
 * nobody is placed or taken away, and every proxy that comes is let in. A primary that was stopped
 * in good order to come here gets the epoch that it needs to start (W7). In a store that was left
 * for good nothing is done any more.
 */
const standing: Reducer = (data, round) => {
  const { primary } = round.facts
  if (primary === null || data.cluster.status.primaryRevoked) return data
  const { end = "", other = "" } = data.cluster.status.move ?? {}
  round.sayOnce("cluster.moving", { end, other })
  return keepGate(primary)(restarted(data, round, primary), round)
}

/** The primary stays: keep its gate, and with it working, everything that hangs on it. */
function serve(data: ClusterData, round: Round, primary: DBFact): ClusterData {
  const crowned = keepRole(named(data, round), round, primary)
  const moved = planned(crowned, round, primary)
  if (moved.cluster.status.primaryRevoked || isHolding(moved)) return moved
  const works = primary.up && primary.convergence === "converged"
  const rest = works ? [keepStandbys(primary), reclone(primary), keepSync(primary)] : []
  return inOrder(...rest, keepPredecessor(primary.uid), keepElectable(primary))(moved, round)
}

/** The gate, and a switchover: while that holds clients, nobody opens it; once it is open, done. */
function planned(data: ClusterData, round: Round, primary: DBFact): ClusterData {
  const promoting = data.cluster.status.switchover?.phase === "promote"
  if (promoting) return leadSwitchover(keepGate(primary)(data, round), round, primary)
  const moved = leadSwitchover(data, round, primary)
  if (moved.cluster.status.primaryRevoked || isHolding(moved)) return moved
  // a switchover that was given up opened it again: who may use it is the next write's (G9)
  if (moved.proxy.generation !== data.proxy.generation) return moved
  return keepGate(primary)(moved, round)
}

/**
 * A view without an epoch was written by Go, or passed through its hands: from here on it is ours
 * (L6).
 */
const named = (data: ClusterData, round: Round): ClusterData =>
  data.cluster.status.primaryEpoch === ""
    ? withStatus(data, { primaryEpoch: newEpoch(round.random) })
    : data

/**
 * A standby cluster that was promoted: its primary follows nobody any more (N6). Not while it is
 * down: as long as it has acknowledged nothing any standby may take its place, and once its commits
 * would wait for one, only who is confirmed (P5).
 */
function keepRole(data: ClusterData, round: Round, primary: DBFact): ClusterData {
  if (round.facts.spec.role !== "master" || primary.db.spec.role === "master") return data
  if (!primary.up && primary.healthy) return data
  round.say("primary.role", { db: primary.uid, role: "master" })
  return release(data, round.facts, primary)
}

/**
 * Every write wakes every keeper and every proxy, so what changes at every look waits. Positions
 * may be all that is left of a primary one day: they follow each sleepInterval, as does what a
 * switchover waits for. Times are counted in hours (`dead.ts`).
 */
const isHeld = (data: ClusterData, wanted: ClusterData, lately: boolean): boolean =>
  same(ClusterDataKind, material(data, lately), material(wanted, lately))
const timesEvery = 10_000

/** The document without times, and without what has to wait for a sleepInterval. */
function material(data: ClusterData, lately: boolean): ClusterData {
  const quietDB = (db: DB): DB => ({
    ...db,
    changeTime: zeroTime,
    status: lately ? { ...db.status, xLogPos: zeroLsn, olderWalFile: "" } : db.status,
  })
  const keepers = [...data.keepers].map(([uid, keeper]) => {
    const still = { ...keeper.status, lastHealthyTime: zeroTime }
    return [uid, { ...keeper, changeTime: zeroTime, status: still }] as const
  })
  const quiet = {
    ...data,
    changeTime: zeroTime,
    dbs: new Map([...data.dbs].map(([uid, db]) => [uid, quietDB(db)] as const)),
    keepers: new Map(keepers),
  }
  return lately ? withStatus(quiet, quietSwitchover(data)) : quiet
}
/** What it waits for is told, and not in a write of its own for each byte. */
function quietSwitchover({ cluster }: ClusterData): Partial<ClusterStatus> {
  if (cluster.status.switchover === undefined) return {}
  const { waiting: _, ...switchover } = cluster.status.switchover
  return { switchover }
}
