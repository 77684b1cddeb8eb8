/**
 * Time as agents see it. The real one stands on CLOCK_BOOTTIME (`lib/system/clock.ts`), the
 * simulator's on a virtual clock; an agent that follows this port runs on either without knowing.
 */
import type { Millis, Now } from "#base/brand.ts"

export interface Clock {
  now(): Now
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: Millis, signal: AbortSignal): Promise<void>
  /** A signal that aborts after `ms`. Releases its timer when `signal` aborts. */
  deadline(ms: Millis, signal: AbortSignal): AbortSignal
}

/** Entropy for seeds and names. */
export interface Chance {
  /** A 32-bit seed for `generator()`. */
  seed(): number
  /** Eight hexadecimal digits, Go stolon's form of a UID. */
  uid(): string
  /** A random UUID, version 4. */
  uuid(): string
}
