/**
 * Runs the simulator from the command line: many seeds in several processes, or one seed with its
 * trace.
 *
 *   bun scripts/sim.ts --seeds 2000 --from 1 [--workers 2] [--seconds N]
 *     [--mutation NAME | --focus DEED,…]
 *   bun scripts/sim.ts --seed N [--trace] [--mutation NAME | --focus DEED,…]
 *   bun scripts/sim.ts --record FILE --seconds N [--workers 2]
 *
 * `--record` goes on where the last sitting with the same sources ended, and notes every minute
 * which seeds ran clean (`test/sim/record.ts`).
 *
 * Ends with 1 when a promise was broken, or when some event code or step kind was never seen in a
 * run of at least `coverageFrom` seeds. Prints one line per broken seed that reproduces it.
 */
import { parseArgs } from "node:util"
import { merge, missing } from "#test/sim/coverage.ts"
import { plant } from "#test/sim/mutation.ts"
import { mutations } from "#test/sim/mutations.ts"
import { brainHash, note, totalOf } from "#test/sim/record.ts"
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
    record: { type: "string" },
    worker: { type: "boolean", default: false },
    stop: { type: "string", default: "10" },
  },
})

/** With fewer seeds, rare things may rightly be missing. */
const coverageFrom = 1_000

/** What a worker writes on its standard output, one line each. */
type Report =
  /** Every seed of this worker up to here has been run. */
  | { readonly kind: "reached"; readonly seed: number }
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
      /** Runs shorter than 25 failIntervals, or with fewer than three faults. */
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
  const { hash, faults, acknowledged, minutes, intervals, tasks } = result
  const time = { minutes: Number(minutes.toFixed(1)), intervals: Math.round(intervals) }
  const facts = { hash, faults, acknowledged, ...time, tasks }
  console.log(`seed ${seed}: ${JSON.stringify(facts)}`)
  return result.violations.length > 0 ? 1 : 0
}

/** A worker's word that it is still at work, milliseconds. */
const sayEvery = 10_000

async function work(): Promise<void> {
  const runSeed = await load()
  const [from, seeds, step] = [Number(values.from), Number(values.seeds), Number(values.step)]
  const coverage = new Map<string, number>()
  const started = performance.now()
  let [done, faults, minutes, acknowledged, thin, broken] = [0, 0, 0, 0, 0, 0]
  let said = started
  for (let seed = from; seed < from + seeds; seed += step) {
    const now = performance.now()
    if (Number(values.seconds) > 0 && now - started > Number(values.seconds) * 1000) break
    if (now - said > sayEvery) {
      said = now
      say({ kind: "reached", seed: seed - step })
    }
    const result = runSeed(seed)
    merge(coverage, result.coverage)
    done++
    faults += result.faults
    minutes += result.minutes
    acknowledged += result.acknowledged
    if (result.intervals < 25 || result.faults < 3) thin++
    for (const { promise, what } of result.violations) {
      broken++
      const tail = tailOf(result.sim.world.trace.lines, 40)
      say({ kind: "broken", seed, promise, what, tail })
    }
    if (broken >= Number(values.stop)) break
  }
  say({ kind: "reached", seed: from + (done - 1) * step })
  say({ kind: "end", seeds: done, faults, minutes, acknowledged, coverage: [...coverage], thin })
}

const say = (report: Report): void => console.log(JSON.stringify(report))

async function many(from: number, hear: (worker: number, report: Report) => void): Promise<number> {
  const workers = Number(values.workers)
  const started = performance.now()
  const coverage = new Map<string, number>()
  const total = { seeds: 0, faults: 0, minutes: 0, acknowledged: 0, thin: 0 }
  let broken = 0
  const take = (report: Report): void => {
    if (report.kind === "broken") {
      broken++
      console.log(`\nBROKEN ${report.promise}: ${report.what}`)
      if (broken <= 3) console.log(report.tail)
      console.log(`make sim SEED=${report.seed}`)
    } else if (report.kind === "end") {
      merge(coverage, report.coverage)
      for (const key of ["seeds", "faults", "minutes", "acknowledged", "thin"] as const)
        total[key] += report[key]
    }
  }
  const all = Array.from({ length: workers }, (_, i) =>
    worker(from, i, (report) => {
      take(report)
      hear(i, report)
    }),
  )
  await Promise.all(all)
  const seconds = (performance.now() - started) / 1000
  console.log(
    `${total.seeds} seeds, ${Math.round(total.minutes)} virtual minutes, ${total.faults} faults, ` +
      `${total.acknowledged} acknowledged rows in ${seconds.toFixed(1)} s; ${broken} broken, ${total.thin} thin`,
  )
  const never = total.seeds >= coverageFrom ? missing(coverage) : []
  for (const key of never) console.log(`never seen: ${key}`)
  return broken > 0 || never.length > 0 ? 1 : 0
}

async function worker(from: number, index: number, hear: (report: Report) => void): Promise<void> {
  const { workers, seeds, seconds, stop } = values
  const count = values.record === undefined ? Number(seeds) - index : endless
  const args = ["--worker", "--from", String(from + index), "--seeds", String(count)]
  args.push("--step", workers, "--seconds", seconds, "--stop", stop)
  if (values.mutation !== undefined) args.push("--mutation", values.mutation)
  if (values.focus !== undefined) args.push("--focus", values.focus)
  const child = Bun.spawn([process.execPath, import.meta.path, ...args], {
    stdout: "pipe",
    stderr: "inherit",
  })
  const decoder = new TextDecoder()
  let rest = ""
  for await (const bytes of child.stdout) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n")
    rest = lines.pop() ?? ""
    // Our own lines, from our own process.
    for (const line of lines) hear(JSON.parse(line) as Report)
  }
  if ((await child.exited) !== 0)
    throw new Error(`a worker of seeds from ${from + index} on ended with an error`)
}
const endless = 1e9

/** A sitting: goes on after the last seed, and notes each minute how far it has come. */
async function sit(file: string): Promise<number> {
  if (!(Number(values.seconds) > 0)) throw new Error("--record needs --seconds")
  if (values.mutation !== undefined || values.focus !== undefined)
    throw new Error("--record is for the sources as they are, and for all deeds")
  const brain = brainHash()
  const before = totalOf(file, brain)
  let from = before.next
  const workers = Number(values.workers)
  // Up to where each worker has come, and the first seed that is broken.
  const reached = Array.from({ length: workers }, () => from - 1)
  let broken = Infinity
  const write = (): void => {
    const to = Math.min(...reached.map((seed) => seed + workers - 1), broken - 1)
    // Whoever edited a file while the workers loaded theirs: nobody knows what has run.
    if (from === before.next && brainHash() !== brain)
      throw new Error("the sources changed at the start of the sitting; nothing is recorded")
    note(file, { brain, from, to })
    from = Math.max(from, to + 1)
  }
  let written = performance.now()
  const code = await many(from, (index, report) => {
    if (report.kind === "broken") broken = Math.min(broken, report.seed)
    if (report.kind !== "reached") return
    reached[index] = report.seed
    const now = performance.now()
    if (now - written < noteEvery || reached.some((seed) => seed < before.next)) return
    written = now
    write()
  })
  write()
  const { seeds } = totalOf(file, brain)
  console.log(`${file}: ${seeds} seeds ran clean with the sources as they are (${brain})`)
  return code
}
const noteEvery = 60_000

const main = (): Promise<number> => {
  if (values.seed !== undefined) return one(Number(values.seed))
  if (values.record !== undefined) return sit(values.record)
  return many(Number(values.from), () => {})
}
if (values.worker) await work()
else process.exit(await main())
