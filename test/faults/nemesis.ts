/**
 * The table of faults. Each row says what it does, how it ends, what it may cost an asynchronous
 * cluster, and how long writes may stop; the reason stands with the number. Bounds are those of a
 * busy machine with two cores: they catch a step that is missing or waits for a timer that is not
 * its own, the benchmark measures how fast it really is.
 */
import type { Random } from "#base/random.ts"
import type { Lab } from "./lab.ts"
import type { Machine } from "./machine.ts"
import type { Row } from "./matrix.ts"

export interface Scene {
  readonly lab: Lab
  readonly random: Random
  readonly row: Row
  readonly primary: Machine
  /** Synchronous ones first: they are the harder case. Otherwise in an order drawn by chance. */
  readonly standbys: readonly Machine[]
}

export interface Strike {
  readonly nodes: readonly Machine[]
  /** Nodes whose proxy cannot serve as long as it lasts. */
  readonly proxiesOut: readonly Machine[]
  readonly holdMs: number
  readonly note: string
  /** No transaction may fail for it. */
  readonly smooth?: boolean
  heal(): Promise<void>
}

export interface Nemesis {
  readonly name: string
  /** What it may cost an asynchronous cluster: of the primary that it strikes, or of any node. */
  readonly loses: "nothing" | "unsent" | "unsent anywhere"
  readonly thaws: boolean
  /** Longest gap allowed, in seconds; null when none is promised. */
  readonly bound: (row: Row) => number | null
  readonly why: string
  /** It takes the node's etcd member along: a node that leads the store costs an election of it. */
  readonly store?: boolean
  /** Only rows that name it run it. */
  readonly named?: boolean
  strike(scene: Scene): Promise<Strike>
}

/** What most of them are like. */
export const base = { loses: "nothing", thaws: false } as const

export const standbyOf = ({ primary, standbys: [first = primary] }: Scene): Machine => first

export const nothing = async (): Promise<void> => {}

/** A strike on one node; its own proxy is out when `out`. */
export const on = (
  machine: Machine,
  holdMs: number,
  heal: () => Promise<void> | void = nothing,
  out = false,
): Strike => ({
  nodes: [machine],
  proxiesOut: out ? [machine] : [],
  holdMs,
  note: `node ${machine.node}`,
  heal: async () => await heal(),
})

/** Longer than any lease and failInterval of the rows that use it. */
export const longMs = 8_000
/** A node is silent: long enough that the others have to go on without it, elections and all. */
export const silentMs = 12_000
/** A kill is over at once; the time until everybody has noticed. */
export const shortMs = 3_000

/** Where the leading etcd member goes along, a lease may run out before another one leads. */
export const boundOf = (
  { bound, store = false }: Nemesis,
  row: Row,
  ledStore: boolean,
): number | null => {
  const seconds = bound(row)
  return seconds === null || !store || !ledStore ? seconds : Math.max(seconds, failover())
}

export const any = (): number => 3
export const failover = (): number => 11
/** A standby fails: only who waits for it notices, until the leader has taken it off the list. */
export const standbyLost = (row: Row): number => (row.synchronousStandbys > 0 ? 9 : 3)
