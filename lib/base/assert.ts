/**
 * Assertions are on in production: a broken invariant ends the work in hand before anything is
 * written. They are for what must never be; what may happen is returned or thrown as an ordinary
 * error.
 */
export class AssertionError extends Error {
  override readonly name = "AssertionError"
}

/** Throws when `condition` is false. `what` says which rule was broken and with which values. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new AssertionError(what)
}

/** The value, which by the reasoning at the call site is present. */
export function present<T>(value: T | undefined | null, what: string): T {
  assert(value !== undefined && value !== null, `missing: ${what}`)
  return value
}
