/**
 * What the leader thinks, for `ctl explain` and `ctl status`: the rules themselves, asked about one
 * look at the store. One look tells nobody's silence, so the leader's word on who is healthy stands
 * in for it, and timers count as begun now. Decides nothing, and shows nothing that is not in view
 * and infos.
 */
import { type Millis, type Time, millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import { sortedValues } from "#base/order.ts"
import { type ClusterData, dbOfKeeper } from "#model/cluster.ts"
import type {
  Candidacy,
  ElectableState,
  Explanation,
  FencingState,
  Present,
} from "#model/explain.ts"
import type { KeeperUID, SentinelUID } from "#model/ids.ts"
import type { Infos } from "#model/info.ts"
import { candidates } from "./candidates.ts"
import { whyNoPromises } from "./electable.ts"
import { sightings } from "./evidence.ts"
import { type DBFact, type Facts, observe } from "./facts.ts"
import { awaitedProxies, certificateOf, unacknowledged } from "./fence.ts"
import { unready } from "./gate.ts"
import { type Memory, emptyMemory, watch } from "./memory.ts"
import { fault, isServing } from "./primary.ts"

export function explanation(
  data: ClusterData,
  infos: Infos,
  leader: SentinelUID | null,
): Explanation {
  const now = { mono: millis(0), wall: data.changeTime satisfies Time }
  const memory = trusting(watch(emptyMemory, { data, infos }, now), data)
  const facts = observe({ data, infos }, memory, now)
  const { primary } = facts
  const present = primary === null ? null : presentOf(data, facts, primary)
  return {
    leader,
    detection: facts.spec.failureDetection === "evidence" ? "evidence" : "silence",
    primary: present,
    candidates: primary === null ? [] : candidaciesOf(data, facts, primary),
    fencing: fencingOf(data, facts, primary),
    electable: electableOf(data, facts, primary),
    evidence: sightings(data, facts, memory),
    switchover: data.cluster.status.switchover ?? null,
    waiting: primary === null ? [] : waitingOf(data, facts, primary, leader),
  }
}

/** Heard are those that the leader calls healthy; the others have been silent for ever. */
export function trusting(memory: Memory, data: ClusterData): Memory {
  const healthy = (uid: KeeperUID): boolean => data.keepers.get(uid)?.status.healthy === true
  const keepers = [...memory.keepers].map(([uid, seen]) => {
    const since = healthy(uid) ? seen.since : millis(-Infinity)
    return [uid, { ...seen, heard: healthy(uid), since }] as const
  })
  const ailing = [...memory.ailing].map(([uid, since]) => {
    const failed = data.dbs.get(uid)?.status.healthy === false
    return [uid, failed ? millis(-Infinity) : since] as const
  })
  const watchingSince = millis(-Infinity)
  return { ...memory, watchingSince, keepers: new Map(keepers), ailing: new Map(ailing) }
}

function presentOf(data: ClusterData, facts: Facts, primary: DBFact): Present {
  const { primaryEpoch, primaryRevoked, fencedBy, switchover } = data.cluster.status
  const serving = isServing(data, primary)
  const closed = switchover?.phase === "hold" ? "held" : "opening"
  return {
    keeper: primary.keeper.uid,
    db: primary.uid,
    epoch: primaryEpoch,
    state: primaryRevoked ? "revoked" : serving ? "serving" : closed,
    fault: fault(facts, primary),
    unready: serving ? [] : unready(primary, facts),
    elected: fencedBy,
  }
}

function candidaciesOf(data: ClusterData, facts: Facts, primary: DBFact): Candidacy[] {
  const { refused } = candidates(data, facts, primary, null)
  const { electable, primaryEpoch, primaryRevoked } = data.cluster.status
  return sortedValues(data.keepers).flatMap(({ uid: keeper }) => {
    const db = dbOfKeeper(data, keeper)
    const fact = db === undefined ? undefined : facts.dbs.get(db.uid)
    if (fact === undefined || fact.uid === primary.uid) return []
    const why = refused.find((refusal) => refusal.db === fact.uid)?.why ?? null
    const detached = primaryRevoked && primaryEpoch !== "" && fact.state?.detached === primaryEpoch
    return {
      keeper,
      db: fact.uid,
      why,
      position: fact.position,
      electable: electable === undefined ? null : electable.dbs.includes(fact.uid),
      detached,
      promisedTo: fact.keeper.info?.promise?.keeper ?? null,
    }
  })
}

function fencingOf(data: ClusterData, facts: Facts, primary: DBFact | null): FencingState {
  const wanted = facts.spec.selfFencing ?? null
  const lease = primary?.keeper.info?.fencing?.lease
  const fenced = [...facts.keepers.values()].some(({ info }) => info?.fencing !== undefined)
  const epoch = data.cluster.status.primaryEpoch
  const certificate = primary === null ? null : certificateOf(primary, { epoch })
  return {
    wanted,
    lease: lease === undefined ? null : toMillis(lease),
    dropped: wanted === null && fenced,
    certificate:
      certificate === null ? null : { finalLSN: certificate.finalLSN, reason: certificate.reason },
  }
}

function electableOf(data: ClusterData, facts: Facts, primary: DBFact | null): ElectableState {
  const { electable } = data.cluster.status
  if (electable === undefined)
    return { kind: "off", why: whyNoPromises(facts) ?? "the leader has not written a set yet" }
  const keepers = electable.dbs.flatMap((uid) => data.dbs.get(uid)?.spec.keeperUID ?? [])
  const acknowledged = primary?.keeper.info?.electable?.word === electable.word
  return { kind: "on", word: electable.word, keepers, acknowledged }
}

/** In the order of the protocol: a leader, the fence, a candidate, the gate. */
function waitingOf(
  data: ClusterData,
  facts: Facts,
  primary: DBFact,
  leader: SentinelUID | null,
): string[] {
  const waiting = leader === null ? ["a leading sentinel"] : []
  const { primaryRevoked, switchover } = data.cluster.status
  const { uid } = primary.keeper
  if (switchover?.phase === "asked" || switchover?.phase === "checkpoint")
    waiting.push(
      `the switchover to ${switchover.keeper || "a standby"}: ${switchover.waiting ?? switchover.phase}`,
    )
  if (switchover?.phase === "hold") {
    const proxies = unacknowledged(data, facts)
    waiting.push(`the last transactions behind ${proxies.join(", ") || "the proxies"}`)
  } else if (primaryRevoked) waiting.push(...fenceOf(data, facts, primary))
  else if (!isServing(data, primary)) {
    waiting.push(...unready(primary, facts).map((what) => `${what} (${uid})`))
    waiting.push(...awaitedProxies(data, facts).map((proxy) => `proxy ${proxy}: the closed gate`))
  }
  return waiting
}

function fenceOf(data: ClusterData, facts: Facts, primary: DBFact): string[] {
  const { uid, info } = primary.keeper
  const { primaryEpoch: epoch } = data.cluster.status
  const { ready, refused } = candidates(data, facts, primary, null)
  const reasons = refused.map((no) => `${no.keeper}: ${no.why}`).join("; ")
  const next = ready.length > 0 ? [] : [`a standby that may be elected (${reasons})`]
  if (certificateOf(primary, { epoch }) !== null)
    return ready.length > 0 ? ["the last words of the standbys"] : next
  const lease: Millis | null = info?.fencing === undefined ? null : toMillis(info.fencing.lease)
  const proxies = unacknowledged(data, facts)
  return lease === null
    ? [
        `the end of ${uid}'s PostgreSQL: its word, or failInterval of silence`,
        ...proxies.map((proxy) => `proxy ${proxy}: the closed gate`),
        ...next,
      ]
    : [`the end of ${uid}'s PostgreSQL: its word, or the end of its lease (${lease} ms)`, ...next]
}
