/**
 * What is left when a DB runs as it should: remains of copies are removed, and what a copy replaced
 * too, once the copy has done well for a while (N3). Nothing is removed on a first look: time runs
 * only while this process watches.
 */
import { millis } from "#base/brand.ts"
import { event } from "#model/events.ts"
import type { Step } from "#model/step.ts"
import { type Outline, type World, discardSide, outline } from "./outline.ts"
import { asideTime } from "./settings.ts"

const slotSteps: ReadonlySet<Step["kind"]> = new Set(["create-slot", "drop-slot"])

/** `good`: a standby that streams, or a primary that clients may use. */
export function housekeeping(world: World, steps: readonly Step[], good: boolean): Outline {
  const { local, memory, now } = world
  const settled = steps.every(({ kind }) => slotSteps.has(kind))
  if (!settled) return outline({ ...world, memory: { ...memory, goodSince: null } }, steps)
  const goodSince = good ? (memory.goodSince ?? now) : null
  const after = { ...world, memory: { ...memory, goodSince, waiting: null } }
  const due = goodSince === null ? null : millis(goodSince + asideTime)
  const waste: Step[] = []
  if (local.side) waste.push(discardSide("a half-done copy is worthless"))
  if (local.asides.length > 0 && due !== null && now >= due)
    waste.push({
      kind: "remove-asides",
      names: local.asides,
      reason: "the fresh copy has proved itself",
    })
  return outline(after, [...steps, ...waste], {
    events: [event("parameters.unchanged")],
    wake: local.asides.length > 0 && due !== null && now < due ? due : null,
  })
}
