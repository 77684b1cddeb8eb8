/**
 * Whether a proxy keeps anything of clients that have gone: a million of them, one after the other,
 * to a stand-in server that answers how a session begins, through one process and through two
 * workers.
 *
 *   make soak-connections [COUNT=1000000] [LANES=ours-1,ours-2]
 *
 * Prints descriptors and memory before and after; exit code 1 when descriptors are left, or when
 * the memory at the end is more than after the first hundredth and its slack.
 */
import { until } from "#test/conformance/wait.ts"
import { chosen, setting, sleep } from "#test/bench/failover/tools.ts"
import { comeAndGo } from "#test/bench/proxy/crowd.ts"
import { newHeld } from "#test/bench/proxy/held.ts"
import { type Lane, newLanes } from "#test/bench/proxy/lanes.ts"
import { type Site, openSite } from "#test/bench/proxy/site.ts"
import { heldBy } from "./gauge.ts"
import { growth, leftBehind } from "./leaks.ts"
import { heldLine, newReport } from "./report.ts"

const count = Number(setting("COUNT", "1000000"))
const report = newReport("connections")
/** What a beginning leaves to the garbage collector is gone by then. */
const settleMs = 3_000

async function through(site: Site, lane: Lane): Promise<void> {
  await using door = await lane.open(site)
  const { pid, port } = door
  if (pid === null) throw new Error("this is about a proxy")
  const login = { ...site.login, port }
  await sleep(settleMs)
  const before = heldBy(pid)
  report.say(`${lane.title}, before: ${heldLine("proxy", before)}`)
  const first = Math.max(1, Math.floor(count / 100))
  await comeAndGo(login, first)
  await sleep(settleMs)
  const early = heldBy(pid)
  report.say(`${lane.title}, after ${first}: ${heldLine("proxy", early)}`)
  const began = performance.now()
  await comeAndGo(login, count - first)
  const rate = (count - first) / ((performance.now() - began) / 1000)
  await until("descriptors to be closed", () => leftBehind(before, heldBy(pid)) === null).catch(
    () => {},
  )
  await sleep(settleMs)
  const after = heldBy(pid)
  report.say(
    `${lane.title}, after ${count}: ${heldLine("proxy", after)}; ${rate.toFixed(0)} a second`,
  )
  const left = leftBehind(before, after)
  if (left !== null) report.found(`${lane.title}: ${left}`)
  if (growth([early.resident, after.resident]).grown)
    report.found(`${lane.title}: ${after.resident} MB, after the first hundredth ${early.resident}`)
}

const held = newHeld()
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => void held.endAll().then(() => process.exit(130)))
let directory: string | null = null
try {
  const ours = (await newLanes()).filter(({ id }) => id.startsWith("ours-"))
  const site = await held.open(() => openSite("stand-in"))
  directory = site.place.directory
  for (const lane of chosen("LANES", ours)) await through(site, lane)
} catch (error) {
  if (held.over) await new Promise(() => {}) // ended by hand
  report.found(error instanceof Error ? (error.stack ?? error.message) : String(error))
}
const { findings } = report
report.say(findings === 0 ? "passed" : `FAILED: ${findings} findings`)
if (findings > 0) console.log(`see ${report.keep(directory)}`)
await held.endAll()
process.exit(findings === 0 ? 0 : 1)
