/**
 * What the proxy is to reach beside the others, judged by the numbers of a run. Pure; a goal of
 * which a number is missing is judged by nobody.
 */
import { type Cell, type Results, medianOf, ratioOf } from "./results.ts"
import { laneIds } from "./table.ts"

export interface Goal {
  readonly text: string
  /** As on the page. */
  readonly measured: string
  readonly reached: boolean
}

const { haproxy, pgbouncer, ours, oursTwo } = laneIds

interface Wanted {
  readonly cell: Cell
  readonly what: string
  /** The number that is judged; null when it was not measured. */
  readonly of: (results: Results, cell: Cell) => number | null
  readonly words: string
  readonly holds: (number: number) => boolean
  readonly digits: number
}

const toBetter = (results: Results, cell: Cell): number | null => {
  const ratios = [haproxy, pgbouncer].map((lane) => ratioOf(results, ours, lane, cell))
  const known = ratios.filter((ratio) => ratio !== null)
  return known.length < ratios.length ? null : Math.min(...known)
}
const toPeer = (results: Results, cell: Cell): number | null =>
  ratioOf(results, ours, haproxy, cell)

/** Where the machine does not allow as many, the rest is reckoned at the price of those. */
function idleSize(results: Results, cell: Cell): number | null {
  const size = medianOf(results, ours, cell)
  const each = medianOf(results, ours, { ...cell, metric: "each" })
  const missing = idleWanted - (results.scale["idle"] ?? idleWanted)
  return size === null || each === null ? null : size + (Math.max(0, missing) * each) / 1024
}
const idleWanted = 10_000

const atLeast = (least: number): Pick<Wanted, "holds" | "digits"> => ({
  holds: (number) => number >= least,
  digits: 2,
})
const asGoodAsTheBetter = (row: string, what: string, metric = "tps"): Wanted => ({
  ...{ cell: { row, metric }, what, of: toBetter },
  words: "at least the better of HAProxy and PgBouncer",
  ...atLeast(1),
})
const lessThanPeer = (row: string, what: string, metric: string): Wanted => ({
  ...{ cell: { row, metric }, what, of: toPeer, digits: 2 },
  ...(metric === "p99"
    ? { words: "no worse than HAProxy", holds: (ratio) => ratio <= 1 }
    : { words: "below HAProxy", holds: (ratio) => ratio < 1 }),
})

const wanted: readonly Wanted[] = [
  asGoodAsTheBetter("select-1", "select-only, 1 client"),
  asGoodAsTheBetter("select-8", "select-only, 8 clients"),
  asGoodAsTheBetter("select-64", "select-only, 64 clients"),
  asGoodAsTheBetter("tpcb", "TPC-B-like"),
  asGoodAsTheBetter("copy-out", "COPY out", "rate"),
  asGoodAsTheBetter("copy-in", "COPY in", "rate"),
  {
    ...{ cell: { row: "select-256", metric: "tps" }, what: "select-only, 256 clients", of: toPeer },
    ...{ words: "at least 1.1 of HAProxy", ...atLeast(1.1) },
  },
  {
    ...{ cell: { row: "connect", metric: "tps" }, what: "connect per transaction", of: toPeer },
    ...{ words: "above HAProxy", holds: (ratio) => ratio > 1, digits: 2 },
  },
  lessThanPeer("select-8", "p99, 8 clients", "p99"),
  lessThanPeer("select-64", "p99, 64 clients", "p99"),
  lessThanPeer("select-256", "p99, 256 clients", "p99"),
  lessThanPeer("select-8", "CPU per query, 8 clients", "cpu"),
  lessThanPeer("select-64", "CPU per query, 64 clients", "cpu"),
  {
    ...{ cell: { row: "idle", metric: "memory" }, what: "10,000 idle sessions, MB", of: idleSize },
    ...{ words: "at most 120", holds: (size) => size <= 120, digits: 1 },
  },
  {
    ...{ cell: { row: "select-64", metric: "tps" }, what: "2 workers, 64 clients" },
    of: (results, cell) => ratioOf(results, oursTwo, ours, cell),
    ...{ words: "better than 1 where a core is free", holds: (ratio) => ratio > 1, digits: 2 },
  },
]

/** Those of which the numbers are there. */
export const goals = (results: Results): readonly Goal[] =>
  wanted.flatMap(({ cell, what, of, words, holds, digits }) => {
    const number = of(results, cell)
    return number === null
      ? []
      : [{ text: `${what}: ${words}`, measured: number.toFixed(digits), reached: holds(number) }]
  })
