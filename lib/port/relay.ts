/**
 * The TCP data plane as the proxy's agent sees it: it is told where to send clients, and it obeys
 * before it answers.
 */
import type { Millis } from "#base/brand.ts"

/** Where client sessions go. An address is a host name or an IP literal without brackets. */
export type Route =
  /**
   * Nowhere: clients are accepted and held (`RelayOptions.hold`). What becomes of the sessions:
   * with `drain` null each is cut at once (fencing); otherwise each ends as soon as it is idle, and
   * after `drain` the rest is cut.
   */
  | { readonly kind: "wait"; readonly drain: Millis | null }
  | { readonly kind: "forward"; readonly host: string; readonly port: number }

export interface Relay extends AsyncDisposable {
  /**
   * Opens the listener when it is not open. Throws when the address cannot be listened on.
   */
  listen(): Promise<void>
  /** Closes the listener; sessions stay. */
  unlisten(): Promise<void>
  readonly listening: boolean
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
  stats(): RelayStats
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
  /** Sessions ended by `apply`: because they were idle, and by force. */
  readonly drained: number
  readonly cut: number
}

export interface RelayOptions {
  readonly host: string
  readonly port: number
  /** Bound for connecting to the destination. */
  readonly dialTimeout: Millis
  /** Keepalive of accepted sockets, always on; seconds and probes, 0 leaves the system's value. */
  readonly keepalive: { readonly idle: number; readonly interval: number; readonly count: number }
  /**
   * How long a client that finds no destination waits for one, and how many may. Timeout 0: none
   * waits and none is told why, the way of Go's proxy.
   */
  readonly hold: { readonly timeout: Millis; readonly max: number }
}
