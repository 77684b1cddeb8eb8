/**
 * Every acknowledged append is in the final state exactly once, at the place it was told, and every
 * read agrees with the final order.
 *
 * Asynchronous rows may lose what a primary had not sent when a fault took it away: those appends
 * are counted, not forgiven in silence, and only those that this very primary acknowledged around
 * this very fault. A read may have seen them; nothing of them may appear later.
 */
import type { Action, Fault, Lists, Operation } from "./history.ts"
import { type Finding, type Read, describe, isAcknowledged, isCovered } from "./judge.ts"

/** How far a standby may be behind when its primary dies: what a fault may cost begins here. */
const unsentMs = 1_500

export interface Durability {
  readonly findings: readonly Finding[]
  readonly acknowledged: number
  /** Acknowledged and gone, as an asynchronous row allows. */
  readonly unsent: number
  /** Unknown to the client, and there. */
  readonly recovered: number
}

type Append = Extract<Action, { kind: "append" }>

interface Attempt {
  readonly operation: Operation
  readonly append: Append
}

export function durability(evidence: Read): Durability {
  const { history, final, promises, faults } = evidence
  const findings: Finding[] = []
  const attempts = new Map<number, Attempt>()
  for (const operation of history)
    for (const append of operation.actions)
      if (append.kind === "append") attempts.set(append.value, { operation, append })
  const places = placesOf(final, attempts, findings)
  const count = { acknowledged: 0, unsent: 0, recovered: 0 }
  for (const [value, { operation, append }] of attempts) {
    const place = places.get(value)
    const there = place !== undefined
    if (there && append.position !== null && append.position !== place + 1)
      findings.push({
        rule: "order",
        text: `${value} was appended at place ${append.position} and is at ${place + 1}: ${describe(operation)}`,
      })
    if (there && operation.outcome === "unknown") count.recovered++
    if (!isAcknowledged(operation)) continue
    count.acknowledged++
    if (there) continue
    const excused = promises.synchronous ? false : isUnsent(operation, faults)
    if (excused || (!promises.synchronous && !isCovered(operation, promises))) count.unsent++
    else
      findings.push({
        rule: "lost",
        text: `${value} in list ${append.key} was acknowledged and is gone: ${describe(operation)}`,
      })
  }
  for (const operation of history)
    findings.push(...reads(operation, { final, places, attempts, promises }))
  return { findings, ...count }
}

/** Where each value stands; findings for values that stand twice or should not stand at all. */
function placesOf(
  final: Lists,
  attempts: ReadonlyMap<number, Attempt>,
  findings: Finding[],
): ReadonlyMap<number, number> {
  const places = new Map<number, number>()
  for (const [key, values] of final)
    for (const [place, value] of values.entries()) {
      if (places.has(value))
        findings.push({ rule: "duplicate", text: `${value} is there twice, in list ${key} too` })
      places.set(value, place)
      const attempt = attempts.get(value)
      if (attempt === undefined || attempt.append.key !== key)
        findings.push({ rule: "phantom", text: `nobody appended ${value} to list ${key}` })
      else if (attempt.operation.outcome === "fail")
        findings.push({
          rule: "phantom",
          text: `${value} is in list ${key}, and its transaction had failed: ${describe(attempt.operation)}`,
        })
    }
  return places
}

const isUnsent = (operation: Operation, faults: readonly Fault[]): boolean =>
  faults.some(
    ({ mayLose, struck, whole }) =>
      operation.server !== null &&
      mayLose.includes(operation.server) &&
      operation.end >= struck - unsentMs &&
      operation.start <= (whole ?? Infinity),
  )

interface Known extends Pick<Read, "final" | "promises"> {
  readonly places: ReadonlyMap<number, number>
  readonly attempts: ReadonlyMap<number, Attempt>
}

function reads(
  operation: Operation,
  { final, places, attempts, promises }: Known,
): readonly Finding[] {
  if (operation.outcome !== "ok") return []
  // A standby may be ahead of what the synchronous one has; a primary shows nothing of the kind.
  const strict = promises.synchronous && !operation.recovery
  return operation.actions.flatMap((action): readonly Finding[] => {
    if (action.kind !== "read") return []
    const order = final.get(action.key) ?? []
    const common = commonPrefix(action.values, order)
    const rest = action.values.slice(common)
    const [first] = rest
    const mayVanish = !strict || attempts.get(first ?? -1)?.operation.cancelled === true
    const wrong = mayVanish ? rest.find((value) => places.has(value)) : first
    if (wrong === undefined) return []
    return [
      {
        rule: "order",
        text:
          `list ${action.key} was read as ${action.values.slice(-5).join()} and ends as ` +
          `${order
            .slice(0, action.values.length + 1)
            .slice(-6)
            .join()} (at ${wrong}): ${describe(operation)}`,
      },
    ]
  })
}

function commonPrefix(one: readonly number[], other: readonly number[]): number {
  let length = 0
  while (length < one.length && one[length] === other[length]) length++
  return length
}
