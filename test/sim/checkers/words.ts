/**
 * Words that grow old. W4: a decision is sent only while its snapshot is younger than sleepInterval
 * (or than a usual round of that sentinel, where every round is slow). W6: silence is only what a
 * sentinel heard itself, in reads without a gap. O4: what a proxy was told of a lease holds no
 * longer than that lease.
 */
import { toMillis } from "#base/duration.ts"
import { type FullSpec, withDefaults } from "#model/spec.ts"
import { isStuck } from "../host.ts"
import type { Sim } from "../sim.ts"
import type { Process } from "../world.ts"

/** As `agent/sentinel.ts`: below this no snapshot counts as old. */
const floor = 500
/** Rounding of milliseconds that were divided by a clock's rate. */
const slack = 2
/** What the rates of two clocks may differ by. */
const drift = 1.05

export function checkWords(sim: Sim): void {
  checkLooks(sim)
  checkVouching(sim)
}

/** The time between a sentinel's looks, as it reckons with it: from now on, and until now. */
interface Pace {
  readonly at: number
  readonly next: number
  readonly usual: number
  /** It has looked without a gap since. */
  readonly since: number
}

function checkLooks({ store, world, hooks, nodes, fail }: Sim): void {
  const paces = new WeakMap<Process, Pace>()
  const specNow = (): FullSpec | null => {
    const reading = store.core.read()
    return reading.kind === "absent" ? null : withDefaults(reading.data.cluster.spec)
  }
  store.looked.push((process) => {
    const at = world.now()
    const last = paces.get(process) ?? { at, next: 0, usual: 0, since: at }
    const passed = at - last.at
    const spec = specNow()
    const limit = spec === null ? Infinity : Math.max(gapOf(spec) * drift, 1.5 * last.next)
    const since = passed > limit + slack ? at : last.since
    paces.set(process, { at, next: Math.max(passed, last.next / 2), usual: last.next, since })
  })
  hooks.said.push((who, { code, fields }) => {
    const process = nodes.get(who)?.process ?? null
    const spec = specNow()
    if (code !== "keeper.failed" || fields["forced"] === true || process === null || spec === null)
      return
    const heard = world.now() - (paces.get(process)?.since ?? world.now())
    if (heard * drift + slack < toMillis(spec.failInterval))
      fail("W6 silence", `${who} has listened for ${Math.round(heard)} ms`)
  })
  store.sent.push((process, readAt) => {
    const spec = specNow()
    if (spec === null) return
    const most = Math.max(toMillis(spec.sleepInterval), floor) / process.machine.rate
    const age = world.now() - readAt
    if (age > Math.max(most, paces.get(process)?.usual ?? 0) + slack)
      fail("W4 young decision", `${process.name} sends one that is ${Math.round(age)} ms old`)
  })
}

/** As `sentinel/memory.ts`, where no round is slow. */
const gapOf = ({ sleepInterval, failInterval }: FullSpec): number =>
  Math.max(2 * toMillis(sleepInterval), Math.min(1_000, toMillis(failInterval) / 2))

function checkVouching({ hooks, hosts, nodes, world, fail }: Sim): void {
  hooks.said.push((who, { code, fields }) => {
    if (code !== "proxy.vouched") return
    const host = hosts.get(String(fields["keeper"]))
    const { guardian = null, instance = null } = host ?? {}
    const machine = nodes.get(who)?.machine
    if (host === undefined || guardian === null || guardian.lease === null) return
    // one that stands still ends with the last lease it heard of, sooner than the keeper says
    if (instance === null || isStuck(host)) return
    const left = Number(fields["for"]) / (machine?.rate ?? 1)
    const beyond = world.now() + left / drift - guardian.until
    if (beyond > slack)
      fail("O4 answer", `${who} relies on it for ${Math.round(beyond)} ms after the lease`)
  })
}
