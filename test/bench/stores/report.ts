/**
 * The table of stores. Pure text from the results; a number that nobody measured is a dash.
 */
import * as v from "valibot"
import { type Markers, between } from "../page.ts"
import { faults } from "../failover/faults.ts"
import { median } from "../failover/tools.ts"
import { storeLanes } from "./sites.ts"

const run = { store: v.string(), run: v.number() }

/** What `.cache/bench/stores.json` holds. */
export const resultsSchema = v.object({
  date: v.string(),
  command: v.string(),
  machine: v.array(v.string()),
  missing: v.array(v.object({ store: v.string(), why: v.string() })),
  conformance: v.array(
    v.object({ store: v.string(), passed: v.number(), failed: v.number(), skipped: v.number() }),
  ),
  rest: v.array(v.object({ ...run, requests: v.number() })),
  runs: v.array(
    v.object({
      ...run,
      fault: v.string(),
      gapMs: v.number(),
      failed: v.number(),
      lost: v.number(),
    }),
  ),
  failures: v.array(v.object({ ...run, fault: v.string(), why: v.string() })),
})
export type Results = v.InferOutput<typeof resultsSchema>

const markers: Markers = {
  begin: "<!-- bench-stores: begin -->",
  end: "<!-- bench-stores: end -->",
}

/** The middle gap of a cell, and the worst. */
function gap({ runs }: Results, store: string, fault: string): string {
  const gaps = runs.filter((one) => one.store === store && one.fault === fault)
  if (gaps.length === 0) return "–"
  const times = gaps.map(({ gapMs }) => gapMs / 1_000)
  return `${median(times).toFixed(2)} / ${Math.max(...times).toFixed(2)}`
}

export function markdown(results: Results): string {
  const measured = faults.filter(({ id }) => results.runs.some(({ fault }) => fault === id))
  const titles = measured.map(({ title }) => title)
  const lines = storeLanes.map(({ id, title, servers }) => {
    const tests = results.conformance.find(({ store }) => store === id)
    const rest = results.rest.filter(({ store }) => store === id).map(({ requests }) => requests)
    const lost = results.runs
      .filter(({ store }) => store === id)
      .reduce((sum, r) => sum + r.lost, 0)
    const cells = [
      title,
      servers,
      tests === undefined ? "–" : `${tests.passed} / ${tests.failed} / ${tests.skipped}`,
      ...measured.map((fault) => gap(results, id, fault.id)),
      results.runs.some(({ store }) => store === id) ? `${lost}` : "–",
      rest.length === 0 ? "–" : median(rest).toFixed(1),
    ]
    return `| ${cells.join(" | ")} |`
  })
  const head = [
    ...["store", "servers", "conformance: passed / failed / skipped"],
    ...titles.map((title) => `${title}, s`),
    ...["rows lost", "requests a second at rest"],
  ]
  return [
    `Measured ${results.date.slice(0, 16).replace("T", " ")} UTC with \`${results.command}\` on ` +
      `${results.machine.join(", ")}. Gaps between two acknowledged rows: median / worst.`,
    "",
    `| ${head.join(" | ")} |`,
    `|${head.map(() => "---").join("|")}|`,
    ...lines,
    ...results.missing.map(({ store, why }) => `\nNot measured: ${store}: ${why}.`),
    ...results.failures.map((one) => `\nNo number from ${one.store}, ${one.fault}: ${one.why}.`),
  ].join("\n")
}

/** The page with what stands between its markers replaced. */
export const refreshed = (text: string, results: Results): string =>
  between(text, markers, markdown(results))
