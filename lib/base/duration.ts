/**
 * Go's durations: a 64-bit number of nanoseconds, written as `1h2m3.5s` (reference 2.4).
 *
 * Parsing and printing follow Go's time package to the letter, because both sides of a mixed
 * cluster rewrite each other's documents. Texts of errors are Go's too; scripts match on them.
 */
import { type Brand, type Millis, millis } from "./brand.ts"
import { goQuoteBytes } from "./text.ts"

/**
 * A span of time in nanoseconds, exact. Specifications hold these; code that waits uses `Millis`.
 */
export type Duration = Brand<bigint, "Duration">

const nanos = (n: bigint): Duration => n as Duration
const units: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n, // U+00B5
  μs: 1_000n, // U+03BC
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
}
const longest = (1n << 63n) - 1n

export const duration = (ms: number): Duration => nanos(BigInt(Math.round(ms * 1e6)))
export const toMillis = (d: Duration): Millis => millis(Number(d) / 1e6)

export class DurationError extends Error {
  override readonly name = "DurationError"
}

/** Parses Go syntax; throws `DurationError` with Go's text. */
export function parseDuration(text: string): Duration {
  const invalid = (): DurationError =>
    new DurationError(`time: invalid duration ${goQuoteBytes(text)}`)
  const sign = /^[+-]/.exec(text)?.[0] ?? ""
  let rest = text.slice(sign.length)
  if (rest === "0") return nanos(0n)
  if (rest === "") throw invalid()
  let total = 0n
  while (rest !== "") {
    const number = /^(\d*)(?:\.(\d*))?/.exec(rest)
    const whole = number?.[1] ?? ""
    const fraction = number?.[2] ?? ""
    if (whole === "" && fraction === "") throw invalid()
    rest = rest.slice(number?.[0].length ?? 0)
    const unit = /^[^\d.]+/.exec(rest)?.[0]
    if (unit === undefined)
      throw new DurationError(`time: missing unit in duration ${goQuoteBytes(text)}`)
    const scale = Object.hasOwn(units, unit) ? units[unit] : undefined
    if (scale === undefined)
      throw new DurationError(
        `time: unknown unit ${goQuoteBytes(unit)} in duration ${goQuoteBytes(text)}`,
      )
    rest = rest.slice(unit.length)
    total += BigInt(whole === "" ? "0" : whole) * scale
    if (fraction !== "") total += (BigInt(fraction) * scale) / 10n ** BigInt(fraction.length)
    if (total > longest + (sign === "-" ? 1n : 0n)) throw invalid()
  }
  return nanos(sign === "-" ? -total : total)
}

/** Prints as Go does: `0s`, `1.5ms`, `1m30s`, `48h0m0s`. */
export function formatDuration(d: Duration): string {
  if (d === 0n) return "0s"
  const sign = d < 0n ? "-" : ""
  const n: bigint = d < 0n ? -d : d
  if (n < 1_000n) return `${sign}${n}ns`
  if (n < 1_000_000n) return `${sign}${decimal(n, 3)}µs`
  if (n < 1_000_000_000n) return `${sign}${decimal(n, 6)}ms`
  const minute = 60_000_000_000n
  const hours = n / (60n * minute)
  const minutes = (n / minute) % 60n
  const seconds = decimal(n % minute, 9)
  const head = hours > 0n ? `${hours}h${minutes}m` : minutes > 0n ? `${minutes}m` : ""
  return `${sign}${head}${seconds}s`
}

function decimal(n: bigint, digits: number): string {
  const scale = 10n ** BigInt(digits)
  const fraction = (n % scale).toString().padStart(digits, "0").replace(/0+$/, "")
  return fraction === "" ? `${n / scale}` : `${n / scale}.${fraction}`
}
