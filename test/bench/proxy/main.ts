/**
 * What a proxy costs: no proxy, HAProxy, PgBouncer and ours on one machine, under the same loads.
 * Each round draws an order of the rows, and in each row an order of the lanes; a row's lanes come
 * one right after the other. So what else the machine does hits all alike, and ratios are taken
 * within a round.
 *
 *   make bench-proxy [RUNS=5] [SECONDS=10] [LANES=ours-1,haproxy-1] [ROWS=select-8] [SEED=1]
 *                    [SHORT=1] [COPY_MB=2000] [CONNECTIONS=1000000] [MARKDOWN=docs/proxy.md]
 *                    [FROM=.cache/bench/proxy.json] [MORE=.cache/bench/proxy.json]
 *
 * The numbers go to .cache/bench/proxy.json after every measurement. FROM renders them again
 * without measuring, MORE adds rounds to them. Nothing is asserted.
 */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { loadavg } from "node:os"
import { basename, join } from "node:path"
import * as v from "valibot"
import { postgresPrograms } from "#cmd/dev-place.ts"
import { generator } from "#base/random.ts"
import { environment } from "#test/e2e/place.ts"
import {
  chosen,
  hardware,
  setting,
  shuffled,
  standstillMax,
  versionOf,
  watchStandstill,
} from "../failover/tools.ts"
import { type Children, newChildren } from "./children.ts"
import { type Held, newHeld, stranded } from "./held.ts"
import { type Door, type Lane, newLanes } from "./lanes.ts"
import { measures } from "./measures.ts"
import { fill } from "./pgbench.ts"
import { markdown, refreshed } from "./report.ts"
import { type Results, resultsSchema } from "./results.ts"
import { type Sizes, commandNow, scaleOf, sizesNow } from "./settings.ts"
import { type Site, openSite, sessionsMax } from "./site.ts"
import { type Row, type SiteKind, laneIds, rowsOf } from "./table.ts"

const directory = join(import.meta.dir, "../../../.cache/bench")
const file = join(directory, "proxy.json")

interface Sitting {
  readonly sizes: Sizes
  readonly children: Children
  readonly results: Results
  /** PostgreSQL stays for the whole sitting, the stand-in's cluster for a row. */
  readonly site: (kind: SiteKind) => Promise<Site>
  readonly held: Held
}

async function measure(): Promise<Results> {
  const sizes = sizesNow(sessionsMax())
  const lanes = chosen(process.env["LANES"] === undefined ? "ONLY" : "LANES", await newLanes())
  const rows = chosen("ROWS", rowsOf(sizes))
  const seed = Number(setting("SEED", String(Date.now() % 1_000_000)))
  const random = generator(seed)
  const more = setting("MORE", "")
  const results = more === "" ? await fresh(sizes, lanes, seed) : added(read(more), sizes, lanes)
  const held = onSignals()
  const children = await held.open(async () => newChildren())
  const sitting: Sitting = { sizes, children, results, held, site: sites(held, children, sizes) }
  const before = Math.max(0, ...[...results.samples, ...results.failures].map(({ run }) => run))
  try {
    for (let round = before + 1; round <= before + sizes.rounds; round++)
      for (const row of shuffled(rows, random)) {
        if (row.once && round > before + 1) continue
        const running = lanes.filter(({ id }) => row.direct || id !== laneIds.direct)
        await inRow(sitting, row, shuffled(running, random), round)
      }
  } finally {
    await held.endAll()
  }
  return results
}

async function inRow(
  sitting: Sitting,
  row: Row,
  lanes: readonly Lane[],
  round: number,
): Promise<void> {
  const { held, results } = sitting
  let site: Site
  try {
    site = await sitting.site(row.site)
  } catch (error) {
    if (held.over) return await stranded()
    console.error(`${row.title}, round ${round}: ${reason(error)}`)
    for (const lane of lanes) failed(results, row, lane, round, error)
    return save(results)
  }
  for (const lane of lanes) {
    await one(sitting, site, lane, row, round)
    save(results)
  }
  if (site.kind === "stand-in") await held.end(site)
}

function sites(held: Held, children: Children, sizes: Sizes): Sitting["site"] {
  let lasting: Site | null = null
  return async (kind) => {
    if (kind === "stand-in") return held.open(() => openSite(kind))
    if (lasting === null) {
      lasting = await held.open(() => openSite(kind))
      await fill(children, lasting.port, sizes.scale)
    }
    return lasting
  }
}

async function one(
  { sizes, children, results, held }: Sitting,
  site: Site,
  lane: Lane,
  row: Row,
  run: number,
): Promise<void> {
  const what = `${row.title}, ${lane.title}, round ${run}`
  const load = loadavg()[0] ?? 0
  let door: Door | null = null
  using standstill = watchStandstill()
  try {
    door = await held.open(() => lane.open(site))
    const numbers = await measures[row.id]({ site, door, sizes, children })
    if (standstill.longest > standstillMax)
      throw new Error(`the bench itself stood still for ${standstill.longest.toFixed(0)} ms`)
    results.samples.push({ row: row.id, lane: lane.id, run, load, numbers: { ...numbers } })
    const told = row.metrics.flatMap(({ id, title, digits }) =>
      numbers[id] === undefined ? [] : [`${title} ${numbers[id].toFixed(digits)}`],
    )
    console.error(`${what}: ${told.join(", ")}`)
  } catch (error) {
    if (held.over) return await stranded()
    failed(results, row, lane, run, error)
    const log = door?.log ?? null
    console.error(`${what}: ${reason(error)}; log: ${log === null ? "none" : keepLog(log)}`)
  } finally {
    if (door !== null) await held.end(door)
  }
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error))

function failed(results: Results, row: Row, lane: Lane, run: number, error: unknown): void {
  results.failures.push({ row: row.id, lane: lane.id, run, why: reason(error) })
}

function keepLog(log: string): string {
  const kept = join(directory, basename(log))
  cpSync(log, kept)
  return kept
}

/** The bench is ended by hand: what it started ends too. */
function onSignals(): Held {
  const held = newHeld()
  const end = async (): Promise<void> => {
    await held.endAll()
    process.exit(130)
  }
  process.once("SIGINT", () => void end())
  process.once("SIGTERM", () => void end())
  return held
}

const fresh = async (sizes: Sizes, lanes: readonly Lane[], seed: number): Promise<Results> => ({
  date: new Date().toISOString(),
  seed,
  command: commandNow(),
  machine: await machine(),
  scale: { ...scaleOf(sizes) },
  lanes: lanes.map(lineOf),
  samples: [],
  failures: [],
})

const lineOf = ({ id, title, settings }: Lane): Results["lanes"][number] => ({
  id,
  title,
  settings,
})

/** The same results, ready for more rounds; throws when those would measure something else. */
function added(results: Results, sizes: Sizes, lanes: readonly Lane[]): Results {
  const [before, now] = [results.scale, scaleOf(sizes)].map((scale) => JSON.stringify(scale))
  if (before !== now) throw new Error(`MORE: measured with ${before}, and now it is ${now}`)
  for (const lane of lanes)
    if (!results.lanes.some(({ id }) => id === lane.id)) results.lanes.push(lineOf(lane))
  return results
}

const read = (path: string): Results =>
  v.parse(v.pipe(v.string(), v.parseJson(), resultsSchema), readFileSync(path, "utf8"))

function save(results: Results): void {
  mkdirSync(directory, { recursive: true })
  writeFileSync(file, `${JSON.stringify(results, null, 1)}\n`)
}

async function machine(): Promise<string[]> {
  const said = (words: readonly string[], pattern: RegExp): Promise<string> =>
    versionOf(words, pattern, environment())
  const pgbench = join(postgresPrograms(""), "pgbench")
  return [
    ...hardware(),
    (await said([pgbench, "--version"], /PostgreSQL\) [\d.]+/)).replace(")", ""),
    await said(["haproxy", "-v"], /HAProxy version [\d.]+/),
    await said(["pgbouncer", "--version"], /PgBouncer [\d.]+/),
  ]
}

const from = setting("FROM", "")
const results = from === "" ? await measure() : read(from)
console.log(markdown(results))
const page = setting("MARKDOWN", "")
if (page !== "") writeFileSync(page, refreshed(readFileSync(page, "utf8"), results))
process.exit()
