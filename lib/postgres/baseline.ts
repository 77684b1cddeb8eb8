/**
 * When the word "sync" may be believed. PostgreSQL calls a standby synchronous from the moment its
 * name is on the list and its link streams, however far behind it is: commits that were
 * acknowledged before the name counted may be missing there. So a standby is reported in sync only
 * once it has flushed everything that the primary had flushed when the list was in force (P2).
 *
 * What was acknowledged before lies at or below that position; what comes after waits for the
 * standby. A list or a postmaster that is seen for the first time starts anew, and so does a proof
 * (`prove.ts`): before it, a commit may still have gone by the old list.
 */
import type { LSN } from "#base/lsn.ts"

export interface Baseline {
  /**
   * The position to have flushed, under this list and postmaster; `flushed` is the primary's now.
   */
  of(list: string, flushed: LSN): LSN
  /** From the next look on it counts anew. */
  renew(): void
}

export function newBaseline(): Baseline {
  let known: { readonly list: string; readonly from: LSN } | null = null
  return {
    of(list, flushed) {
      if (known?.list !== list) known = { list, from: flushed }
      return known.from
    },
    renew() {
      known = null
    },
  }
}
