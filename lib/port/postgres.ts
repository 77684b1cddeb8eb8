/**
 * The local PostgreSQL and its files as the keeper's agent sees them. `lib/postgres` implements it
 * with the real thing, the simulator with a model; one script (`test/sim/model.test.ts`) holds the
 * two against each other.
 */
import type { Millis } from "#base/brand.ts"
import type { BootUUID } from "#model/ids.ts"
import type { Local } from "#model/local.ts"
import type { Step } from "#model/step.ts"

export interface Postgres extends AsyncDisposable {
  /** Names this run of supervision: the same when a running PostgreSQL was adopted (G6). */
  readonly boot: BootUUID
  readonly adopted: boolean
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
  /** Calls back when something changed by itself: PostgreSQL ended, a signal file vanished. */
  onChange(callback: () => void): void
  /** Stops PostgreSQL and the guardian: the keeper ends. */
  end(escalateAfter: Millis, signal: AbortSignal): Promise<void>
}

/** PostgreSQL ended while a step waited for it. */
export class EndedError extends Error {
  override readonly name = "EndedError"
}
