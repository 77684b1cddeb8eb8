/**
 * Runs the simulator from the command line: many seeds in several processes, or one seed with its
 * trace.
 *
 *   bun scripts/sim.ts --seeds 2000 --from 1 [--workers 2] [--seconds N]
 *     [--mutation NAME | --focus DEED,…]
 *   bun scripts/sim.ts --seed N [--trace] [--mutation NAME | --focus DEED,…]
 *
 * Ends with 1 when a promise was broken, or when some event code or step kind was never seen in a
 * run of at least `coverageFrom` seeds. Prints one line per broken seed that reproduces it.
 */
import { parseArgs } from "node:util"
import { merge, missing } from "#test/sim/coverage.ts"
import { plant } from "#test/sim/mutation.ts"
import { mutations } from "#test/sim/mutations.ts"
import type { Result } from "#test/sim/vopr.ts"
import { type Line, printLine } from "#test/sim/trace.ts"

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "200" },
    from: { type: "string", default: "1" },
    step: { type: "string", default: "1" },
    seed: { type: "string" },
    seconds: { type: "string", default: "0" },
    workers: { type: "string", default: "2" },
    mutation: { type: "string" },
    focus: { type: "string" },
    trace: { type: "boolean", default: false },
    worker: { type: "boolean", default: false },
    stop: { type: "string", default: "10" },
  },
})

/** With fewer seeds, rare things may rightly be missing. */
const coverageFrom = 1_000

/** What a worker writes on its standard output, one line each. */
type Report =
  | {
      readonly kind: "broken"
      readonly seed: number
      readonly promise: string
      readonly what: string
      readonly tail: string
    }
  | {
      readonly kind: "end"
      readonly seeds: number
      readonly faults: number
      readonly minutes: number
      readonly acknowledged: number
      readonly coverage: readonly (readonly [string, number])[]
      /** Runs shorter than ten virtual minutes, or with fewer than three faults. */
      readonly thin: number
    }

/** `runSeed`, with the mutation planted before anything is loaded. */
async function load(): Promise<(seed: number) => Result> {
  const { mutation: name } = values
  const mutation = name === undefined ? undefined : mutations[name]
  if (name !== undefined && mutation === undefined)
    throw new Error(`no such mutation; there are ${Object.keys(mutations).join(", ")}`)
  if (mutation !== undefined) plant(mutation)
  const { runSeed } = await import("#test/sim/vopr.ts")
  const focus = values.focus?.split(",") ?? mutation?.focus ?? []
  return (seed) => runSeed(seed, focus)
}

const tailOf = (lines: readonly Line[], count: number): string =>
  lines.slice(-count).map(printLine).join("\n")

async function one(seed: number): Promise<number> {
  const runSeed = await load()
  const result = runSeed(seed)
  const { lines } = result.sim.world.trace
  console.log(tailOf(lines, values.trace ? lines.length : 60))
  for (const { promise, what } of result.violations) console.log(`\nBROKEN ${promise}: ${what}`)
  const { hash, faults, acknowledged, minutes, tasks } = result
  const facts = { hash, faults, acknowledged, minutes: Math.round(minutes), tasks }
  console.log(`seed ${seed}: ${JSON.stringify(facts)}`)
  return result.violations.length > 0 ? 1 : 0
}

async function work(): Promise<void> {
  const runSeed = await load()
  const [from, seeds, step] = [Number(values.from), Number(values.seeds), Number(values.step)]
  const coverage = new Map<string, number>()
  const started = performance.now()
  let [done, faults, minutes, acknowledged, thin, broken] = [0, 0, 0, 0, 0, 0]
  for (let seed = from; seed < from + seeds; seed += step) {
    if (Number(values.seconds) > 0 && performance.now() - started > Number(values.seconds) * 1000)
      break
    const result = runSeed(seed)
    merge(coverage, result.coverage)
    done++
    faults += result.faults
    minutes += result.minutes
    acknowledged += result.acknowledged
    if (result.minutes < 10 || result.faults < 3) thin++
    for (const { promise, what } of result.violations) {
      broken++
      const tail = tailOf(result.sim.world.trace.lines, 40)
      say({ kind: "broken", seed, promise, what, tail })
    }
    if (broken >= Number(values.stop)) break
  }
  say({ kind: "end", seeds: done, faults, minutes, acknowledged, coverage: [...coverage], thin })
}

const say = (report: Report): void => console.log(JSON.stringify(report))

async function many(): Promise<number> {
  const workers = Number(values.workers)
  const started = performance.now()
  const reports = (
    await Promise.all(Array.from({ length: workers }, (_, i) => worker(i, workers)))
  ).flat()
  const coverage = new Map<string, number>()
  const total = { seeds: 0, faults: 0, minutes: 0, acknowledged: 0, thin: 0 }
  let broken = 0
  for (const report of reports) {
    if (report.kind === "broken") {
      broken++
      console.log(`\nBROKEN ${report.promise}: ${report.what}`)
      if (broken <= 3) console.log(report.tail)
      console.log(`make sim SEED=${report.seed}`)
      continue
    }
    merge(coverage, report.coverage)
    for (const key of ["seeds", "faults", "minutes", "acknowledged", "thin"] as const)
      total[key] += report[key]
  }
  const seconds = (performance.now() - started) / 1000
  console.log(
    `${total.seeds} seeds, ${Math.round(total.minutes)} virtual minutes, ${total.faults} faults, ` +
      `${total.acknowledged} acknowledged rows in ${seconds.toFixed(1)} s; ${broken} broken, ${total.thin} thin`,
  )
  const never = total.seeds >= coverageFrom ? missing(coverage) : []
  for (const key of never) console.log(`never seen: ${key}`)
  return broken > 0 || never.length > 0 ? 1 : 0
}

async function worker(index: number, workers: number): Promise<readonly Report[]> {
  const from = Number(values.from) + index
  const args = ["--worker", "--from", String(from), "--seeds", String(Number(values.seeds) - index)]
  args.push("--step", String(workers), "--seconds", values.seconds, "--stop", values.stop)
  if (values.mutation !== undefined) args.push("--mutation", values.mutation)
  if (values.focus !== undefined) args.push("--focus", values.focus)
  const child = Bun.spawn([process.execPath, import.meta.path, ...args], {
    stdout: "pipe",
    stderr: "inherit",
  })
  const text = await new Response(child.stdout).text()
  if ((await child.exited) !== 0)
    throw new Error(`a worker of seeds from ${from} on ended with an error`)
  // Our own lines, from our own process.
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Report)
}

if (values.worker) await work()
else process.exit(values.seed === undefined ? await many() : await one(Number(values.seed)))
