/**
 * The real clock. It measures on CLOCK_BOOTTIME, which runs while the machine sleeps and means the
 * same in every process, so that a lease written down by the keeper can be enforced by its
 * guardian. (Bun's own monotonic clocks start with the process.)
 *
 * Timers of the event loop are only alarms: they stand still during a suspend, so nobody may take
 * "the timer fired" for "the time has come"; read `now()` again. Wall time dates log lines and
 * documents and decides nothing.
 */
import { type Millis, millis, type Now, type Time } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"
import { bootMillis } from "./libc.ts"

/** The longest delay that timers take; longer ones would fire at once. */
const timerMax = 2 ** 31 - 1

export const realClock: Clock = {
  now: (): Now => ({ mono: millis(bootMillis()), wall: wallTime(new Date()) }),
  sleep: (ms, signal) => sleep(ms, signal),
  deadline: (ms, signal) => deadline(ms, signal),
}

// RFC 3339 in UTC with milliseconds.
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- wall time is minted here
const wallTime = (date: Date): Time => date.toISOString() as Time

function sleep(ms: Millis, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const end = bootMillis() + ms
    let timer: ReturnType<typeof setTimeout>
    const abort = (): void => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const wait = (): void => {
      const left = end - bootMillis()
      if (left <= 0) {
        signal.removeEventListener("abort", abort)
        return resolve()
      }
      timer = setTimeout(wait, Math.min(Math.ceil(left), timerMax))
    }
    signal.addEventListener("abort", abort, { once: true })
    wait()
  })
}

function deadline(ms: Millis, signal: AbortSignal): AbortSignal {
  if (signal.aborted) return AbortSignal.abort(signal.reason)
  const controller = new AbortController()
  const end = bootMillis() + ms
  let timer: ReturnType<typeof setTimeout>
  const abort = (): void => {
    clearTimeout(timer)
    controller.abort(signal.reason)
  }
  const wait = (): void => {
    const left = end - bootMillis()
    if (left <= 0) {
      signal.removeEventListener("abort", abort)
      controller.abort(new DOMException(`deadline of ${ms} ms passed`, "TimeoutError"))
      return
    }
    timer = setTimeout(wait, Math.min(Math.ceil(left), timerMax))
    // A deadline alone is no reason to keep the process alive.
    timer.unref()
  }
  signal.addEventListener("abort", abort, { once: true })
  wait()
  return controller.signal
}
