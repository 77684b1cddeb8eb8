/**
 * `ctl restart`: whom to restart, in which order, and when one is done.
 *
 * Standbys first, the primary last, each back and streaming before the next: so there is always
 * somebody to take over. After the primary, standbys that wait for a restart get it: a lowered
 * max_connections (and its like) may go down on a standby only after it did on the primary, and
 * keepers hold it back until then, while a raised one has to be there first (D-46). So this one
 * order serves both.
 */
import type { ClusterData } from "#model/cluster.ts"
import type { KeeperUID, Nonce } from "#model/ids.ts"
import { sortedKeys } from "#base/order.ts"
import type { Found } from "./status.ts"
import { type Asked, ask, disturbance, isWell } from "./wishes.ts"

export type Which =
  | { readonly kind: "one"; readonly keeper: KeeperUID }
  | { readonly kind: "rolling" }
  /** Those whose PostgreSQL waits for a restart. */
  | { readonly kind: "pending" }

export interface Target {
  readonly keeper: KeeperUID
  readonly role: "primary" | "synchronous standby" | "standby"
  readonly pending: boolean
}
export type Order =
  | { readonly kind: "order"; readonly targets: readonly Target[] }
  /** Somebody is not well: no one is restarted before that is over. */
  | { readonly kind: "unwell"; readonly message: string }
  | { readonly kind: "refused"; readonly message: string }

type Known = Found & { readonly data: ClusterData }

/**
 * The order as it stands now; computed anew after every restart, because roles may have moved.
 *
 * @param done Who has been restarted. A standby may come again, after the primary.
 */
export function restartOrder(found: Known, which: Which, done: ReadonlySet<KeeperUID>): Order {
  const { data } = found
  const hindrance = disturbance(data, which.kind === "one" ? which.keeper : null)
  if (hindrance !== null) return { kind: "refused", message: hindrance }
  if (which.kind === "one") {
    const asked = ask(found, which.keeper)
    if (typeof asked === "string") return { kind: "refused", message: asked }
    const target = targetOf(data, asked)
    const unsafe = target.role === "primary" ? unsafePrimary(found) : null
    if (unsafe !== null) return { kind: "refused", message: unsafe }
    return { kind: "order", targets: done.has(which.keeper) ? [] : [target] }
  }
  return several(found, which.kind, done)
}

function several(found: Known, which: "rolling" | "pending", done: ReadonlySet<KeeperUID>): Order {
  const { data } = found
  const all: Target[] = []
  for (const uid of sortedKeys(data.keepers)) {
    const asked = ask(found, uid)
    if (typeof asked !== "string") all.push(targetOf(data, asked))
    else if ([...data.dbs.values()].some((db) => db.spec.keeperUID === uid))
      return { kind: "refused", message: asked }
  }
  const primaryDone = all.some(({ keeper, role }) => role === "primary" && done.has(keeper))
  const targets = all
    .filter(({ keeper, pending, role }) => {
      if (!done.has(keeper)) return which === "rolling" || pending
      return pending && primaryDone && role !== "primary"
    })
    .toSorted((a, b) => rank[a.role] - rank[b.role])
  // a standby that is not there would leave nobody to take over while the next one is down
  const ill = sortedKeys(data.keepers).find(
    (uid) => all.some((one) => one.keeper === uid) && !isWell(found, uid),
  )
  // who has not applied the specification does not know yet what waits for a restart
  if (ill !== undefined && (targets.length > 0 || which === "pending"))
    return {
      kind: "unwell",
      message: `keeper ${ill} is not well; every one has to be before any is restarted: stolon ctl status`,
    }
  const unsafe = targets.some(({ role }) => role === "primary") ? unsafePrimary(found) : null
  return unsafe === null ? { kind: "order", targets } : { kind: "refused", message: unsafe }
}

const rank = { standby: 0, "synchronous standby": 1, primary: 2 } as const

function targetOf(data: ClusterData, { uid, db, info }: Asked): Target {
  const { master } = data.cluster.status
  const sync = data.dbs.get(master)?.spec.synchronousStandbys ?? []
  const role =
    db.uid === master ? "primary" : sync.includes(db.uid) ? "synchronous standby" : "standby"
  return { keeper: uid, role, pending: info.postgresState?.pendingRestart === true }
}

/**
 * A synchronous primary lets clients in after a restart only when its standbys have all it ever
 * committed (D-06); without them it would stay shut.
 */
function unsafePrimary({ data }: Known): string | null {
  const primary = data.dbs.get(data.cluster.status.master)
  if (primary?.spec.synchronousReplication !== true) return null
  const { synchronousStandbys: named, externalSynchronousStandbys: fake } = primary.spec
  const gone = (named ?? []).filter((uid) => data.dbs.get(uid)?.status.healthy !== true)
  return gone.length > 0 || (fake ?? []).length > 0
    ? "the primary waits for synchronous standbys that are not there; restarted now it would let no client in"
    : null
}

/** What is known of a restart that was asked for. */
export type Progress =
  | { readonly kind: "waiting"; readonly line: string }
  | { readonly kind: "done" }

export function restartProgress(found: Found, keeper: KeeperUID, nonce: Nonce): Progress {
  const info = found.infos.keepers.get(keeper)
  if (info?.handled.includes(nonce) !== true)
    return {
      kind: "waiting",
      line:
        info === undefined
          ? `keeper ${keeper} is silent`
          : `waiting for keeper ${keeper} to stop PostgreSQL`,
    }
  if (isWell(found, keeper)) return { kind: "done" }
  const state = info.postgresState
  const line =
    state?.healthy !== true
      ? "PostgreSQL starts"
      : state.inRecovery && !state.streaming
        ? "PostgreSQL is up and catches up"
        : "PostgreSQL is up and becomes ready"
  return { kind: "waiting", line: `keeper ${keeper}: ${line}` }
}
