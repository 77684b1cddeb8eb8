/**
 * The tables: how long writes stop, what a client was told, and under which circumstances that was
 * measured. Pure text from the results; a number that nobody measured is a dash.
 */
import * as v from "valibot"
import { sortedSet } from "#base/order.ts"
import { type Markers, between } from "../page.ts"
import { type Fault, type Lane, faults } from "./faults.ts"
import { stepTables } from "./timeline.ts"
import { median } from "./tools.ts"

const runSchema = v.object({
  lane: v.string(),
  fault: v.string(),
  run: v.number(),
  gapMs: v.number(),
  lost: v.number(),
  acknowledged: v.number(),
  failed: v.number(),
  told: v.number(),
  refused: v.number(),
  troubles: v.record(v.string(), v.number()),
  wholeAgainMs: v.number(),
  load: v.number(),
  timeline: v.optional(v.record(v.string(), v.number())),
})
const laneSchema = v.object({
  id: v.string(),
  title: v.string(),
  family: v.picklist(["ours", "patroni"]),
  settings: v.string(),
  notes: v.array(v.string()),
})

/** What `.cache/bench/failover.json` holds. */
export const resultsSchema = v.object({
  date: v.string(),
  seed: v.number(),
  command: v.string(),
  machine: v.array(v.string()),
  lanes: v.array(laneSchema),
  runs: v.array(runSchema),
  /** Runs that gave no number, and why: the cluster did not come back, the fault did not strike. */
  failures: v.array(
    v.object({ lane: v.string(), fault: v.string(), run: v.number(), why: v.string() }),
  ),
})
export type Results = v.InferOutput<typeof resultsSchema>
type LaneResult = Results["lanes"][number]
type RunResult = Results["runs"][number]

const seconds = (ms: number): string => (ms / 1000).toFixed(2)

/** The runs that a cell speaks of, and whether they were measured for another row. */
function cellRuns(
  { runs }: Results,
  lane: LaneResult,
  fault: Fault,
): { readonly runs: readonly RunResult[]; readonly borrowed: boolean } {
  const id = lane.family === "ours" ? fault.id : fault.patroni
  return {
    runs: runs.filter((run) => run.lane === lane.id && run.fault === id),
    borrowed: id !== fault.id,
  }
}

function table(
  results: Results,
  head: string,
  cell: (runs: readonly RunResult[]) => string,
): readonly string[] {
  const titles = results.lanes.map(({ title }) => title)
  const rows = faults.flatMap((fault): readonly string[] => {
    const cells = results.lanes.map((lane) => {
      const { runs, borrowed } = cellRuns(results, lane, fault)
      if (runs.length === 0) return "–"
      return borrowed ? `(${cell(runs)})` : cell(runs)
    })
    return cells.every((text) => text === "–") ? [] : [`| ${fault.title} | ${cells.join(" | ")} |`]
  })
  return [
    `| ${head} | ${titles.join(" | ")} |`,
    `|---|${titles.map(() => "---").join("|")}|`,
    ...rows,
  ]
}

const short = (line: string): string =>
  line.length > 240 ? `${short(line.slice(0, 239))}…` : line.replaceAll(/\s+/g, " ")

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)

/** Everything that stands between the markers of the page. */
export function markdown(results: Results): string {
  const counts = results.lanes.flatMap(({ id }) =>
    faults.map((fault) => results.runs.filter((r) => r.lane === id && r.fault === fault.id).length),
  )
  const measured = counts.filter((count) => count > 0)
  const most = Math.max(0, ...measured)
  const least = Math.min(most, ...measured)
  const gaps = table(
    results,
    "longest gap between two acknowledged rows, s: median / worst",
    (runs) =>
      [median(runs.map(({ gapMs }) => gapMs)), Math.max(...runs.map(({ gapMs }) => gapMs))]
        .map(seconds)
        .join(" / "),
  )
  const words = table(results, "failed / told to reconnect / refused / lost, all runs", (runs) =>
    (["failed", "told", "refused", "lost"] as const)
      .map((what) => sum(runs.map((run) => run[what])))
      .join(" / "),
  )
  const notes = sortedSet(results.lanes.flatMap(({ notes: own }) => own)).map((note) => `${note}.`)
  const failures = results.failures.map(
    ({ lane, fault, run, why }) => `No number from ${lane}, ${fault}, run ${run}: ${why}`,
  )
  return [
    `Measured ${results.date.slice(0, 16).replace("T", " ")} UTC with \`${results.command}\`; ` +
      `runs per cell: ${least === most ? most : `${least} to ${most}`}; ` +
      `load ${median(results.runs.map(({ load }) => load)).toFixed(1)} (median) when a fault struck.`,
    "",
    ...gaps,
    "",
    ...words,
    "",
    ...results.lanes.map(({ title, settings }) => `- ${title}: ${settings}.`),
    `- Machine: ${results.machine.join("; ")}.`,
    ...[...notes, ...failures].map((line) => `- ${short(line)}`),
  ].join("\n")
}

const marked = (name: string): Markers => ({
  begin: `<!-- ${name}: begin -->`,
  end: `<!-- ${name}: end -->`,
})
export const markers = { table: marked("bench-failover"), steps: marked("bench-failover-steps") }

/** The page with what stands between its markers replaced. */
export const refreshed = (page: string, results: Results): string =>
  between(
    between(page, markers.table, markdown(results)),
    markers.steps,
    stepTables(results.runs) || "Not measured yet.",
  )

export const laneResult = (lane: Lane, notes: readonly string[]): LaneResult => ({
  id: lane.id,
  title: lane.title,
  family: lane.family,
  settings: lane.settings,
  notes: [...notes],
})
