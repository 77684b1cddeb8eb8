/**
 * When a leader has to look again although nothing happened (D-56): the next moment at which time
 * alone may change its decision. Everything else wakes it by itself, and a heartbeat comes anyway,
 * so a moment that is missing here costs time and nothing else.
 */
import { type Millis, millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import type { ClusterData } from "#model/cluster.ts"
import type { Facts } from "./facts.ts"
import { unacknowledged } from "./fence.ts"
import { type Memory, patienceFor } from "./memory.ts"
import { detachAfter } from "./succession.ts"
import { phaseLimit } from "./switchover.ts"

export function nextLook(
  data: ClusterData,
  facts: Facts,
  memory: Memory,
  mono: Millis,
): Millis | null {
  const moments = [...ofPrimary(facts, memory), ...ofFence(data, facts, memory)]
  const { switchover } = data.cluster.status
  if (switchover !== undefined && memory.phase !== null)
    moments.push(memory.phase.since + phaseLimit(switchover, facts))
  const next = Math.min(...moments.filter((moment) => moment >= mono))
  // limits are passed when they are exceeded
  return Number.isFinite(next) ? millis(next + 1) : null
}

function ofPrimary({ primary, failInterval, spec }: Facts, memory: Memory): number[] {
  if (primary === null) return []
  const ailing = memory.ailing.get(primary.uid) ?? -Infinity
  const patience = patienceFor(spec, failInterval, memory)
  return [primary.keeper.since + failInterval, ailing + patience]
}

function ofFence(data: ClusterData, facts: Facts, { fence }: Memory): number[] {
  if (fence === null) return []
  const { since, leaseEnd, fencedAt } = fence
  const limit = toMillis(facts.spec.convergenceTimeout)
  const moments = fencedAt === null ? [leaseEnd ?? -Infinity, since + limit] : []
  if (!data.cluster.status.detach) moments.push(since + detachAfter)
  // a standby that does not speak is waited for until it has failed
  for (const { keeper } of facts.dbs.values()) moments.push(keeper.since + facts.failInterval)
  const waiting = unacknowledged(data, facts)
  for (const proxy of facts.proxies) if (waiting.includes(proxy.uid)) moments.push(proxy.until)
  return moments
}
