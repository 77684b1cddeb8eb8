/**
 * Leases of primaries as a sentinel can know them (L3): what each keeper claims, since when, and
 * when the lease of a revoked primary has ended.
 *
 * Why one read after W1 is enough. A renewal publishes, waits for the answer, and only then reads
 * the view. A renewal that still found the view unrevoked read before W1 was committed, so its info
 * was in the store before that. A sentinel reads the view first and the infos after it, in every
 * round: at its first read of the revoked view the infos are read after W1, so it finds the info of
 * the last renewal that could succeed, or a later one. That info is first seen no earlier than its
 * publish began, from where the keeper counts; so "first seen + 1.05 L" is later than the end of
 * the lease on any clock that runs within 5 %. After that first read nothing new has to be
 * believed: a keeper that comes back without a claim takes nothing from what was noted, since the
 * guardian of its former run ends PostgreSQL by then.
 *
 * The info that lies in the store counts here, whoever speaks in the keeper's name (`voice.ts`
 * judges whom to believe; a lease of somebody who is not believed runs all the same). What the info
 * says counts, never the specification: that may have changed since.
 */
import { type Millis, millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import type { ClusterData, ClusterStatus } from "#model/cluster.ts"
import type { BootUUID, Epoch, InfoUID, KeeperUID } from "#model/ids.ts"
import type { Infos } from "#model/info.ts"

/** The last info of a keeper, as the store has it. */
export interface Claim {
  readonly infoUID: InfoUID
  readonly boot: BootUUID
  /** When it was first seen without a gap since. */
  readonly since: Millis
  /** How long a primary there may acknowledge after a renewal began; null: it claims no lease. */
  readonly lease: Millis | null
  /** What the run before it claimed, and when this one was heard in its place. */
  readonly former: Pick<Claim, "boot" | "lease" | "since"> | null
}
export type Claims = ReadonlyMap<KeeperUID, Claim>

/** @param before Empty after a gap: what is read then was first seen now (W6). */
export function hearClaims(before: Claims, infos: Infos["keepers"], mono: Millis): Claims {
  const after = new Map<KeeperUID, Claim>()
  for (const [uid, info] of infos) {
    const last = before.get(uid)
    if (last?.infoUID === info.infoUID) {
      after.set(uid, last)
      continue
    }
    const lease = info.fencing === undefined ? null : toMillis(info.fencing.lease)
    const { infoUID, bootUUID: boot } = info
    const replaced = last !== undefined && last.boot !== boot
    const former = replaced
      ? { boot: last.boot, lease: last.lease, since: mono }
      : (last?.former ?? null)
    after.set(uid, { infoUID, boot, since: mono, lease, former })
  }
  // one that was withdrawn may have been published once more before
  for (const [uid, last] of before) if (!after.has(uid)) after.set(uid, { ...last, since: mono })
  return after
}

/** Clock rates differ by less than this. */
const drift = 1.05

/** What proved that the old primary acknowledges nothing any more. */
export type FencedBy = Exclude<ClusterStatus["fencedBy"], "">

/** The revocation in hand (W1), as this sentinel followed it. */
export interface Fence {
  readonly epoch: Epoch
  /** First read of the revoked view. */
  readonly since: Millis
  /** The lease that the primary claimed then, with the drift of clocks; null: it claimed none. */
  readonly width: Millis | null
  /** When that lease has ended. */
  readonly leaseEnd: Millis | null
  /**
   * First read that proved the old primary ended; null until then. Positions count from here on
   * (W2).
   */
  readonly fencedAt: Millis | null
  readonly by: FencedBy | null
}

/** After every read: begins with W1, ends with W2 or W7. */
export function noteFence(
  data: ClusterData,
  before: Fence | null,
  claims: Claims,
  mono: Millis,
): Fence | null {
  const { primaryRevoked, primaryEpoch: epoch, master } = data.cluster.status
  if (!primaryRevoked) return null
  if (before?.epoch === epoch) return before
  const db = data.dbs.get(master)
  const keeper = db === undefined ? undefined : data.keepers.get(db.spec.keeperUID)
  const claim = keeper === undefined ? undefined : claims.get(keeper.uid)
  // the top of a standby cluster is in recovery: no lease was ever needed
  const isTop = db?.spec.role === "standby"
  const known = keeper?.status.bootUUID ?? ""
  const leaseEnd = isTop || claim === undefined ? null : endOf(claim, known)
  const width = leaseEnd === null ? null : millis(leaseEnd - (claim?.since ?? mono))
  return { epoch, since: mono, width, leaseEnd, fencedAt: null, by: null }
}

/**
 * Only the run that the view knows can renew. Another one may have spoken since: a keeper that came
 * back, a copy of its machine. The known one's last word was no later than what overwrote it, and
 * its lease counts from there. The run that was known before renews no more, but its last lease may
 * be the longer one.
 */
function endOf({ boot, lease, since, former }: Claim, known: BootUUID | ""): Millis | null {
  const ends = (from: Millis, length: Millis): Millis => millis(from + drift * length)
  const stands = former === null || boot === known || former.boot !== known
  const length = stands ? lease : former.lease
  if (length === null) return null
  const end = ends(since, length)
  if (former === null || former.lease === null) return end
  return millis(Math.max(end, ends(former.since, former.lease)))
}

/** After a gap everything counts from now (W6). */
export const restartFence = (fence: Fence, mono: Millis): Fence => ({
  ...fence,
  since: mono,
  leaseEnd: fence.width === null ? null : millis(mono + fence.width),
  fencedAt: null,
  by: null,
})
