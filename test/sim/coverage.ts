/**
 * Which event codes and step kinds a run has seen. A rule of the agents that no run ever reaches is
 * not tested, whatever the number of seeds: `missing` names them, apart from those that this
 * simulator cannot reach, each with its reason.
 */
import { sortedSet } from "#base/order.ts"
import { type EventCode, events } from "#model/events.ts"
import { type StepKind, steps } from "#model/step.ts"

export interface Coverage {
  event(code: EventCode): void
  step(kind: StepKind): void
  readonly counts: Map<string, number>
}

export function createCoverage(): Coverage {
  const counts = new Map<string, number>()
  const count = (key: string): void => void counts.set(key, (counts.get(key) ?? 0) + 1)
  return { event: (code) => count(`event ${code}`), step: (kind) => count(`step ${kind}`), counts }
}

export function merge(into: Map<string, number>, from: Iterable<readonly [string, number]>): void {
  for (const [key, count] of from) into.set(key, (into.get(key) ?? 0) + count)
}

/** What cannot occur in here, and why. Whoever makes it possible takes the row out. */
export const unreachable: Readonly<Record<string, string>> = {
  "event agent.failed": "an error that no round expects is a bug: a run in which it is said fails",
  "event invariant.broken": "a decision against its own rules, likewise",
  "event switchover.cuts": "every proxy here lets transactions end: test/unit/sentinel",
  "event cluster.moving": "there is one store: test/unit/sentinel, test/e2e/migrate.test.ts",
  "event failover.requested": "no component says it",
  "event role.changed": "the real adapter says it; the model has no passwords: test/e2e",
  "event reads.listening": "only runs with a port for reads: test/sim/reads.test.ts",
  "event reads.joined": "only runs with a port for reads: test/sim/reads.test.ts",
  "event reads.left": "only runs with a port for reads: test/sim/reads.test.ts",
}

/** What two thousand seeds may or may not meet, and who makes sure of it. */
export const rare: Readonly<Record<string, string>> = {
  "step remove-asides": "an old copy is given up long after a new one streams; test/stories has it",
  "event spec.restored": "a wish takes the word away in a moment; test/unit/sentinel has it",
  "event keeper.duplicate": "two late words of a dead process look like it; test/stories has it",
  "event start.failed": "a fault within the milliseconds of a start; test/unit/keeper has it",
}

/**
 * Everything of the tables that was not seen although it could have been; and rows of `unreachable`
 * that were seen.
 */
export function missing(seen: ReadonlyMap<string, number>): readonly string[] {
  const all = [
    ...Object.keys(events).map((code) => `event ${code}`),
    ...Object.keys(steps).map((kind) => `step ${kind}`),
  ]
  const never = all.filter((key) => !seen.has(key) && (unreachable[key] ?? rare[key]) === undefined)
  const stale = Object.keys(unreachable)
    .filter((key) => seen.has(key) || !all.includes(key))
    .map((key) => `${key} (listed as unreachable)`)
  return sortedSet([...never, ...stale])
}
