/**
 * How long writes stop when something breaks, and what a client is told meanwhile: ours in both
 * replication modes beside Patroni with HAProxy, on one machine, with one client. Each round draws
 * an order of the faults and an order of the systems; one system after the other is started, meets
 * the faults in that order, and is gone before the next one comes. So what else the machine does
 * hits all alike, and no system pays for another one's idling.
 *
 *   make bench-failover [RUNS=10] [ONLY=ours-async,ours-sync] [ROWS=switchover] [SEED=1]
 *                       [MARKDOWN=docs/failover.md] [FROM=.cache/bench/failover.json]
 *                       [MORE=.cache/bench/failover.json]
 *
 * The numbers go to .cache/bench/failover.json after every run. FROM renders them again without
 * measuring, MORE adds rounds to them: each round has every system, so rounds of several sittings
 * compare as well as those of one. Exit code 1 when an acknowledged row is lost where that is
 * promised (synchronous).
 */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import * as v from "valibot"
import { postgresPrograms } from "#cmd/dev-place.ts"
import { generator } from "#base/random.ts"
import { environment } from "#test/e2e/place.ts"
import { type Fault, type Lane, type System, faults, ownFaults } from "./faults.ts"
import { ourLanes } from "./ours.ts"
import { patroniLanes } from "./patroni.ts"
import { type Results, laneResult, markdown, refreshed, resultsSchema } from "./report.ts"
import { furnish, strike } from "./run.ts"
import { medians } from "./timeline.ts"
import {
  chosen,
  hardware,
  setting,
  shuffled,
  standstillMax,
  versionOf,
  watchStandstill,
} from "./tools.ts"

const directory = join(import.meta.dir, "../../../.cache/bench")
const file = join(directory, "failover.json")

async function measure(): Promise<Results> {
  const lanes = chosen("ONLY", [...patroniLanes, ...ourLanes])
  const rows = chosen("ROWS", faults)
  const rounds = Number(setting("RUNS", "10"))
  const seed = Number(setting("SEED", String(Date.now() % 1_000_000)))
  const random = generator(seed)
  const more = setting("MORE", "")
  const results: Results =
    more === ""
      ? {
          date: new Date().toISOString(),
          seed,
          command: command(),
          machine: await machine(),
          lanes: lanes.map((lane) => laneResult(lane, [])),
          runs: [],
          failures: [],
        }
      : read(more)
  const before = Math.max(0, ...[...results.runs, ...results.failures].map(({ run }) => run))
  const placeOf = (lane: Lane): number => results.lanes.findIndex(({ id }) => id === lane.id)
  const held = onSignals()
  for (let round = before + 1; round <= before + rounds; round++) {
    const order = shuffled(faults, random)
    for (const lane of shuffled(lanes, random)) {
      const own = ownFaults(lane, rows)
      await using berth = newBerth(lane, (notes) =>
        results.lanes.splice(placeOf(lane), 1, laneResult(lane, notes)),
      )
      held.current = berth
      for (const fault of order.filter((each) => own.includes(each))) {
        await one(berth, lane, fault, round, random.next, results)
        save(results)
      }
    }
  }
  return results
}

/** The bench is ended by hand: what it started ends too. */
function onSignals(): { current: AsyncDisposable | null } {
  const held: { current: AsyncDisposable | null } = { current: null }
  const end = async (): Promise<void> => {
    await held.current?.[Symbol.asyncDispose]()
    process.exit(130)
  }
  process.once("SIGINT", () => void end())
  process.once("SIGTERM", () => void end())
  return held
}

/** Where a lane's cluster lies; one that did not become whole again is replaced. */
interface Berth extends AsyncDisposable {
  system(): Promise<System>
}

function newBerth(lane: Lane, opened: (notes: readonly string[]) => void): Berth {
  let here: System | null = null
  return {
    async system() {
      if (here !== null) return here
      const started = performance.now()
      here = await lane.open()
      await furnish(here)
      opened(here.notes)
      console.error(`${lane.title}: whole after ${inSeconds(performance.now() - started)}`)
      return here
    },
    async [Symbol.asyncDispose]() {
      const gone = here
      here = null
      await gone?.[Symbol.asyncDispose]()
    },
  }
}

async function one(
  berth: Berth,
  lane: Lane,
  fault: Fault,
  run: number,
  chance: () => number,
  results: Results,
): Promise<void> {
  const what = `${lane.title}, ${fault.title}, run ${run}`
  let system: System | null = null
  using standstill = watchStandstill()
  try {
    system = await berth.system()
    const result = await strike(lane, system, fault, run, chance)
    results.runs.push({ ...result, troubles: { ...result.troubles } })
    const { failed, told, refused, lost } = result
    console.error(
      `${what}: ${inSeconds(result.gapMs)}, failed ${failed}, told ${told}, ` +
        `refused ${refused}, lost ${lost}; whole again after ${inSeconds(result.wholeAgainMs)}`,
    )
    // why is in the logs
    if (lost > 0) console.error(`logs: ${keepLogs(system, `${lane.id}-${fault.id}-${run}`)}`)
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    const why =
      standstill.longest < standstillMax
        ? text
        : `the bench itself stood still for ${inSeconds(standstill.longest)}: ${text}`
    results.failures.push({ lane: lane.id, fault: fault.id, run, why })
    const kept = system === null ? "none" : keepLogs(system, `${lane.id}-${fault.id}-${run}`)
    console.error(`${what}: ${why}; logs: ${kept}`)
    await berth[Symbol.asyncDispose]()
  }
}

const inSeconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`

function keepLogs(system: System, name: string): string {
  const kept = join(directory, name)
  mkdirSync(kept, { recursive: true })
  for (const log of system.logs) cpSync(log, join(kept, basename(log)))
  return kept
}

const read = (path: string): Results =>
  v.parse(v.pipe(v.string(), v.parseJson(), resultsSchema), readFileSync(path, "utf8"))

function save(results: Results): void {
  mkdirSync(directory, { recursive: true })
  writeFileSync(file, `${JSON.stringify(results, null, 1)}\n`)
}

function command(): string {
  const given = ["RUNS", "ONLY", "ROWS", "SEED"].flatMap((name) =>
    process.env[name] === undefined ? [] : [`${name}=${process.env[name]}`],
  )
  return ["make bench-failover", ...given].join(" ")
}

async function machine(): Promise<string[]> {
  const said = (words: readonly string[], pattern: RegExp): Promise<string> =>
    versionOf(words, pattern, environment())
  return [
    ...hardware(),
    await said([join(postgresPrograms(""), "postgres"), "--version"], /PostgreSQL\) [\d.]+/).then(
      (text) => text.replace(")", ""),
    ),
    await said(["etcd", "--version"], /etcd Version: [\d.]+/),
    await said(["patroni", "--version"], /patroni [\d.]+/),
    await said(["haproxy", "-v"], /HAProxy version [\d.]+/),
  ]
}

const from = setting("FROM", "")
const results = from === "" ? await measure() : read(from)
console.log(markdown(results))
console.error(`\nwhere the time goes (medians)\n\n${medians(results.runs)}`)
const page = setting("MARKDOWN", "")
if (page !== "") writeFileSync(page, refreshed(readFileSync(page, "utf8"), results))
if (results.runs.some(({ lane, lost }) => lane === "ours-sync" && lost > 0)) process.exitCode = 1
process.exit()
