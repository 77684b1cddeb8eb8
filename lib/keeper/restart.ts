/**
 * Restarts that the plan itself asks for: for a parameter, where the specification allows it and
 * when it is our turn, and because the keeper was started with another address or port than the
 * PostgreSQL that it found (T11).
 *
 * Once a configuration: what is still pending then, no restart cures. It counts as done only when
 * it is the next thing to do: a restart that other steps come before is merely announced.
 */
import { type Millis, millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import type { Place } from "#model/local.ts"
import type { Step } from "#model/step.ts"
import type { Memory } from "./memory.ts"
import { type World, stop } from "./outline.ts"
import type { Rendered } from "./render.ts"
import { type Settings, glance, stopEscalation } from "./settings.ts"
import { before, turnTime } from "./turn.ts"

export interface Restart {
  readonly steps: readonly Step[]
  readonly memory: Memory
  /** While others are let through first. */
  readonly wake: Millis | null
}

/**
 * The stop of a restart. A connection that is dead without anybody knowing holds up a fast one for
 * wal_sender_timeout; a primary that is away for failInterval is deposed, and what no standby has
 * yet is lost then. So it is ended by force in time: right after a checkpoint that costs little.
 */
export function stopToRestart({ want }: World, why: string): Step {
  const patience = want.role.kind === "primary" ? toMillis(want.spec.failInterval) / 2 : Infinity
  return stop(why, true, millis(Math.min(stopEscalation, patience)))
}

/** @param ahead What is done first. */
export function restart(world: World, { revision }: Rendered, ahead: readonly Step[]): Restart {
  const { local, want, memory, now } = world
  const { server } = local
  const none: Restart = { steps: [], memory: { ...memory, turn: null }, wake: null }
  if (server.kind !== "up" || server.revision !== revision) return none
  const moved = !isAt(server.place, world.settings)
  // cured; the same configuration may come back and need it again
  if (!moved && !server.pendingRestart)
    return { ...none, memory: { ...none.memory, restartedFor: null } }
  if (memory.restartedFor === revision && memory.working !== "stop") return none
  if (!moved && !want.spec.automaticPgRestart) return none
  const since = memory.turn?.revision === revision ? memory.turn.since : now
  const patient = !moved && memory.working !== "stop" && now - since < turnTime
  if (patient && before(world) !== null)
    return {
      ...none,
      memory: { ...memory, turn: { revision, since } },
      wake: millis(now + glance),
    }
  const why = moved ? "it listens elsewhere than the flags say" : "a parameter needs a restart"
  const steps = [stopToRestart(world, why)]
  if (ahead.length > 0) return { ...none, steps, memory }
  // a restart that is under way is not planned a second time
  return { ...none, steps, memory: { ...memory, restartedFor: revision } }
}

const isAt = (place: Place, { listenAddress, port, socketDirectory }: Settings): boolean =>
  place.listenAddress === listenAddress &&
  place.port === port &&
  place.socketDirectory === socketDirectory
