/**
 * Hands off (`ctl pause`): what a paused keeper still does of its plan.
 *
 * It loads configuration, keeps slots, publishes, and obeys when its primary is revoked: safety is
 * never paused, so `stopped` never comes here. It does not restart, stop, start, rewind or copy of
 * its own accord. What was asked for or begun is finished: a DB that is new here, a promotion, the
 * start after a stop of its own, and the start of PostgreSQL with the keeper.
 */
import { type Pause, describePause } from "#model/wish.ts"
import type { Step } from "#model/step.ts"
import { type Outline, type World, dataIsRight } from "./outline.ts"
import { temporaryRevision } from "./render.ts"

/**
 * With the note that PostgreSQL is up and its data applied: a pause leaves it alone now. A
 * temporary start is something begun: left alone it would keep clients out. One that refuses us,
 * but was not started by us, serves its clients all the same.
 */
export function noticed(world: World): World {
  const { local, memory } = world
  const applied = dataIsRight(world) && local.db.generation > 0
  const { server } = local
  // its guardian ended it with its lease: it is to come back with the next, pause or not
  if (server.kind === "down" && local.asked && memory.wasUp)
    return { ...world, memory: { ...memory, wasUp: false } }
  const serves =
    server.kind === "up"
      ? server.revision !== temporaryRevision
      : server.kind === "starting" && server.refused === true && memory.startedAt === null
  return applied && serves ? { ...world, memory: { ...memory, wasUp: true } } : world
}

/** The outline without what disturbs. */
export function undisturbed(world: World, full: Outline, pause: Pause): Outline {
  const { memory } = world
  if (!memory.wasUp || memory.working !== null || promotes(world)) return full
  const wanted = full.steps.filter(({ kind }) => !tidying.has(kind))
  const at = wanted.findIndex(({ kind }) => !harmless.has(kind))
  const held = wanted[at]
  if (held === undefined) return { ...full, steps: wanted }
  // a restart for a parameter can wait, and nothing that follows in the plan depends on it
  const restart = held.kind === "stop" && held.checkpoint
  const rest = restart ? wanted.slice(at + 1).filter(({ kind }) => harmless.has(kind)) : []
  return {
    ...full,
    steps: [...wanted.slice(0, at), ...rest],
    blocked: {
      why: `${describePause(pause)}; not done: ${restart ? "restart" : held.kind}`,
      resolve: "stolon ctl resume",
    },
    memory, // nothing was decided: after the pause it is thought over again
  }
}

/** The view made it primary; only an operator's wish does that in a pause. */
const promotes = ({ want, local: { server, data } }: World): boolean =>
  want.role.kind === "primary" &&
  (server.kind === "up"
    ? server.inRecovery
    : data.kind === "initialized" && data.role === "standby")

const tidying: ReadonlySet<Step["kind"]> = new Set(["remove-asides", "discard-side"])
const harmless: ReadonlySet<Step["kind"]> = new Set([
  "save-keeper",
  "save-db",
  "write-config",
  "reload",
  "create-slot",
  "drop-slot",
  "prove-sync",
  "end-sessions",
  "check-roles",
  "wait-ready",
  "save-handled",
])
