/**
 * PostgreSQL's process as its keeper sees it: through the guardian, the small process that is its
 * parent (protocol part 1).
 */
import type { Millis } from "#base/brand.ts"

export type StopMode = "fast" | "immediate"

/**
 * What is known of PostgreSQL's processes. A zombie that nobody reaped counts as gone (D-77);
 * `stopped` means that every process of the instance is gone, so a postmaster that left backends
 * behind is still `running`, and `stopping`.
 */
export type Postmaster =
  | { readonly kind: "stopped"; readonly exit: Exit | null }
  | {
      readonly kind: "running"
      readonly pid: number
      readonly dataDir: string
      readonly stopping: boolean
    }

/** How the last postmaster ended, when this guardian saw it end. */
export interface Exit {
  readonly code: number | null
  readonly signal: string | null
  /** True when somebody had asked for the stop (a keeper or the guardian's own deadline). */
  readonly asked: boolean
}

/**
 * What the guardian is to certify when PostgreSQL ends under a lease and no keeper is there
 * (protocol part 1), and how it is published.
 */
export interface Will {
  readonly epoch: string
  readonly dbuid: string
  readonly boot: string
  /** False: nobody could take over; then it only names the epoch in which a start is asked for. */
  readonly certify: boolean
  /** Where the certificate is written. */
  readonly file: string
  /** For `stolon herald`; null: nobody publishes it before the next keeper. */
  readonly herald: {
    /** A keeper's info as text, without the certificate. */
    readonly info: string
    /** Settings of the store, as they are. */
    readonly store: unknown
    readonly ttl: Millis
  } | null
}

export interface Start {
  /** Absolute paths. */
  readonly postgres: string
  readonly dataDir: string
  /** Further arguments after `-D dataDir`. */
  readonly args: readonly string[]
}

/**
 * One guardian per data directory. It outlives a killed keeper until the deadline, so that the next
 * keeper adopts a running PostgreSQL; when nobody has called `hold` for longer than the deadline it
 * stops PostgreSQL and ends.
 */
export interface Supervisor extends AsyncDisposable {
  /**
   * The identity of this run of supervision: the same as long as the guardian lives, new with every
   * new guardian. A lost guardian is replaced by the next call, so this may change between two
   * calls, and a hold given before is then gone with it.
   */
  readonly boot: string
  /** True when `open` found a guardian that was already there. */
  readonly adopted: boolean
  /** When found: until when PostgreSQL may run under a lease; null: it runs under none. */
  readonly leased: Millis | null
  state(signal: AbortSignal): Promise<Postmaster>
  /**
   * Starts the postmaster and resolves once postmaster.pid names it; throws when it exits first,
   * with the tail of its output.
   */
  start(what: Start, signal: AbortSignal): Promise<void>
  /**
   * Stops the postmaster: SIGINT (fast) or SIGQUIT (immediate); after `escalateAfter` SIGQUIT, then
   * SIGKILL to its group. Resolves when it is gone and everything of its group with it.
   */
  stop(mode: StopMode, escalateAfter: Millis, signal: AbortSignal): Promise<void>
  /**
   * "I am here": PostgreSQL may run until `until` on the boot clock (`Now.mono`); the last word
   * counts. At that moment nothing of PostgreSQL is alive: the guardian begins to stop it a little
   * before. A moment and not a span, because a call may be delivered late (the keeper or the
   * guardian was frozen meanwhile) and must not then extend a lease.
   */
  hold(until: Millis, signal: AbortSignal): Promise<void>
  /**
   * As `hold`, by a lease: it is passed on with every start too, so that a guardian that was
   * replaced in between starts nothing beyond it. `hold` takes it back.
   */
  lease(until: Millis, will: Will | null, signal: AbortSignal): Promise<void>
  /**
   * Calls back when PostgreSQL has ended, however it ended, and nothing of it is left. A guardian
   * that is lost reports an exit of which nothing is known, once the PostgreSQL that went with it
   * is gone.
   */
  onExit(callback: (exit: Exit) => void): void
  /** Stops PostgreSQL and ends the guardian. */
  end(escalateAfter: Millis, signal: AbortSignal): Promise<void>
}
