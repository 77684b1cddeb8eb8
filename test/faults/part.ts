/**
 * A component under a supervisor that starts it again, as Restart=always does: the harness never
 * repairs anything by hand. `hold` is for a machine that is off.
 */
import { closeSync, openSync, writeSync } from "node:fs"

export interface Part {
  readonly name: string
  readonly log: string
  /** Null while it does not run. */
  readonly pid: number | null
  /** Starts it, and again after every end. */
  release(): void
  /** No new start; what runs goes on until somebody ends it. */
  hold(): void
}

export interface PartPlan {
  readonly name: string
  readonly command: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly log: string
}

/** The pause of a supervisor between an end and the next start. */
export const restartMs = 1_000

export function newPart(plan: PartPlan): Part {
  let child: Bun.Subprocess | null = null
  let held = true
  const start = (): void => {
    if (held || child !== null) return
    const output = openSync(plan.log, "a")
    writeSync(output, `--- ${new Date().toISOString()} started\n`)
    child = Bun.spawn([...plan.command], {
      stdio: ["ignore", output, output],
      env: plan.environment,
      cwd: "/tmp",
      onExit: (_, code, signal) => {
        child = null
        note(plan.log, `ended with ${code ?? signal}`)
        setTimeout(start, restartMs).unref()
      },
    })
    closeSync(output)
  }
  return {
    name: plan.name,
    log: plan.log,
    get pid() {
      return child?.pid ?? null
    },
    release: () => {
      held = false
      start()
    },
    hold: () => {
      held = true
    },
  }
}

function note(log: string, text: string): void {
  const output = openSync(log, "a")
  writeSync(output, `--- ${new Date().toISOString()} ${text}\n`)
  closeSync(output)
}
