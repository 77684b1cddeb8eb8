/**
 * The page about fault runs: what came of each row, and the longest gap by kind of fault and row.
 * Nothing is typed by hand, so nothing on it can be better than it was.
 *
 *   bun test/faults/summary.ts [DIRECTORY…] [--record docs/faults.jsonl --commit HASH]
 *                              [--into docs/faults.md]
 *
 * Looks for `result.json` anywhere below the directories. With a record, the runs in it count, too,
 * and new ones are added to it: hours of faults are not run in one sitting. A run is named by its
 * row and seed.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { byText } from "#base/order.ts"
import { between } from "#test/bench/page.ts"
import { kindOf } from "./gaps.ts"
import { rows } from "./matrix.ts"
import { surprise } from "./report.ts"
import { type Outcome, resultFile } from "./run.ts"

/** What is kept of a run. */
export interface Run {
  readonly row: string
  readonly seed: number
  readonly commit: string
  readonly seconds: number
  readonly faults: number
  readonly operations: number
  readonly acknowledged: number
  readonly lost: number
  readonly unsent: number
  /** Why it did not come out as it had to; null: it did. */
  readonly wrong: string | null
  readonly gaps: readonly KindOfGap[]
}
interface KindOfGap {
  readonly kind: string
  readonly times: number
  readonly worstMs: number
  /** How many were beyond their bound, and after how many the cluster stayed broken. */
  readonly late: number
  readonly broken: number
}

/** @param commit What was run. */
export function runOf(outcome: Outcome, commit: string): Run {
  const { row, seed, seconds, operations, verdict } = outcome
  const found = rows.find(({ name }) => name === row)
  const kinds = Map.groupBy(verdict?.gaps ?? [], ({ fault }) => kindOf(fault))
  return {
    ...{ row, seed, commit, seconds, operations },
    faults: verdict?.gaps.length ?? 0,
    acknowledged: verdict?.durability.acknowledged ?? 0,
    lost: (verdict?.findings ?? []).filter(({ rule }) => rule === "lost").length,
    unsent: verdict?.durability.unsent ?? 0,
    wrong: found === undefined ? null : surprise(found, outcome),
    gaps: [...kinds]
      .map(([kind, all]) => ({
        kind,
        times: all.length,
        worstMs: Math.round(Math.max(...all.map(({ ms }) => ms))),
        late: all.filter(({ ms, fault }) => fault.bound !== null && ms > fault.bound).length,
        broken: all.filter(({ fault }) => fault.whole === null).length,
      }))
      .toSorted((one, other) => byText(one.kind, other.kind)),
  }
}

const markers = {
  begin: "<!-- measured: bun test/faults/summary.ts -->",
  end: "<!-- end of what was measured -->",
}

/** Both tables. */
export function summary(runs: readonly Run[]): string {
  const known = runs.filter(({ row }) => rows.some(({ name }) => name === row))
  const valid = rows.filter(({ invalid }) => invalid === null).map(({ name }) => name)
  const columns = valid.filter((name) => known.some(({ row }) => row === name))
  const all = known
    .filter(({ row }) => columns.includes(row))
    .flatMap(({ row, gaps }) => gaps.map((gap) => ({ row, gap })))
  const kinds = Map.groupBy(all, ({ gap }) => gap.kind)
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

const cell = (gaps: readonly KindOfGap[]): string => {
  if (gaps.length === 0) return ""
  const worst = Math.max(...gaps.map(({ worstMs }) => worstMs)) / 1000
  const sum = (of: (gap: KindOfGap) => number): number =>
    gaps.reduce((total, gap) => total + of(gap), 0)
  const marks = `${sum(({ late }) => late) > 0 ? " **late**" : ""}${sum(({ broken }) => broken) > 0 ? " **not whole**" : ""}`
  return `${worst.toFixed(1)} (${sum(({ times }) => times)})${marks}`
}

function verdictOf(name: string, runs: readonly Run[]): readonly string[] {
  const row = rows.find((each) => each.name === name)
  if (row === undefined || runs.length === 0) return []
  const sum = (of: (it: Run) => number): number => runs.reduce((total, it) => total + of(it), 0)
  const wrong = runs.flatMap(({ wrong: why, seed }) =>
    why === null ? [] : [`${why} (seed ${seed})`],
  )
  const lost = sum((it) => it.lost)
  const expected = row.invalid === null ? "valid" : `invalid, as it must: ${row.invalid.join()}`
  const cells = [
    name,
    runs.length,
    (sum(({ seconds }) => seconds) / 60).toFixed(1),
    sum(({ faults }) => faults),
    sum(({ operations }) => operations),
    sum(({ acknowledged }) => acknowledged),
    row.promises.synchronous ? lost : `${lost}, and ${sum(({ unsent }) => unsent)} not sent`,
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

/** New runs after the old ones; one that is there already stays as it was recorded. */
export function recorded(before: readonly Run[], runs: readonly Run[]): readonly Run[] {
  const isThere = ({ row, seed }: Run): boolean =>
    before.some((each) => each.row === row && each.seed === seed)
  return [...before, ...runs.filter((run) => !isThere(run))]
}

// The files are our own, written by `run` and here.
const outcomeIn = (path: string): Outcome => JSON.parse(readFileSync(path, "utf8")) as Outcome
const runsIn = (path: string): readonly Run[] =>
  existsSync(path)
    ? readFileSync(path, "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Run)
    : []

function main(): void {
  const { values, positionals } = parseArgs({
    options: {
      into: { type: "string" },
      record: { type: "string" },
      commit: { type: "string", default: "" },
    },
    allowPositionals: true,
  })
  const files = positionals.flatMap((directory) =>
    [...new Bun.Glob(`**/${resultFile}`).scanSync(directory)].map((name) => join(directory, name)),
  )
  const found = files.toSorted(byText).map((path) => runOf(outcomeIn(path), values.commit))
  const { record } = values
  const runs = record === undefined ? found : recorded(runsIn(record), found)
  if (runs.length === 0) throw new Error(`no ${resultFile} below ${positionals.join()}`)
  if (record !== undefined)
    writeFileSync(record, runs.map((run) => `${JSON.stringify(run)}\n`).join(""))
  if (values.into === undefined) return console.log(summary(runs))
  const before = existsSync(values.into) ? readFileSync(values.into, "utf8") : ""
  writeFileSync(values.into, refreshed(before, summary(runs)))
}

if (import.meta.main) main()
