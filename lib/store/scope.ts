/**
 * Bounds: work that must end by itself, by a deadline or with its caller's signal, whichever comes
 * first, and that leaves no timer and no listener behind.
 */
import type { Millis } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"

/**
 * Runs `body` under a signal that aborts after `ms`, when `signal` aborts, and when the body has
 * ended (so what it left running stops too). The body itself must listen to its signal.
 */
export async function within<T>(
  clock: Clock,
  ms: Millis,
  signal: AbortSignal,
  body: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted()
  const scope = new AbortController()
  const release = linked(scope, signal)
  try {
    return await body(clock.deadline(ms, scope.signal))
  } finally {
    release()
    scope.abort(ended)
  }
}

const ended = new DOMException("the work is over", "AbortError")

/** Aborts `controller` when `signal` does; call the result to undo that. */
export function linked(controller: AbortController, signal: AbortSignal): () => void {
  if (signal.aborted) {
    controller.abort(signal.reason)
    return () => {}
  }
  const abort = (): void => controller.abort(signal.reason)
  signal.addEventListener("abort", abort, { once: true })
  return () => signal.removeEventListener("abort", abort)
}

/** Rejects as soon as `signal` aborts, whatever the promise does; its late result is dropped. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      promise.catch(() => {})
      return reject(signal.reason)
    }
    const abort = (): void => reject(signal.reason)
    signal.addEventListener("abort", abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort))
  })
}

/** Resolves when `signal` aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    signal.addEventListener("abort", () => resolve(), { once: true })
  })
}

/** One after the other: a task starts when the one before it has ended, however that went. */
export function queue(): <T>(task: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (task) => {
    const mine = last.then(task, task)
    last = mine.catch(() => {})
    return mine
  }
}

export const message = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)
