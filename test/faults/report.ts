/**
 * What a person reads after a run: a table of faults per row, and one line per row that says
 * whether it came out as it had to. An invalid row that came out valid is as much a failure as the
 * opposite.
 */
import { type Gap, kindOf } from "./gaps.ts"
import { type Finding, seconds } from "./judge.ts"
import type { Row } from "./matrix.ts"
import type { Outcome } from "./run.ts"

/** Why the row failed, null when it came out as it had to. */
export function surprise(row: Row, { verdict, error }: Outcome): string | null {
  if (error !== null) return `the run broke off: ${error}`
  if (verdict === null) return "there is no verdict"
  const { findings } = verdict
  if (row.invalid === null)
    return findings.length === 0 ? null : `${findings.length} findings in a valid row`
  const wanted = row.invalid.filter((rule) => !findings.some((each) => each.rule === rule))
  return wanted.length === 0
    ? null
    : `it must come out invalid and shows nothing of: ${wanted.join()}; the checker is blind`
}

const shownMax = 12

export function report(row: Row, outcome: Outcome): string {
  const { verdict } = outcome
  const wrong = surprise(row, outcome)
  const lines = [`### ${row.name}: ${row.title}`, ""]
  if (verdict !== null) {
    const { acknowledged, unsent, recovered } = verdict.durability
    lines.push(
      ...table(verdict.gaps),
      "",
      `${outcome.operations} transactions, ${acknowledged} appends acknowledged, ${unsent} of them not sent when ` +
        `their primary was lost (asynchronous), ${recovered} unknown ones found; ${verdict.epochs.count} epochs, ` +
        `${verdict.epochs.thawed} answers within N1; seed ${outcome.seed}`,
      ...shown(verdict.findings, row),
    )
  }
  lines.push("", wrong === null ? "as expected" : `SURPRISE: ${wrong}`, "")
  return lines.join("\n")
}

const shown = (findings: readonly Finding[], row: Row): readonly string[] => {
  const most = row.invalid === null ? shownMax : 2
  const lines = findings.slice(0, most).map(({ rule, text }) => `- ${rule}: ${text}`)
  return findings.length <= most ? lines : [...lines, `- and ${findings.length - most} more`]
}

function table(all: readonly Gap[]): readonly string[] {
  const byName = Map.groupBy(all, ({ fault }) => kindOf(fault))
  const rows = [...byName].map(([name, found]) => {
    const worst = Math.max(...found.map(({ ms }) => ms))
    const bounds = found.map(({ fault }) => fault.bound)
    const whole = Math.max(...found.map(({ fault }) => (fault.whole ?? Infinity) - fault.healed))
    const bound = bounds[0] === null || bounds[0] === undefined ? "none" : seconds(bounds[0])
    const after = whole === Infinity ? "never" : seconds(whole)
    return `| ${name} | ${found.length} | ${seconds(worst)} | ${bound} | ${after} |`
  })
  return [
    "| fault | times | longest gap | allowed | whole after healing |",
    "|---|---|---|---|---|",
    ...rows,
  ]
}
