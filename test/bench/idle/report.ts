/** The tables of the bench at rest. */
import { quantile } from "../failover/tools.ts"
import { between } from "../page.ts"

export interface Row {
  readonly name: string
  /** How many components it is the mean of. */
  readonly count: number
  /** False: the next three mean nothing. */
  readonly usesStore: boolean
  /** A second, each. */
  readonly requests: number
  readonly sent: number
  readonly received: number
  /** Percent of one core. */
  readonly cpu: number
  /** Megabytes. */
  readonly rss: number
}

export interface Measured {
  readonly backend: "sqlite" | "etcdv3"
  readonly keepers: number
  readonly played: boolean
  readonly seconds: number
  readonly document: number
  readonly infos: number
  readonly rows: readonly Row[]
  /** For each sample, after how many milliseconds each keeper knew. */
  readonly known: readonly (readonly number[])[]
}

export interface Heading {
  readonly date: string
  readonly command: string
  readonly machine: string
  readonly load: string
}

const markers = {
  begin: "<!-- begin of make bench-idle -->",
  end: "<!-- end of make bench-idle -->",
}

/** The page with its measured part replaced. */
export function refreshed(page: string, heading: Heading, results: readonly Measured[]): string {
  const { date, command, machine, load } = heading
  const said = `Measured on ${date} by \`${command}\` on ${machine}; ${load}.`
  return between(page, markers, `\n${said}\n\n${markdown(results)}`)
}

export const markdown = (results: readonly Measured[]): string =>
  [...results.map(table), latencies(results.filter(({ known }) => known.length > 0))]
    .filter((text) => text !== "")
    .join("\n")

function table({ backend, keepers, played, document, infos, rows }: Measured): string {
  const title = `### ${keepers} keepers${played ? ", played" : ""}, ${backend}`
  const size = `Cluster data: ${bytes(document)}; all infos: ${bytes(infos)}.`
  const head =
    backend === "sqlite"
      ? "| component | transactions/s | written/s | read/s | CPU | memory |"
      : "| component | requests/s | sent/s | received/s | CPU | memory |"
  const lines = rows.map(({ name, count, usesStore, requests, sent, received, cpu, rss }) => {
    const use = count > 1 ? "| |" : `| ${cpu.toFixed(1)} % | ${rss.toFixed(0)} MB |`
    const who = count > 1 ? `${name} (each of ${count})` : name
    const traffic = usesStore ? [requests.toFixed(1), bytes(sent), bytes(received)] : ["", "", ""]
    return `| ${[who, ...traffic].join(" | ")} ${use}`
  })
  return [title, "", size, "", head, "| --- | --: | --: | --: | --: | --: |", ...lines, ""].join(
    "\n",
  )
}

const bytes = (count: number): string =>
  count < 1000
    ? `${Math.round(count)} B`
    : count < 1e6
      ? `${(count / 1000).toFixed(1)} kB`
      : `${(count / 1e6).toFixed(1)} MB`

function latencies(results: readonly Measured[]): string {
  if (results.length === 0) return ""
  const lines = results.map(({ backend, keepers, known }) => {
    const first = known.map((times) => Math.min(...times))
    const last = known.map((times) => Math.max(...times))
    const all = known.flat()
    const cell = (times: readonly number[]): string =>
      `${quantile(times, 0.5).toFixed(0)} / ${quantile(times, 1).toFixed(0)}`
    return `| ${backend} | ${keepers} | ${cell(first)} | ${cell(all)} | ${cell(last)} |`
  })
  return [
    "| milliseconds, median / worst | keepers | the first knows | any knows | all know |",
    "| --- | --: | --: | --: | --: |",
    ...lines,
    "",
  ].join("\n")
}
