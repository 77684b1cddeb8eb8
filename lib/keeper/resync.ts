/**
 * Getting a standby's data: by following as it is, by pg_rewind, by a fresh copy, in this order
 * (reference 6.4, D-08, D-36, D-52).
 *
 * P3 and N3: the present directory stays whole until a complete copy lies beside it; then it is set
 * aside, not deleted. pg_rewind is begun only after the WAL that nobody else has was saved, and a
 * directory in which it did not finish is never started again.
 *
 * `initializing` without a mark means: the old directory stays untouched, only a copy will do. That
 * also fits what a Go keeper leaves, whose directory then is not to be trusted.
 */
import { never } from "#base/brand.ts"
import { zeroLsn } from "#base/lsn.ts"
import { type DB, type DBStatus } from "#model/cluster.ts"
import { event } from "#model/events.ts"
import { slotOf } from "#model/ids.ts"
import type { Step, StepKind } from "#model/step.ts"
import { type Whole, forkOf, isTwin, judge } from "./branch.ts"
import { installSide, stale } from "./install.ts"
import { kinship } from "./lineage.ts"
import { type Path, waitedFor } from "./memory.ts"
import {
  type Outline,
  type World,
  blocked,
  fresh,
  outline,
  running,
  saveDB,
  sourceOf,
  stop,
  unmark,
  waiting,
} from "./outline.ts"
import { settleTime, slotTime } from "./settings.ts"

export function planResync(world: World): Outline {
  const { local, want } = world
  if (want.role.kind !== "internal")
    return blocked(
      world,
      `DB ${want.db.uid} is to be copied, but follows no DB of the cluster`,
      "the leader has to assign it anew",
    )
  const { followed } = want.role
  // first of all: whatever runs here runs for another DB
  if (running(local)) return outline(world, [makeRoom(world)])
  const leftover = stale(world)
  if (leftover.length > 0) return outline(world, leftover)
  const path = choose(world, followed)
  if (typeof path !== "string") return path
  const chosen: World = { ...world, memory: { ...world.memory, path } }
  switch (path) {
    case "undecided":
    case "clone": {
      const way = clone(chosen, followed)
      return { ...way, events: [...rewindNews(world), ...way.events] }
    }
    case "follow":
      return outline(chosen, saveDB(chosen, fresh(want.db.uid, false, null)))
    case "rewind":
      return rewind(chosen, followed)
    default:
      return never(path)
  }
}

/** The stop before everything else. */
export const makeRoom = ({ want }: World): Step => stop(`DB ${want.db.uid} is to be copied`)

/**
 * Whether it is worth beginning. A copy that runs is not given up because the other side's keeper
 * was silent for a moment: when the source is really gone, the copy fails by itself.
 */
const reachable = ({ memory }: World, { status }: DB, step: StepKind): boolean =>
  status.healthy || memory.working === step

/** The way to go, or what to wait for. */
function choose(world: World, followed: DB): Path | Outline {
  const { local, want, memory, now } = world
  const { data, mark } = local
  if (want.db.spec.freshCopy !== "") return "clone"
  // of a directory that was lost since, what was rewound is lost with it
  const begun = memory.path === "rewind" && (mark === null || mark.kind === "rewind")
  if (begun && data.kind === "initialized") return "rewind"
  if (memory.path === "clone") return "clone"
  if (mark !== null || local.db.initializing || data.kind !== "initialized") return "clone"
  const kin = kinship(local, followed)
  if (kin === "stranger") return "clone"
  const known = kin === "kin" ? judge(data, followed.status) : "unsure"
  const verdict = memory.again ? "off" : known
  if (verdict === "on") return "follow"
  const what = `DB ${followed.uid} has not applied yet that ${want.db.uid} follows it`
  const patient = waitedFor(world.memory, what, now) < settleTime
  if (patient && (verdict === "unsure" || !settled(followed)))
    return waiting(world, what, settleTime, "it is tried anyway after a while")
  return rewindable(world, data) ? "rewind" : "clone"
}

/** Its slot for us is there, and it knows its timeline. */
const settled = ({ generation, status }: DB): boolean =>
  status.healthy && status.currentGeneration === generation

const rewindable = (world: World, data: Whole): boolean =>
  world.want.db.spec.usePgrewind && rewindRefusal(world, data) === null

/** Why pg_rewind is not to be used on this data, in words for people; null when it may be. */
function rewindRefusal({ local, want }: World, { control, systemID }: Whole): string | null {
  if (control === null) return "pg_control cannot be read"
  if (want.role.kind !== "internal") return "it follows nobody of the cluster"
  const { followed } = want.role
  const { status, spec } = followed
  if (status.systemdID !== systemID) return "the data is of another system"
  if (isTwin(control, status) || kinship(local, followed) !== "kin")
    return "pg_rewind cannot tell the two histories apart"
  if (!control.checksums && !control.walLogHints)
    return "the data was written without checksums and without wal_log_hints"
  const { Maj } = local.binary
  if (Maj < 14 && spec.role === "standby")
    return "before PostgreSQL 14 pg_rewind takes no standby as its source"
  return Maj < 13 && !control.state.startsWith("shut down")
    ? "before PostgreSQL 13 pg_rewind does not recover a crashed server"
    : null
}

/** Said when the way is chosen, once: who switched usePgrewind on wants to know. */
function rewindNews(world: World): Outline["events"] {
  const { local, want, memory } = world
  const first = memory.path === "undecided" && local.data.kind === "initialized"
  if (!first || !want.db.spec.usePgrewind || local.mark !== null) return []
  const why = local.data.kind === "initialized" ? rewindRefusal(world, local.data) : null
  return why === null ? [] : [event("rewind.impossible", { why })]
}

function rewind(world: World, followed: DB): Outline {
  const { local, want, memory } = world
  const source = sourceOf(want.role)
  if (
    source === null ||
    !reachable(world, followed, memory.done.has("wal-saved") ? "rewind" : "save-divergent-wal")
  )
    return unreachable(world, followed)
  const { uid } = want.db
  const save: Step = { kind: "save-divergent-wal", since: since(world, followed.status) }
  const steps: readonly Step[] = [
    ...(memory.done.has("wal-saved") ? [] : [save]),
    ...saveDB(world, fresh(uid, true, null)),
    ...(local.mark === null ? [{ kind: "mark", mark: { kind: "rewind", db: uid } } as const] : []),
    ...(memory.done.has("rewound") ? [] : [{ kind: "rewind", source } as const]),
    { kind: "save-db", state: fresh(uid, false, null) },
    unmark,
  ]
  // once rewound, `initializing` is the old state and must not be written again
  return outline(world, memory.done.has("rewound") ? steps.slice(-2) : steps)
}

const since = ({ local }: World, status: DBStatus): typeof zeroLsn =>
  local.data.kind === "initialized" ? (forkOf(local.data, status) ?? zeroLsn) : zeroLsn

function clone(world: World, followed: DB): Outline {
  const { want, local, memory } = world
  const { uid } = want.db
  const whole = local.mark?.kind === "copied" || (local.side && memory.done.has("side-complete"))
  const from = sourceOf(want.role)
  if (!whole && (from === null || !reachable(world, followed, "clone")))
    return unreachable(world, followed)
  const what = `DB ${followed.uid} has not made the slot of ${uid} yet`
  const early = memory.working === null && waitedFor(memory, what, world.now) < slotTime
  if (!whole && early && !settled(followed))
    return quietly(waiting(world, what, slotTime, "it is tried anyway after a while"))
  const copy: readonly Step[] =
    whole || from === null ? [] : [{ kind: "clone", from, slot: slotOf(uid) }]
  return outline(world, [
    ...saveDB(world, fresh(uid, true, null)),
    ...(whole ? [] : discardOld(world)),
    ...copy,
    ...installSide(world),
    { kind: "save-db", state: fresh(uid, false, null) },
    unmark,
  ])
}

/**
 * `ctl reclone --discard-old`: the old copy makes room before the new one is begun. Marked first,
 * so that nobody takes what a crash leaves of it for data (N3); planned only with the source
 * healthy.
 */
function discardOld({ want, local }: World): readonly Step[] {
  if (want.db.spec.freshCopy !== "discard" || local.data.kind === "missing") return []
  return [
    { kind: "mark", mark: { kind: "setup", db: want.db.uid } },
    { kind: "discard-data", reason: "an operator needs its space for the fresh copy" },
    unmark,
  ]
}

const quietly = (wait: Outline): Outline =>
  wait.blocked === null ? wait : { ...wait, blocked: { ...wait.blocked, usual: true } }

const unreachable = (world: World, followed: DB): Outline =>
  blocked(
    world,
    `DB ${followed.uid}, which ${world.want.db.uid} is to be copied from, is not healthy`,
    "it goes on by itself when that DB is reachable",
  )
