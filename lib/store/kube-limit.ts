/**
 * How many requests a process may send to the API server, which others need too. A bucket of
 * tokens: short bursts pass at once, a loop that runs wild is slowed down here and not over there.
 * What the leadership depends on never waits, but counts.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"

/** Resolves when a request may be sent. */
export type Limit = (urgent: boolean, signal: AbortSignal) => Promise<void>

interface Rate {
  readonly perSecond: number
  readonly burst: number
}
/** Requests a second in the long run, and at once. */
export const rate: Rate = { perSecond: 40, burst: 100 }

export function limit(clock: Clock, { perSecond, burst }: Rate = rate): Limit {
  let tokens = burst
  let counted: Millis = clock.now().mono
  return async (urgent, signal) => {
    const now = clock.now().mono
    tokens = Math.min(burst, tokens + ((now - counted) / 1000) * perSecond)
    counted = now
    tokens -= 1 // what is owed keeps the order of those who wait
    if (urgent || tokens >= 0) return
    try {
      await clock.sleep(millis(Math.ceil((-tokens / perSecond) * 1000)), signal)
    } catch (error) {
      tokens += 1
      throw error
    }
  }
}
