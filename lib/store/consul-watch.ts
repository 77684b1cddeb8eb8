/**
 * Changes by blocking queries: a question that Consul answers when its index has moved, or after a
 * while. Only names of keys are asked for, so that what changes is read once, by whoever needs it.
 *
 * An index that goes backwards (servers restored from a backup) begins anew, as Consul's documents
 * demand; an agent that stands still is noticed when the answer is overdue.
 */
import { type Millis, millis } from "#base/brand.ts"
import { type HttpPool, type HttpRequest, refusal } from "./http-pool.ts"
import { kvPath } from "./consul-text.ts"

const wait = millis(10_000)
/** Consul adds up to a sixteenth, so that not all come back together. */
const longest = millis((wait * 17) / 16)
const pauses = { first: 100, most: 2_000 }

/** Resolves when `signal` aborts. */
export async function watch(
  consul: HttpPool,
  prefixes: readonly string[],
  changed: () => void,
  signal: AbortSignal,
): Promise<void> {
  let missing = prefixes.length
  const stands = (): void => {
    if (--missing === 0) changed()
  }
  const wake = (): void => {
    if (missing === 0) changed()
  }
  await Promise.all(prefixes.map((prefix) => follow(consul, prefix, stands, wake, signal)))
}

async function follow(
  consul: HttpPool,
  prefix: string,
  stands: () => void,
  changed: () => void,
  signal: AbortSignal,
): Promise<void> {
  let last: { readonly index: bigint; readonly there: boolean } | null = null
  let stood = false
  let pause = pauses.first
  while (!signal.aborted) {
    try {
      const query = { keys: "", wait: `${wait}ms`, index: String(last?.index ?? 0) }
      const request: HttpRequest = { method: "GET", path: kvPath(prefix), query }
      const reply = await consul.poll(request, longest, signal)
      const { status, index } = reply
      if ((status !== 200 && status !== 404) || index === null || index < 1n)
        throw refusal(request, reply)
      const there = status === 200
      // where there is nothing, what happens elsewhere moves the index
      const same = last !== null && last.there === there && (!there || last.index === index)
      last = last !== null && index < last.index ? null : { index, there }
      pause = pauses.first
      if (!stood) stands()
      else if (!same) changed()
      stood = true
    } catch {
      if (signal.aborted) return
      last = null // whatever was missed, it wakes once it stands again
      await consul.clock.sleep(nap(pause), signal).catch(() => {})
      pause = Math.min(2 * pause, pauses.most)
    }
  }
}

/** Uneven: who was cut off together does not come back together. */
const nap = (pause: number): Millis => millis(pause * (0.5 + Math.random()))
