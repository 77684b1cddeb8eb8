/** Which copies belong together (reference 5.5). */
import { describe, expect, test } from "bun:test"
import { lsn } from "#base/lsn.ts"
import { type Branch, diverged, hasWalFor } from "#model/timeline.ts"

const branch = (
  timelineID: number,
  position: bigint,
  switches: Readonly<Record<number, bigint>> = {},
): Branch => ({
  timelineID,
  xLogPos: lsn(position),
  timelinesHistory: Object.entries(switches).map(([id, at]) => ({
    timelineID: Number(id),
    switchPoint: lsn(at),
    reason: "",
  })),
})

describe("diverged()", () => {
  const cases: readonly [string, Branch, Branch, boolean][] = [
    ["both on timeline 1", branch(1, 10n), branch(1, 20n), false],
    ["ahead by a timeline", branch(1, 10n), branch(2, 10n), true],
    ["same timeline, same switch", branch(2, 9n, { 1: 5n }), branch(2, 7n, { 1: 5n }), false],
    ["same timeline, another switch", branch(2, 9n, { 1: 5n }), branch(2, 7n, { 1: 6n }), true],
    ["behind, before the switch", branch(2, 9n, { 1: 5n }), branch(1, 4n), false],
    ["behind, exactly at the switch", branch(2, 9n, { 1: 5n }), branch(1, 5n), false],
    ["behind, beyond the switch", branch(2, 9n, { 1: 5n }), branch(1, 6n), true],
    [
      "two behind, the entry is missing (D-26)",
      branch(4, 9n, { 2: 5n, 3: 6n }),
      branch(1, 9n),
      false,
    ],
  ]
  for (const [name, followed, other, expected] of cases)
    test(`is ${expected} for a copy ${name}`, () =>
      expect(diverged(followed, other)).toBe(expected))
})

test("hasWalFor() compares segment names without their timeline", () => {
  expect(hasWalFor("000000020000000000000003", lsn(0x3000000n))).toBe(true)
  expect(hasWalFor("000000010000000000000003", lsn(0x2ffffffn))).toBe(false)
  expect(hasWalFor("000000010000000100000000", lsn(0xffffffffn))).toBe(false)
})
