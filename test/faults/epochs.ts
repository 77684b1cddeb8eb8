/**
 * Never two nodes that acknowledge writes in overlapping epochs (P1). An epoch is a server on a
 * timeline. An answer came from its server somewhere between the moment COMMIT was sent and the
 * moment the client had it; so only what cannot be explained by slow delivery is a finding: COMMIT
 * sent to the one after the other's answer had already arrived.
 *
 * The one stated limit is N1: asynchronous, a whole host frozen past its lease and thawed may
 * answer direct clients for the moment that its guardian needs. Such answers are counted.
 */
import type { Fault, Operation } from "./history.ts"
import {
  type Evidence,
  type Finding,
  describe,
  isAcknowledged,
  isCovered,
  isWrite,
  seconds,
} from "./judge.ts"

/** What N1 calls milliseconds, on a busy machine. */
const thawMs = 500

export interface Epochs {
  readonly findings: readonly Finding[]
  readonly count: number
  /** Answers within the limit of N1. */
  readonly thawed: number
}

interface Epoch {
  readonly server: string
  readonly timeline: number
  readonly acknowledged: Operation[]
}

export function epochs({ history, promises, faults }: Evidence): Epochs {
  const found = new Map<string, Epoch>()
  const systems = new Set<string>()
  let thawed = 0
  for (const operation of history) {
    const { server, timeline, system } = operation
    if (!isAcknowledged(operation) || !isWrite(operation)) continue
    if (!isCovered(operation, promises)) continue
    if (server === null || timeline === null || system === null)
      throw new Error(`an acknowledgement without its server: ${describe(operation)}`)
    systems.add(system)
    if (!promises.synchronous && isThawed(operation, faults)) {
      thawed++
      continue
    }
    const name = `${server}/${timeline}`
    const epoch = found.get(name) ?? { server, timeline, acknowledged: [] }
    epoch.acknowledged.push(operation)
    found.set(name, epoch)
  }
  const all = [...found.values()].toSorted((a, b) => a.timeline - b.timeline)
  const findings = all.flatMap((one, i) =>
    all.slice(i + 1).flatMap((other) => (one.server === other.server ? [] : overlap(one, other))),
  )
  if (systems.size > 1)
    findings.push({ rule: "two writers", text: `system identifiers ${[...systems].join()}` })
  return { findings, count: all.length, thawed }
}

const isThawed = ({ via, server, end }: Operation, faults: readonly Fault[]): boolean =>
  via === "direct" &&
  faults.some(
    ({ thaws, primary, healed }) =>
      thaws && primary === server && end >= healed && end <= healed + thawMs,
  )

/** `one` is on the lower timeline, or on the same. */
function overlap(one: Epoch, other: Epoch): readonly Finding[] {
  const late = after(one, other)
  if (late === null) return []
  // On the same timeline neither is the older: then both must have gone on.
  if (one.timeline === other.timeline && after(other, one) === null) return []
  return [
    {
      rule: "two writers",
      text:
        `${late.length} acknowledged by ${one.server} on timeline ${one.timeline} after ` +
        `${other.server} on timeline ${other.timeline} had begun, up to ${seconds(late.ms)} later; ` +
        `first ${describe(late.first)}`,
    },
  ]
}

interface Late {
  readonly length: number
  readonly first: Operation
  readonly ms: number
}

/** What `one` was asked and acknowledged after `other`'s first answer was there. */
function after(one: Epoch, other: Epoch): Late | null {
  const began = other.acknowledged.reduce((first, { end }) => Math.min(first, end), Infinity)
  const late = one.acknowledged.filter(({ sent }) => sent !== null && sent > began)
  const [first] = late
  if (first === undefined) return null
  const last = late.reduce((latest, { sent }) => Math.max(latest, sent ?? 0), 0)
  return { length: late.length, first, ms: last - began }
}
