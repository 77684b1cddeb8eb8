/**
 * A plan in words, for `keeper --dry-run`: what is wanted, what stands in the way, and the steps
 * with what matters of them to a person. Never file contents or passwords.
 */
import { steps } from "#model/step.ts"
import type { Step } from "#model/step.ts"
import type { EventField } from "#model/events.ts"
import type { Desired } from "./desire.ts"
import type { Plan } from "./plan.ts"

/** @param fields What is told of a step; the same as in its events. */
export function planText(
  plan: Plan,
  fields: (step: Step) => Readonly<Record<string, EventField>>,
): string {
  const lines = [`wanted: ${wanted(plan.desired)}`]
  if (plan.blocked !== null)
    lines.push(`waiting: ${plan.blocked.why}`, `what helps: ${plan.blocked.resolve}`)
  if (plan.steps.length === 0 && plan.blocked === null) lines.push("nothing to do")
  plan.steps.forEach((step, i) => lines.push(`${i + 1}. ${stepText(step, fields)}`))
  return lines.map((line) => `${line}\n`).join("")
}

function stepText(
  step: Step,
  fields: (step: Step) => Readonly<Record<string, EventField>>,
): string {
  const told = Object.entries(fields(step))
    .filter(([name]) => name !== "step" && name !== "destructive")
    .map(([name, value]) => ` ${name}=${typeof value === "string" ? JSON.stringify(value) : value}`)
  return `${step.kind}${told.join("")}${steps[step.kind].destructive ? " (removes something)" : ""}`
}

function wanted(desired: Desired): string {
  switch (desired.kind) {
    case "leave":
      return `PostgreSQL is left as it is: ${desired.why}`
    case "stopped":
      return `PostgreSQL is stopped: ${desired.why}`
    case "run": {
      const { role, db } = desired
      const part =
        role.kind === "primary"
          ? "as primary"
          : role.kind === "internal"
            ? `as standby of DB ${role.followed.uid}`
            : "as standby of an external primary"
      return `DB ${db.uid} runs ${part}, generation ${db.generation}`
    }
  }
}
