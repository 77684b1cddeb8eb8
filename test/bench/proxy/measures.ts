/**
 * How each row is measured, at the door of one lane. A measure gives the numbers that `table.ts`
 * names for its row, or throws; the processor's are left out where there is no proxy.
 */
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { postgresPrograms } from "#cmd/dev-place.ts"
import { until } from "#test/conformance/wait.ts"
import { ownedDirectory } from "#test/e2e/place.ts"
import { sleep } from "../failover/tools.ts"
import type { Login } from "../failover/wire.ts"
import type { Children } from "./children.ts"
import { comeAndGo, openCrowd } from "./crowd.ts"
import { memory, used } from "./family.ts"
import type { Door } from "./lanes.ts"
import { type Load, pgbench, reconnecting, warmUp } from "./pgbench.ts"
import { startReaders } from "./readers.ts"
import type { Sizes } from "./settings.ts"
import type { Site } from "./site.ts"
import type { RowId } from "./table.ts"

export interface Scene {
  readonly site: Site
  readonly door: Door
  readonly sizes: Sizes
  readonly children: Children
}
export type Numbers = Readonly<Record<string, number>>
type Measure = (scene: Scene) => Promise<Numbers>

const select = (clients: number): Measure =>
  load({ clients, words: ["-S", "-M", "prepared"], sampled: 0.1 })

export const measures: Readonly<Record<RowId, Measure>> = {
  "select-1": select(1),
  "select-8": select(8),
  "select-64": select(64),
  "select-256": select(256),
  tpcb: load({ clients: 8, words: ["-M", "prepared"], sampled: 1 }),
  connect: load({ clients: 8, words: ["-S", reconnecting], sampled: 1 }),
  "copy-out": copyOut,
  "copy-in": copyIn,
  idle: (scene) => idle(scene, scene.sizes.idle),
  "idle-postgres": (scene) => idle(scene, scene.sizes.idlePostgres),
  "slow-reader": slowReader,
  connections,
}

/** Processor seconds of the proxy while `work` lasts; null where there is none. */
async function charged<T>(
  { pid }: Door,
  work: () => Promise<T>,
): Promise<{ readonly value: T; readonly cpu: number | null; readonly seconds: number }> {
  const before = pid === null ? null : used(pid).cpuSeconds
  const started = performance.now()
  const value = await work()
  const seconds = (performance.now() - started) / 1000
  return {
    value,
    seconds,
    cpu: pid === null || before === null ? null : used(pid).cpuSeconds - before,
  }
}

const perUnit = (cpu: number | null, units: number): Numbers =>
  cpu === null ? {} : { cpu: cpu / units }

function load(what: Load): Measure {
  return async ({ site, door, sizes, children }) => {
    const logs = join(site.place.directory, "pgbench")
    await ownedDirectory(logs)
    try {
      await warmUp(children, door.port, what, sizes.warmUpSeconds)
      const { value, cpu } = await charged(door, () =>
        pgbench(children, door.port, what, sizes.seconds, logs),
      )
      const { tps, p50, p99, transactions } = value
      return { tps, p50, p99, ...perUnit(cpu, transactions / 1e6) }
    } finally {
      await rm(logs, { recursive: true })
    }
  }
}

const psql = ({ site, door }: Scene, statement: string): readonly string[] => [
  join(postgresPrograms(""), "psql"),
  ...["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", `${door.port}`],
  ...["-U", site.login.user, "-d", site.login.database, "-c", statement],
]

async function copied(scene: Scene, words: readonly string[]): Promise<Numbers> {
  const { door, sizes, children } = scene
  const { cpu, seconds } = await charged(door, () => children.run(words, "ignore"))
  const lines = linesOf(sizes)
  const megabytes = (lines * sizes.copyRow) / 1e6
  return { rate: megabytes / seconds, ...perUnit(cpu, megabytes / 1000) }
}

const linesOf = ({ copyMegabytes, copyRow }: Sizes): number =>
  Math.floor((copyMegabytes * 1e6) / copyRow)
const lineOf = ({ copyRow }: Sizes): string => "x".repeat(copyRow - 1)

/** The server makes the lines as it sends them, the client throws them away. */
function copyOut(scene: Scene): Promise<Numbers> {
  const { sizes } = scene
  const series = `(select generate_series(1, ${linesOf(sizes)})) as series`
  return copied(scene, psql(scene, `copy (select '${lineOf(sizes)}' from ${series}) to stdout`))
}

/**
 * `yes` makes the lines, and the server reads them, parses them and keeps none: the table's file
 * would be what is measured.
 */
async function copyIn(scene: Scene): Promise<Numbers> {
  const { sizes, children } = scene
  const ask = (statement: string): Promise<string> => children.run(psql(scene, statement))
  await ask("create unlogged table if not exists sink (line text)")
  const script = `yes "$1" | head -c "$2" | { shift 2; exec "$@"; }`
  const bytes = `${linesOf(sizes) * sizes.copyRow}`
  const words = psql(scene, "copy sink from stdin where false")
  return copied(scene, ["sh", "-c", script, "sh", lineOf(sizes), bytes, ...words])
}

const pidOf = ({ pid }: Door): number => {
  if (pid === null) throw new Error("this row is about a proxy")
  return pid
}
const loginOf = ({ site, door }: Scene): Login => ({ ...site.login, port: door.port })

/** The garbage of the beginning is gone by then, and the session that found the door open. */
const settleMs = 3_000

async function idle(scene: Scene, count: number): Promise<Numbers> {
  const { door, sizes } = scene
  const pid = pidOf(door)
  await sleep(settleMs)
  const before = memory(pid)
  await using _ = await openCrowd(loginOf(scene), count)
  await sleep(settleMs)
  const { cpu, seconds } = await charged(door, () => sleep(sizes.seconds * 1000))
  const { alone, pss } = memory(pid)
  return {
    ...{ memory: alone, pss },
    each: ((alone - before.alone) * 1024) / count,
    ...perUnit(cpu, seconds / 100),
  }
}

const lookMs = 200

async function slowReader(scene: Scene): Promise<Numbers> {
  const { door, sizes } = scene
  const pid = pidOf(door)
  await sleep(settleMs)
  const before = memory(pid).alone
  using readers = await startReaders(loginOf(scene), sizes.readers)
  const half = (sizes.seconds * 1000) / 2
  const early = Math.max(before, await peakFor(pid, half))
  const peak = Math.max(early, await peakFor(pid, half))
  if (readers.lost() > 0) throw new Error(`${readers.lost()} slow readers lost their connection`)
  if (readers.taken() < sizes.readers * 100_000)
    throw new Error(`the slow readers were sent next to nothing: ${readers.taken()} bytes`)
  return { peak, grown: peak - before, late: peak - early }
}

async function peakFor(pid: number, ms: number): Promise<number> {
  const end = performance.now() + ms
  let peak = 0
  while (performance.now() < end) {
    await sleep(lookMs)
    peak = Math.max(peak, memory(pid).alone)
  }
  return peak
}

async function connections(scene: Scene): Promise<Numbers> {
  const { door, sizes } = scene
  const pid = pidOf(door)
  const login = loginOf(scene)
  await sleep(settleMs)
  const { descriptors } = used(pid)
  const first = Math.max(1, Math.floor(sizes.connections / 100))
  await comeAndGo(login, first)
  await sleep(settleMs)
  const early = memory(pid).alone
  const { seconds } = await charged(door, () => comeAndGo(login, sizes.connections - first))
  // PgBouncer keeps as many server connections as it needed at once, and may: then this is in vain
  const closed = (): boolean => used(pid).descriptors <= descriptors
  await until("the proxy to close its descriptors", closed, 10_000).catch(() => {})
  await sleep(settleMs)
  const after = used(pid)
  return {
    rate: (sizes.connections - first) / seconds,
    descriptors: after.descriptors - descriptors,
    first: early,
    last: memory(pid).alone,
  }
}
