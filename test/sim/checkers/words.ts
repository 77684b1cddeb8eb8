/**
 * Words that grow old. W4: a decision is sent only while its snapshot is younger than sleepInterval
 * (or than a usual round of that sentinel, where every round is slow). O4: what a proxy was told of
 * a lease holds no longer than that lease.
 */
import { toMillis } from "#base/duration.ts"
import { withDefaults } from "#model/spec.ts"
import type { Sim } from "../sim.ts"
import type { Process } from "../world.ts"

/** As `agent/sentinel.ts`: below this no snapshot counts as old. */
const floor = 500
/** Rounding of milliseconds that were divided by a clock's rate. */
const slack = 2
/** What the rates of two clocks may differ by. */
const drift = 1.05

export function checkWords(sim: Sim): void {
  checkDecisions(sim)
  checkVouching(sim)
}

/** The time between a sentinel's looks, as it reckons with it: from now on, and until now. */
interface Pace {
  readonly at: number
  readonly next: number
  readonly usual: number
}

function checkDecisions({ store, world, fail }: Sim): void {
  const paces = new WeakMap<Process, Pace>()
  store.looked.push((process) => {
    const at = world.now()
    const last = paces.get(process) ?? { at, next: 0, usual: 0 }
    paces.set(process, { at, next: Math.max(at - last.at, last.next / 2), usual: last.next })
  })
  store.sent.push((process, readAt) => {
    const reading = store.core.read()
    if (reading.kind === "absent") return
    const { sleepInterval } = withDefaults(reading.data.cluster.spec)
    const most = Math.max(toMillis(sleepInterval), floor) / process.machine.rate
    const age = world.now() - readAt
    if (age > Math.max(most, paces.get(process)?.usual ?? 0) + slack)
      fail("W4 young decision", `${process.name} sends one that is ${Math.round(age)} ms old`)
  })
}

function checkVouching({ hooks, hosts, nodes, world, fail }: Sim): void {
  hooks.said.push((who, { code, fields }) => {
    if (code !== "proxy.vouched") return
    const { guardian = null, instance = null } = hosts.get(String(fields["keeper"])) ?? {}
    const machine = nodes.get(who)?.machine
    if (guardian === null || guardian.lease === null || instance === null) return
    const left = Number(fields["for"]) / (machine?.rate ?? 1)
    const beyond = world.now() + left / drift - guardian.until
    if (beyond > slack)
      fail("O4 answer", `${who} relies on it for ${Math.round(beyond)} ms after the lease`)
  })
}
