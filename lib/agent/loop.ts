/**
 * What the loops share: a bell that wakes them, and the one place where a round's trouble is
 * caught.
 *
 * A loop sleeps until its interval is over or the bell rings (a store watch, a process that ended).
 * The bell remembers a ring that came while the loop was busy, so nothing is slept over.
 */
import type { Millis } from "#base/brand.ts"
import { type EventField, event } from "#model/events.ts"
import type { Clock } from "#port/clock.ts"
import type { Log } from "#port/log.ts"

export interface Bell {
  ring(): void
  /**
   * Resolves at the next ring (or at once when it rang since the last wait), at the latest after
   * `ms`.
   */
  wait(clock: Clock, ms: Millis, signal: AbortSignal): Promise<void>
}

/** Nobody sees it; made once, because an error notes where it was made. */
const rang = new Error("the bell rang")

export function bell(): Bell {
  let rung = false
  let wake: (() => void) | null = null
  return {
    ring() {
      rung = true
      wake?.()
    },
    async wait(clock, ms, signal) {
      if (!rung) {
        const awake = new AbortController()
        // every loop comes by here all the time: a listener is much cheaper than AbortSignal.any
        const end = (): void => awake.abort(rang)
        wake = end
        signal.addEventListener("abort", end, { once: true })
        try {
          await clock.sleep(ms, signal.aborted ? signal : awake.signal)
        } catch (error) {
          if (signal.aborted) throw error
        } finally {
          wake = null
          signal.removeEventListener("abort", end)
        }
      }
      rung = false
      signal.throwIfAborted()
    },
  }
}

/**
 * Runs `round` again and again until `signal` aborts; then resolves. A round that throws is
 * reported as one event and followed by the next after its pause: the loop itself never ends by an
 * error.
 */
export async function forever(
  round: () => Promise<void>,
  pause: () => Promise<void>,
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await round()
    } catch (error) {
      if (signal.aborted) return
      report(log, error)
    }
    try {
      await pause()
    } catch {
      if (signal.aborted) return
    }
  }
}

/**
 * Store trouble is expected and has its own code; everything else is a surprise and says where it
 * came from.
 */
function report(log: Log, error: unknown): void {
  const fields: Record<string, EventField> = {
    error: error instanceof Error ? error.message : String(error),
  }
  if (error instanceof Error && error.name === "StoreError")
    return log.event(event("store.failed", fields))
  if (error instanceof Error && error.stack !== undefined)
    fields["at"] = error.stack.split("\n")[1]?.trim() ?? ""
  log.event(event("agent.failed", fields))
}

/** Resolves when `signal` aborts. */
export const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener("abort", () => resolve(), { once: true })
  })
