/**
 * The TCP data plane as the proxy's agent sees it: it is told where to send clients, and it obeys
 * before it answers.
 */
import type { Millis } from "#base/brand.ts"

/** Where client sessions go. An address is a host name or an IP literal without brackets. */
export type Route =
  | { readonly kind: "closed" } // accept and close at once, every session cut
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
   * Makes `route` the only one. When it resolves, every session to another destination is cut
   * (both sockets closed, pending dials cancelled), so that an acknowledgement published after it
   * is true (rule G9). The same destination is no change.
   */
  apply(route: Route): Promise<void>
  /** Sessions now open, bytes and sessions since start. */
  stats(): RelayStats
}

export interface RelayStats {
  readonly sessions: number
  readonly accepted: number
  readonly refused: number
  readonly dialErrors: number
  readonly bytesIn: number
  readonly bytesOut: number
}

export interface RelayOptions {
  readonly host: string
  readonly port: number
  /** Bound for connecting to the destination. */
  readonly dialTimeout: Millis
  /** Keepalive of accepted sockets, always on; seconds and probes, 0 leaves the system's value. */
  readonly keepalive: { readonly idle: number; readonly interval: number; readonly count: number }
}
