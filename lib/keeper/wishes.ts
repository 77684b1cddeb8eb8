/**
 * What operators ask of this keeper: to restart or reload PostgreSQL once (`ctl restart`, `ctl
 * reload`).
 *
 * A restart is a stop that is followed by a start. Its nonce is saved in between, while PostgreSQL
 * is down: saved before the stop, a keeper that dies there would never restart and yet say that it
 * did; saved after the start, it would restart twice. Down, whoever dies leaves a PostgreSQL that
 * is started anyway. A reload does no harm twice, so its nonce is saved after it.
 */
import { millis } from "#base/brand.ts"
import type { ClusterData } from "#model/cluster.ts"
import type { KeeperUID, Nonce } from "#model/ids.ts"
import type { Local } from "#model/local.ts"
import type { Step } from "#model/step.ts"
import { type Wishes, pauseOf } from "#model/wish.ts"
import { type Outline, type World, dataIsRight } from "./outline.ts"
import { undisturbed } from "./pause.ts"
import { stopToRestart } from "./restart.ts"
import { requestTimeout } from "./start.ts"

/** As many as are told apart; the leader takes fulfilled wishes out long before. */
const handledMax = 8

/** The wishes of the view that this keeper has not fulfilled yet. */
interface Pending {
  readonly restart: Nonce | null
  readonly reload: Nonce | null
}

function pendingWishes(view: ClusterData | null, uid: KeeperUID, local: Local): Pending {
  const wishes: Wishes = view?.keepers.get(uid)?.status.wishes ?? {}
  const open = (nonce: Nonce | undefined): Nonce | null =>
    nonce === undefined || local.handled.includes(nonce) ? null : nonce
  return { restart: open(wishes.restart?.nonce), reload: open(wishes.reload?.nonce) }
}

/**
 * A wish that cannot be noted as fulfilled (the disk is full) waits until something can be noted
 * again: PostgreSQL must not stay down for it, and not be restarted over and over.
 */
const cannotSay = ({ memory }: World): boolean =>
  (memory.failures.get("save-handled") ?? 0) >= sayTries
const sayTries = 3

/** The outline as operators let it be: less of it in a pause, more of it where they asked. */
export function heed(world: World, full: Outline, view: ClusterData | null): Outline {
  const { uid } = world.settings
  const pending = pendingWishes(view, uid, world.local)
  const pause = view === null ? null : pauseOf(view, uid)
  const restarts = pending.restart !== null && !cannotSay(world)
  const kept = pause === null || restarts ? full : undisturbed(world, full, pause)
  return dataIsRight(world) ? checkpointing(world, withWishes(world, kept, pending), view) : kept
}

/**
 * S1: what is written now need not be written while everybody waits. Once for a switchover; the
 * nonce is saved after it, since a second checkpoint does no harm.
 */
function checkpointing(world: World, full: Outline, view: ClusterData | null): Outline {
  const { local, memory, want, settings } = world
  const wish = view?.cluster.status.switchover
  if (wish?.phase !== "checkpoint" || local.handled.includes(wish.nonce)) return full
  const mine = view?.cluster.status.master === want.db.uid || wish.keeper === settings.uid
  if (!mine || local.server.kind !== "up" || cannotSay(world)) return full
  if (full.steps.some(({ kind }) => !calm.has(kind))) return full
  const { nonce } = wish
  const timeout = millis(Math.max(checkpointTime, requestTimeout(world)))
  const make: readonly Step[] =
    memory.checkpointed === nonce ? [] : [{ kind: "checkpoint", nonce, timeout }]
  return { ...full, steps: [...make, handle(local, nonce), ...full.steps] }
}
const checkpointTime = 60_000

/**
 * The outline of a DB whose data are in place, with the wishes woven in. They wait until nothing
 * long is to be done: who clones or promotes is not interrupted for a restart.
 */
function withWishes(world: World, outline: Outline, pending: Pending): Outline {
  const { local } = world
  const { steps } = outline
  const { restart, reload } = pending
  const starts = steps.some(({ kind }) => kind === "start")
  const stuck = cannotSay(world)
  if (restart !== null && local.server.kind === "down" && starts && !stuck)
    return { ...outline, steps: [handle(local, restart), ...steps] }
  if (local.server.kind !== "up" || steps.some(({ kind }) => !calm.has(kind))) return outline
  if (stuck && (restart ?? reload) !== null)
    return { ...outline, steps: [...steps, { kind: "save-handled", handled: local.handled }] }
  const reloads = reload === null ? [] : reloadSteps(world, reload, local.server.revision)
  const restarts = restart === null ? [] : [stopToRestart(world, "an operator asked for a restart")]
  return { ...outline, steps: [...steps, ...reloads, ...restarts] }
}

/** Steps after which PostgreSQL goes on as before. */
const calm: ReadonlySet<Step["kind"]> = new Set([
  "save-db",
  "write-config",
  "reload",
  "create-slot",
  "drop-slot",
  "prove-sync",
  "check-roles",
  "remove-asides",
  "discard-side",
])

/** Files that differ from what they should be are written by the plan itself, wish or not. */
function reloadSteps(world: World, wish: Nonce, revision: string): readonly Step[] {
  const done = handle(world.local, wish)
  if (world.memory.reloadedFor === wish) return [done]
  return [{ kind: "reload", revision, timeout: requestTimeout(world), wish }, done]
}

const handle = ({ handled }: Local, nonce: Nonce): Step => ({
  kind: "save-handled",
  handled: [...handled, nonce].slice(-handledMax),
})
