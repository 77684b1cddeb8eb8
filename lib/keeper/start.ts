/**
 * What every regular start has in common: the binaries must fit the data, and a PostgreSQL that
 * ends at once is not started in a tight circle.
 */
import { millis } from "#base/brand.ts"
import type { Step } from "#model/step.ts"
import { type Outline, type World, blocked, outline } from "./outline.ts"
import { restartPause } from "./settings.ts"

/** The steps, unless PostgreSQL should not or not yet be started. */
export function startSteps(world: World, steps: readonly Step[]): Outline {
  const { local, memory, now } = world
  if (local.data.kind === "initialized" && local.data.major !== local.binary.Maj)
    return blocked(
      world,
      `the data directory is of PostgreSQL ${local.data.major}, the programs are of ${local.binary.Maj}`,
      "install the matching PostgreSQL, or name it with --pg-bin-path",
    )
  const next = memory.startedAt === null ? now : memory.startedAt + restartPause
  return next > now ? outline(world, [], { wake: millis(next) }) : outline(world, steps)
}
