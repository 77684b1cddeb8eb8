/** When the guardian speaks for a keeper: every combination, by the rule's own words. */
import { expect, test } from "bun:test"
import { type Estate, testifies } from "#guardian/testify.ts"

const estate: Estate = {
  epoch: "e1",
  running: false,
  keeper: false,
  deadline: false,
  over: new Set(),
}

test("testifies() speaks when PostgreSQL has ended and no keeper is there", () => {
  expect(testifies(estate)).toBe(true)
})

test("testifies() leaves it to a keeper that lives, unless the lease ran out", () => {
  expect(testifies({ ...estate, keeper: true })).toBe(false)
  expect(testifies({ ...estate, keeper: true, deadline: true })).toBe(true)
})

test("testifies() never speaks while anything of PostgreSQL runs, nor without an epoch, nor twice", () => {
  for (const keeper of [true, false])
    for (const deadline of [true, false]) {
      expect(testifies({ ...estate, keeper, deadline, running: true })).toBe(false)
      expect(testifies({ ...estate, keeper, deadline, epoch: null })).toBe(false)
      expect(testifies({ ...estate, keeper, deadline, over: new Set(["e1"]) })).toBe(false)
    }
  expect(testifies({ ...estate, over: new Set(["e0"]) })).toBe(true)
})
