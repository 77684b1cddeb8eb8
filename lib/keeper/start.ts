/**
 * What every regular start has in common: the binaries must fit the data, and a PostgreSQL that
 * ends at once is not started in a tight circle.
 */
import { millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import type { ConfigFiles } from "#model/local.ts"
import type { Step } from "#model/step.ts"
import { privateHba } from "./hba.ts"
import { type Outline, type World, blocked, outline } from "./outline.ts"
import { restartPause } from "./settings.ts"

/**
 * The rules and the signal files of a temporary start, unless they are there already: a plan must
 * come to its next step.
 */
export function prepare(world: World, signal: ConfigFiles["signal"]): readonly Step[] {
  const hba = privateHba(world.settings)
  const { files } = world.local
  return files?.hba === hba && files.signal === signal ? [] : [{ kind: "prepare", hba, signal }]
}

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

export const requestTimeout = ({ want }: World): ReturnType<typeof toMillis> =>
  toMillis(want.spec.requestTimeout)
export const waitReady = ({ want }: World): Step => ({
  kind: "wait-ready",
  timeout: toMillis(want.spec.dbWaitReadyTimeout),
})
