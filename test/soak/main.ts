/**
 * The soak of the proxy: storms of sessions through one process and through two workers, to the
 * primary and to standbys, some of the sessions killed wherever they are, while the primary is
 * switched over, killed and frozen. After each round nothing may be left in a proxy, no session may
 * have heard a byte that was not its own, and none may have been answered by who is the primary no
 * more.
 *
 *   make soak [DURATION=10m] [SESSIONS=32] [SEED=1]
 *
 * Prints a line a round and a verdict; exit code 1 when something was found, and then the report
 * and all logs lie below .cache/soak.
 */
import { parseDuration, toMillis } from "#base/duration.ts"
import { generator } from "#base/random.ts"
import { until } from "#test/conformance/wait.ts"
import { setting, sleep, watchStandstill } from "#test/bench/failover/tools.ts"
import { newHeld } from "#test/bench/proxy/held.ts"
import { type Held, heldBy } from "./gauge.ts"
import { growth, leftBehind, replaced } from "./leaks.ts"
import { add, countsLine, growthLine, heldLine, newReport } from "./report.ts"
import { type Site, type SoakedProxy, login, openSite } from "./site.ts"
import { type Counts, type Storm, newCounts, startStorm } from "./storm.ts"
import { sequence, strike } from "./strikes.ts"
import { newWitness } from "./witness.ts"

const duration = toMillis(parseDuration(setting("DURATION", "10m")))
const lanes = Number(setting("SESSIONS", "32"))
const seed = Number(setting("SEED", `${Date.now() % 1_000_000}`))
const random = generator(seed)
const report = newReport("soak")
const witness = newWitness()
const sum = newCounts()

const warmUpMs = Math.min(20_000, duration / 6)
/** Of a storm before and after what strikes the primary. */
const calmMs = { shortest: 3_000, longest: 10_000 }
const gone = 60_000

const pidOf = ({ part, name }: SoakedProxy): number => {
  if (part.pid === null) throw new Error(`the proxy of ${name} has ended`)
  return part.pid
}

function storm({ proxies }: Site): Storm {
  return startStorm({
    ...{ lanes, login, doors: proxies.flatMap(({ doors }) => doors) },
    ...{ seed: random.below(1 << 30), judge: witness.judge, wrong: report.found },
  })
}

/** When nothing has changed for a while: the most that each process had in that time. */
async function atRest(proxy: SoakedProxy): Promise<Held> {
  const samples: Held[] = []
  for (let i = 0; i < 12; i++) {
    await sleep(500)
    samples.push(heldBy(pidOf(proxy)))
  }
  const last = samples.at(-1)
  if (last === undefined) throw new Error("no samples")
  const most = (i: number): number => Math.max(...samples.map((one) => one.descriptors[i] ?? 0))
  return { ...last, descriptors: last.descriptors.map((_, i) => most(i)) }
}

/** Nothing is left of the clients; gives what there is now. */
async function demandClean(proxy: SoakedProxy, before: Held): Promise<Held> {
  let left: string | null = null
  const isClean = (): boolean => {
    left = leftBehind(before, heldBy(pidOf(proxy)))
    return left === null
  }
  await until("descriptors to be closed", isClean, gone).catch(() => {})
  if (left !== null) report.found(`${proxy.name}: ${String(left)}`)
  return heldBy(pidOf(proxy))
}

/** This process did not run for so long: neither did a worker that had to answer meanwhile. */
const standstillMax = 500

/**
 * A worker that does not do in time as it is told is killed and replaced, and may be while the
 * machine stands still; otherwise it has died, or has hung.
 */
function judgeWorkers(proxy: SoakedProxy, before: Held, now: Held, standstill: number): void {
  const others = replaced(before, now)
  if (others === 0) return
  const what = `${proxy.name}: ${others} workers were replaced`
  if (standstill < standstillMax) report.found(what)
  else report.say(`  ${what}; everything stood still for ${standstill.toFixed(0)} ms`)
}

/** A door that lets nobody in would look like one that leaks nothing. */
function demandAnswers({ proxies }: Site, { answered }: Counts): void {
  for (const { name } of proxies.flatMap(({ doors }) => doors))
    if ((answered.get(name) ?? 0) === 0) report.found(`nobody was answered at ${name}`)
}

async function round(site: Site, name: string, number: number): Promise<void> {
  const blowing = storm(site)
  const calm = (): Promise<void> =>
    sleep(calmMs.shortest + random.below(calmMs.longest - calmMs.shortest))
  try {
    await calm()
    const { what, seconds } = await strike(site.cluster, name, witness)
    await calm()
    report.say(`round ${number}: ${what}, whole after ${seconds.toFixed(1)} s`)
  } finally {
    await blowing.calm()
    add(sum, blowing.counts)
  }
  report.say(`  ${countsLine(blowing.counts)}`)
  demandAnswers(site, blowing.counts)
}

async function soak(site: Site): Promise<void> {
  const { proxies } = site
  const first = storm(site)
  await sleep(warmUpMs)
  await first.calm()
  report.say(`warmed up: ${countsLine(first.counts)}`)
  demandAnswers(site, first.counts)
  const before = new Map<SoakedProxy, Held>()
  for (const proxy of proxies) before.set(proxy, await atRest(proxy))
  for (const [proxy, held] of before) report.say(`  ${heldLine(proxy.name, held)}`)
  const samples = new Map(proxies.map((proxy) => [proxy, new Array<number>()]))
  const sampling = setInterval(() => {
    for (const [proxy, all] of samples)
      if (proxy.part.pid !== null) all.push(heldBy(proxy.part.pid).resident)
  }, 1_000)
  const end = performance.now() + duration - warmUpMs
  let number = 0
  try {
    for (const name of sequence(random)) {
      if (performance.now() > end) break
      using standstill = watchStandstill()
      await round(site, name, ++number)
      for (const [proxy, held] of before) {
        const now = await demandClean(proxy, held)
        report.say(`  ${heldLine(proxy.name, now)}`)
        judgeWorkers(proxy, held, now, standstill.longest)
        before.set(proxy, { ...held, pids: now.pids })
      }
    }
  } finally {
    clearInterval(sampling)
  }
  for (const [{ name }, all] of samples) {
    const found = growth(all)
    report.say(growthLine(name, found))
    if (found.grown) report.found(`memory has grown: ${growthLine(name, found)}`)
  }
}

const held = newHeld()
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => void held.endAll().then(() => process.exit(130)))
report.say(`soak for ${duration / 1000} s, ${lanes} sessions at once, SEED=${seed}`)
let directory: string | null = null
try {
  const site = await held.open(openSite)
  directory = site.cluster.place.directory
  await soak(site)
} catch (error) {
  if (held.over) await new Promise(() => {}) // ended by hand
  report.found(error instanceof Error ? (error.stack ?? error.message) : String(error))
}
report.say(countsLine(sum))
const { findings } = report
report.say(findings === 0 ? "passed" : `FAILED: ${findings} findings, SEED=${seed}`)
if (findings > 0) console.log(`see ${report.keep(directory)}`)
await held.endAll()
process.exit(findings === 0 ? 0 : 1)
