/**
 * Drives plan and model against each other until nothing is left to do, and kills the keeper at
 * every point on the way.
 */
import { millis } from "#base/brand.ts"
import type { ClusterData } from "#model/cluster.ts"
import type { KeeperInfo } from "#model/info.ts"
import type { Step } from "#model/step.ts"
import { type Memory, emptyMemory, failed, succeeded } from "#keeper/memory.ts"
import { type Plan, plan } from "#keeper/plan.ts"
import type { Settings } from "#keeper/settings.ts"
import { settings } from "./build.ts"
import { type Machine, apply, halfway, observe, stopped } from "./model.ts"

export interface Run {
  readonly machine: Machine
  readonly plan: Plan
  /** Every machine on the way, with the step that was about to be carried out. */
  readonly points: readonly {
    readonly machine: Machine
    readonly step: Step
    /** After the plan that begins with the step. */
    readonly memory: Memory
    readonly now: number
  }[]
  readonly events: readonly string[]
}

export interface Options {
  readonly settings?: Settings
  readonly memory?: Memory
  readonly others?: readonly KeeperInfo[]
  /** Steps that fail, each time they are tried. */
  readonly failing?: (step: Step) => boolean
}

const quietMax = 200
const stepsMax = 120

/** Plans and acts until nothing is left, letting time pass where the plan waits. */
export function settle(start: Machine, view: ClusterData, options: Options = {}): Run {
  const who = options.settings ?? settings
  let machine = start
  let memory = options.memory ?? emptyMemory
  let now = 1_000
  let quiet = 0
  const points: Run["points"][number][] = []
  const events: string[] = []
  for (;;) {
    const made = plan(
      { view, local: observe(machine), settings: who, others: options.others ?? [] },
      memory,
      millis(now),
    )
    events.push(...made.events.map(({ code }) => code))
    const [step] = made.steps
    if (step === undefined) {
      memory = made.memory
      if (made.wake === null || ++quiet > quietMax) return { machine, plan: made, points, events }
      now = Math.max(now + 1, made.wake)
      continue
    }
    quiet = 0
    points.push({ machine, step, memory: made.memory, now })
    if (points.length > stepsMax) throw new Error(`no end: ${machine.trace.slice(-12).join(", ")}`)
    if (options.failing?.(step) === true) memory = failed(made.memory, step, millis(now))
    else {
      machine = apply(machine, step)
      memory = succeeded(made.memory, step, who, millis(now)).memory
    }
    now += 1_500
  }
}

/**
 * The machines that a crash may leave, at each point of a run: between two steps and inside one,
 * PostgreSQL alive or not.
 */
export function crashes(run: Run): readonly { readonly name: string; readonly machine: Machine }[] {
  return run.points.flatMap(({ machine, step }, k) => {
    const at = [machine, apply(machine, step), ...halfway(machine, step)]
    return at.flatMap((one, i) => {
      const where = `${["before", "after", "inside"][Math.min(i, 2)] ?? ""} ${step.kind} (${k})`
      const lives = { name: `${where}, PostgreSQL lives`, machine: one }
      if (one.server === null) return [lives]
      return [
        lives,
        { name: `${where}, PostgreSQL was stopped`, machine: stopped(one, true) },
        { name: `${where}, PostgreSQL was killed`, machine: stopped(one, false) },
      ]
    })
  })
}

type Files = NonNullable<Machine["data"]>["files"]
export interface End {
  readonly db: Machine["db"]
  readonly mark: Machine["mark"]
  readonly side: string | null
  readonly server: { readonly inRecovery: boolean; readonly hba: string } | null
  readonly conf: ReadonlyMap<string, string> | null
  readonly slots: readonly string[] | null
  readonly roles: boolean | null
  readonly files: Files
  certificate: Machine["certificate"]
}

/** What must be the same, however often the keeper was killed on the way. */
export const endOf = ({ machine }: Run): End => ({
  db: machine.db,
  mark: machine.mark,
  side: machine.side?.origin ?? null,
  server:
    machine.server === null
      ? null
      : { inRecovery: machine.server.inRecovery, hba: machine.server.hba },
  conf: machine.server?.conf ?? null,
  slots: machine.data?.slots.toSorted() ?? null,
  roles: machine.data?.roles ?? null,
  files: machine.data?.files ?? null,
  certificate: machine.certificate,
})

export const kinds = (run: Run): readonly string[] => run.points.map(({ step }) => step.kind)
