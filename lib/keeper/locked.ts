/**
 * A primary that does not take the superuser's password of the flags (D-53): the operator changed
 * the flag, or an instance that was taken over has another one. Nobody but its keeper can help, so
 * it is stopped, started once where only its owner reaches it, given the roles of the flags, and
 * started as usual.
 *
 * Tried once a life of the keeper. A standby cannot help itself: its roles are its primary's. Nor
 * can one that is to be promoted: stopped and started it would only be refused again, for ever.
 */
import { type Outline, type World, blocked, outline, stop } from "./outline.ts"
import { renderTemporary } from "./render.ts"
import type { Step } from "#model/step.ts"
import { prepare, startSteps, waitReady } from "./start.ts"

/** Whether the roles are to be set in a temporary start. */
export const isLocked = ({ memory }: World): boolean =>
  memory.locked && !memory.done.has("roles") && tries(memory) < triesMax

/** From a running server that refuses us; null: it was tried, or is not the case. */
export function unlock(world: World): Outline | null {
  const { data, server } = world.local
  if (server.kind !== "starting" || server.refused !== true) return null
  if (data.kind === "initialized" && data.role === "standby")
    return blocked(
      world,
      `PostgreSQL does not accept the superuser of the flags and cannot be promoted: ${server.why}`,
      "start this keeper with the password that the former primary has",
    )
  const next: World = { ...world, memory: { ...world.memory, locked: true } }
  return isLocked(next)
    ? outline(next, [stop("the superuser's password is to be set", true)])
    : null
}

/** From a stopped primary to one with the right roles, stopped again. */
export const unlocking = (world: World): Outline =>
  startSteps(world, [
    ...prepare(world, "none"),
    { kind: "start", temporary: renderTemporary(world, null) },
    waitReady(world),
    ...unlockSteps,
  ])

export const unlockSteps: readonly Step[] = [
  { kind: "create-roles" },
  stop("the superuser's password is set", true),
]

const tries = ({ failures }: World["memory"]): number =>
  (failures.get("create-roles") ?? 0) + (failures.get("wait-ready") ?? 0)
const triesMax = 3
