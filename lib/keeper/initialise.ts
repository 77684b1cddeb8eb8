/**
 * The first data of a cluster: `new` (initdb), `pitr` (a backup brought back) and `existing` (a
 * directory that is there already), K7.
 *
 * Initialisation has its own start with a temporary configuration, under the mark `setup`: a
 * directory with that mark holds nothing that anybody needs. What was in `postgres/` before is set
 * aside (N3). `existing` never says `initializing`, because a Go keeper would take that as leave to
 * delete the data.
 */
import { toMillis } from "#base/duration.ts"
import { sortedEntries } from "#base/order.ts"
import type { Step } from "#model/step.ts"
import { privateHba } from "./hba.ts"
import { installSide, stale } from "./install.ts"
import { setupEnds } from "./memory.ts"
import {
  type Outline,
  type World,
  blocked,
  fresh,
  outline,
  running,
  saveDB,
  stop,
  unmark,
} from "./outline.ts"
import { renderTemporary, temporaryRevision } from "./render.ts"
import { prepare, startSteps, waitReady } from "./start.ts"

/** Modes `new` and `pitr`. */
export function planInitialise(world: World): Outline {
  const { local, want } = world
  const { mark, db } = local
  const targets = manyTargets(want)
  if (targets !== null)
    return blocked(
      world,
      `PostgreSQL recovers to one target, the specification names several: ${targets}`,
      "`stolon ctl init` with one of them",
    )
  const begin = saveDB(
    world,
    fresh(want.db.uid, true, db.uid === want.db.uid ? db.initPGParameters : null),
  )
  if (begin.length > 0) return outline(world, [...begin, ...whole(world)])
  if (mark?.kind === "setup" && mark.db === want.db.uid && local.data.kind !== "missing")
    return setup(world)
  return outline(world, whole(world))
}

/**
 * D-76: found out before hours go into the restore, not by the start after it. The timeline is no
 * target of its own.
 */
function manyTargets({ db: { spec } }: World["want"]): string | null {
  const target = spec.initMode === "pitr" ? spec.pitrConfig?.recoveryTargetSettings : undefined
  if (target === undefined) return null
  const { recoveryTargetTimeline: _, ...targets } = target
  const named = sortedEntries(new Map(Object.entries(targets))).filter(([, value]) => value !== "")
  return named.length > 1 ? named.map(([name]) => name).join(", ") : null
}

/** Up to the mark `setup`, and told ahead what comes then. */
function whole(world: World): readonly Step[] {
  const { local, want, memory } = world
  if (running(local)) return [stop("the cluster is initialised")]
  const leftover = stale(world)
  if (leftover.length > 0) return leftover
  const complete = local.mark?.kind === "copied" || (local.side && memory.done.has("side-complete"))
  return [
    ...(complete ? [] : [fill(world)]),
    ...installSide(world),
    ...prepare(world, signalOf(world)),
    { kind: "mark", mark: { kind: "setup", db: want.db.uid } },
    ...setupSteps(world),
  ]
}

function fill({ want }: World): Step {
  const timeout = toMillis(want.spec.syncTimeout)
  const { initMode, newConfig, pitrConfig } = want.db.spec
  return initMode === "pitr"
    ? { kind: "restore", command: pitrConfig?.dataRestoreCommand ?? "", timeout }
    : { kind: "initdb", config: newConfig ?? null }
}

const isPitr = ({ want }: World): boolean => want.db.spec.initMode === "pitr"

/**
 * A backup is recovered up to its target, or, when it is to follow somebody outside, kept in
 * recovery.
 */
function signalOf(world: World): "none" | "standby" | "recovery" {
  if (!isPitr(world)) return "none"
  return world.want.role.kind === "external" ? "standby" : "recovery"
}

/** In the marked directory: from wherever it is to data that is fit for use. */
function setup(world: World): Outline {
  const { local, memory } = world
  const { server } = local
  const [start, ready, ...work] = setupSteps(world)
  if (start === undefined || ready === undefined) return outline(world, [])
  if (server.kind === "down" && !running(local))
    return memory.done.has("set-up")
      ? outline(world, finish(world))
      : startSteps(world, [start, ready, ...work])
  const mayBeRecovering =
    isPitr(world) && local.files?.signal === "recovery" && !memory.done.has("recovered")
  if (mayBeRecovering) return outline(world, [recovered(world), ready, ...work])
  if (server.kind !== "up") return outline(world, [ready, ...work])
  if (server.revision !== temporaryRevision)
    return outline(world, [stop("it does not run as an initialisation should")])
  return outline(world, work)
}

function setupSteps(world: World): readonly Step[] {
  const { want, local } = world
  const { spec } = want.db
  const pitr = isPitr(world) ? (spec.pitrConfig ?? null) : null
  const state = fresh(want.db.uid, true, local.db.initPGParameters)
  return [
    { kind: "start", temporary: renderTemporary(world, pitr) },
    waitReady(world),
    ...(rolesDone(world) ? [] : [{ kind: "create-roles" } as const]),
    ...(capturesDone(world) ? [] : [{ kind: "capture-parameters", state } as const]),
    stop(setupEnds),
    ...finish(world),
  ]
}

/** A backup may have other passwords and no replication role (D-53); in recovery it keeps them. */
const rolesDone = (world: World): boolean =>
  signalOf(world) === "standby" || world.memory.done.has("roles")
const capturesDone = ({ want, memory }: World): boolean =>
  !want.db.spec.includePreviousConfig || memory.done.has("captured")
const finish = ({ want, local }: World): readonly Step[] => [
  { kind: "save-db", state: fresh(want.db.uid, false, local.db.initPGParameters) },
  unmark,
]

const recovered = ({ want }: World): Step => ({
  kind: "wait-recovered",
  timeout: toMillis(want.spec.syncTimeout),
})

/** In a start that asks for no password, a superuser who is refused does not exist. */
const refusalsMax = 3

/** Mode `existing`: the instance's parameters are read once, its data stays as it is. */
export function planExisting(world: World): Outline {
  const { local, want, memory } = world
  const { data, mark, server } = local
  if (data.kind !== "initialized" || mark !== null)
    return blocked(
      world,
      `there is no whole data directory for DB ${want.db.uid} to take over`,
      "put the existing cluster's data directory in place, with this keeper stopped",
    )
  const taken = fresh(want.db.uid, false, null)
  if (!want.db.spec.includePreviousConfig)
    return outline(world, [
      ...(running(local) ? [stop("the instance is taken over")] : []),
      ...saveDB(world, taken),
    ])
  const temporary = server.kind === "up" && server.revision === temporaryRevision
  const capture: Step = { kind: "capture-parameters", state: taken }
  const mine = want.role.kind === "primary" && data.role === "master"
  const roles: readonly Step[] = mine && !memory.done.has("roles") ? [{ kind: "create-roles" }] : []
  if (temporary) return outline(world, [...roles, capture, stop("the instance is taken over")])
  const hopeless = (memory.failures.get("wait-ready") ?? 0) >= refusalsMax
  const asksNothing = local.files?.hba === privateHba(world.settings)
  if (server.kind === "starting" && (server.refused !== true || (asksNothing && !hopeless)))
    return outline(world, [waitReady(world)])
  if (running(local)) return outline(world, [stop("the instance is taken over")])
  if (hopeless)
    return blocked(
      world,
      `the instance that DB ${want.db.uid} is made of refuses its keeper`,
      "it needs a superuser of the name given by --pg-su-username; then start the keeper again",
    )
  const signal = data.role === "standby" || want.role.kind === "external" ? "standby" : "none"
  return startSteps(world, [
    ...prepare(world, signal),
    { kind: "start", temporary: renderTemporary(world, null) },
    waitReady(world),
    ...roles,
    capture,
    stop("the instance is taken over"),
  ])
}
