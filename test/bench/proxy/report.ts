/**
 * The page's tables: every number of every row, lane by lane, and what of the goals is reached.
 * Pure text from the results; a number that nobody measured is a dash.
 */
import { type Markers, between } from "../page.ts"
import { median } from "../failover/tools.ts"
import { goals } from "./goals.ts"
import { type Results, ratioOf, valuesOf } from "./results.ts"
import { type Counts, type Metric, type Row, laneIds, rowsOf } from "./table.ts"

export const markers: Markers = {
  begin: "<!-- bench-proxy: begin -->",
  end: "<!-- bench-proxy: end -->",
}
const peer = laneIds.haproxy

const countsOf = ({ scale }: Results): Counts => ({
  copyMegabytes: scale["copyMegabytes"] ?? 0,
  idle: scale["idle"] ?? 0,
  idlePostgres: scale["idlePostgres"] ?? 0,
  readers: scale["readers"] ?? 0,
  connections: scale["connections"] ?? 0,
})

const figure = (value: number, { digits }: Metric): string =>
  value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })

function cell(results: Results, lane: string, row: Row, metric: Metric): string {
  const place = { row: row.id, metric: metric.id }
  const values = valuesOf(results, lane, place).map(({ value }) => value)
  if (values.length === 0) return "–"
  const ratio = lane === peer || !metric.compared ? null : ratioOf(results, lane, peer, place)
  const [least, most] = [Math.min(...values), Math.max(...values)]
  return [
    figure(median(values), metric),
    ...(values.length > 1 ? [`(${figure(least, metric)}–${figure(most, metric)})`] : []),
    ...(ratio === null ? [] : [`×${ratio.toFixed(2)}`]),
  ].join(" ")
}

const arrow = ({ better }: Metric): string => (better === "more" ? "↑" : "↓")

function table(results: Results): readonly string[] {
  const lines = rowsOf(countsOf(results)).flatMap((row) =>
    row.metrics.flatMap((metric, i): readonly string[] => {
      const cells = results.lanes.map(({ id }) => cell(results, id, row, metric))
      // the title stands once, at the row's first number
      const title = i === 0 ? row.title : ""
      return cells.every((text) => text === "–")
        ? []
        : [`| ${title} | ${metric.title} ${arrow(metric)} | ${cells.join(" | ")} |`]
    }),
  )
  return [
    `| | | ${results.lanes.map(({ title }) => title).join(" | ")} |`,
    `|---|---|${results.lanes.map(() => "--:").join("|")}|`,
    ...lines,
  ]
}

function goalTable(results: Results): readonly string[] {
  const all = goals(results)
  if (all.length === 0) return []
  return [
    "| what ours is to reach | measured | reached |",
    "|---|--:|---|",
    ...all.map(({ text, measured, reached }) => `| ${text} | ${measured} | ${said(reached)} |`),
    "",
  ]
}
const said = (reached: boolean): string => (reached ? "yes" : "**no**")

const short = (line: string): string => {
  const plain = line.replaceAll(/\s+/g, " ")
  return plain.length > 240 ? `${plain.slice(0, 239)}…` : plain
}

/** Everything that stands between the markers of the page. */
export function markdown(results: Results): string {
  const { date, command, samples, lanes, machine, scale, failures } = results
  const rounds = new Set(samples.map(({ run }) => run)).size
  const sizes = Object.entries(scale).map(([name, size]) => `${name} ${size}`)
  return [
    `Measured ${date.slice(0, 16).replace("T", " ")} UTC with \`${command}\`; rounds: ${rounds}; ` +
      `load ${median(samples.map(({ load }) => load)).toFixed(1)} (median) before a measurement.`,
    "Median (least–greatest) ×ratio to HAProxy.",
    "",
    ...table(results),
    "",
    ...goalTable(results),
    ...lanes.map(({ title, settings }) => `- ${title}: ${settings}.`),
    `- Sizes: ${sizes.join(", ")}.`,
    `- Machine: ${machine.join("; ")}.`,
    ...failures.map(
      ({ lane, row, run, why }) => `- ${short(`No number: ${lane}, ${row}, round ${run}: ${why}`)}`,
    ),
  ].join("\n")
}

/** The page with what stands between its markers replaced. */
export const refreshed = (page: string, results: Results): string =>
  between(page, markers, markdown(results))
