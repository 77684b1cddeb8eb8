/** How long things took, in classes. */
import { expect, test } from "bun:test"

import { addHistogram, bounds, noHistogram, observed } from "#base/histogram.ts"

test("observed() counts in the first class that is long enough, and beyond all in the last", () => {
  const found = [0, 0.5, 0.6, 60_000, 60_001].reduce(observed, noHistogram)
  const counts = new Map(found.counts.map((count, i) => [bounds[i] ?? null, count]))
  expect([0.5, 1, 60_000, null].map((bound) => counts.get(bound))).toEqual([2, 1, 1, 1])
  expect(found.sum).toBeCloseTo(120_002.1)
  expect(noHistogram.counts.every((count) => count === 0)).toBe(true)
})

test("addHistogram() is what one process would have counted", () => {
  const both = [1, 7, 300].reduce(observed, noHistogram)
  const apart = addHistogram(observed(noHistogram, 7), [300, 1].reduce(observed, noHistogram))
  expect(apart).toEqual(both)
})
