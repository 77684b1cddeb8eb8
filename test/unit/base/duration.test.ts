/** Go's durations, to the letter (reference 2.4). */
import { describe, expect, test } from "bun:test"
import { formatDuration, parseDuration } from "#base/duration.ts"

const rows: readonly [string, string][] = [
  ["0", "0s"],
  ["-0", "0s"],
  ["5s", "5s"],
  ["90s", "1m30s"],
  ["48h", "48h0m0s"],
  ["1.5h", "1h30m0s"],
  [".5s", "500ms"],
  ["1.s", "1s"],
  ["1.5ms", "1.5ms"],
  ["100us", "100µs"],
  ["100µs", "100µs"],
  ["100μs", "100µs"],
  ["15ns", "15ns"],
  ["30m1h", "1h30m0s"],
  ["1h1h", "2h0m0s"],
  ["1h0.5s", "1h0m0.5s"],
  ["-5s", "-5s"],
  ["0.1ns", "0s"],
  ["2562047h47m16.854775807s", "2562047h47m16.854775807s"],
]
const bad: readonly [string, string][] = [
  ["", 'time: invalid duration ""'],
  ["00", 'time: missing unit in duration "00"'],
  ["0.0", 'time: missing unit in duration "0.0"'],
  ["5", 'time: missing unit in duration "5"'],
  ["5d", 'time: unknown unit "d" in duration "5d"'],
  ["5s ", 'time: unknown unit "s " in duration "5s "'],
  ["5S", 'time: unknown unit "S" in duration "5S"'],
  [".s", 'time: invalid duration ".s"'],
  ["s", 'time: invalid duration "s"'],
  ["2562048h", 'time: invalid duration "2562048h"'],
]
describe("parseDuration() and formatDuration()", () => {
  for (const [text, printed] of rows)
    test(`${text} is ${printed}`, () => expect(formatDuration(parseDuration(text))).toBe(printed))
  for (const [text, message] of bad)
    test(`${JSON.stringify(text)} is refused as Go refuses it`, () =>
      expect(() => parseDuration(text)).toThrow(message))
})
