/**
 * The vocabulary of the planners: what they look at, and what they answer. A planner lists what is
 * still to do from where the machine is now; only the first step is carried out, then the machine
 * is looked at again. So an interruption anywhere needs no code of its own.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { Event } from "#model/events.ts"
import { type DBUID, generation } from "#model/ids.ts"
import type { KeeperInfo } from "#model/info.ts"
import type { ConfigFiles, DBState, Local } from "#model/local.ts"
import type { Reason, Source, Step } from "#model/step.ts"
import type { Role, Run } from "./desire.ts"
import { type Memory, wait } from "./memory.ts"
import type { Rendered } from "./render.ts"
import { type Settings, stopEscalation } from "./settings.ts"

export interface World {
  readonly local: Local
  readonly want: Run
  readonly settings: Settings
  readonly memory: Memory
  readonly now: Millis
  /** What the cluster's keepers publish; null when it was not asked for. */
  readonly others: readonly KeeperInfo[] | null
}

/** The keeper cannot go on; `resolve` tells a person what would help. */
export interface Blocked {
  readonly why: string
  readonly resolve: string
  /** Part of the ordinary course: waited for without a word. */
  readonly usual?: true
}

export interface Outline {
  readonly steps: readonly Step[]
  readonly blocked: Blocked | null
  readonly memory: Memory
  readonly events: readonly Event[]
  /** Look again by then, even if nothing happens. */
  readonly wake: Millis | null
}

export const outline = (
  world: World,
  steps: readonly Step[],
  rest: Partial<Outline> = {},
): Outline => ({
  steps,
  blocked: null,
  memory: world.memory,
  events: [],
  wake: null,
  ...rest,
})

export const blocked = (world: World, why: string, resolve: string): Outline =>
  outline(world, [], { blocked: { why, resolve } })

/** Nothing to do until something else has happened, or `span` is over. */
export const waiting = (world: World, why: string, span: Millis, resolve: string): Outline => {
  const memory = wait(world.memory, why, world.now)
  const since = memory.waiting?.since ?? world.now
  return outline({ ...world, memory }, [], {
    blocked: { why, resolve },
    wake: millis(since + span),
  })
}

export const stop = (why: string, checkpoint = false, escalateAfter = stopEscalation): Step => ({
  kind: "stop",
  why,
  escalateAfter,
  checkpoint,
})
export const discardSide = (reason: Reason): Step => ({ kind: "discard-side", reason })
export const unmark: Step = { kind: "unmark" }

/** A step that saves `state`, unless it is saved already. */
export const saveDB = ({ local }: World, state: DBState): readonly Step[] =>
  sameDB(local.db, state) ? [] : [{ kind: "save-db", state }]

const sameDB = (a: DBState, b: DBState): boolean =>
  a.uid === b.uid &&
  a.generation === b.generation &&
  a.initializing === b.initializing &&
  sameParameters(a.initPGParameters, b.initPGParameters)

function sameParameters(a: DBState["initPGParameters"], b: DBState["initPGParameters"]): boolean {
  if (a === null || b === null) return a === b
  return a.size === b.size && [...a].every(([name, value]) => b.get(name) === value)
}

/** Nothing of this DB is applied yet. */
export const fresh = (
  uid: DBUID,
  initializing: boolean,
  initPGParameters: DBState["initPGParameters"],
): DBState => ({
  uid,
  generation: generation(0),
  initializing,
  initPGParameters,
})

export const sameFiles = (a: ConfigFiles | null, b: ConfigFiles): boolean =>
  a !== null && a.conf === b.conf && a.hba === b.hba && a.signal === b.signal

/** Writes the files where they differ, and has a running server load them. */
export function configure({ local }: World, rendered: Rendered, timeout: Millis): readonly Step[] {
  const write: readonly Step[] = sameFiles(local.files, rendered.files)
    ? []
    : [{ kind: "write-config", files: rendered.files }]
  const { server } = local
  if (server.kind !== "up" || (write.length === 0 && server.revision === rendered.revision))
    return write
  return [...write, { kind: "reload", revision: rendered.revision, timeout }]
}

export const running = ({ postmaster, server }: Local): boolean =>
  postmaster || server.kind !== "down"

/** Where the followed DB is, or null while it has not said. */
export function sourceOf(role: Role): Source | null {
  if (role.kind !== "internal") return null
  const { uid, status } = role.followed
  return status.listenAddress === "" || status.port === ""
    ? null
    : { db: uid, host: status.listenAddress, port: status.port }
}

/** The state of the DB's data: fit to run as what the view says, or what is wrong with it. */
export const dataIsRight = ({ local, want }: World): boolean =>
  local.db.uid === want.db.uid && !local.db.initializing
