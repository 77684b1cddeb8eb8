/**
 * Where the time goes: what the components' logs say of one fault, as milliseconds since it struck,
 * and the medians of that over many runs. Steps that a run did not take (a restart in place deposes
 * nobody) are left out, never guessed.
 *
 *   bun test/bench/failover/timeline.ts .cache/bench/failover.json [--each]
 *
 * Logs carry wall time to the millisecond, so a step is good to about one.
 */
import { readFileSync } from "node:fs"
import * as v from "valibot"
import { by, byNumber, sortedSet } from "#base/order.ts"
import { faults } from "./faults.ts"
import { type Entry, entriesOf } from "./journal.ts"
import { median } from "./tools.ts"

interface Step {
  readonly title: string
  readonly is: (entry: Entry) => boolean
}

const coded =
  (...codes: readonly string[]) =>
  ({ code }: Entry): boolean =>
    codes.includes(code)
const finished =
  (step: string) =>
  ({ code, fields }: Entry): boolean =>
    code === "step.finished" && fields["step"] === step

/** Roughly in the order in which a failover takes them; a table goes by when they happened. */
const steps: readonly Step[] = [
  { title: "keeper or guardian: PostgreSQL is gone", is: coded("postgres.exited") },
  { title: "keeper: PostgreSQL started again", is: finished("start") },
  { title: "keeper: the lease ran out", is: coded("lease.lapsed") },
  { title: "proxy: drained, new transactions wait", is: coded("proxy.drained") },
  { title: "certificate issued", is: coded("certificate.issued") },
  { title: "a new leader sentinel", is: coded("leader.elected") },
  { title: "leader: evidence or silence seen", is: coded("primary.failed", "failover.requested") },
  { title: "leader: deposed (W1 written)", is: coded("primary.deposed") },
  { title: "leader: fenced", is: coded("primary.fenced") },
  { title: "leader: elected (W2 written)", is: coded("primary.elected") },
  { title: "keeper: promoted", is: finished("promote") },
  { title: "leader: gate opened", is: coded("gate.opened") },
  { title: "proxy forwards", is: coded("proxy.forwarding") },
]
const acknowledged = "client: first row acknowledged"
const titles = [...steps.map(({ title }) => title), acknowledged]

/** Milliseconds since the fault, by step. */
export type Timeline = Readonly<Record<string, number>>

/** Of a fault at `struck`, whose gap ended at `ended` (both wall time in ms). */
export function timelineOf(logs: readonly string[], struck: number, ended: number): Timeline {
  const entries = logs
    .flatMap((log) => entriesOf(readFileSync(log, "utf8")))
    .filter(({ time }) => time >= struck && time <= ended + 1)
  const found = steps.flatMap(({ title, is }): readonly (readonly [string, number])[] => {
    const times = entries.filter(is).map(({ time }) => time - struck)
    return times.length === 0 ? [] : [[title, Math.min(...times)]]
  })
  return Object.fromEntries([...found, [acknowledged, Math.round(ended - struck)]])
}

interface Timed {
  readonly lane: string
  readonly fault: string
  readonly timeline?: Timeline | undefined
}

/** Median of each step, per lane and fault, with what it took since the step before. */
export function medians(runs: readonly Timed[]): string {
  const groups = sortedSet(runs.map(({ lane, fault }) => `${lane}, ${fault}`))
  return groups
    .map((group) => {
      const own = runs.filter(({ lane, fault }) => `${lane}, ${fault}` === group)
      const lines = table(own.flatMap(({ timeline }) => (timeline === undefined ? [] : [timeline])))
      return lines.length === 0 ? "" : `${group}\n${lines.join("\n")}\n`
    })
    .filter((text) => text !== "")
    .join("\n")
}

function table(timelines: readonly Timeline[]): readonly string[] {
  const rows = titles.flatMap((title): readonly (readonly [string, number, number])[] => {
    const all = timelines.flatMap((each) => each[title] ?? [])
    return all.length === 0 ? [] : [[title, median(all), all.length]]
  })
  const ordered = rows.toSorted(by(([, ms]) => ms, byNumber))
  return ordered.map(([title, ms, count], i) => {
    const since = ms - (ordered[i - 1]?.[1] ?? 0)
    const some = count === timelines.length ? "" : `  in ${count} of ${timelines.length}`
    const cells = [`${Math.round(ms)}`.padStart(7), `${Math.round(since)}`.padStart(7)]
    return `${cells.join(" ms  +")} ms  ${title}${some}`
  })
}

/** The same as one table per lane, for a page: the median of each step since the fault, in ms. */
export function stepTables(runs: readonly Timed[]): string {
  const timed = runs.filter(({ timeline }) => timeline !== undefined)
  return sortedSet(timed.map(({ lane }) => lane))
    .map((lane) => {
      const own = timed.filter((run) => run.lane === lane)
      const columns = faults.map(({ id }) => id).filter((id) => own.some((r) => r.fault === id))
      const cells = (title: string): readonly string[] =>
        columns.map((id) => {
          const all = own.filter(({ fault }) => fault === id)
          const taken = all.flatMap(({ timeline }) => timeline?.[title] ?? [])
          // what fewer than half of the runs went through is no median of anything
          return taken.length * 2 < all.length || taken.length === 0
            ? "–"
            : `${Math.round(median(taken))}`
        })
      const lines = titles
        .map((title) => ({ title, row: cells(title) }))
        .filter(({ row }) => row.some((text) => text !== "–"))
        .map(({ title, row }) => `| ${title} | ${row.join(" | ")} |`)
      const head = [`| ${lane}, ms since the fault | ${columns.join(" | ")} |`]
      return [...head, `|---|${columns.map(() => "---").join("|")}|`, ...lines].join("\n")
    })
    .join("\n\n")
}

if (import.meta.main) {
  const [file = ".cache/bench/failover.json", each] = process.argv.slice(2)
  const runSchema = v.looseObject({
    lane: v.string(),
    fault: v.string(),
    run: v.number(),
    timeline: v.optional(v.record(v.string(), v.number())),
  })
  const text = readFileSync(file, "utf8")
  const { runs } = v.parse(
    v.pipe(v.string(), v.parseJson(), v.looseObject({ runs: v.array(runSchema) })),
    text,
  )
  if (each === "--each")
    for (const run of runs) console.log(medians([{ ...run, fault: `${run.fault} #${run.run}` }]))
  else console.log(medians(runs))
}
