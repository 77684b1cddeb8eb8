/**
 * The time until which clients may be led. Whoever passes bytes on asks first: this process may
 * have been suspended since it knew where they belong. A timer, which stands still in a suspend,
 * ends the sessions on which nothing comes.
 */
import type { Millis } from "#base/brand.ts"
import { bootMillis } from "#system/libc.ts"

import type { Shared } from "./session.ts"

export const isLate = ({ until }: Pick<Shared, "until">): boolean => bootMillis() >= until

/** The longest delay that timers take. */
const timerMax = 2 ** 31 - 1

export interface Deadline {
  /** Until when, by the boot clock. */
  allow(until: Millis): void
  forget(): void
}

/** @param release Leads those that wait. */
export function newDeadline(shared: Shared, release: () => void): Deadline {
  let timer: ReturnType<typeof setTimeout> | null = null
  const forget = (): void => {
    if (timer !== null) clearTimeout(timer)
    timer = null
  }
  const watch = (): void => {
    forget()
    if (isLate(shared)) return shared.overdue()
    const left = shared.until - bootMillis()
    if (Number.isFinite(left)) timer = setTimeout(watch, Math.min(Math.ceil(left), timerMax))
  }
  const allow = (until: Millis): void => {
    shared.until = until
    watch()
    if (!isLate(shared)) release()
  }
  return { allow, forget }
}
