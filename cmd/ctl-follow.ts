/**
 * Waiting for what was asked for: looks at the cluster at every change of the store, and now and
 * then without one, prints each new line with the time that has passed, and ends with the outcome.
 * A store that does not answer for a while is no reason to give up before the timeout.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { Flags } from "#cli/flag.ts"
import type { Found } from "#ctl/status.ts"
import { type Store, StoreError } from "#port/store.ts"
import { realClock } from "#system/clock.ts"
import { Failure, type Session } from "./ctl-session.ts"
import { print } from "./front.ts"

/** What one look says. */
export type Seen<T> =
  | { readonly kind: "waiting"; readonly line: string }
  | { readonly kind: "done"; readonly value: T; readonly line: string }
  | { readonly kind: "failed"; readonly message: string }

/** Everything about the cluster, in one reading each. */
export async function lookAt(store: Store, signal: AbortSignal): Promise<Found> {
  const [leader, infos] = await Promise.all([store.leader(signal), store.infos(signal)])
  const reading = await store.read(signal)
  return { leader, infos, data: reading.kind === "found" ? reading.data : null }
}

/** Time since a moment, for people. */
export const since = (from: Millis): string =>
  `${((realClock.now().mono - from) / 1000).toFixed(1)} s`

const glance = millis(1000)

/**
 * @param judge May remember what it saw; it is asked once for every look.
 * @param late What a timeout means, after "not finished after …".
 */
export async function follow<F extends Flags, T>(
  it: Session<F>,
  timeout: Millis,
  judge: (found: Found) => Seen<T>,
  late: string,
): Promise<T> {
  const store = await it.store()
  const started = realClock.now().mono
  const done = new AbortController()
  const end = AbortSignal.any([it.signal, done.signal, realClock.deadline(timeout, done.signal)])
  const wake = alarm()
  // only a wake-up: when it fails, the glances remain
  const watching = store.watch("everything", wake.ring, end).catch(() => {})
  let line = ""
  try {
    while (!end.aborted) {
      const found = await look(store, end)
      const seen = found === null ? null : judge(found)
      if (seen?.kind === "failed") throw new Failure(seen.message)
      if (seen !== null && seen.line !== line) {
        line = seen.line
        if (line !== "") await print(`${since(started)}  ${line}\n`)
      }
      if (seen?.kind === "done") return seen.value
      await wake.wait(end)
    }
  } finally {
    done.abort()
    await watching
  }
  throw new Failure(`not finished after ${since(started)}: ${line || "nothing was seen"}; ${late}`)
}

async function look(store: Store, signal: AbortSignal): Promise<Found | null> {
  try {
    return await lookAt(store, signal)
  } catch (error) {
    if (error instanceof StoreError || signal.aborted) return null
    throw error
  }
}

interface Alarm {
  readonly ring: () => void
  /** Until the next ring, a glance's time, or the end. */
  readonly wait: (signal: AbortSignal) => Promise<void>
}

function alarm(): Alarm {
  let rung = false
  let wakeUp: (() => void) | null = null
  return {
    ring: () => {
      rung = true
      wakeUp?.()
    },
    wait: async (signal) => {
      if (!rung) {
        const early = new AbortController()
        wakeUp = () => early.abort()
        await realClock.sleep(glance, AbortSignal.any([signal, early.signal])).catch(() => {})
        wakeUp = null
      }
      rung = false
    },
  }
}
