/**
 * Brands: strings, numbers and bigints that no function accepts by mistake.
 *
 * A brand exists only in the type system. Values are minted in `lib/model` schemas and in the
 * parsers of this folder, nowhere else; everywhere else a branded value is passed on.
 */
declare const brand: unique symbol
export type Brand<T, Name extends string> = T & { readonly [brand]: Name }

/** A span of time in milliseconds. The only unit of time that travels between modules. */
export type Millis = Brand<number, "Millis">
export const millis = (n: number): Millis => n as Millis

/**
 * An instant as RFC 3339 text with up to nine fractional digits, kept exactly as it was written.
 */
export type Time = Brand<string, "Time">

/**
 * Two clocks, always passed in. `mono` measures (CLOCK_BOOTTIME, it runs while a machine sleeps,
 * and is the same for every process of the machine); `wall` dates and decides nothing.
 */
export interface Now {
  readonly mono: Millis
  readonly wall: Time
}

/** The end of an exhaustive switch: does not compile while a case is missing. */
export const never = (value: never): never => {
  throw new Error(`unreachable: ${String(value)}`)
}
