/**
 * Whether the guardian certifies that PostgreSQL, primary in an epoch, is stopped for good
 * (protocol part 1). Pure.
 *
 * It speaks only for a keeper that is not there, or that let its lease run out: one that lives
 * starts PostgreSQL again within its lease, and certifies by itself what it ends. Once decided the
 * epoch is over here: nothing is started in it any more, so the statement cannot become wrong.
 */

export interface Estate {
  /**
   * Of the last hold by a lease; null: what runs here runs without, or not under a leader of
   * ours.
   */
  readonly epoch: string | null
  /** Something of PostgreSQL is alive, or about to be. */
  readonly running: boolean
  /** A keeper is connected. */
  readonly keeper: boolean
  /** The lease ran out before anybody stopped PostgreSQL. */
  readonly deadline: boolean
  /** Epochs that were certified here. */
  readonly over: ReadonlySet<string>
}

export const testifies = ({ epoch, running, keeper, deadline, over }: Estate): boolean =>
  epoch !== null && !running && (deadline || !keeper) && !over.has(epoch)
