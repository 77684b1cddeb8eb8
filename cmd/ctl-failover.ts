/**
 * `stolon ctl failover`: writes the wish into the view, then watches what the leader makes of it.
 * The wish is written once: when the answer to that write is lost it is looked for, never repeated.
 */
import { failoverCommand } from "#cli/ctl.ts"
import type { Invocation } from "#cli/invocation.ts"
import { keeperUID } from "#model/ids.ts"
import { type Millis, millis } from "#base/brand.ts"
import { failoverChange } from "#ctl/edit.ts"
import { type Watch, see } from "#ctl/failover.ts"
import { type Store, StoreError } from "#port/store.ts"
import { realClock } from "#system/clock.ts"
import { change, freshNonce } from "./ctl-change.ts"
import { Failure, current, session } from "./ctl-session.ts"
import { confirm } from "./ctl-terminal.ts"
import { print } from "./front.ts"

export const main = (invocation: Invocation): Promise<number> =>
  session(failoverCommand, invocation, async (it) => {
    const { keeper, timeout, noWait, yes } = it.values
    const target = keeper === "" ? null : keeperUID(keeper)
    const nonce = freshNonce()
    const wanted = failoverChange(nonce, target)
    // told before the question, not after it
    const early = wanted.edit((await current(it)).data)
    if (early.kind === "refused") throw new Failure(early.message)
    if (!yes && process.stdin.isTTY && !(await confirm(false))) return 0
    const data = await change(it, wanted, nonce)
    if (data === null) return 0
    if (noWait) {
      await print(`failover requested (${nonce})\n`)
      return 0
    }
    const { master: before, primaryEpoch: epoch } = data.cluster.status
    const watch: Watch = { nonce, before, epoch, target, begun: false, line: "" }
    return follow(await it.store(), watch, timeout, it.signal)
  })

/** Looks at every change of the view, and now and then without one. */
const glance = millis(1000)

async function follow(
  store: Store,
  first: Watch,
  timeout: Millis,
  signal: AbortSignal,
): Promise<number> {
  const started = realClock.now().mono
  const passed = (): string => `${((realClock.now().mono - started) / 1000).toFixed(1)} s`
  const done = new AbortController()
  const end = AbortSignal.any([signal, done.signal, realClock.deadline(timeout, done.signal)])
  const wake = alarm()
  // only a wake-up: when it fails, the glances remain
  const watching = store.watch("clusterdata", wake.ring, end).catch(() => {})
  let watch = first
  try {
    while (!end.aborted) {
      const seen = await look(store, watch, end)
      if (seen !== null) {
        watch = seen.watch
        if (seen.line !== null) await print(`${passed()}  ${seen.line}\n`)
        const { progress } = seen
        switch (progress.kind) {
          case "waiting":
            break
          case "done":
            return 0
          case "other":
            throw new Failure(
              `keeper ${progress.keeper ?? "?"} became the primary, not ${watch.target}`,
            )
          case "refused":
            throw new Failure(
              "the leading sentinel refused the failover; its log says why (request gone, primary unchanged)",
            )
          case "reinstated":
            throw new Failure("nobody could take over; the old primary has its role back")
        }
      }
      await wake.wait(end)
    }
  } finally {
    done.abort()
    await watching
  }
  throw new Failure(
    `not finished after ${passed()}: ${watch.line || "nothing was seen"}; the request stays; look at: stolon ctl status`,
  )
}

/** A store that does not answer for a while is no reason to give up before the timeout. */
async function look(
  store: Store,
  watch: Watch,
  signal: AbortSignal,
): Promise<ReturnType<typeof see> | null> {
  try {
    const reading = await store.read(signal)
    return reading.kind === "found" ? see(watch, reading.data) : null
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
