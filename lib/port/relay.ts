/**
 * The TCP data plane as the proxy's agent sees it: it is told where to send clients, and it obeys
 * before it answers. One listener leads to the primary, one may lead reads to standbys.
 */
import type { Millis } from "#base/brand.ts"
import type { Histogram } from "#base/histogram.ts"

/** A server: a host name or an IP literal without brackets, and a port. */
export interface Destination {
  readonly host: string
  readonly port: number
}

/** Where client sessions go. */
export type Route =
  /**
   * Nowhere: clients are accepted and held (`RelayOptions.hold`). What becomes of the sessions:
   * with `drain` null each is cut at once (fencing); otherwise each ends as soon as it is idle, and
   * after `drain` the rest is cut.
   */
  | { readonly kind: "wait"; readonly drain: Millis | null }
  | ({ readonly kind: "forward" } & Destination)

/** Where sessions that only read go. */
export interface Spread {
  /** Groups of equals, the best first; a later one serves when nobody of the first answers. */
  readonly to: readonly (readonly Destination[])[]
  /** Nobody new is led there, and sessions there end as they become idle. */
  readonly leaving: readonly Destination[]
}

/** A listener and its clients. */
export interface Listening extends AsyncDisposable {
  /**
   * Opens the listener when it is not open. Throws when the address cannot be listened on.
   */
  listen(): Promise<void>
  /** Closes the listener; sessions stay. */
  unlisten(): Promise<void>
  readonly listening: boolean
  /**
   * Clients may be led until then, by the clock that every process of the machine shares; until the
   * first call for ever. Past it no byte of a client is passed on, whoever has been suspended
   * meanwhile, and new clients wait as without a destination; a later call goes on with what is in
   * force.
   */
  allow(until: Millis): void
  stats(): RelayStats
}

/** The listener that leads to the primary. */
export interface Relay extends Listening {
  /**
   * Makes `route` the only one. When it resolves, no session to another destination is left (both
   * sockets closed, pending dials cancelled), so that an acknowledgement published after it is true
   * (rule G9). The same route is no change.
   *
   * A drain resolves when the last session has ended or been cut. A later `apply` overtakes it: it
   * resolves at once with `overtaken`, whatever is left, and nothing may be concluded from it. A
   * forward to the destination that is being drained is the switchover given up: the sessions that
   * still live go on untouched.
   */
  apply(route: Route): Promise<Applied>
}

/** The listener that leads to standbys. */
export interface Readers extends Listening {
  /**
   * Makes `spread` the only one. When it resolves, no session to a destination that it does not
   * name is left (both sockets closed, pending dials cancelled). It waits for no session: those
   * that are leaving end by themselves, or with the spread that names their destination no more.
   */
  apply(spread: Spread): Promise<void>
}

/** `done`: the route is in force, with all that `apply` promises. */
export type Applied = "done" | "overtaken"

export interface RelayStats {
  /** Clients now led to a destination, and since the start accepted at all. */
  readonly sessions: number
  readonly accepted: number
  /** Closed at once: nowhere to lead them, and no room to hold them. */
  readonly refused: number
  readonly dialErrors: number
  readonly bytesIn: number
  readonly bytesOut: number
  /** Clients now waiting for a destination, and those that ever did. */
  readonly held: number
  readonly heldTotal: number
  /** Held until the timeout, in vain. */
  readonly holdTimeouts: number
  /** Sessions ended because they were idle and had to leave. */
  readonly drained: number
  /** Sessions ended by force, and the same by cause. */
  readonly cut: number
  readonly cutBy: Readonly<Record<CutCause, number>>
  /** How long a connect to a destination took, of those that succeeded. */
  readonly dials: Histogram
  /** How long clients waited for a destination, those that waited in vain included. */
  readonly holds: Histogram
}

/**
 * `led-away`: the destination is none any more. `bound`: they were busy for longer than a drain may
 * take. `overdue`: the time until which clients may be led was over. `worker`: its process ended.
 */
export const cutCauses = ["led-away", "bound", "overdue", "worker"] as const
export type CutCause = (typeof cutCauses)[number]

export interface RelayOptions {
  readonly host: string
  readonly port: number
  /** Bound for connecting to the destination. */
  readonly dialTimeout: Millis
  /** Keepalive of accepted sockets, always on; seconds and probes, 0 leaves the system's value. */
  readonly keepalive: { readonly idle: number; readonly interval: number; readonly count: number }
  /**
   * How long either side may leave bytes unacknowledged before its connection is given up; 0: as
   * long as the system retransmits.
   */
  readonly userTimeout?: Millis
  /**
   * How long a client that finds no destination waits for one, and how many may. Timeout 0: none
   * waits and none is told why, the way of Go's proxy.
   */
  readonly hold: { readonly timeout: Millis; readonly max: number }
  /** How many clients there may be, those that wait included; 0: as many as there is room for. */
  readonly max: number
  /** A load balancer says first from where each client comes (PROXY protocol). */
  readonly prefaced: boolean
}
