/**
 * The page about fault runs, from their result files: the longest gap by kind of fault and row, and
 * what came of each row. Nothing is typed by hand, so nothing on it can be better than it was.
 *
 *   bun test/faults/summary.ts DIRECTORY… [--into docs/faults.md]
 *
 * Looks for `result.json` anywhere below the directories.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { byText } from "#base/order.ts"
import { between } from "#test/bench/page.ts"
import { type Gap, kindOf } from "./gaps.ts"
import { rows } from "./matrix.ts"
import { surprise } from "./report.ts"
import { type Outcome, resultFile } from "./run.ts"

const markers = {
  begin: "<!-- measured: bun test/faults/summary.ts -->",
  end: "<!-- end of what was measured -->",
}

/** Both tables. */
export function summary(outcomes: readonly Outcome[]): string {
  const known = outcomes.filter(({ row }) => rows.some(({ name }) => name === row))
  const valid = rows.filter(({ invalid }) => invalid === null).map(({ name }) => name)
  const columns = valid.filter((name) => known.some(({ row }) => row === name))
  const all = known
    .filter(({ row }) => columns.includes(row))
    .flatMap(({ row, verdict }) => (verdict?.gaps ?? []).map((gap) => ({ row, gap })))
  const kinds = Map.groupBy(all, ({ gap }) => kindOf(gap.fault))
  const lines = [...kinds].map(([kind, found]) => {
    const cells = columns.map((name) =>
      cell(found.filter(({ row }) => row === name).map(({ gap }) => gap)),
    )
    return `| ${[kind, ...cells].join(" | ")} |`
  })
  return [
    heading([
      "row",
      "runs",
      "minutes",
      "faults",
      "transactions",
      "acknowledged",
      "lost",
      "came out",
    ]),
    ...rows.flatMap(({ name }) =>
      verdictOf(
        name,
        known.filter(({ row }) => row === name),
      ),
    ),
    "",
    "Longest time without a write through a proxy that has to serve, in seconds, and how often:",
    "",
    heading(["fault", ...columns]),
    ...lines.toSorted(byText),
  ].join("\n")
}

const heading = (names: readonly string[]): string =>
  `| ${names.join(" | ")} |\n|${names.map(() => "---").join("|")}|`

const cell = (gaps: readonly Gap[]): string => {
  if (gaps.length === 0) return ""
  const worst = Math.max(...gaps.map(({ ms }) => ms)) / 1000
  const late = gaps.some(({ ms, fault }) => fault.bound !== null && ms > fault.bound)
  const broken = gaps.some(({ fault }) => fault.whole === null)
  const marks = `${late ? " **late**" : ""}${broken ? " **not whole**" : ""}`
  return `${worst.toFixed(1)} (${gaps.length})${marks}`
}

function verdictOf(name: string, outcomes: readonly Outcome[]): readonly string[] {
  const row = rows.find((each) => each.name === name)
  if (row === undefined || outcomes.length === 0) return []
  const sum = (of: (it: Outcome) => number): number =>
    outcomes.reduce((total, it) => total + of(it), 0)
  const wrong = outcomes.flatMap((it) => {
    const why = surprise(row, it)
    return why === null ? [] : [`${why} (seed ${it.seed})`]
  })
  const findings = outcomes.flatMap(({ verdict }) => verdict?.findings ?? [])
  const lost = findings.filter(({ rule }) => rule === "lost").length
  const unsent = sum(({ verdict }) => verdict?.durability.unsent ?? 0)
  const expected = row.invalid === null ? "valid" : `invalid, as it must: ${row.invalid.join()}`
  const cells = [
    name,
    outcomes.length,
    (sum(({ seconds }) => seconds) / 60).toFixed(1),
    sum(({ verdict }) => verdict?.gaps.length ?? 0),
    sum(({ operations }) => operations),
    sum(({ verdict }) => verdict?.durability.acknowledged ?? 0),
    row.promises.synchronous ? lost : `${lost}, and ${unsent} not sent`,
    wrong.length === 0 ? expected : wrong.join("; "),
  ]
  return [`| ${cells.join(" | ")} |`]
}

/** The page with its measured part replaced, or appended where it has none. */
export function refreshed(page: string, measured: string): string {
  const { begin, end } = markers
  const isMarked = page.includes(begin) && page.includes(end)
  const marked = isMarked ? page : `${page.trimEnd()}\n\n${begin}\n${end}\n`
  return between(marked, markers, `\n${measured}\n`)
}

// The files are our own, written by `run`.
const outcomeIn = (path: string): Outcome => JSON.parse(readFileSync(path, "utf8")) as Outcome

function main(): void {
  const { values, positionals } = parseArgs({
    options: { into: { type: "string" } },
    allowPositionals: true,
  })
  const files = positionals.flatMap((directory) =>
    [...new Bun.Glob(`**/${resultFile}`).scanSync(directory)].map((name) => join(directory, name)),
  )
  if (files.length === 0) throw new Error(`no ${resultFile} below ${positionals.join()}`)
  const measured = summary(files.toSorted(byText).map(outcomeIn))
  if (values.into === undefined) return console.log(measured)
  const before = existsSync(values.into) ? readFileSync(values.into, "utf8") : ""
  writeFileSync(values.into, refreshed(before, measured))
}

if (import.meta.main) main()
