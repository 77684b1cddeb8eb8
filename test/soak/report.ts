/**
 * What a soak has found: the lines that it prints as it goes, the verdict at its end, and the
 * directory that a failure leaves behind.
 */
import { cpSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Held } from "./gauge.ts"
import type { Growth } from "./leaks.ts"
import type { Counts } from "./storm.ts"

const directory = join(import.meta.dir, "../../.cache/soak")
/** The rest is counted. */
const findingsShown = 40

export interface Report {
  say(line: string): void
  /** Something that must not be; it fails the soak. */
  found(what: string): void
  readonly findings: number
  /** Keeps what there is, with the logs of `from`; where it lies. */
  keep(from: string | null): string
}

export function newReport(name: string): Report {
  const lines: string[] = []
  let findings = 0
  const say = (line: string): void => {
    const dated = `${new Date().toISOString()} ${line}`
    lines.push(dated)
    console.log(dated)
  }
  return {
    say,
    found: (what) => {
      if (++findings <= findingsShown) say(`FOUND: ${what}`)
    },
    get findings() {
      return findings
    },
    keep: (from) => {
      const to = join(directory, `${name}-${new Date().toISOString().replaceAll(/[:.]/g, "-")}`)
      mkdirSync(to, { recursive: true })
      writeFileSync(join(to, "report.txt"), `${lines.join("\n")}\n`)
      if (from !== null)
        for (const log of readdirSync(from).filter((each) => each.endsWith(".log")))
          cpSync(join(from, log), join(to, log))
      return to
    },
  }
}

const number = (of: number): string => of.toLocaleString("en-US")

export function countsLine(counts: Counts): string {
  const ended = [...counts.ended]
    .toSorted(([a], [b]) => a.localeCompare(b))
    .map(([code, count]) => `${code === "" ? "without a word" : code} ${number(count)}`)
  return [
    `${number(counts.sessions)} sessions`,
    `${number(counts.answers)} answers`,
    `${number(Math.round(counts.bytes / 1e6))} MB`,
    `${number(counts.killed)} killed`,
    ...(ended.length === 0 ? [] : [`ended by the other side: ${ended.join(", ")}`]),
    ...(counts.refused === 0 ? [] : [`${number(counts.refused)} refused`]),
  ].join(", ")
}

export const heldLine = (name: string, { descriptors, resident }: Held): string =>
  `${name}: ${descriptors.join(" + ")} descriptors, ${resident.toFixed(0)} MB`

export const growthLine = (name: string, { first, last }: Growth): string =>
  `${name}: ${first.toFixed(0)} MB in the first third, ${last.toFixed(0)} MB in the last (medians)`

/** Adds what one round counted to the sum. */
export function add(sum: Counts, more: Counts): void {
  for (const key of ["sessions", "killed", "refused", "answers", "bytes"] as const)
    sum[key] += more[key]
  for (const [code, count] of more.ended) sum.ended.set(code, (sum.ended.get(code) ?? 0) + count)
}
