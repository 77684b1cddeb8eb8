/**
 * What a keeper remembers between two plans and would rather not: everything here may be lost at
 * any moment, and then the plan asks the world again, repeats an idempotent step, or takes the
 * safer way (a copy instead of a rewind).
 */
import { type Millis, never } from "#base/brand.ts"
import { type Event, event } from "#model/events.ts"
import type { DBUID, Epoch, Nonce } from "#model/ids.ts"
import type { Step, StepKind } from "#model/step.ts"
import type { Settings } from "./settings.ts"

/** How a copy of the followed DB's data is got (K7, resync). */
export type Path = "undecided" | "follow" | "rewind" | "clone"

/** What this process has done for the DB and no file tells. */
export type Done =
  | "side-complete"
  | "wal-saved"
  | "rewound"
  | "roles"
  | "roles-checked"
  | "captured"
  | "recovered"
  | "set-up"
  | "promoted"
  | "sessions-ended"

export interface Memory {
  /** The DB that the rest is about. */
  readonly db: DBUID | null
  readonly path: Path
  /** The way chosen first led nowhere: leave the copy in use and take `path`. */
  readonly again: boolean
  readonly done: ReadonlySet<Done>
  /** Names that were proved to be in force. */
  readonly proved: string | null
  /** Copies brought in for this DB so far; none of them has streamed. */
  readonly copies: number
  /** Failures by step, since that step last succeeded. */
  readonly failures: ReadonlyMap<string, number>
  /** A wait and when it began. */
  readonly waiting: { readonly what: string; readonly since: Millis } | null
  /** Since when everything is as it should be. */
  readonly goodSince: Millis | null
  /** The last start after which nobody asked PostgreSQL to stop. */
  readonly startedAt: Millis | null
  /** The long step under way, while the plan is only asked whether it would still begin with it. */
  readonly working: StepKind | null
  /** The configuration for which PostgreSQL was restarted already. */
  readonly restartedFor: string | null
  /** PostgreSQL refused the superuser's password. */
  readonly locked: boolean
  /** Since when nobody's cluster data speaks of this keeper (D-19). */
  readonly orphanSince: Millis | null
  /** Since when others are let through first with a restart, and for which configuration. */
  readonly turn: { readonly revision: string; readonly since: Millis } | null
  /** The wish for which the configuration was loaded once more. */
  readonly reloadedFor: Nonce | null
  /** This standby has let go of the primary of this epoch (L3). */
  readonly detached: Epoch | null
  /** The switchover for which a checkpoint was made. */
  readonly checkpointed: Nonce | null
  /** Since when a primary that should be up is not (D3). */
  readonly downSince: Millis | null
  /** In which epoch that counts; null: it is not known yet, or nothing counts. */
  readonly downIn: Epoch | null
  /** PostgreSQL was up, and this keeper has not stopped it since. */
  readonly wasUp: boolean
  /** Said already, so that it is said once. */
  readonly said: ReadonlyMap<string, string>
}

/**
 * The reason of the stop that ends an initialisation: everything that it had to do is done then.
 */
export const setupEnds = "the initialisation is done"

export const emptyMemory: Memory = {
  db: null,
  path: "undecided",
  again: false,
  done: new Set(),
  proved: null,
  copies: 0,
  failures: new Map(),
  waiting: null,
  goodSince: null,
  startedAt: null,
  working: null,
  restartedFor: null,
  locked: false,
  orphanSince: null,
  turn: null,
  reloadedFor: null,
  detached: null,
  checkpointed: null,
  downSince: null,
  downIn: null,
  wasUp: false,
  said: new Map(),
}

/** The memory for planning for `db`; another DB starts afresh. */
export const about = (memory: Memory, db: DBUID | null): Memory =>
  memory.db === db ? memory : { ...emptyMemory, db, startedAt: memory.startedAt, said: memory.said }

/** A step's name for counting its failures. */
export const keyOf = (step: Step): string =>
  step.kind === "create-slot" || step.kind === "drop-slot" ? `${step.kind} ${step.name}` : step.kind

export interface Outcome {
  readonly memory: Memory
  readonly events: readonly Event[]
}

/** After a step was carried out. */
export function succeeded(memory: Memory, step: Step, settings: Settings, now: Millis): Outcome {
  const failures = new Map(memory.failures)
  failures.delete(keyOf(step))
  const after = { ...memory, failures }
  return { memory: learned(after, step, now), events: newsOf(step, settings) }
}

/** After a step failed or was aborted half-way. */
export function failed(memory: Memory, step: Step, now: Millis): Memory {
  const key = keyOf(step)
  const count = (memory.failures.get(key) ?? 0) + 1
  const after: Memory = {
    ...memory,
    failures: new Map(memory.failures).set(key, count),
    startedAt: step.kind === "start" ? now : memory.startedAt,
  }
  // neither the old copy nor the new one is left: only a copy helps
  if (step.kind === "rewind") return { ...after, path: "clone" }
  if (step.kind === "stop") return { ...after, restartedFor: null, wasUp: false }
  const tried = memory.path === "follow" || memory.path === "rewind"
  if (step.kind === "start" && tried && count >= startsMax)
    return { ...after, path: "clone", again: true }
  return after
}
const startsMax = 2

function learned(memory: Memory, step: Step, now: Millis): Memory {
  const having = (done: Done): Memory => ({ ...memory, done: new Set([...memory.done, done]) })
  switch (step.kind) {
    case "initdb":
    case "restore":
    case "clone":
      return having("side-complete")
    case "discard-side":
      return { ...memory, done: without(memory.done, "side-complete") }
    case "swap-in":
      return {
        ...memory,
        done: without(memory.done, "side-complete"),
        copies: memory.path === "clone" ? memory.copies + 1 : memory.copies,
      }
    case "save-divergent-wal":
      return having("wal-saved")
    case "rewind":
      return having("rewound")
    case "create-roles":
      return having("roles")
    case "check-roles":
      return having("roles-checked")
    case "capture-parameters":
      return having("captured")
    case "wait-recovered":
      return having("recovered")
    case "promote":
      return having("promoted")
    case "end-sessions":
      return having("sessions-ended")
    case "prove-sync":
      return { ...memory, proved: step.names }
    case "reload":
      return step.wish === undefined ? memory : { ...memory, reloadedFor: step.wish }
    case "start":
      return { ...memory, startedAt: now, proved: null }
    case "save-db":
      return step.state.initializing ? { ...memory, again: false } : memory
    case "stop": {
      const after = { ...memory, startedAt: null, wasUp: false }
      return step.why === setupEnds
        ? { ...after, done: new Set([...memory.done, "set-up"]) }
        : after
    }
    case "certify":
      return { ...memory, downSince: null, downIn: null, wasUp: false }
    case "save-keeper":
    case "mark":
    case "unmark":
    case "discard-data":
    case "set-aside":
    case "remove-asides":
    case "write-config":
    case "prepare":
    case "wait-ready":
    case "create-slot":
    case "drop-slot":
    case "save-fencing":
    case "save-handled":
      return memory
    case "detach":
      return { ...memory, detached: step.epoch }
    case "checkpoint":
      return { ...memory, checkpointed: step.nonce }
    default:
      return never(step)
  }
}

const without = (done: ReadonlySet<Done>, gone: Done): ReadonlySet<Done> =>
  new Set([...done].filter((item) => item !== gone))

/** What a finished step means to people; texts that tests match on are in the events table. */
function newsOf(step: Step, { superuser, replication }: Settings): readonly Event[] {
  switch (step.kind) {
    case "certify":
      return [
        event("certificate.issued", { epoch: step.certificate.epoch, db: step.certificate.dbuid }),
      ]
    case "save-db":
      return step.state.generation === 0
        ? []
        : [event("generation.applied", { db: step.state.uid, generation: step.state.generation })]
    case "create-roles":
      if (superuser.name === replication.name) return [event("role.added")]
      return [
        ...(superuser.method === "trust" ? [] : [event("role.superuser")]),
        event("role.created", { role: replication.name }),
      ]
    default:
      return []
  }
}

/** Remembers since when `what` is waited for. */
export const wait = (memory: Memory, what: string, now: Millis): Memory =>
  memory.waiting?.what === what ? memory : { ...memory, waiting: { what, since: now } }

export const waitedFor = (memory: Memory, what: string, now: Millis): number =>
  memory.waiting?.what === what ? now - memory.waiting.since : 0
