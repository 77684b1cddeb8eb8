/**
 * What `ctl explain` and `ctl status` show of the leader's thoughts: who may become the primary and
 * why not the others, who saw what, what the old primary's end hangs on.
 *
 * Computed by `sentinel/explain.ts` from what stands in the store, and printed by `ctl`: the two
 * brains do not know each other, so the words between them are here. From one look nobody can tell
 * how long a keeper has been silent: `healthy` in the cluster data is the leader's word on that.
 */
import type { LSN } from "#base/lsn.ts"
import type { Millis } from "#base/brand.ts"
import type { ClusterStatus, Switchover } from "./cluster.ts"
import type { DBUID, Epoch, KeeperUID, Nonce, SentinelUID } from "./ids.ts"
import type { Found } from "./info.ts"

export interface Explanation {
  /** Null: nobody is. */
  readonly leader: SentinelUID | null
  /** `silence`: timers only; `evidence`: also what peers saw (D1, D2). */
  readonly detection: "silence" | "evidence"
  /** Null: there is no primary, or the cluster is not initialised. */
  readonly primary: Present | null
  /** Every other keeper with a DB, by uid. */
  readonly candidates: readonly Candidacy[]
  readonly fencing: FencingState
  readonly electable: ElectableState
  /** What was seen, by whom; empty: nothing that speaks against the primary. */
  readonly evidence: readonly Sighting[]
  /** Null: none is under way. */
  readonly switchover: Switchover | null
  /** In the order in which it is waited for; empty: nothing is. */
  readonly waiting: readonly string[]
}

/** The primary by the view. */
export interface Present {
  readonly keeper: KeeperUID
  readonly db: DBUID
  readonly epoch: Epoch
  /**
   * `serving`: the gate is open to it; `opening`: it was elected, clients do not get through yet;
   * `held`: clients wait for a switchover; `revoked`: deposed, and its end is awaited.
   */
  readonly state: "serving" | "opening" | "held" | "revoked"
  /** What speaks against it now; null: nothing. */
  readonly fault: string | null
  /** What its gate waits for; empty while it is open. */
  readonly unready: readonly string[]
  /** What proved the end of the one before; empty: nobody was before it, or a Go leader elected. */
  readonly elected: ClusterStatus["fencedBy"]
}

/** Whether one keeper could be elected if the primary were fenced now. */
export interface Candidacy {
  readonly keeper: KeeperUID
  readonly db: DBUID
  /** Null: it may. */
  readonly why: string | null
  readonly position: LSN
  /** It is in the view's electable set; null: there is none. */
  readonly electable: boolean | null
  /** Its position is final for the revoked primary's epoch (L3). */
  readonly detached: boolean
  /** Whom it has promised to promote nobody; null: no promise stands. */
  readonly promisedTo: KeeperUID | null
}

export interface FencingState {
  /** What the specification says; null: nothing (Go's behaviour, or L6). */
  readonly wanted: boolean | null
  /** The lease that the primary's keeper claims to run under; null: it claims none. */
  readonly lease: Millis | null
  /** Keepers fence themselves, but the specification has lost the setting (L6). */
  readonly dropped: boolean
  /** The primary's keeper has certified its end in this epoch; null: it has not. */
  readonly certificate: { readonly finalLSN: LSN; readonly reason: string } | null
}

/** O3. `off`: the primary cannot prolong its lease when the store is gone. */
export type ElectableState =
  | { readonly kind: "off"; readonly why: string }
  | {
      readonly kind: "on"
      readonly word: Nonce
      readonly keepers: readonly KeeperUID[]
      /** The primary has published this very set. */
      readonly acknowledged: boolean
    }

/** One thing that speaks against the primary, and who says so. */
export type Sighting =
  | { readonly kind: "keeper"; readonly keeper: KeeperUID; readonly says: "stopping" | "failed" }
  | { readonly kind: "certificate"; readonly keeper: KeeperUID; readonly reason: string }
  /** `current`: about the keeper's last word; else it has spoken since, and this is void. */
  | {
      readonly kind: "doors"
      readonly sentinel: SentinelUID
      readonly found: Found
      readonly current: boolean
    }
  | { readonly kind: "stream"; readonly keeper: KeeperUID }
