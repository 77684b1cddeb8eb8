/**
 * What speaks against a primary before its keeper has been silent for failInterval (protocol D2):
 * what it says of itself, a certificate, closed doors. Evidence starts W1, it never fences (L4).
 *
 * Each sighting is about one run in one epoch. A keeper that was heard again since somebody found
 * its doors closed voids that, and so does a new epoch: what led to the last one must not end this
 * one, too.
 */
import { sortedValues } from "#base/order.ts"
import type { ClusterData } from "#model/cluster.ts"
import type { Sighting } from "#model/explain.ts"
import type { DBFact, Facts } from "./facts.ts"
import type { Memory } from "./memory.ts"

export interface Evidence {
  readonly why: string
  /** Nobody is there to stop it in good order, so its last WAL will not come (`detach`). */
  readonly gone: boolean
}

/** Everything that was seen, by whom; the keeper first. */
export function sightings(data: ClusterData, facts: Facts, memory: Memory): readonly Sighting[] {
  const { primary } = facts
  const info = primary?.keeper.info ?? null
  if (primary === null || info === null) return []
  const found: Sighting[] = []
  const keeper = primary.keeper.uid
  const { primaryEpoch } = data.cluster.status
  const isNew = primary.keeper.since > memory.epochAt
  const { certificate, evidence: says } = info
  const ended =
    primaryEpoch !== "" && certificate?.epoch === primaryEpoch && certificate.dbuid === primary.uid
  // it gives up one epoch, by its certificate; of the next it may not have read when it said so
  const counts = says === "failed" ? ended : isNew
  if (says !== "" && counts) found.push({ kind: "keeper", keeper, says })
  if (ended) found.push({ kind: "certificate", keeper, reason: certificate.reason })
  for (const { uid, info: word, live } of facts.sentinels)
    for (const door of live ? word.evidence : [])
      if (door.keeper === keeper)
        found.push({
          kind: "doors",
          sentinel: uid,
          found: door,
          current: isNew && door.infoUID === memory.claims.get(keeper)?.infoUID,
        })
  for (const standby of reachable(facts, primary))
    if (!streams(standby)) found.push({ kind: "stream", keeper: standby.keeper.uid })
  return found
}

/** Standbys of the primary whose keepers are heard. */
const reachable = (facts: Facts, primary: DBFact): readonly DBFact[] =>
  sortedValues(facts.dbs).filter(
    (fact) =>
      fact.kind === "standby" &&
      fact.keeper.alive &&
      fact.db.spec.followConfig?.dbuid === primary.uid,
  )

/** A Go keeper does not say, so it may. */
const streams = (standby: DBFact): boolean =>
  !standby.keeper.obeys || (standby.up && standby.state?.streaming === true)

/** The judgement on what was seen; null: it is not enough. */
export function evidenceOf(seen: readonly Sighting[], facts: Facts): Evidence | null {
  for (const sighting of seen) {
    if (sighting.kind === "keeper")
      return { why: `its keeper says that it is ${ending[sighting.says]}`, gone: false }
    if (sighting.kind === "certificate")
      return { why: "its PostgreSQL has certifiably ended", gone: false }
  }
  const { primary } = facts
  if (primary === null) return null
  const doors = seen.filter(isClosed)
  const live = facts.sentinels.filter((sentinel) => sentinel.live)
  const standbys = reachable(facts, primary)
  // with no standby in reach nobody could be elected anyway
  const lost = standbys.length > 0 && !standbys.some(streams)
  if (!lost || 2 * doors.length <= live.length) return null
  const count = `${doors.length} of ${live.length} sentinels`
  return { why: `${count} are refused by it and its keeper, and no standby streams`, gone: true }
}
const ending = { stopping: "stopping", failed: "beyond repair" } as const

const isClosed = (sighting: Sighting): boolean =>
  sighting.kind === "doors" &&
  sighting.current &&
  sighting.found.peer === "refused" &&
  sighting.found.postgres === "refused"
