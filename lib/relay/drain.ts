/**
 * One drain at a time: it ends when the last session has, at its bound, or because something newer
 * was asked for, and whoever waits for it is told which.
 *
 * Its promise never hangs and never fails.
 */
import type { Millis } from "#base/brand.ts"
import type { Applied } from "#port/relay.ts"

export interface Drain {
  /** Null while there is none. */
  readonly settled: Promise<Applied> | null
  /** Begins one; `force` is called at the bound and ends whatever is left. */
  begin(bound: Millis, force: () => void): Promise<Applied>
  end(how: Applied): void
}

export function newDrain(): Drain {
  let present: {
    readonly settled: Promise<Applied>
    readonly settle: (how: Applied) => void
    readonly timer: ReturnType<typeof setTimeout>
  } | null = null
  return {
    get settled() {
      return present === null ? null : present.settled
    },
    begin(bound, force) {
      const { promise, resolve } = Promise.withResolvers<Applied>()
      present = { settled: promise, settle: resolve, timer: setTimeout(force, bound) }
      return promise
    },
    end(how) {
      if (present === null) return
      clearTimeout(present.timer)
      present.settle(how)
      present = null
    },
  }
}
