/**
 * The local PostgreSQL and its files as the keeper's agent sees them. `lib/postgres` implements it
 * with the real thing, the simulator with a model; one script (`test/sim/model.test.ts`) holds the
 * two against each other.
 */
import type { Millis } from "#base/brand.ts"
import type { BootUUID, DBUID, Epoch } from "#model/ids.ts"
import type { KeeperInfo } from "#model/info.ts"
import type { Local, PromiseMade } from "#model/local.ts"
import type { Step } from "#model/step.ts"

/**
 * What the guardian says in the keeper's stead when PostgreSQL ends under a lease and no keeper is
 * there: that it is stopped for good in this epoch. `info` is what is published then, with the
 * certificate put in.
 */
export interface Testament {
  readonly epoch: Epoch
  readonly db: DBUID
  /** False: it serves nobody, and the epoch is only named, for the starts in it. */
  readonly certify: boolean
  readonly info: KeeperInfo
  readonly ttl: Millis
}

export interface Postgres extends AsyncDisposable {
  /** Names this run of supervision: the same when a running PostgreSQL was adopted (G6). */
  readonly boot: BootUUID
  readonly adopted: boolean
  /** Found running under a lease that ends then; null: under none. */
  readonly leased: Millis | null
  observe(signal: AbortSignal): Promise<Local>
  /**
   * Carries one step out. `progress` hears how far a long one is. Throws when it failed; it may
   * then be half done.
   */
  run(step: Step, progress: (text: string) => void, signal: AbortSignal): Promise<void>
  /**
   * "The keeper is here": PostgreSQL may run until `until` on the boot clock (protocol part 1). A
   * moment, as in `Supervisor.hold`: a call that is delivered late must not extend anything.
   */
  hold(until: Millis, signal: AbortSignal): Promise<void>
  /**
   * The same, for a PostgreSQL that takes writes (L1): a lease, and what is to be said when nobody
   * is there at its end. `hold` takes both back.
   */
  lease(until: Millis, testament: Testament | null, signal: AbortSignal): Promise<void>
  /** Writes down a promise (O2), or that none binds any more; on disk when it resolves. */
  promise(made: PromiseMade | null, signal: AbortSignal): Promise<void>
  /** Calls back when something changed by itself: PostgreSQL ended, a signal file vanished. */
  onChange(callback: () => void): void
  /** Stops PostgreSQL and the guardian: the keeper ends. */
  end(escalateAfter: Millis, signal: AbortSignal): Promise<void>
}

/** PostgreSQL ended while a step waited for it. */
export class EndedError extends Error {
  override readonly name = "EndedError"
}
