/**
 * How long writes stop when the primary dies, as a client sees it: one row every 10 ms through the
 * proxy, the longest time between two acknowledged rows. Prints a table; asserts only that no
 * acknowledged row is lost where that is promised (synchronous).
 *
 *   make bench-failover [RUNS=5] [ONLY=sqlite|etcdv3]
 */
import { byNumber } from "#base/order.ts"
import { isAlive } from "#system/process.ts"
import { type Cluster, type Node, startCluster } from "#test/e2e/cluster.ts"
import { rowsAt, startWriter } from "#test/e2e/writer.ts"

const runs = Number(process.env["RUNS"] ?? 5)
const only = process.env["ONLY"] ?? ""

interface Fault {
  readonly name: string
  readonly strike: (primary: Node) => void | Promise<void>
  /** Brings back what the fault took, once writes go on. */
  readonly repair: (primary: Node) => void
}
const faults: readonly Fault[] = [
  {
    name: "kill -9 of the primary's PostgreSQL",
    strike: (primary) => primary.killPostgres(),
    repair: () => {},
  },
  {
    name: "kill -9 of keeper, guardian and PostgreSQL",
    strike: (primary) => primary.killAll(),
    repair: (primary) => primary.start(),
  },
]

interface Row {
  readonly name: string
  readonly gaps: readonly number[]
  readonly lost: number
}

/** One fault; the gap in seconds and how many acknowledged rows are missing afterwards. */
async function once(cluster: Cluster, fault: Fault): Promise<readonly [number, number]> {
  await cluster.settled(90_000)
  const primary = await cluster.primary()
  await using writer = await startWriter(cluster.proxyPort)
  await writer.resumes()
  await Bun.sleep(1_000) // a steady client before the fault
  const from = performance.now() - 500
  const victim = primary.postmaster()
  if (victim === null) throw new Error(`${primary.uid} runs no PostgreSQL`)
  await fault.strike(primary)
  await writer.resumes()
  if (isAlive(victim)) throw new Error("the fault did not strike")
  await Bun.sleep(1_000) // a second gap, if there is one
  const gap = writer.longestGap(from) / 1000
  await writer.stop()
  fault.repair(primary)
  await cluster.settled(90_000)
  const there = await rowsAt(cluster.proxyPort)
  return [gap, [...writer.acknowledged].filter((id) => !there.has(id)).length]
}

async function measure(
  backend: "sqlite" | "etcdv3",
  synchronous: boolean,
): Promise<readonly Row[]> {
  await using cluster = await startCluster({
    backend,
    spec: { synchronousReplication: synchronous },
  })
  const rows: Row[] = []
  for (const fault of faults) {
    const gaps: number[] = []
    let lost = 0
    for (let run = 1; run <= runs; run++) {
      const [gap, missing] = await once(cluster, fault)
      gaps.push(gap)
      lost += missing
      const mode = synchronous ? "sync" : "async"
      console.error(
        `${backend} ${mode}, ${fault.name}, run ${run}: ${gap.toFixed(2)} s, ${missing} lost`,
      )
    }
    rows.push({ name: fault.name, gaps, lost })
  }
  if (synchronous && rows.some(({ lost }) => lost > 0)) process.exitCode = 1
  return rows
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted(byNumber)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? 0
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2
}

console.log(`| store | replication | fault | median | worst | runs | acknowledged rows lost |`)
console.log(`|---|---|---|---|---|---|---|`)
for (const backend of ["sqlite", "etcdv3"] as const) {
  if (only !== "" && only !== backend) continue
  for (const synchronous of [false, true])
    for (const { name, gaps, lost } of await measure(backend, synchronous)) {
      const cells = [
        `${median(gaps).toFixed(2)} s`,
        `${Math.max(...gaps).toFixed(2)} s`,
        gaps.length,
        lost,
      ]
      console.log(
        `| ${backend} | ${synchronous ? "synchronous" : "asynchronous"} | ${name} | ${cells.join(" | ")} |`,
      )
    }
}
process.exit()
