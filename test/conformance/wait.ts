/**
 * Waiting in tests: for a condition, with a deadline, never for a length of time.
 */
import { setTimeout as pause } from "node:timers/promises"

/**
 * Asks `probe` again and again until it gives something truthy; throws after `ms` with what was
 * waited for.
 */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  ms = 10_000,
): Promise<NonNullable<T>> {
  const end = performance.now() + ms
  let last: unknown
  for (;;) {
    try {
      const found = await probe()
      if (found !== undefined && found !== null && found !== false) return found
      last = found
    } catch (error) {
      last = error
    }
    if (performance.now() > end)
      throw new Error(`waited ${ms} ms for ${what}; last: ${String(last)}`)
    await pause(10)
  }
}

/** Runs `work` and tells how many milliseconds it took, however it ended. */
export async function timed<T>(
  work: () => Promise<T>,
): Promise<{ readonly ms: number; readonly value: T | null; readonly error: unknown }> {
  const start = performance.now()
  try {
    const value = await work()
    return { ms: performance.now() - start, value, error: null }
  } catch (error) {
    return { ms: performance.now() - start, value: null, error }
  }
}
