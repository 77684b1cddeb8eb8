/**
 * Replication slots: `stolon_*` belongs to the keepers, everything else is left alone (G12,
 * reference 6.5). Slots never hold up what safety rests on: one that could not be created is tried
 * again after everything else (D-05).
 *
 * A standby's slot keeps WAL from its creation on, so that a copy or a standby of the old primary
 * finds what it needs (D-38). One that PostgreSQL gave up, because it kept too much, is made anew:
 * the old one would keep its standby out for ever (D-37). What is nobody's standby (additional
 * slots) keeps nothing before its first use, as with Go.
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
  const followers = (spec.followers ?? []).filter((db) => db !== uid).map(slotOf)
  const additional = (spec.additionalReplicationSlots ?? []).map((name) => `${slotPrefix}${name}`)
  const wanted = sortedSet([...followers, ...additional])
  const troubled = (step: Step): boolean => (memory.failures.get(keyOf(step)) ?? 0) > 0
  const drop = (name: string): Step => ({ kind: "drop-slot", name })
  const there = new Set(server.slots.map(({ name }) => name))
  // An active one cannot be dropped; its user goes, or it is wanted again.
  const idle = server.slots.filter(({ name, active }) => name.startsWith(slotPrefix) && !active)
  const lost = idle.filter((slot) => slot.lost && wanted.includes(slot.name))
  const remade = lost.map(({ name }) => name).filter((name) => !troubled(drop(name)))
  const create = wanted
    .filter((name) => !there.has(name) || remade.includes(name))
    .map((name): Step => ({ kind: "create-slot", name, reserve: followers.includes(name) }))
  const dropped = idle.map(({ name }) => name).filter((name) => !remade.includes(name))
  const unwanted = dropped.filter(
    (name) => !wanted.includes(name) || lost.some((l) => l.name === name),
  )
  return {
    first: [...remade.map(drop), ...create.filter((step) => !troubled(step))],
    last: [...unwanted.map(drop), ...create.filter(troubled)],
  }
}
