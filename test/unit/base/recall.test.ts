/** What a memory of pure results must never do: answer for other inputs than it was asked with. */
import { expect, test } from "bun:test"
import { recall } from "#base/recall.ts"

test("recall() makes a result once for the same inputs", () => {
  const remembered = recall<number>(2)
  const anchor = {}
  let made = 0
  const ask = (...inputs: readonly unknown[]): number => remembered(anchor, inputs, () => ++made)
  expect([ask("a", 1), ask("a", 1), ask("a", 1)]).toEqual([1, 1, 1])
})

test("recall() tells inputs apart by identity, by place and by number", () => {
  const remembered = recall<number>(8)
  const anchor = {}
  let made = 0
  const ask = (on: object, ...inputs: readonly unknown[]): number =>
    remembered(on, inputs, () => ++made)
  const different = [
    ["a"],
    ["a", undefined],
    [undefined, "a"],
    [{}],
    [{}],
    [null],
    [0],
    [Number.NaN],
  ]
  expect(different.map((inputs) => ask(anchor, ...inputs))).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  expect(ask({}, "a")).toBe(9)
})

test("recall() forgets the oldest when there are more than it keeps", () => {
  const remembered = recall<number>(2)
  const anchor = {}
  let made = 0
  const ask = (input: string): number => remembered(anchor, [input], () => ++made)
  expect([ask("a"), ask("b"), ask("c"), ask("b"), ask("a")]).toEqual([1, 2, 3, 2, 4])
})
