/**
 * The keeper's brain: what is asked (`desire`), what is there (`Local`), and what is remembered
 * become the steps that are still to do.
 *
 * Pure. Steps are carried out one at a time and the plan is made anew after each, so a crash
 * between any two is nothing special: the next plan begins where the machine is. Whatever cannot be
 * done is said with the way out (P5), never forced.
 */
import { type Millis, millis, never } from "#base/brand.ts"
import type { ClusterData } from "#model/cluster.ts"
import { type Event, event } from "#model/events.ts"
import { epoch } from "#model/ids.ts"
import type { KeeperInfo } from "#model/info.ts"
import type { Local } from "#model/local.ts"
import type { Step } from "#model/step.ts"
import { type Desired, type Stopped, desire } from "./desire.ts"
import { certificateOf } from "./failing.ts"
import { planExisting, planInitialise } from "./initialise.ts"
import { type Fence, fenced, modeToKeep, noFence } from "./lease.ts"
import { type Memory, about } from "./memory.ts"
import {
  type Blocked,
  type Outline,
  type World,
  blocked,
  dataIsRight,
  outline,
  running,
  stop,
  unmark,
} from "./outline.ts"
import { noticed } from "./pause.ts"
import { planPrimary, restorePrimary } from "./primary.ts"
import { ignoredParameters } from "./render.ts"
import { planResync } from "./resync.ts"
import { type Settings, orphanTime, stopEscalation, urgentEscalation } from "./settings.ts"
import { planStandby } from "./standby.ts"
import { heed } from "./wishes.ts"

export interface Input {
  /**
   * The cluster data as it was just read; null: there is none. A view that could not be read is no
   * input at all.
   */
  readonly view: ClusterData | null
  readonly local: Local
  readonly settings: Settings
  /** What the cluster's keepers publish, when `asksOthers`; absent when it could not be had. */
  readonly others?: readonly KeeperInfo[]
  /** Absent: nobody has to be asked for leave (a rehearsal). */
  readonly fence?: Fence
}

export interface Plan {
  readonly desired: Desired
  /** The first is to be carried out, the others are what follows as far as it can be told. */
  readonly steps: readonly Step[]
  readonly blocked: Blocked | null
  readonly memory: Memory
  readonly events: readonly Event[]
  readonly wake: Millis | null
}

export function plan(input: Input, memory: Memory, now: Millis): Plan {
  const { view, local, settings } = input
  const { uid, boot } = settings
  const desired = desire(view, { uid, boot, certificate: local.certificate })
  const mine = about(memory, desired.kind === "run" ? desired.db.uid : memory.db)
  const orphan = desired.kind === "leave" && desired.orphan
  const known = orphan ? mine : { ...mine, orphanSince: null }
  const result = outlineFor(desired, input, known, now)
  const save = [...saveFencing(input), ...saveKeeper(input)]
  const said = sayOnce(result, desired, input)
  // a stop waits for nothing, least of all for a disk that takes no data
  const [first, ...rest] = result.steps
  const steps = first?.kind === "stop" ? [first, ...save, ...rest] : [...save, ...result.steps]
  return { desired, ...result, ...said, steps }
}

function outlineFor(desired: Desired, input: Input, memory: Memory, now: Millis): Outline {
  const { local, settings } = input
  switch (desired.kind) {
    case "leave":
      return desired.orphan
        ? orphaned(desired.why, local, memory, now)
        : { steps: [], blocked: null, memory, events: [], wake: null }
    case "stopped":
      return {
        steps: stoppedSteps(desired, local, settings),
        blocked: null,
        memory,
        events: [],
        wake: null,
      }
    case "run": {
      const world = noticed({
        local,
        want: desired,
        settings,
        memory,
        now,
        others: input.others ?? null,
      })
      return fenced(
        heed(world, planRun(world), input.view),
        local,
        input.fence ?? noFence,
        { db: desired.db.uid, epoch: input.view?.cluster.status.primaryEpoch ?? noEpoch },
        now,
      )
    }
    default:
      return never(desired)
  }
}

/**
 * D-19: the data's cluster is gone, or was made anew without this keeper. A standby harms nobody; a
 * primary could go on taking writes that nobody will ever read. It is stopped, nothing is deleted,
 * and it starts again when cluster data says so. Time counts only while this process watches.
 */
function orphaned(why: string, local: Local, memory: Memory, now: Millis): Outline {
  const since = memory.orphanSince ?? now
  const due = millis(since + orphanTime)
  const rest = { memory: { ...memory, orphanSince: since }, events: [] }
  if (!running(local) || !isPrimary(local)) return { steps: [], blocked: null, wake: null, ...rest }
  if (now < due) return { steps: [], blocked: null, wake: due, ...rest }
  const said = `${why} for ${orphanTime / 1000} s: a primary that belongs to no cluster is stopped`
  return {
    steps: [stop(said, true)],
    blocked: { why: said, resolve: "it starts again when cluster data assigns its DB to it" },
    wake: null,
    ...rest,
  }
}

const isPrimary = ({ server, data }: Local): boolean =>
  server.kind === "up" ? !server.inRecovery : data.kind === "initialized" && data.role === "master"

const noEpoch = epoch("")

/** L6: first of all, and before anything is claimed. */
function saveFencing({ view, local }: Input): readonly Step[] {
  const mode = modeToKeep(view, local.fencing)
  return mode === null ? [] : [{ kind: "save-fencing", mode }]
}

/** K2: the keeper belongs to the cluster that the view describes. */
function saveKeeper({ view, local, settings }: Input): readonly Step[] {
  if (view === null) return []
  const state = { uid: settings.uid, clusterUID: view.cluster.uid }
  const { keeper } = local
  const same = keeper.uid === state.uid && keeper.clusterUID === state.clusterUID
  return same ? [] : [{ kind: "save-keeper", state }]
}

function stoppedSteps(desired: Stopped, local: Local, settings: Settings): readonly Step[] {
  const escalate = desired.urgent ? urgentEscalation : stopEscalation
  const end = running(local) ? [stop(desired.why, false, escalate)] : []
  if (desired.certify === null) return end
  const { epoch: word, db } = desired.certify
  const certificate = certificateOf(word, db, desired.why, local, settings)
  const { certificate: given } = local
  const issued = given?.epoch === certificate.epoch && given.dbuid === certificate.dbuid
  return issued ? end : [...end, { kind: "certify", certificate }]
}

function planRun(world: World): Outline {
  const { local, want, memory } = world
  if (local.binary.Maj < 12)
    return blocked(
      world,
      `PostgreSQL ${local.binary.Maj} is not supported`,
      "install version 12 or later",
    )
  if (dataIsRight(world)) {
    if (memory.again && want.role.kind === "internal") return planResync(world)
    // whatever it marked is finished: the state was saved after it
    if (local.mark !== null) return outline(world, [unmark])
    return want.role.kind === "primary" ? planPrimary(world) : planStandby(world)
  }
  return withoutData(world)
}

function withoutData(world: World): Outline {
  const { local, want } = world
  const { initMode, keeperUID } = want.db.spec
  switch (initMode) {
    case "new":
    case "pitr":
      return planInitialise(world)
    case "existing":
      return planExisting(world)
    case "resync":
      return planResync(world)
    case "none":
    case "": {
      const resyncing = local.db.uid === want.db.uid && want.role.kind === "internal"
      if (resyncing) return planResync(world)
      const has = local.db.uid === "" ? "no DB" : `DB ${local.db.uid}`
      return blocked(
        world,
        `keeper ${keeperUID} is expected to hold DB ${want.db.uid}, but holds ${has}: its data is lost`,
        want.role.kind === "primary"
          ? restorePrimary
          : "bring the data directory back, or `stolon ctl removekeeper` this keeper so that it is assigned anew",
      )
    }
    default:
      return never(initMode)
  }
}

/** Reasons and ignored parameters are said when they change, not every second. */
function sayOnce(
  { blocked: why, memory, events }: Outline,
  desired: Desired,
  input: Input,
): Pick<Plan, "memory" | "events"> {
  let { said } = memory
  const news: Event[] = []
  const say = (key: string, text: string, what: readonly Event[]): void => {
    if ((said.get(key) ?? "") === text) return
    said = new Map(said).set(key, text)
    news.push(...what)
  }
  const loud = why === null || why.usual === true ? null : why
  const reason = loud === null ? "" : `${loud.why}; ${loud.resolve}`
  say("blocked", reason, loud === null ? [] : [event("plan.blocked", { ...loud })])
  const broken = input.local.unwritable ?? ""
  say("unwritable", broken, broken === "" ? [] : [event("postgres.unwritable", { why: broken })])
  if (desired.kind === "run") {
    const { local, settings } = input
    const ignored = ignoredParameters({ local, want: desired, settings })
    say(
      "ignored",
      ignored.map(({ name }) => name).join(),
      ignored.map((i) => event("parameter.ignored", { ...i })),
    )
  }
  return { memory: { ...memory, said }, events: [...events, ...news] }
}
