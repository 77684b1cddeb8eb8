/**
 * Things that nobody waits for but an operator should know of: documents that cannot be used,
 * mixtures with Go's components, names that will be in the way. What is being waited for is
 * `waiting.ts`.
 */
import { sortedKeys } from "#base/order.ts"
import { type ClusterData, isLedByUs } from "#model/cluster.ts"
import { withDefaults } from "#model/spec.ts"
import { validate } from "#model/validation.ts"
import type { Found } from "./status.ts"

export function warnings(found: Found): readonly string[] {
  const { data, infos } = found
  const unreadable = infos.broken.map(
    ({ key, error }) => `the value of ${key} cannot be used: ${error}`,
  )
  if (data === null) return unreadable
  const broken = validate(data.cluster.spec)
  const restarts = sortedKeys(data.keepers).filter(
    (uid) => infos.keepers.get(uid)?.postgresState?.pendingRestart === true,
  )
  const hyphens = sortedKeys(data.keepers).filter((uid) => uid.includes("-"))
  const bare = data.cluster.status.phase === "normal" && isUnprotected(data)
  const mixed = data.cluster.status.phase === "normal" && !isLedByUs(data)
  return [
    ...(broken === null
      ? []
      : [
          `the stored specification is invalid, so nothing is done: ${broken}; repair it with: stolon ctl update`,
        ]),
    ...unreadable,
    ...restarts.map(
      (uid) =>
        `keeper ${uid}: a parameter waits for a restart of PostgreSQL: stolon ctl restart --pending`,
    ),
    ...hyphens.map((uid) => `keeper ${uid}: a Go keeper cannot take over a uid with a hyphen`),
    ...(bare
      ? ["no synchronous standby: minSynchronousStandbys is 0, so commits are asynchronous now"]
      : []),
    ...(mixed
      ? ["the leading sentinel is Go stolon's; fencing and failover on request are off"]
      : []),
  ]
}

/** D-11: synchronous replication was asked for, may go without a standby, and does so now. */
function isUnprotected({ cluster, dbs }: ClusterData): boolean {
  const { synchronousReplication, minSynchronousStandbys } = withDefaults(cluster.spec)
  const primary = dbs.get(cluster.status.master)
  return (
    synchronousReplication &&
    minSynchronousStandbys === 0 &&
    primary !== undefined &&
    (primary.spec.synchronousStandbys ?? []).length === 0
  )
}
