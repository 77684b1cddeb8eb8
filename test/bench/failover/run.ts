/**
 * One fault on one system, as the client sees it. The same for every system: the cluster is whole,
 * the client writes steadily, the fault strikes at a random moment of the system's own beat, the
 * client goes on until writes have resumed and a while longer, the cluster becomes whole again by
 * itself, and every acknowledged row is looked for.
 */
import { until } from "#test/conformance/wait.ts"
import { ask } from "#test/e2e/writer.ts"
import { type Client, type Counts, database, role, startClient, table } from "./client.ts"
import type { Fault, FaultId, Lane, System } from "./faults.ts"
import { type Timeline, timelineOf } from "./timeline.ts"
import { sleep } from "./tools.ts"

export interface Run extends Counts {
  readonly lane: string
  readonly fault: FaultId
  readonly run: number
  readonly gapMs: number
  /** Acknowledged rows that are missing once the cluster is whole again. */
  readonly lost: number
  readonly acknowledged: number
  readonly troubles: Readonly<Record<string, number>>
  /** From the end of the measurement until the cluster was whole. */
  readonly wholeAgainMs: number
  /** The machine's load when the fault struck. */
  readonly load: number
  readonly timeline?: Timeline
}

const steadyMs = 1_000
const resumeMs = 180_000

/** Makes the client's role and table; done once per cluster. */
export async function furnish(system: System): Promise<void> {
  const statements = [
    `create role ${role} login`,
    `create table ${table} (id bigint primary key)`,
    `alter table ${table} owner to ${role}`,
    `grant connect on database ${database} to ${role}`,
  ]
  const port = await system.primaryPort()
  for (const statement of statements) await ask(port, statement)
}

export async function strike(
  lane: Lane,
  system: System,
  fault: Fault,
  run: number,
  chance: () => number,
): Promise<Run> {
  await system.settled()
  const stage = await system.prepare(fault.id)
  const client = startClient(stage.port, (await highest(system)) + 1)
  try {
    await until("the client to write", () => wrote(client), 30_000)
    await sleep(steadyMs + chance() * lane.beatMs)
    const load = await loadNow()
    const before = client.counts()
    if (before.failed + before.told + before.refused > 0)
      throw new Error(`errors before the fault: ${JSON.stringify(client.troubles())}`)
    const struck = performance.now()
    const wall = Date.now()
    await stage.strike()
    const done = performance.now()
    await until("writes to resume", () => client.firstAfter(done), resumeMs)
    await sleep(fault.tailMs)
    const from = struck - 500
    const gapMs = client.longestGapMs(from)
    const ended = wall + (client.gapEnd(from) ?? performance.now()) - struck
    await client.stop()
    const resumed = performance.now()
    await stage.repair()
    await system.settled()
    const wholeAgainMs = performance.now() - resumed
    const there = await rows(system)
    const lost = [...client.acknowledged].filter((id) => !there.has(id)).length
    const timeline = lane.family === "ours" ? timelineOf(system.logs, wall, ended) : null
    return {
      ...{ lane: lane.id, fault: fault.id, run, gapMs, lost, wholeAgainMs, load },
      acknowledged: client.acknowledged.size,
      ...client.counts(),
      troubles: client.troubles(),
      ...(timeline === null ? {} : { timeline }),
    }
  } finally {
    await client.stop()
  }
}

const loadNow = async (): Promise<number> =>
  Number((await Bun.file("/proc/loadavg").text()).split(" ")[0])

/** Throws what it was told instead. */
function wrote(client: Client): true {
  if (client.acknowledged.size === 0) throw new Error(JSON.stringify(client.troubles()))
  return true
}

/** Asks the primary itself: what a proxy leads to for a moment is another matter. */
const asked = async (system: System, query: string): ReturnType<typeof ask> =>
  ask(await system.primaryPort(), query)

async function highest(system: System): Promise<number> {
  const [row] = await asked(system, `select coalesce(max(id), 0)::int as id from ${table}`)
  return Number(row?.["id"] ?? 0)
}

const rows = async (system: System): Promise<ReadonlySet<number>> =>
  new Set((await asked(system, `select id::int as id from ${table}`)).map(({ id }) => Number(id)))
