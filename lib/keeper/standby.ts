/**
 * Running as a standby, of another DB of the cluster or of a primary outside (K10).
 *
 * A copy that was not made freshly must show that it streams before the DB's first generation is
 * reported: until then the leader takes nothing for granted (6.6b), and a copy that turns out to
 * have left the primary's history is replaced, never trusted (D-09).
 */
import { millis, never } from "#base/brand.ts"
import { event } from "#model/events.ts"
import type { DB } from "#model/cluster.ts"
import type { Step } from "#model/step.ts"
import { diverged } from "./branch.ts"
import { housekeeping } from "./housekeeping.ts"
import { kinship } from "./lineage.ts"
import { type Memory, waitedFor } from "./memory.ts"
import {
  type Outline,
  type World,
  blocked,
  configure,
  outline,
  sameFiles,
  stop,
  waiting,
} from "./outline.ts"
import { changeEvents, converged } from "./primary.ts"
import {
  type Rendered,
  currentConf,
  letsGo,
  recoveryNeedsRestart,
  render,
  temporaryRevision,
} from "./render.ts"
import { parseConf } from "./conf.ts"
import { restart } from "./restart.ts"
import { makeRoom, planResync } from "./resync.ts"
import { glance, settleTime, streamTime } from "./settings.ts"
import { slotSteps } from "./slots.ts"
import { requestTimeout, startSteps, waitReady } from "./start.ts"

export function planStandby(before: World): Outline {
  const world = keptApart(heldOff(before))
  const { local, want } = world
  const { data, server, db } = local
  if (data.kind !== "initialized") return planResync(world)
  const wasPrimary =
    server.kind === "up" ? !server.inRecovery : server.kind === "down" && data.role === "master"
  const temporary = server.kind === "up" && server.revision === temporaryRevision
  if (temporary) return outline(world, [stop("the temporary configuration has served")])
  if (wasPrimary && (server.kind === "up" || db.generation > 0))
    return blocked(
      world,
      `DB ${want.db.uid} is a primary here and cannot become a standby in place`,
      "the leader gives this keeper a new DB; `stolon ctl removekeeper` makes it do so",
    )
  const rendered = render(world, "none", "standby")
  switch (server.kind) {
    case "down":
      return startSteps(world, [
        ...configure(world, rendered, requestTimeout(world)),
        { kind: "start", temporary: null },
        ...converged(world),
      ])
    case "starting":
      return starting(world, rendered)
    case "up":
      return up(world, rendered)
    default:
      return never(server)
  }
}

/**
 * Not answering yet. Nobody uses it, so a changed configuration is brought in by a restart; a
 * reload could not be seen to arrive. Waiting for it is only for the sake of reporting it at once.
 */
function starting(world: World, rendered: Rendered): Outline {
  if (!sameFiles(world.local.files, rendered.files))
    return outline(world, [stop("the configuration of a starting standby changed")])
  const { server } = world.local
  if (server.kind === "starting" && server.refused === true)
    return blocked(
      world,
      `PostgreSQL does not accept the superuser of the flags: ${server.why}`,
      "start the primary's keeper with the same flags; it sets the password, and it arrives here",
    )
  const applied = world.local.db.generation === 0 ? [] : converged(world)
  return outline(world, [...applied, waitReady(world)])
}

/** Whoever may follow again has not let go, and must not be said to have. */
function heldOff(world: World): World {
  const { memory, want, local } = world
  const epoch = want.role.kind === "internal" ? (want.role.letGo ?? null) : null
  const still = memory.detached === epoch && local.server.kind === "up"
  return memory.detached === null || still
    ? world
    : { ...world, memory: { ...memory, detached: null } }
}

/** W9: no WAL is taken from a primary whose timelines may only have the numbers of those here. */
function keptApart(world: World): World {
  const { want, local } = world
  const { role } = want
  if (role.kind !== "internal") return world
  const apart = kinship(local, role.followed)
  return apart === "kin" ? world : { ...world, want: { ...want, role: { ...role, apart } } }
}

/**
 * Waits for the promotion of the DB followed, which tells; a copy of another's timeline is
 * replaced. pg_rewind would not notice either (resync.ts).
 */
function estranged(
  world: World,
  apart: "stranger" | "unsure",
  followed: DB,
  change: readonly Step[],
): Outline {
  if (apart === "stranger" && followed.status.healthy) return redo(world, "clone")
  const why = `DB ${world.want.db.uid} has a timeline that another DB than ${followed.uid} began`
  const resolve = `it goes on by itself when ${followed.uid} serves`
  return outline(world, change, { blocked: { why, resolve }, wake: millis(world.now + glance) })
}

/**
 * L3: nothing else is done for a standby that lets go, and it is not reported before it is true.
 */
function letGo(world: World, change: readonly Step[]): Outline {
  const { want, memory } = world
  const epoch = want.role.kind === "internal" ? want.role.letGo : undefined
  if (epoch === undefined || memory.detached === epoch) return outline(world, change)
  return outline(world, [...change, { kind: "detach", epoch, timeout: requestTimeout(world) }])
}

function up(world: World, rendered: Rendered): Outline {
  const { local, want } = world
  const before = currentConf(local)
  if (recoveryNeedsRestart(before, parseConf(rendered.files.conf), local.binary.Maj))
    return outline(world, [stop("what the standby follows changed")])
  const change = configure(world, rendered, requestTimeout(world))
  if (letsGo(want.role, local)) return letGo(world, change)
  if (want.role.kind === "internal" && want.role.apart !== undefined)
    return estranged(world, want.role.apart, want.role.followed, change)
  const slots = slotSteps(world)
  const first = [...change, ...slots.first]
  const again = restart(world, rendered, first)
  const streaming = local.server.kind === "up" && local.server.streaming
  const unproven =
    change.length === 0 && local.db.generation === 0 && want.role.kind === "internal" && !streaming
  if (unproven && world.memory.path !== "clone") return unverified(world)
  if (unproven && leftHistory(world)) return redo(world, "clone")
  const steps = [...first, ...again.steps, ...converged(world), ...slots.last]
  const done = housekeeping({ ...world, memory: again.memory }, steps, streaming)
  const wake = again.wake ?? done.wake
  return { ...done, wake, events: [...changeEvents(local, rendered), ...done.events] }
}

/**
 * It is up, but does not stream: it may have left the primary's history, or the primary may just
 * not be there.
 */
function unverified(world: World): Outline {
  const { want, memory, now, local } = world
  if (want.role.kind !== "internal") return outline(world, [])
  const { followed } = want.role
  const what = `DB ${want.db.uid} does not stream from ${followed.uid} yet`
  const waited = waitedFor(memory, what, now)
  const there = followed.status.healthy && local.server.kind === "up"
  const hopeless = leftHistory(world) ? waited >= settleTime : waited >= streamTime
  if (there && hopeless) return redo(world, memory.path === "rewind" ? "clone" : "undecided")
  const wait = waiting(world, what, settleTime, "it is copied afresh when that does not come")
  return { ...wait, wake: millis(now + glance) }
}

function leftHistory({ local, want }: World): boolean {
  const { server } = local
  return (
    server.kind === "up" &&
    want.role.kind === "internal" &&
    diverged(want.role.followed.status, server)
  )
}

/**
 * The copy in use is of no use: take another way. `undecided` here means whatever of rewind and
 * copy can be done.
 */
function redo(world: World, path: Memory["path"]): Outline {
  const { memory, want } = world
  const next: Memory = { ...memory, again: true, path, waiting: null, done: new Set() }
  return outline({ ...world, memory: next }, [makeRoom(world)], {
    events: [
      event("plan.blocked", {
        why: `DB ${want.db.uid} has left the history that it should follow`,
      }),
    ],
  })
}
