/**
 * Carrying out one step: within the round when it is quick, beside it when it is long. A long one
 * is given up when a plan for the same machine, but with the present view, would not begin with it
 * any more (D-42).
 */
import { never } from "#base/brand.ts"
import { failed, succeeded } from "#keeper/memory.ts"
import { plan } from "#keeper/plan.ts"
import { sameStep } from "#keeper/same.ts"
import type { ClusterData } from "#model/cluster.ts"
import { type Event, type EventField, event } from "#model/events.ts"
import { type Step, steps } from "#model/step.ts"
import { EndedError } from "#port/postgres.ts"
import { arm } from "./keeper-lease.ts"
import { type Keeper, type Work, fenceOf, settingsOf } from "./keeper-state.ts"

/** True when it succeeded. */
export async function carryOut(keeper: Keeper, step: Step, signal: AbortSignal): Promise<boolean> {
  const { postgres, log, clock } = keeper.ports
  log.event(event("step.started", fieldsOf(step)))
  try {
    await arm(keeper, step, signal)
    await postgres.run(step, (text) => progressed(keeper, step, text), signal)
  } catch (error) {
    keeper.memory = failed(keeper.memory, step, clock.now().mono)
    // what was waited for has ended: that asks for another plan, not for patience
    const ended = error instanceof EndedError
    keeper.failing = !signal.aborted && !ended
    keeper.failure = signal.aborted ? "" : `${step.kind} failed: ${inLine(textOf(error))}`
    for (const happened of troubleOf(step, error, signal.aborted)) log.event(happened)
    return false
  }
  const outcome = succeeded(keeper.memory, step, settingsOf(keeper), clock.now().mono)
  keeper.memory = outcome.memory
  keeper.failing = false
  keeper.failure = ""
  log.event(event("step.finished", { step: step.kind }))
  for (const happened of outcome.events) log.event(happened)
  return true
}

/** Begins a long step; the tick is woken when it has ended well. */
export function begin(keeper: Keeper, step: Step, basis: Pick<Work, "local" | "memory">): void {
  const controller = new AbortController()
  const ended = carryOut(keeper, step, controller.signal).then(() => {
    keeper.work = null
    keeper.progress = ""
    if (!keeper.failing) keeper.wake.ring()
  })
  keeper.work = { step, ...basis, controller, ended }
}

/**
 * Whether the work in progress is still what is wanted. Without a word about this keeper, work goes
 * on like PostgreSQL does: a copy of hours is not thrown away for a moment without cluster data.
 */
export function stillWanted(keeper: Keeper, work: Work, view: ClusterData | null): boolean {
  const input = { view, local: work.local, settings: settingsOf(keeper), fence: fenceOf(keeper) }
  const memory = { ...work.memory, working: work.step.kind }
  const { desired, steps: wanted } = plan(input, memory, keeper.ports.clock.now().mono)
  return desired.kind === "leave" || sameStep(wanted[0], work.step)
}

/** Ends the work in progress and waits until nothing of it runs. */
export async function giveUp(keeper: Keeper): Promise<void> {
  const { work } = keeper
  if (work === null) return
  work.controller.abort(new DOMException("the plan changed", "AbortError"))
  await work.ended
}

function progressed(keeper: Keeper, step: Step, text: string): void {
  keeper.progress = text
  keeper.ports.log.event(event("step.progress", { step: step.kind, text }))
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
/** Enough for a person who looks at status, not a whole output. */
const inLine = (text: string): string => text.replace(/\s*\n\s*/g, "; ").slice(0, 200)

function troubleOf(step: Step, error: unknown, aborted: boolean): readonly Event[] {
  if (aborted) return [event("step.aborted", { step: step.kind })]
  const text = textOf(error)
  const fields = { ...fieldsOf(step), error: text }
  // Go counts a PostgreSQL that ends before it is ready as one that did not start (8.3)
  const ended = step.kind === "wait-ready" && error instanceof EndedError
  return step.kind === "start" || ended
    ? [event("start.failed", { error: text }), event("step.failed", fields)]
    : [event("step.failed", fields)]
}

/** What a person wants to know of a step; no file contents, no passwords. */
export function fieldsOf(step: Step): Readonly<Record<string, EventField>> {
  const named = { step: step.kind, ...(steps[step.kind].destructive ? { destructive: true } : {}) }
  switch (step.kind) {
    case "save-db":
      return {
        ...named,
        db: step.state.uid,
        generation: step.state.generation,
        initializing: step.state.initializing,
      }
    case "mark":
      return { ...named, mark: step.mark.kind, db: step.mark.db }
    case "stop":
      return { ...named, why: step.why }
    case "discard-side":
    case "discard-data":
    case "set-aside":
    case "remove-asides":
      return { ...named, reason: step.reason }
    case "clone":
      return { ...named, from: step.from.db, host: step.from.host, port: step.from.port }
    case "rewind":
      return { ...named, from: step.source.db, host: step.source.host, port: step.source.port }
    case "create-slot":
    case "drop-slot":
      return { ...named, slot: step.name }
    case "prove-sync":
      return { ...named, names: step.names }
    case "reload":
      return { ...named, revision: step.revision }
    case "certify":
      return { ...named, epoch: step.certificate.epoch }
    case "save-fencing":
      return { ...named, on: step.mode.on }
    case "detach":
      return { ...named, epoch: step.epoch }
    case "checkpoint":
      return { ...named, nonce: step.nonce }
    case "save-keeper":
    case "unmark":
    case "initdb":
    case "restore":
    case "swap-in":
    case "save-divergent-wal":
    case "write-config":
    case "prepare":
    case "start":
    case "wait-ready":
    case "wait-recovered":
    case "create-roles":
    case "check-roles":
    case "capture-parameters":
    case "promote":
    case "end-sessions":
    case "save-handled":
      return named
    default:
      return never(step)
  }
}
