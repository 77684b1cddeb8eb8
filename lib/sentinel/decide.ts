/**
 * The sentinel's brain: one look at the store in, the next document out (design part 3). No clock,
 * no chance, no I/O; time and a seed are arguments, so every decision can be replayed.
 *
 * Order: what components report (status.ts), then the primary (primary.ts), the gate (gate.ts), and
 * only with a primary that is healthy and converged the standbys and synchronous names; then specs
 * are derived, generations raised, the step checked and stamped.
 */
import type { Now } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import { generator } from "#base/random.ts"
import { ClusterData as ClusterDataKind } from "#model/cluster.ts"
import type { ClusterData, DB } from "#model/cluster.ts"
import { same, zeroTime } from "#model/codec.ts"
import type { Event } from "#model/events.ts"
import { type Nonce, newEpoch, newNonce } from "#model/ids.ts"
import { zeroLsn } from "#base/lsn.ts"
import { forgetDead } from "./dead.ts"
import { deriveSpecs, raiseGenerations, stamp } from "./derive.ts"
import { type DBFact, observe } from "./facts.ts"
import { keepGate } from "./gate.ts"
import { initialize } from "./initialize.ts"
import { brokenRules } from "./invariants.ts"
import { type Memory, type Snapshot } from "./memory.ts"
import { keepPredecessor } from "./predecessor.ts"
import { answerRequest, depose, judge, settleFence } from "./primary.ts"
import {
  type Gathering,
  type Reducer,
  type Round,
  beginRound,
  inOrder,
  withDB,
  withStatus,
} from "./round.ts"
import { keepStandbys } from "./standbys.ts"
import { status } from "./status.ts"
import { release, succeed } from "./succession.ts"
import { keepSync } from "./sync.ts"
import { reclone } from "./wishes.ts"

export type Output =
  | { readonly kind: "write"; readonly data: ClusterData; readonly nonce: Nonce }
  /** Nothing but times and positions would change, and they were written lately. */
  | { readonly kind: "hold" }
  | { readonly kind: "broken"; readonly rules: readonly string[] }

export interface Decision {
  readonly output: Output
  /** To be kept when the output was committed; a hold commits by itself. */
  readonly memory: Memory
  readonly events: readonly Event[]
}

/** @param memory As `watch` left it for this snapshot. */
export function decide(snapshot: Snapshot, memory: Memory, now: Now, seed: number): Decision {
  const { data } = snapshot
  const facts = observe(snapshot, memory, now)
  const random = generator(seed)
  const { round, gathered } = beginRound(facts, settleFence(memory, data, facts), now, random)
  const isNormal = data.cluster.status.phase === "normal"
  if (isNormal && facts.primary === null) return headless(gathered, round)
  const phase = isNormal ? steady : initialize
  const wanted = raiseGenerations(data, inOrder(status, phase, deriveSpecs)(data, round))
  const rules = brokenRules(data, wanted)
  const { events, memory: after } = gathered()
  if (rules.length > 0) return { output: { kind: "broken", rules }, memory, events: [] }
  const due =
    memory.writtenAt === null || now.mono - memory.writtenAt >= toMillis(facts.spec.sleepInterval)
  if (!due && same(ClusterDataKind, material(data), material(wanted)))
    return { output: { kind: "hold" }, memory: after, events }
  const nonce = newNonce(random)
  return {
    output: { kind: "write", data: stamp(data, wanted, nonce, now.wall), nonce },
    memory: { ...after, writtenAt: now.mono },
    events,
  }
}

/** Nobody knows what such a document means: it stays as it is until a person corrects it (D-23). */
function headless(gathered: Gathering["gathered"], round: Round): Decision {
  round.sayOnce("primary.stuck", {
    why: "the cluster data names a primary that does not exist, or whose keeper does not",
    remedy: "stolon ctl init, or clusterdata write with a correct document",
  })
  return { output: { kind: "hold" }, ...gathered() }
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
  return serve(answerRequest(known, round, primary), round, primary)
}

/** The primary stays: keep its gate, and with it working, everything that hangs on it. */
function serve(data: ClusterData, round: Round, primary: DBFact): ClusterData {
  const crowned = keepRole(named(data, round), round, primary)
  const gated = keepGate(primary)(crowned, round)
  const works = primary.up && primary.convergence === "converged"
  const rest = works ? [reclone(primary), keepStandbys(primary), keepSync(primary)] : []
  return inOrder(...rest, keepPredecessor(primary.uid))(gated, round)
}

/**
 * A view without an epoch was written by Go, or passed through its hands: from here on it is ours
 * (L6).
 */
const named = (data: ClusterData, round: Round): ClusterData =>
  data.cluster.status.primaryEpoch === ""
    ? withStatus(data, { primaryEpoch: newEpoch(round.random) })
    : data

/** A standby cluster that was promoted: its primary follows nobody any more (N6). */
function keepRole(data: ClusterData, round: Round, primary: DBFact): ClusterData {
  if (round.facts.spec.role !== "master" || primary.db.spec.role === "master") return data
  round.say("primary.role", { db: primary.uid, role: "master" })
  return release(data, round.facts, primary)
}

/** The document without what changes at every look. */
function material(data: ClusterData): ClusterData {
  let quiet: ClusterData = { ...data, changeTime: zeroTime, dbs: new Map(), keepers: new Map() }
  for (const db of data.dbs.values()) quiet = withDB(quiet, quietDB(db))
  const keepers = [...data.keepers].map(([uid, keeper]) => {
    const still = { ...keeper.status, lastHealthyTime: zeroTime }
    return [uid, { ...keeper, changeTime: zeroTime, status: still }] as const
  })
  return { ...quiet, keepers: new Map(keepers) }
}
const quietDB = (db: DB): DB => ({
  ...db,
  changeTime: zeroTime,
  status: { ...db.status, xLogPos: zeroLsn, olderWalFile: "" },
})
