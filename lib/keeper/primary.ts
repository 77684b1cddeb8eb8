/**
 * Running as the primary: start, promotion (W3), the guard of synchronous mode (reference 6.6),
 * changes of configuration.
 *
 * The order protects two promises. P2: the names of the synchronous standbys are loaded before a
 * standby is promoted and proved to be in force before clients may write; commits that hung when a
 * synchronous primary ended are shown to nobody until the standbys have them (D-03, D-06, D-07).
 * P1: nothing here starts a primary that `desire` did not ask for.
 */
import { millis, never } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import { sameSet } from "#base/order.ts"
import { event } from "#model/events.ts"
import type { ConfigFiles, Local } from "#model/local.ts"
import type { Step } from "#model/step.ts"
import { parseConf } from "./conf.ts"
import { dueOf, givenUp, notedDown } from "./failing.ts"
import { housekeeping } from "./housekeeping.ts"
import { type Guard, guardOf } from "./hba.ts"
import {
  type Outline,
  type World,
  blocked,
  configure,
  outline,
  sameFiles,
  saveDB,
  stop,
} from "./outline.ts"
import { type Rendered, render, syncNames, temporaryRevision } from "./render.ts"
import { isLocked, unlock, unlockSteps, unlocking } from "./locked.ts"
import { restart } from "./restart.ts"
import { glance } from "./settings.ts"
import { slotSteps } from "./slots.ts"
import { requestTimeout, startSteps, waitReady } from "./start.ts"

export function planPrimary(before: World): Outline {
  const world = notedDown(before)
  const gone = givenUp(world)
  if (gone !== null) return gone
  const full = planFor(world)
  const due = dueOf(world)
  return due === null ? full : { ...full, wake: millis(Math.min(full.wake ?? due, due)) }
}

/** The way out when a primary's data is gone; `removekeeper` refuses a primary's keeper. */
export const restorePrimary =
  "`stolon ctl failkeeper` with its uid, when a standby is healthy; else restore the data; `stolon ctl init` a new cluster only when no copy is left anywhere"

function planFor(world: World): Outline {
  const { local, want } = world
  const { data, server } = local
  if (data.kind !== "initialized")
    return blocked(world, `the data of DB ${want.db.uid} is gone from this keeper`, restorePrimary)
  switch (server.kind) {
    case "down":
      if (isLocked(world) && data.role === "master") return unlocking(world)
      return fromStopped(world, data.role === "standby")
    case "starting":
      return unlock(world) ?? outline(world, [waitReady(world)])
    case "up":
      if (server.revision === temporaryRevision)
        return outline(
          world,
          isLocked(world) ? unlockSteps : [stop("the temporary configuration has served")],
        )
      return server.inRecovery ? promotion(world) : steady(world)
    default:
      return never(server)
  }
}

const synchronous = ({ want }: World): boolean => want.db.spec.synchronousReplication

/** Nobody ever committed to a DB of which nothing was applied yet: nothing can be hidden in it. */
const guardAtStart = (world: World): Guard =>
  synchronous(world) && world.local.db.generation > 0 ? "restarted" : "none"
/**
 * Without synchronous standbys there is nothing to prove, but still sessions to end, and only the
 * closed file tells a keeper that was killed meanwhile.
 */
const guardAtPromotion: Guard = "promoted"

function fromStopped(world: World, standby: boolean): Outline {
  const signal = standby ? "standby" : "none"
  const guard = standby ? guardAtPromotion : guardAtStart(world)
  const rendered = render(world, guard, signal)
  const then = standby ? promotionSteps(world, rendered) : []
  return startSteps(world, [
    ...configure(world, rendered, requestTimeout(world)),
    { kind: "start", temporary: null },
    waitReady(world),
    ...then,
    ...converged(world),
  ])
}

/** Still a standby: names and closed rules first, then promote (D-03). */
function promotion(world: World): Outline {
  const rendered = render(world, guardAtPromotion, "standby")
  return outline(world, [
    ...configure(world, rendered, requestTimeout(world)),
    ...promotionSteps(world, rendered),
    ...converged(world),
  ])
}

function promotionSteps(world: World, rendered: Rendered): readonly Step[] {
  const timeout = toMillis(world.want.spec.dbWaitReadyTimeout)
  const reopen = guardOf(rendered.files.hba) === "none" ? [] : opening(world)
  return [
    { kind: "promote", timeout },
    { kind: "end-sessions" },
    ...slotSteps(world).first,
    ...proof(world),
    ...reopen,
  ]
}

const proof = (world: World): readonly Step[] => {
  const names = syncNames(world.want.db)
  return names === "" ? [] : [{ kind: "prove-sync", names, timeout: requestTimeout(world) }]
}

/** A running primary. */
function steady(world: World): Outline {
  const { local, memory } = world
  const kept = guardKept(world)
  const rendered = render(world, kept, "none")
  const slots = slotSteps(world)
  const promotedNow = memory.done.has("promoted") || guardOf(hbaOf(local)) === "promoted"
  const end: readonly Step[] =
    promotedNow && !memory.done.has("sessions-ended") ? [{ kind: "end-sessions" }] : []
  // a reload reaches those who commit at its own time: what is reported as applied is in force (W3,
  // W8)
  const prove = memory.proved === syncNames(world.want.db) ? [] : proof(world)
  const first = [
    ...configure(world, rendered, requestTimeout(world)),
    ...end,
    ...slots.first,
    ...(kept === "promoted" ? [...prove, ...opening(world)] : []),
  ]
  const again = restart(world, rendered, first)
  const roles = rolesToCheck(world)
  const steps = [
    ...first,
    ...again.steps,
    ...(kept === "promoted" ? [] : prove),
    ...converged(world),
    ...slots.last,
    ...roles,
  ]
  const after = housekeeping({ ...world, memory: again.memory }, steps, kept === "none")
  const wake = kept === "none" ? (again.wake ?? after.wake) : millis(world.now + glance)
  return { ...after, wake, events: [...changeEvents(local, rendered), ...after.events] }
}

/**
 * Once a life of the keeper, which is when flags change (D-53). Others do not have to wait for it,
 * and when it fails a few times a person has to look.
 */
const rolesToCheck = ({ memory }: World): readonly Step[] =>
  memory.done.has("roles") || memory.done.has("roles-checked") || tried(memory) >= rolesTries
    ? []
    : [{ kind: "check-roles" }]
const tried = ({ failures }: World["memory"]): number => failures.get("check-roles") ?? 0
const rolesTries = 3

const hbaOf = (local: Local): string => local.files?.hba ?? ""

/** Which guard stays up: the one on disk, until what it waits for has happened. */
function guardKept(world: World): Guard {
  const { local, want, memory } = world
  const { server } = local
  const guard = guardOf(hbaOf(local))
  if (guard === "none" || server.kind !== "up") return "none"
  if (guard === "restarted" && !synchronous(world)) return "none"
  const loaded = server.revision === render(world, guard, "none").revision
  if (!loaded) return guard
  const names = syncNames(want.db)
  if (guard === "promoted") {
    const proved = names === "" || memory.proved === names
    return proved && memory.done.has("sessions-ended") ? "none" : guard
  }
  // D-07: an empty list beside the standby that never exists means "wait", not "nobody is missing"
  if (names === "") return "none"
  const wanted = want.db.spec.synchronousStandbys ?? []
  return wanted.length > 0 && sameSet(wanted, server.syncStandbys) ? "none" : guard
}

/** What follows the proof; told ahead so that a printed plan is complete. */
function opening(world: World): readonly Step[] {
  const open = render(world, "none", "none")
  return [
    { kind: "write-config", files: open.files },
    { kind: "reload", revision: open.revision, timeout: requestTimeout(world) },
  ]
}

/**
 * The generation is applied. Clients may still be kept out: Go's leaders count that as converged,
 * and so does ours.
 */
export const converged = (world: World): readonly Step[] =>
  saveDB(world, {
    uid: world.want.db.uid,
    generation: world.want.db.generation,
    initializing: false,
    initPGParameters: world.local.db.initPGParameters,
  })

export function changeEvents(local: Local, { files }: Rendered): Outline["events"] {
  const before: ConfigFiles | null = local.files
  if (before === null || sameFiles(before, files) || local.server.kind !== "up") return []
  return sameParameters(before.conf, files.conf) ? [] : [event("parameters.changed")]
}

/** Our own words do not count: the revision changes with pg_hba.conf too. */
function sameParameters(a: string, b: string): boolean {
  const [old, next] = [parseConf(a), parseConf(b)]
  const names = [...new Set([...old.keys(), ...next.keys()])]
  return names.every((name) => name.startsWith("stolon.") || old.get(name) === next.get(name))
}
