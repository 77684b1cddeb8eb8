/** Which copies belong together (reference 5.5). */
import { describe, expect, test } from "bun:test"
import { lsn } from "#base/lsn.ts"
import { type Branch, diverged, hasWalFor, isComparable } from "#model/timeline.ts"

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

test("D-26 isComparable() is false when the end of a copy's timeline is not reported any more", () => {
  const followed = branch(4, 9n, { 2: 5n, 3: 6n })
  expect([1, 2, 3, 4, 5].map((timeline) => isComparable(followed, branch(timeline, 4n)))).toEqual([
    false,
    true,
    true,
    true,
    true,
  ])
})

test("D-39 hasWalFor() goes by the segment size that the primary reports", () => {
  const mib = 1024 * 1024
  const position = lsn(0x1_1400_0000n) // 320 MiB into the second 4 GiB
  const oldest = (segment: string): string => `0000000100000001${segment}`
  expect(hasWalFor(oldest("00000014"), position)).toBe(true)
  expect(hasWalFor(oldest("00000015"), position)).toBe(false)
  expect(hasWalFor(oldest("00000005"), position, 64 * mib)).toBe(true)
  expect(hasWalFor(oldest("00000006"), position, 64 * mib)).toBe(false)
  expect(hasWalFor(oldest("00000140"), position, mib)).toBe(true)
  expect(hasWalFor(oldest("00000141"), position, mib)).toBe(false)
})
