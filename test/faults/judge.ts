/**
 * The words that all checkers share: what a row of the matrix promises, what a finding is, and
 * which answers count as acknowledgements. Pure, like every checker: histories in, findings out.
 */
import type { Fault, Lists, Operation } from "./history.ts"

export interface Promises {
  /** No acknowledged append is ever lost (P2). */
  readonly synchronous: boolean
  /**
   * Whose acknowledgements may not come from two nodes at a time (P1): everybody's with
   * self-fencing, without it those that came through a proxy.
   */
  readonly writers: "any" | "proxied"
}

/** Everything that a run left behind. */
export interface Evidence {
  readonly promises: Promises
  readonly history: readonly Operation[]
  /** Null when nobody could tell: then what is durable cannot be judged. */
  readonly final: Lists | null
  readonly faults: readonly Fault[]
}

/** With a final state. */
export type Read = Evidence & { readonly final: Lists }

export type Rule =
  | "lost"
  | "duplicate"
  | "phantom"
  | "order"
  | "two writers"
  | "cycle"
  | "gap"
  | "aborted"
  | "not whole"

export interface Finding {
  readonly rule: Rule
  readonly text: string
}

/** Committed, and so that it counts: not after a cancelled wait for the standby (N2). */
export const isAcknowledged = ({ outcome, cancelled }: Operation): boolean =>
  outcome === "ok" && !cancelled

export const isWrite = ({ actions }: Operation): boolean =>
  actions.some(({ kind }) => kind === "append")

/** Whether the row promises anything about this answer. */
export const isCovered = ({ via }: Operation, { writers }: Promises): boolean =>
  writers === "any" || via === "proxy"

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`

/** For people: who, where, when. */
export const describe = (it: Operation): string =>
  `${it.client} at ${it.server ?? "?"} timeline ${it.timeline ?? "?"}, ` +
  `${it.level}, sent ${seconds(it.sent ?? it.start)}, answered ${seconds(it.end)}`
