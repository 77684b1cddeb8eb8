/**
 * What happened in a run, for people who look at a failing seed and for the hash that says whether
 * two runs were the same. Lines are kept as parts and put together only when somebody prints them:
 * a run makes thousands that nobody reads.
 */
import type { EventField } from "#model/events.ts"

export interface Line {
  readonly at: number
  readonly who: string
  readonly what: string
  readonly fields: Readonly<Record<string, EventField>>
}

export interface Trace {
  add(who: string, what: string, fields?: Readonly<Record<string, EventField>>): void
  readonly lines: readonly Line[]
  /** Equal for equal runs. */
  hash(): string
}

const nothing = {}

export function createTrace(now: () => number): Trace {
  const lines: Line[] = []
  let hash = 0x811c9dc5
  const mix = (text: string): void => {
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  }
  return {
    lines,
    hash: () => (hash >>> 0).toString(16).padStart(8, "0"),
    add(who, what, fields = nothing) {
      const at = now()
      lines.push({ at, who, what, fields })
      hash = Math.imul(hash ^ Math.round(at * 1000), 0x01000193)
      mix(who)
      mix(what)
    },
  }
}

/** One line for people: seconds, who, what, and the fields. */
export function printLine({ at, who, what, fields }: Line): string {
  const rest = Object.entries(fields)
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(" ")
  const head = `${(at / 1000).toFixed(3).padStart(9)} ${who.padEnd(10)} ${what}`
  return (rest === "" ? head : `${head.padEnd(48)} ${rest}`).replaceAll("\n", "\\n")
}
