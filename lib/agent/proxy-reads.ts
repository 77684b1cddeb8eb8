/**
 * Reads on standbys: what keepers publish is read on a beat of its own, beside the checks and the
 * watcher, which wait for nothing here.
 *
 * The checks tell by which view reads go on (`confine`), and that ends sessions at once where the
 * view permits none; the beat chooses among those that the present view permits. Between what a
 * beat has read and what it does by it there is no await, so it never brings back whom a later view
 * has taken out. A view that has run out leads nobody: the watcher ends all reads with it.
 */
import { type Millis, millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import type { ClusterData } from "#model/cluster.ts"
import { event } from "#model/events.ts"
import { withDefaults } from "#model/spec.ts"
import type { Readers } from "#port/relay.ts"
import { validUntil } from "#proxy/brain.ts"
import {
  type Judgement,
  type ReadRules,
  type ReadersMemory,
  type Target,
  confine,
  judge,
  noReaders,
  spreadOf,
} from "#proxy/readers.ts"
import { permitsMore } from "#proxy/standbys.ts"

import { type Bell, bell } from "./loop.ts"
import { bounded, watched } from "./proxy-word.ts"
import type { Proxy } from "./proxy.ts"

/** The listener for reads, and the rules by which standbys are chosen. */
export interface ReadsPort {
  readonly relay: Readers
  readonly rules: ReadRules
  /** Is told each time how the standbys were judged. */
  readonly report: (targets: readonly Target[]) => void
}

/** What is known about reads. Written here only. */
export interface Reads extends ReadsPort {
  memory: ReadersMemory
  /** By which reads go on; null: none counts. */
  view: ClusterData | null
  readonly wake: Bell
}

export const newReads = (port: ReadsPort): Reads => ({
  ...port,
  memory: noReaders,
  view: null,
  wake: bell(),
})

/** Reads go on by `view`. When it resolves, no session is left where it permits none. */
export async function confineReads(proxy: Proxy, view: ClusterData | null): Promise<void> {
  const { reads } = proxy
  if (reads === null) return
  if (permitsMore(reads.view, view, proxy.self)) reads.wake.ring()
  reads.view = view
  await lead(proxy, reads, confine(reads.memory, view, proxy.self))
}

/** Who reads now goes on, and ends when it is idle. */
export const retireReads = (proxy: Proxy, reads: Reads): Promise<void> =>
  lead(proxy, reads, { memory: reads.memory, events: [] })

/** One beat. */
export async function readBeat(proxy: Proxy, reads: Reads): Promise<void> {
  const { clock, memory, store, self } = proxy
  if (reads.view === null) return
  const readAt = clock.now().mono
  const infos = await bounded(proxy, memory.timeout, (signal) => store.infos(signal))
  const { view: data } = reads
  if (infos === null || data === null || proxy.signal.aborted) return
  if (clock.now().mono >= validUntil(watched(proxy), proxy.memory)) return
  const { keepers } = infos
  await lead(proxy, reads, judge({ self, data, keepers, readAt }, reads.rules, reads.memory))
  if (!reads.relay.listening && !proxy.retiring) await listen(proxy, reads)
}

async function lead(proxy: Proxy, reads: Reads, { memory, events }: Judgement): Promise<void> {
  reads.memory = memory
  const { to, leaving } = spreadOf(memory)
  const led = reads.relay.apply(
    proxy.retiring ? { to: [], leaving: [...to.flat(), ...leaving] } : { to, leaving },
  )
  for (const one of events) proxy.log.event(one)
  reads.report(memory.targets)
  await led
}

async function listen(proxy: Proxy, reads: Reads): Promise<void> {
  await reads.relay.listen()
  proxy.log.event(event("reads.listening"))
  // the watcher or the end of the process may have wanted it closed meanwhile
  const { retiring, options } = proxy
  if (retiring || (reads.view === null && options.stopListening)) await reads.relay.unlisten()
}

/** As often as keepers speak, nothing changes in between; sooner while nobody was judged yet. */
export function beatInterval({ view, memory }: Reads): Millis {
  if (view === null || memory.hearing.readAt === null) return beatMin
  const interval = toMillis(withDefaults(view.cluster.spec).sleepInterval)
  return millis(Math.min(Math.max(interval, beatMin), 5_000))
}
const beatMin = millis(500)
