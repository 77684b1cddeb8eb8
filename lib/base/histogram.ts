/**
 * How often something took how long: counts in fixed classes, as Prometheus adds them up. Plain
 * values, so that those of several processes are one by addition.
 */
import type { Millis } from "./brand.ts"

export interface Histogram {
  /** One for each class of `bounds`, and the last for what took longer. */
  readonly counts: readonly number[]
  /** Of all, in milliseconds. */
  readonly sum: number
}

/** Upper ends of the classes, in milliseconds: from a loopback's connect to a hold's end. */
export const bounds: readonly number[] = [
  0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000,
]

export const noHistogram: Histogram = { counts: [...bounds.map(() => 0), 0], sum: 0 }

export const addHistogram = (a: Histogram, b: Histogram): Histogram => ({
  counts: a.counts.map((count, i) => count + (b.counts[i] ?? 0)),
  sum: a.sum + b.sum,
})

export const observed = (before: Histogram, took: Millis | number): Histogram => {
  const found = bounds.findIndex((bound) => took <= bound)
  const at = found === -1 ? bounds.length : found
  return {
    counts: before.counts.map((count, i) => (i === at ? count + 1 : count)),
    sum: before.sum + took,
  }
}
