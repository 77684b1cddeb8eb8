/**
 * Availability: no transaction that had begun fails for a planned switchover; after each fault the
 * longest time without an acknowledged write through a proxy, against what is allowed for that
 * fault, and whether the cluster became whole again by itself.
 */
import type { Fault, Operation } from "./history.ts"
import { type Evidence, type Finding, describe, isAcknowledged, isWrite, seconds } from "./judge.ts"

export interface Gap {
  readonly fault: Fault
  /** Longest over the proxies that have to serve. */
  readonly ms: number
  readonly node: number
}

export interface Gaps {
  readonly findings: readonly Finding[]
  readonly all: readonly Gap[]
}

/** What a table of gaps counts as one kind. */
export const kindOf = ({ name, ledStore }: Fault): string =>
  ledStore && !name.endsWith("that leads") ? `${name}, with the leading etcd member` : name

export function gaps({ history, faults }: Evidence): Gaps {
  const times = Map.groupBy(
    history.filter((it) => it.via === "proxy" && isAcknowledged(it) && isWrite(it)),
    ({ node }) => node,
  )
  const nodes = [...new Set(history.map(({ node }) => node))].toSorted((a, b) => a - b)
  const end = history.reduce((latest, it) => Math.max(latest, it.end), 0)
  const findings: Finding[] = []
  const all = faults.map((fault): Gap => {
    const serving = nodes.filter((node) => !fault.proxiesOut.includes(node))
    const each = serving.map((node) => ({
      fault,
      node,
      ms: longest(times.get(node) ?? [], fault.struck, fault.whole ?? end),
    }))
    const worst = each.toSorted((a, b) => b.ms - a.ms)[0] ?? { fault, node: 0, ms: 0 }
    if (fault.bound !== null && worst.ms > fault.bound)
      findings.push({
        rule: "gap",
        text: `${fault.name}: no write through proxy ${worst.node} for ${seconds(worst.ms)}, allowed ${seconds(fault.bound)} (${fault.note})`,
      })
    if (fault.smooth) findings.push(...aborted(history, fault))
    if (fault.whole === null)
      findings.push({ rule: "not whole", text: `after ${fault.name}: ${fault.note}` })
    return worst
  })
  return { findings, all }
}

/** What clients do to each other is no fault of ours. */
const conflicts: ReadonlySet<string> = new Set(["40001", "40P01"])

const aborted = (history: readonly Operation[], fault: Fault): readonly Finding[] =>
  history
    .filter(({ via, begun, end, outcome, error }) => {
      if (via !== "proxy" || !begun || outcome === "ok") return false
      if (end < fault.struck || end > (fault.whole ?? Infinity)) return false
      return !conflicts.has(error ?? "")
    })
    .map((it) => ({
      rule: "aborted",
      text: `${fault.name}: ${it.outcome} with ${it.error ?? "no error"}: ${describe(it)}`,
    }))

/** Between two answers, counted from `from`. */
function longest(operations: readonly Operation[], from: number, to: number): number {
  const inside = operations.map(({ end }) => end).filter((end) => end > from && end < to)
  const points = [from, ...inside.toSorted((a, b) => a - b), to]
  return Math.max(0, ...points.slice(1).map((point, i) => point - (points[i] ?? point)))
}
