/**
 * What was measured, as it lies in `.cache/bench/proxy.json`, and the two ways to put the numbers
 * of several rounds together. Pure.
 */
import * as v from "valibot"
import { median } from "../failover/tools.ts"
import { rowIds } from "./table.ts"

const sampleSchema = v.object({
  row: v.picklist(rowIds),
  lane: v.string(),
  run: v.number(),
  /** The machine's load before it was measured. */
  load: v.number(),
  numbers: v.record(v.string(), v.number()),
})

export const resultsSchema = v.object({
  date: v.string(),
  seed: v.number(),
  command: v.string(),
  machine: v.array(v.string()),
  /** All sizes but the number of rounds. */
  scale: v.record(v.string(), v.number()),
  lanes: v.array(v.object({ id: v.string(), title: v.string(), settings: v.string() })),
  samples: v.array(sampleSchema),
  /** What gave no number, and why. */
  failures: v.array(
    v.object({ row: v.picklist(rowIds), lane: v.string(), run: v.number(), why: v.string() }),
  ),
})
export type Results = v.InferOutput<typeof resultsSchema>

/** Which number of which row. */
export interface Cell {
  readonly row: string
  readonly metric: string
}

interface Value {
  readonly run: number
  readonly value: number
}

/** Of each round in which the lane gave it. */
export const valuesOf = (results: Results, lane: string, { row, metric }: Cell): readonly Value[] =>
  results.samples
    .filter((sample) => sample.lane === lane && sample.row === row)
    .flatMap(({ run, numbers }) => {
      const value = numbers[metric]
      return value === undefined ? [] : [{ run, value }]
    })

/**
 * The median of the ratios of the rounds that have both: what the machine did in a round, it did to
 * both. Null where no round has both, or a ratio says nothing.
 */
export function ratioOf(results: Results, lane: string, to: string, cell: Cell): number | null {
  const others = valuesOf(results, to, cell)
  const ratios = valuesOf(results, lane, cell).flatMap(({ run, value }) => {
    const other = others.find((each) => each.run === run)?.value ?? 0
    return other > 0 ? [value / other] : []
  })
  return ratios.length === 0 ? null : median(ratios)
}

export const medianOf = (results: Results, lane: string, cell: Cell): number | null => {
  const all = valuesOf(results, lane, cell).map(({ value }) => value)
  return all.length === 0 ? null : median(all)
}
