/**
 * What a cluster costs at rest: requests and bytes a second of each component at the store, CPU and
 * memory, and how long a keeper's word takes to the leader, into the view, and to all keepers.
 * Begun by `main.ts`.
 *
 * Keepers are played by one light process, which does at the store what they would; in the cases
 * called `real` there are three, with PostgreSQL. Numbers go to .cache/bench/idle.json.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { loadavg } from "node:os"
import { join } from "node:path"
import { hardware, sleep } from "../failover/tools.ts"
import { type Case, type Component, type Rest, startRest } from "./cluster.ts"
import { type Measured, type Row, markdown, refreshed } from "./report.ts"
import { transactionsOf, usageOf } from "./usage.ts"

const directory = join(import.meta.dir, "../../../.cache/bench")
const setting = (name: string, otherwise: string): string => process.env[name] ?? otherwise
const seconds = Number(setting("SECONDS", "20"))
const samples = Number(setting("SAMPLES", "20"))
const warmupMs = 10_000

const everything = ["etcdv3", "sqlite"].flatMap((backend) =>
  ["real", "3", "30", "100"].map((keepers) => `${backend}:${keepers}`),
)
const cases = setting("CASES", everything.join())
  .split(",")
  .map((word): Case => {
    const [backend = "", count = ""] = word.split(":")
    const played = count !== "real"
    const keepers = played ? Number(count) : 3
    if ((backend !== "sqlite" && backend !== "etcdv3") || !(keepers > 0))
      throw new Error(`CASES: not ${word}; a backend and a number of keepers, as in etcdv3:30`)
    return { backend, keepers, played }
  })

interface Sum {
  readonly at: number
  readonly cpuSeconds: number
  readonly rssMegabytes: number
  readonly requests: number
  readonly sent: number
  readonly received: number
}

function sumOf(component: Component, counts: string): Sum {
  const pid = component.pid()
  const { cpuSeconds, rssMegabytes, read, written } = usageOf(pid)
  const traffic = component.meter?.now() ?? {
    requests: transactionsOf(counts, pid),
    sent: written,
    received: read,
  }
  return { at: performance.now(), cpuSeconds, rssMegabytes, ...traffic }
}

function rowOf({ name, count, usesStore }: Component, before: Sum, after: Sum): Row {
  const span = (after.at - before.at) / 1000
  const rate = (of: (sum: Sum) => number): number => (of(after) - of(before)) / span / count
  return {
    name,
    count,
    usesStore,
    requests: rate(({ requests }) => requests),
    sent: rate(({ sent }) => sent),
    received: rate(({ received }) => received),
    cpu: 100 * rate(({ cpuSeconds }) => cpuSeconds),
    rss: after.rssMegabytes / count,
  }
}

async function measure(which: Case): Promise<Measured> {
  await using rest: Rest = await startRest(which)
  await sleep(warmupMs)
  const before = rest.components.map((component) => sumOf(component, rest.counts))
  await sleep(seconds * 1000)
  const rows = rest.components.map((component, i) => {
    const start = before[i]
    if (start === undefined) throw new Error("a component appeared")
    return rowOf(component, start, sumOf(component, rest.counts))
  })
  const known: number[][] = []
  for (let i = 0; rest.sample !== null && i < samples; i++) {
    known.push([...(await rest.sample())])
    await sleep(100 + Math.random() * 300)
  }
  return { ...which, ...(await rest.sizes()), seconds, rows, known }
}

const load = loadavg()[0]?.toFixed(1)
const results: Measured[] = []
for (const which of cases) {
  const measured = await measure(which)
  results.push(measured)
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, "idle.json"), `${JSON.stringify(results, null, 1)}\n`)
  console.error(markdown([measured]))
}
const given = ["CASES", "SECONDS", "SAMPLES"].flatMap((name) =>
  process.env[name] === undefined ? [] : [`${name}=${process.env[name]}`],
)
const heading = {
  date: new Date().toISOString().slice(0, 10),
  command: ["make bench-idle", ...given].join(" "),
  machine: hardware().join(", "),
  load: `the load was ${load} before it began`,
}
const page = setting("MARKDOWN", "")
if (page !== "") writeFileSync(page, refreshed(readFileSync(page, "utf8"), heading, results))
process.exit()
