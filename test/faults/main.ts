/**
 * Fault tests on real processes. By default minutes: the faults are dealt out to the valid rows, so
 * that each fault happens once and each row has some; the rows that must come out invalid run
 * theirs. With a duration every chosen row runs as long, all its faults again and again.
 *
 *   bun test/faults/main.ts [--duration 15m] [--row NAME,…|all] [--nemesis NAME,…] [--seed N]
 *                           [--times N] [--pace MS] [--keep] [--list]
 *
 * Every result is also kept below .cache/faults/results, where `summary.ts` makes the page in
 * docs of them. Exit code 1 on any surprise. Then the directory with logs, history and seed stays
 * and is named; it is below FAULTS_DIR, or /tmp. FAULTS_BINARY is another executable than
 * dist/stolon.
 */
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import * as v from "valibot"
import { generator } from "#base/random.ts"
import { realChance } from "#system/chance.ts"
import { binary as built } from "#test/e2e/place.ts"
import { type Row, rows } from "./matrix.ts"
import { nemeses, ordinary } from "./nemeses.ts"
import { report, surprise } from "./report.ts"
import { type Outcome, type RunOrders, resultFile, run, runOrders } from "./run.ts"
import { inside, obstacle, sandboxed } from "./sandbox.ts"

const { values } = parseArgs({
  options: {
    duration: { type: "string" },
    row: { type: "string", default: "all" },
    nemesis: { type: "string" },
    seed: { type: "string" },
    times: { type: "string", default: "1" },
    pace: { type: "string", default: "60" },
    keep: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
    inside: { type: "string" },
  },
})

async function main(): Promise<number> {
  const hindrance = obstacle()
  if (hindrance !== null) return complain(hindrance)
  const binary = process.env["FAULTS_BINARY"] ?? built
  if (!existsSync(binary)) return complain(`${binary} is not there; make build`)
  const chosen = choose(rows, ({ name }) => name, values.row === "all" ? null : values.row)
  const wanted = choose(nemeses, ({ name }) => name, values.nemesis ?? null)
  const seed = Number(values.seed ?? realChance.seed())
  const durationMs = values.duration === undefined ? null : milliseconds(values.duration)
  const directory = mkdtempSync(join(process.env["FAULTS_DIR"] ?? tmpdir(), "stolon-faults-"))
  chmodSync(directory, 0o755)
  const executable = join(directory, "stolon")
  copyFileSync(binary, executable) // a build in the middle of a run changes nothing
  chmodSync(executable, 0o755)
  console.log(`seed ${seed}, ${chosen.length} rows, below ${directory}`)
  const named = values.nemesis === undefined ? null : wanted.map(({ name }) => name)
  let failed = 0
  for (const row of chosen) {
    const orders: RunOrders = {
      row: row.name,
      directory: join(inside, row.name),
      binary: join(inside, "stolon"),
      seed,
      nemeses: [
        ...(row.nemeses ?? named ?? (durationMs === null ? dealt(row, chosen, seed) : all)),
      ],
      durationMs: row.invalid === null ? durationMs : null,
      times: row.invalid === null ? Number(values.times) : 1,
      paceMs: Number(values.pace),
    }
    const own = join(directory, row.name)
    const outcome = await inSandbox(orders, directory, own)
    console.log(report(row, outcome))
    await remember(outcome)
    if (surprise(row, outcome) !== null) failed++
    else if (!values.keep) rmSync(own, { recursive: true, force: true })
  }
  const kept = failed > 0 || values.keep
  rmSync(executable)
  if (!kept) rmSync(directory, { recursive: true, force: true })
  console.log(`${chosen.length - failed} rows as expected, ${failed} not`)
  if (kept) console.log(`logs, histories and seed ${seed}: ${directory}`)
  return failed === 0 ? 0 : 1
}

async function inSandbox(orders: RunOrders, directory: string, own: string): Promise<Outcome> {
  mkdirSync(own, { mode: 0o755 })
  await Bun.write(join(own, "orders.json"), JSON.stringify(orders, null, 1))
  const words = [process.execPath, import.meta.path, "--inside", JSON.stringify(orders)]
  const child = Bun.spawn([...sandboxed(directory, words)], {
    stdio: ["ignore", "inherit", "inherit"],
  })
  const end = (): void => {
    child.kill("SIGKILL")
    console.log(`interrupted; what there is lies in ${own}`)
    process.exit(130)
  }
  process.on("SIGINT", end).on("SIGTERM", end)
  await child.exited
  process.off("SIGINT", end).off("SIGTERM", end)
  const file = Bun.file(join(own, resultFile))
  if (await file.exists()) return parseOutcome(await file.json())
  const { row, seed } = orders
  const nothing = { operations: 0, seconds: 0, verdict: null }
  // 128 and a number: a signal, perhaps one that was meant for an earlier holder of the pid
  const error = `the run ended without a result, with code ${child.exitCode}`
  return { row, seed, ...nothing, error }
}

/** For `summary.ts`, also when everything else of the run is removed. */
async function remember(outcome: Outcome): Promise<void> {
  const when = new Date().toISOString().replace(/[-:]|\..*/g, "")
  const name = `${when}-${outcome.row}-${outcome.seed}`
  await Bun.write(join(results, name, resultFile), JSON.stringify(outcome, null, 1))
}
const results = join(import.meta.dir, "../../.cache/faults/results")

// It is our own, written a moment ago by `run`.
const parseOutcome = (value: unknown): Outcome => value as Outcome

const all: readonly string[] = ordinary.map(({ name }) => name)

/** Each fault goes to one of the valid rows, another one with another seed. */
function dealt(row: Row, chosen: readonly Row[], seed: number): readonly string[] {
  const valid = chosen.filter(({ invalid, nemeses: own }) => invalid === null && own === null)
  const random = generator(seed)
  const deck = all.map((name) => ({ name, at: random.next() })).toSorted((a, b) => a.at - b.at)
  return deck.filter((_, i) => valid[i % valid.length] === row).map(({ name }) => name)
}

function choose<T>(
  from: readonly T[],
  nameOf: (it: T) => string,
  wanted: string | null,
): readonly T[] {
  if (wanted === null) return from
  return wanted.split(",").map((name) => {
    const found = from.find((it) => nameOf(it) === name.trim())
    if (found === undefined) throw new Error(`there is no ${name}; see --list`)
    return found
  })
}

function milliseconds(text: string): number {
  const [, number, unit = ""] = /^(\d+)(s|m|h)$/.exec(text) ?? []
  const factor = { s: 1_000, m: 60_000, h: 3_600_000 }[unit]
  if (number === undefined || factor === undefined)
    throw new Error(`--duration ${text}: a number and s, m or h`)
  return Number(number) * factor
}

function complain(text: string): number {
  console.error(`faults: ${text}`)
  return 2
}

if (values.inside !== undefined) {
  await run(v.parse(runOrders, JSON.parse(values.inside)))
  process.exit(0)
}
if (values.list) {
  for (const { name, title } of rows) console.log(`row ${name}: ${title}`)
  for (const { name, why } of nemeses) console.log(`nemesis ${name}: ${why}`)
  process.exit(0)
}
process.exit(await main())
