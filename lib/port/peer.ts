/**
 * What keepers, sentinels and proxies say to each other past the store (protocol parts 4, 5 and 8).
 *
 * Only the answer to `promise` binds anybody, so only it is signed, with a key that keepers alone
 * have. The rest are questions and hints: whoever forges them gains nothing but a look too many.
 * Every call ends within its signal; nobody answers for another cluster.
 */
import type { Millis } from "#base/brand.ts"
import type { ClusterUID, DBUID, Epoch, KeeperUID } from "#model/ids.ts"

/** O1: "promote nobody for `width`." */
export interface PromiseQuestion {
  readonly cluster: ClusterUID
  readonly epoch: Epoch
  readonly db: DBUID
  readonly asker: KeeperUID
  /** Who is meant: an address may have been taken over by another keeper of the same cluster. */
  readonly asked: KeeperUID
  readonly width: Millis
}
export type PromiseAnswer =
  | { readonly kind: "promised" }
  | { readonly kind: "declined"; readonly why: string }

/** O4: how long the primary of this keeper may go on, counted from the answer. */
export interface LeaseAnswer {
  readonly cluster: ClusterUID
  readonly keeper: KeeperUID
  /** Null: no primary under a lease runs here. */
  readonly lease: {
    readonly db: DBUID
    readonly epoch: Epoch
    readonly remaining: Millis
  } | null
  /**
   * The PostgreSQL beside this keeper, as it was at its last look; null: none that takes clients.
   * Absent from keepers of an older version.
   */
  readonly serves?:
    | { readonly db: DBUID; readonly systemID: string; readonly recovering: boolean }
    | null
    | undefined
}

/** What is behind an address. `silent`: no answer within the bound. */
export type Door = "open" | "refused" | "silent"

/** The asking side; addresses are host:port as published in `peerAddress`. */
export interface Peers {
  /** False: without a replication password nothing can be signed, and nobody promises. */
  readonly signs: boolean
  /** Throws when there is no answer, or one that is not signed with our key for this question. */
  promise(address: string, question: PromiseQuestion, signal: AbortSignal): Promise<PromiseAnswer>
  /** Throws when there is no answer. */
  lease(address: string, signal: AbortSignal): Promise<LeaseAnswer>
  /** "Look and publish now": a hint that may be lost; never throws. */
  nudge(address: string, signal: AbortSignal): Promise<void>
  /** One attempt to connect, to any TCP address. Never throws but for `signal`. */
  knock(address: string, bound: Millis, signal: AbortSignal): Promise<Door>
  /**
   * Holds a connection open and resolves when the other side closes it, or when none could be had:
   * the quickest sign that a process has ended. Rejects when `signal` aborts. Resolves `open` when
   * the door is open all the same (a new process, a connection that was cut): pause, listen again.
   */
  listen(address: string, signal: AbortSignal): Promise<Door>
}

/** The answering side. What is missing is answered with "not here". */
export interface PeerHandlers {
  /** Promises to another cluster are not even looked at; empty while it is not known. */
  cluster?(): ClusterUID | ""
  promise?(question: PromiseQuestion): Promise<PromiseAnswer>
  lease?(): LeaseAnswer
  nudge?(): void
}

export interface PeerEndpoint extends AsyncDisposable {
  /** host:port to publish; empty when there is no endpoint. */
  readonly address: string
  /** Until called, every question is answered with "not ready". */
  answer(handlers: PeerHandlers): void
}
