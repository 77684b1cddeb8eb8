/**
 * The same cluster on each store: how long writes stop, what it asks of the store at rest, and how
 * many conformance tests the store passed. Each round draws an order of the stores; on each the
 * cluster is started, rests for a while, meets the faults, and is gone before the next one comes.
 *
 *   make bench-stores [RUNS=5] [SECONDS=20] [ONLY=etcdv3,kubernetes] [ROWS=switchover] [SEED=1]
 *                     [MARKDOWN=docs/stores.md] [FROM=.cache/bench/stores.json]
 *
 * The numbers go to .cache/bench/stores.json after every run; FROM renders them again. Exit code 1
 * when a run gave no number, a conformance test failed, or a row was lost that was acknowledged
 * (replication is synchronous).
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as v from "valibot"
import { generator } from "#base/random.ts"
import { type Fault, type Lane, type System, faults } from "../failover/faults.ts"
import { openOurs } from "../failover/ours.ts"
import { furnish, strike } from "../failover/run.ts"
import { chosen, hardware, setting, shuffled, sleep } from "../failover/tools.ts"
import { conformance } from "./conformance.ts"
import { type Results, markdown, refreshed, resultsSchema } from "./report.ts"
import { type Site, type StoreLane, storeLanes } from "./sites.ts"

const directory = join(import.meta.dir, "../../../.cache/bench")
const file = join(directory, "stores.json")
const rows = faults.filter(({ id }) =>
  ["postgres-killed", "leader-killed", "switchover"].includes(id),
)
const restMs = 1_000 * Number(setting("SECONDS", "20"))

/** Requests a second that the server counts by itself; null where it counts none. */
async function rate({ requests }: Site): Promise<number | null> {
  const before = await requests()
  const since = performance.now()
  await sleep(restMs)
  const after = await requests()
  if (before === null || after === null) return null
  return (1_000 * (after - before)) / (performance.now() - since)
}

const laneOf = ({ id, title, servers }: StoreLane): Lane => ({
  id,
  title,
  family: "ours",
  beatMs: 1_000,
  settings: servers,
  open: () => Promise.reject(new Error("opened with its site")),
})

async function berth(
  lane: StoreLane,
  round: number,
  todo: readonly Fault[],
  chance: () => number,
  results: Results,
): Promise<void> {
  await using stack = new AsyncDisposableStack()
  let what = "start"
  try {
    const site = await lane.open(stack)
    const alone = await rate(site)
    const options = { ...site.options, spec: { synchronousReplication: true } }
    const system: System = stack.use(await openOurs(options))
    await furnish(system)
    const together = await rate(site)
    if (alone !== null && together !== null)
      results.rest.push({ store: lane.id, run: round, requests: together - alone })
    for (const fault of todo) {
      what = fault.id
      const { gapMs, failed, lost } = await strike(laneOf(lane), system, fault, round, chance)
      results.runs.push({ store: lane.id, fault: fault.id, run: round, gapMs, failed, lost })
      console.error(`${lane.title}, ${fault.title}, run ${round}: ${Math.round(gapMs)} ms`)
      save(results)
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    results.failures.push({ store: lane.id, fault: what, run: round, why })
    console.error(`${lane.title}, ${what}, run ${round}: ${why}`)
  }
}

async function measure(): Promise<Results> {
  const wanted = chosen("ONLY", storeLanes)
  const lanes = wanted.filter(({ missing }) => missing === null)
  const todo = chosen("ROWS", rows)
  const random = generator(Number(setting("SEED", String(Date.now() % 1_000_000))))
  const results: Results = {
    date: new Date().toISOString(),
    command: command(),
    machine: [...hardware()],
    missing: wanted.flatMap(({ id, missing: why }) => (why === null ? [] : [{ store: id, why }])),
    conformance: [],
    rest: [],
    runs: [],
    failures: [],
  }
  for (const { id, tests } of lanes) {
    results.conformance.push({ store: id, ...(await conformance(tests)) })
    save(results)
  }
  const rounds = Number(setting("RUNS", "5"))
  for (let round = 1; round <= rounds; round++)
    for (const lane of shuffled(lanes, random))
      await berth(lane, round, shuffled(todo, random), random.next, results)
  return results
}

const read = (path: string): Results =>
  v.parse(v.pipe(v.string(), v.parseJson(), resultsSchema), readFileSync(path, "utf8"))

function save(results: Results): void {
  mkdirSync(directory, { recursive: true })
  writeFileSync(file, `${JSON.stringify(results, null, 1)}\n`)
}

function command(): string {
  const given = ["RUNS", "SECONDS", "ONLY", "ROWS", "SEED"].flatMap((name) =>
    process.env[name] === undefined ? [] : [`${name}=${process.env[name]}`],
  )
  return ["make bench-stores", ...given].join(" ")
}

const from = setting("FROM", "")
const results = from === "" ? await measure() : read(from)
console.log(markdown(results))
const page = setting("MARKDOWN", "")
if (page !== "") writeFileSync(page, refreshed(readFileSync(page, "utf8"), results))
const failed = results.conformance.some((each) => each.failed > 0)
const lost = results.runs.some((run) => run.lost > 0)
process.exit(failed || lost || results.failures.length > 0 ? 1 : 0)
