/**
 * Replication slots: `stolon_*` belongs to the keepers, everything else is left alone (G12,
 * reference 6.5). Slots never hold up what safety rests on: one that could not be created is tried
 * again after everything else (D-05).
 */
import { sortedSet } from "#base/order.ts"
import { slotOf, slotPrefix } from "#model/ids.ts"
import type { Step } from "#model/step.ts"
import { keyOf } from "./memory.ts"
import type { World } from "./outline.ts"

export interface SlotSteps {
  /** Before the DB counts as converged. */
  readonly first: readonly Step[]
  /** What failed before, and what is no longer wanted. */
  readonly last: readonly Step[]
}

export function slotSteps({ local, want, memory }: World): SlotSteps {
  const { server } = local
  if (server.kind !== "up") return { first: [], last: [] }
  const { spec, uid } = want.db
  const followers = (spec.followers ?? []).filter((db) => db !== uid)
  const additional = (spec.additionalReplicationSlots ?? []).map((name) => `${slotPrefix}${name}`)
  const wanted = sortedSet([...followers.map(slotOf), ...additional])
  const there = new Set(server.slots.map(({ name }) => name))
  const create = wanted
    .filter((name) => !there.has(name))
    .map((name): Step => ({ kind: "create-slot", name }))
  const troubled = (step: Step): boolean => (memory.failures.get(keyOf(step)) ?? 0) > 0
  // An active one cannot be dropped; its user goes, or it is wanted again.
  const drop = server.slots
    .filter(({ name, active }) => name.startsWith(slotPrefix) && !wanted.includes(name) && !active)
    .map(({ name }): Step => ({ kind: "drop-slot", name }))
  return {
    first: create.filter((step) => !troubled(step)),
    last: [...drop, ...create.filter(troubled)],
  }
}
