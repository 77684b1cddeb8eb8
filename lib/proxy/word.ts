/**
 * The keeper's word (protocol O4): while the store cannot be read, the keeper of the primary says
 * how long its lease runs, and that long clients may stay where they are.
 *
 * The word never opens anything and never moves clients: it only puts off the cut, for the very
 * primary that the last good view named, in the same epoch. With it a proxy forwards longer than a
 * leader waits for a silent one. That is safe where a primary runs under a lease, and only there
 * the word is asked for: a leader then promotes by a fence of the primary itself (L3), after which
 * it acknowledges nothing, whoever still leads clients to it. A lease counts from the sending of
 * the question, and a proxy that slept meanwhile looks at the clock again.
 */
import { type Millis, type Now, millis } from "#base/brand.ts"
import type { ClusterData } from "#model/cluster.ts"
import type { ClusterUID, DBUID, Epoch, KeeperUID } from "#model/ids.ts"

/** Whose word counts: the primary as the last good view named it. */
export interface Witness {
  readonly cluster: ClusterUID
  readonly keeper: KeeperUID
  readonly db: DBUID
  readonly epoch: Epoch
  /** Where the keeper answers; each of its runs may answer elsewhere. Empty: nowhere. */
  readonly address: string
}

/** A word that was given. */
export interface Word {
  readonly of: Witness
  readonly until: Millis
}

/** What a keeper answers. */
export interface Claim {
  readonly cluster: ClusterUID
  readonly keeper: KeeperUID
  readonly lease: {
    readonly db: DBUID
    readonly epoch: Epoch
    readonly remaining: Millis
  } | null
}

/** Whatever a keeper says, it is asked again before that. */
const wordMax = 60_000

/** Null: no primary under a lease that a leader of ours looks after. */
export function witness({ cluster, keepers, dbs, proxy }: ClusterData): Witness | null {
  const { master, primaryEpoch: epoch, primaryRevoked } = cluster.status
  const { masterDbUid } = proxy.spec
  const db = dbs.get(master)
  const keeper = db === undefined ? undefined : keepers.get(db.spec.keeperUID)
  if (cluster.spec.selfFencing !== true || epoch === "" || primaryRevoked) return null
  if (db === undefined || keeper === undefined) return null
  if (dbs.has(masterDbUid) && masterDbUid !== master) return null
  const { peerAddress: address } = keeper.status
  return { cluster: cluster.uid, keeper: keeper.uid, db: master, epoch, address }
}

/** Until when an answer binds; null: it says nothing of this primary, or came too late. */
export function wordOf(claim: Claim, of: Witness, sentAt: Millis, now: Now): Word | null {
  const { lease } = claim
  if (lease === null || claim.cluster !== of.cluster || claim.keeper !== of.keeper) return null
  if (lease.db !== of.db || lease.epoch !== of.epoch) return null
  const until = millis(sentAt + Math.min(lease.remaining, wordMax))
  return until > now.mono ? { of, until } : null
}

/** Until when `word` puts off the cut of what `of` stands for. */
export const vouchedUntil = (word: Word | null, of: Witness | null): Millis =>
  word !== null && of !== null && isSame(word.of, of) ? word.until : millis(-Infinity)

/** The same primary in the same epoch; where its keeper speaks for it is all one. */
const isSame = (a: Witness, b: Witness): boolean =>
  a.cluster === b.cluster && a.keeper === b.keeper && a.db === b.db && a.epoch === b.epoch
