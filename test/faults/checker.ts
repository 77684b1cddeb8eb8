/**
 * The verdict on a run: all checkers together. Pure; `checker.test.ts` shows with histories made by
 * hand what each must find and what none may complain about.
 */
import { cycles } from "./cycles.ts"
import { type Durability, durability } from "./durable.ts"
import { type Epochs, epochs } from "./epochs.ts"
import { type Gap, gaps } from "./gaps.ts"
import type { Evidence, Finding } from "./judge.ts"

export interface Verdict {
  readonly findings: readonly Finding[]
  readonly gaps: readonly Gap[]
  readonly durability: Omit<Durability, "findings">
  readonly epochs: Omit<Epochs, "findings">
}

/** The run is no success anyway: what nobody could read is a finding of its own. */
const unread: Durability = {
  findings: [{ rule: "not whole", text: "the final state could not be read" }],
  acknowledged: 0,
  unsent: 0,
  recovered: 0,
}

export function check(evidence: Evidence): Verdict {
  const { final } = evidence
  const durable = final === null ? unread : durability({ ...evidence, final })
  const writers = epochs(evidence)
  const available = gaps(evidence)
  return {
    findings: [
      ...durable.findings,
      ...writers.findings,
      ...(final === null ? [] : cycles({ ...evidence, final })),
      ...available.findings,
    ],
    gaps: available.all,
    durability: {
      acknowledged: durable.acknowledged,
      unsent: durable.unsent,
      recovered: durable.recovered,
    },
    epochs: { count: writers.count, thawed: writers.thawed },
  }
}
