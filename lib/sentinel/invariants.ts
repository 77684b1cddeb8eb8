/**
 * What must hold between the document that was read and the one to be written. A broken rule writes
 * nothing and is reported: a decision that cannot explain itself is worse than none. Rules by their
 * number in the protocol.
 */
import { sameSet, sortedValues } from "#base/order.ts"
import { type ClusterData, type ClusterStatus, DBSpec, Proxy } from "#model/cluster.ts"
import { same } from "#model/codec.ts"

/** The broken rules, in words; empty when the step is allowed. */
export function brokenRules(prev: ClusterData, next: ClusterData): string[] {
  return [
    ...structure(next),
    ...gate(prev, next),
    ...succession(prev, next),
    ...extensions(prev, next),
    ...generations(prev, next),
  ]
}

function structure(next: ClusterData): string[] {
  const broken: string[] = []
  const { status } = next.cluster
  if (status.phase === "normal" && !next.dbs.has(status.master))
    broken.push("the primary's DB is missing")
  const keepers = sortedValues(next.dbs).map((db) => db.spec.keeperUID)
  if (new Set(keepers).size !== keepers.length) broken.push("a keeper has two DBs")
  for (const uid of keepers)
    if (!next.keepers.has(uid)) broken.push(`keeper ${uid} of a DB is missing`)
  for (const db of next.dbs.values())
    if (db.spec.synchronousStandbys?.includes(db.uid) === true)
      broken.push(`DB ${db.uid} waits for itself`)
  return broken
}

/**
 * The gate is open only to the primary, and never in the write that revokes or promotes (W1, W2).
 */
function gate(prev: ClusterData, next: ClusterData): string[] {
  const { status } = next.cluster
  const open = next.proxy.spec.masterDbUid
  const broken: string[] = []
  if (open !== "" && open !== status.master)
    broken.push("W3: the gate is open to a DB that is not the primary")
  if (open !== "" && status.primaryRevoked) broken.push("W1: the gate is open to a revoked primary")
  if (
    open !== "" &&
    prev.proxy.spec.masterDbUid !== open &&
    prev.cluster.status.master !== status.master
  )
    broken.push("W2: promoted and opened in one write")
  const steps = next.proxy.generation - prev.proxy.generation
  if (
    steps !==
    (same(Proxy, { ...prev.proxy, generation: next.proxy.generation }, next.proxy) ? 0 : 1)
  )
    broken.push("G9: the proxy generation does not count the changes of the proxy spec")
  return broken
}

/** A primary is replaced only after it was revoked, and every beginning has an epoch of its own. */
function succession(prev: ClusterData, next: ClusterData): string[] {
  const [before, after] = [prev.cluster.status, next.cluster.status]
  if (before.phase !== "normal" || after.phase !== "normal") return []
  const broken: string[] = []
  if (before.master !== after.master) {
    if (!before.primaryRevoked) broken.push("W2: a primary that was not revoked is replaced")
    if (before.primaryEpoch === after.primaryEpoch) broken.push("a promotion without a new epoch")
  } else if (
    before.primaryRevoked &&
    !after.primaryRevoked &&
    before.primaryEpoch === after.primaryEpoch
  )
    broken.push("W7: a reinstatement without a new epoch")
  if (
    !before.primaryRevoked &&
    after.primaryRevoked &&
    before.primaryEpoch !== "" &&
    before.primaryEpoch !== after.primaryEpoch
  )
    broken.push("W1: a revocation changes the epoch")
  return broken
}

/** What stands beside the names that Go knows. */
function extensions(prev: ClusterData, next: ClusterData): string[] {
  const [before, after] = [prev.cluster.status, next.cluster.status]
  if (before.phase !== "normal" || after.phase !== "normal") return []
  const broken: string[] = []
  const promoted = before.master !== after.master
  if (promoted ? after.fencedBy === "" : after.fencedBy !== before.fencedBy)
    broken.push("L3: what fenced the old primary is written with a promotion, and only then")
  if (after.detach && !after.primaryRevoked)
    broken.push("L3: standbys let go of a primary that is not revoked")
  const phase = after.switchover?.phase
  if (phase === "hold" && (after.primaryRevoked || next.proxy.spec.masterDbUid !== ""))
    broken.push("S2: clients are held with the gate open, or with a revoked primary")
  if (
    phase === "stop" &&
    before.switchover?.phase !== "stop" &&
    before.switchover?.phase !== "hold"
  )
    broken.push("S3: a primary is stopped for a switchover while clients are not held")
  return [...broken, ...electables(before, after)]
}

/** One set, one word; and nobody is elected from outside of it (O3). */
function electables(before: ClusterStatus, after: ClusterStatus): string[] {
  const { electable: from, master } = before
  const { electable: to } = after
  const broken: string[] = []
  if (from !== undefined && to?.word === from.word && !sameSet(from.dbs, to.dbs))
    broken.push("O3: the electable set changed without a new word")
  if (master !== after.master && from?.dbs.includes(after.master) === false)
    broken.push("O3: a DB outside the electable set is promoted")
  return broken
}

function generations(prev: ClusterData, next: ClusterData): string[] {
  const broken: string[] = []
  for (const db of sortedValues(next.dbs)) {
    const old = prev.dbs.get(db.uid)
    if (old === undefined) continue
    const steps = db.generation - old.generation
    if (steps !== (same(DBSpec, old.spec, db.spec) ? 0 : 1))
      broken.push(`G5: the generation of DB ${db.uid} does not count the changes of its spec`)
  }
  return broken
}
