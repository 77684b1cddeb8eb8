/**
 * Waiting for what was asked for: looks at the cluster at every change of the view, and every so
 * often for what the components say (looks at each word of theirs would slow them down), prints
 * each new line with the time that has passed, and ends with the outcome. A store that does not
 * answer for a while is no reason to give up before the timeout. Ctrl-C ends the waiting, not what
 * was asked for, and says so.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { Flags } from "#cli/flag.ts"
import type { Found } from "#ctl/status.ts"
import { type Store, StoreError } from "#port/store.ts"
import { realClock } from "#system/clock.ts"
import { onShutdown } from "#system/signals.ts"
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

const glance = millis(250)

/** What one look says: new lines for people, and the end if it is one. */
export interface Heard<T> {
  readonly lines: readonly string[]
  readonly end:
    | { readonly kind: "done"; readonly value: T }
    | { readonly kind: "failed"; readonly message: string }
    | null
}

/**
 * Looks until the end, printing each line as it comes.
 *
 * @param judge May remember what it saw; it is asked once for every look.
 * @param late What is told when the time is over or somebody gave up waiting.
 */
export async function attend<F extends Flags, T>(
  it: Session<F>,
  timeout: Millis,
  judge: (found: Found) => Heard<T>,
  late: (how: string) => string,
): Promise<T> {
  const store = await it.store()
  const started = realClock.now().mono
  using interrupt = onShutdown()
  const done = new AbortController()
  const stops = [it.signal, interrupt.signal, done.signal]
  const end = AbortSignal.any([...stops, realClock.deadline(timeout, done.signal)])
  const wake = alarm()
  // only a wake-up: when it fails, the glances remain
  const watching = store.watch("clusterdata", wake.ring, end).catch(() => {})
  try {
    while (!end.aborted) {
      const found = await look(store, end)
      const heard = found === null ? null : judge(found)
      for (const line of heard?.lines ?? []) await print(`${line}\n`)
      if (heard?.end?.kind === "failed") throw new Failure(heard.end.message)
      if (heard?.end?.kind === "done") return heard.end.value
      await wake.wait(end)
    }
  } finally {
    done.abort()
    await watching
  }
  if (interrupt.signal.aborted) throw new Failure(late("interrupted"), interrupted)
  throw new Failure(late(`not finished after ${since(started)}`))
}

/** The exit code of a shell's own children that end by SIGINT. */
const interrupted = 130

/** Like `attend`, for what has one line at a time; each new one with the time that has passed. */
export function follow<F extends Flags, T>(
  it: Session<F>,
  timeout: Millis,
  judge: (found: Found) => Seen<T>,
  late: string,
): Promise<T> {
  const started = realClock.now().mono
  let line = ""
  return attend(
    it,
    timeout,
    (found): Heard<T> => {
      const seen = judge(found)
      if (seen.kind === "failed")
        return { lines: [], end: { kind: "failed", message: seen.message } }
      const lines =
        seen.line === line || seen.line === "" ? [] : [`${since(started)}  ${seen.line}`]
      line = seen.line
      return { lines, end: seen.kind === "done" ? { kind: "done", value: seen.value } : null }
    },
    (how) => `${how}: ${line || "nothing was seen"}; ${late}`,
  )
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
