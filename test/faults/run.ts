/**
 * One row of the matrix from beginning to end, inside a sandbox: a new cluster, clients, fault
 * after fault with the cluster whole in between, then the verdict. What it saw goes into the row's
 * directory, so that a failure can be read, and judged again, without being repeated.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as v from "valibot"
import { generator, type Random } from "#base/random.ts"
import { bootMillis } from "#system/libc.ts"
import { watchStandstill } from "#test/bench/failover/tools.ts"
import { until } from "#test/conformance/wait.ts"
import { autopsyOf } from "./autopsy.ts"
import { type Verdict, check } from "./checker.ts"
import { appPassword, startClients } from "./clients.ts"
import type { Fault, Lists } from "./history.ts"
import type { Finding } from "./judge.ts"
import { type Lab, startLab, streamsOf } from "./lab.ts"
import type { Machine } from "./machine.ts"
import { type Row, rows } from "./matrix.ts"
import { type Nemesis, type Scene, boundOf } from "./nemesis.ts"
import { nemeses } from "./nemeses.ts"
import { setup } from "./transaction.ts"

export const runOrders = v.object({
  row: v.string(),
  directory: v.string(),
  binary: v.string(),
  seed: v.number(),
  /** Names. */
  nemeses: v.array(v.string()),
  durationMs: v.nullable(v.number()),
  /** How often, without a duration. */
  times: v.number(),
  paceMs: v.number(),
})
export type RunOrders = v.InferOutput<typeof runOrders>

export interface Outcome {
  readonly row: string
  readonly seed: number
  readonly operations: number
  /** From the first fault to the verdict. */
  readonly seconds: number
  readonly verdict: Verdict | null
  /** The run itself broke off. */
  readonly error: string | null
}

export const resultFile = "result.json"

const wholeMs = 90_000
const calmMs = 1_500

export async function run(orders: RunOrders): Promise<void> {
  const write = (name: string, value: unknown): void =>
    writeFileSync(join(orders.directory, name), `${JSON.stringify(value, null, 1)}\n`)
  const { row: name, seed } = orders
  try {
    write(resultFile, await outcome(orders, write))
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    const nothing = { operations: 0, seconds: 0, verdict: null }
    const broken: Outcome = { row: name, seed, ...nothing, error: text }
    write(resultFile, broken)
  }
}

async function outcome(
  orders: RunOrders,
  write: (name: string, value: unknown) => void,
): Promise<Outcome> {
  const { directory, binary, seed } = orders
  const row = rowNamed(orders.row)
  await using lab = await startLab({
    directory,
    logs: join(directory, "logs"),
    binary,
    spec: row.spec,
    synchronousStandbys: row.synchronousStandbys,
    disk: diskFor(orders),
  })
  await lab.whole(wholeMs)
  const primary = await primaryOf(lab)
  await lab.asSuperuser(primary, async (sql) => {
    for (const each of [...setup(appPassword), ...row.statements]) await sql.unsafe(each)
  })
  const clients = startClients(lab, directory, seed, orders.paceMs)
  await Bun.sleep(calmMs)
  const faults: Fault[] = []
  const began = bootMillis()
  let error: string | null = null
  try {
    await rage(lab, row, orders, (fault) => {
      faults.push(fault)
      write("faults.json", faults)
    })
  } catch (broken) {
    error = broken instanceof Error ? (broken.stack ?? broken.message) : String(broken)
    await lab.pardon()
  }
  if (error !== null || faults.at(-1)?.whole === null) {
    const autopsy = await autopsyOf(lab.machines) // first: what hangs may go on any moment
    writeFileSync(join(directory, "processes.txt"), autopsy)
    writeFileSync(join(directory, "status.txt"), await statusOf(lab))
  }
  const lasted = Math.round((bootMillis() - began) / 1000)
  const history = await clients.finish()
  const { final, findings } = await readFinal(lab).catch((broken: unknown) => unreadable(broken))
  write("final.json", final === null ? null : [...final])
  const verdict = check({ promises: row.promises, history, final, faults })
  const all = { ...verdict, findings: [...findings, ...verdict.findings] }
  return {
    ...{ row: row.name, seed, operations: history.length },
    ...{ seconds: lasted, verdict: all, error },
  }
}

/** What an operator would look at first. */
async function statusOf(lab: Lab): Promise<string> {
  const texts = ["status", "explain", "clusterdata read"].map(async (words) => {
    const { text } = await lab.ctl(...words.split(" "))
    return `--- stolon ctl ${words}\n${text}\n`
  })
  return (await Promise.all(texts)).join("")
}

/** Fault after fault, until they are through or time is up, or the cluster stays broken. */
async function rage(
  lab: Lab,
  row: Row,
  orders: RunOrders,
  record: (fault: Fault) => void,
): Promise<void> {
  const random = generator(orders.seed)
  const chosen = nemeses.filter(({ name }) => orders.nemeses.includes(name))
  const { durationMs, times } = orders
  const end = durationMs === null ? Infinity : bootMillis() + durationMs
  const rounds = durationMs === null ? times : Infinity
  for (let round = 0; round < rounds && bootMillis() < end; round++)
    for (const next of shuffle(chosen, random)) {
      const fault = await inflict(lab, row, next, random)
      record(fault)
      say(`${row.name}: ${fault.name} (${fault.note})`)
      if (fault.whole === null || bootMillis() >= end) return
      await endSegment(lab)
      await Bun.sleep(calmMs)
    }
}

/**
 * What is left of a segment counts as lag until standbys have passed it and said so, which is
 * waited for, and so it is not left to `archive_timeout`. Where it fails the next one does it.
 */
async function endSegment(lab: Lab): Promise<void> {
  const end = async (): Promise<void> => {
    const primary = await primaryOf(lab)
    await lab.asSuperuser(primary, (sql) => sql.unsafe("select pg_switch_wal()").execute())
    await until("the standbys to pass the end of the segment", async () => {
      const { members } = await lab.facts()
      return members.every(({ lagBytes }) => lagBytes !== null && lagBytes < lagMost)
    })
  }
  await end().catch(() => {})
}

/** Below any maxStandbyLag; more than clients write between two words of a keeper. */
const lagMost = 500_000

async function inflict(lab: Lab, row: Row, nemesis: Nemesis, random: Random): Promise<Fault> {
  const { primary, standbys } = await until("a primary that says who streams", async () => {
    const leading = await primaryOf(lab)
    return { primary: leading, standbys: await standbysOf(lab, leading, random) }
  })
  const scene: Scene = { lab, random, row, primary, standbys }
  const storeLeader = await lab.storeLeader()
  using standstill = watchStandstill()
  const struck = bootMillis()
  const strike = await nemesis.strike(scene)
  await Bun.sleep(strike.holdMs)
  await strike.heal()
  const healed = bootMillis()
  const ledStore = storeLeader !== null && strike.nodes.includes(storeLeader)
  const bound = boundOf(nemesis, row, ledStore)
  const waited = await lab.whole(wholeMs).then(
    () => null,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  )
  // of the whole machine: a virtual one that is moved, a laptop that is closed
  const still = standstill.longest < standstillLeast ? 0 : standstill.longest
  const stood = still === 0 ? "" : `the machine stood still for ${Math.round(still)} ms`
  return {
    name: nemesis.name,
    primary: primary.address,
    nodes: strike.nodes.map(({ node }) => node),
    ledStore: nemesis.store === true && ledStore,
    proxiesOut: strike.proxiesOut.map(({ node }) => node),
    mayLose: losersOf(nemesis, scene),
    smooth: strike.smooth === true,
    thaws: nemesis.thaws,
    struck,
    healed,
    whole: waited === null ? bootMillis() : null,
    bound: bound === null ? null : bound * 1000 + still,
    note: [`primary node ${primary.node}`, strike.note, waited, stood].filter(Boolean).join("; "),
  }
}

/**
 * PostgreSQL keeps the last segments once for each timeline: every change of the primary takes
 * 16 MB that only new segments give back. A full disk takes its size of the machine's memory.
 */
const diskFor = ({ durationMs, times }: RunOrders): string =>
  durationMs === null && times <= 20 ? "1500m" : "5g"

/** A busy machine keeps this process waiting for less. */
const standstillLeast = 3_000

function losersOf({ loses }: Nemesis, { primary, standbys }: Scene): readonly string[] {
  switch (loses) {
    case "nothing":
      return []
    case "unsent":
      return [primary.address]
    case "unsent anywhere":
      return [primary, ...standbys].map(({ address }) => address)
    default:
      return loses satisfies never
  }
}

async function standbysOf(lab: Lab, primary: Machine, random: Random): Promise<readonly Machine[]> {
  const streams = await streamsOf(primary)
  const isSynchronous = (machine: Machine): boolean =>
    streams.some(({ address, synchronous }) => synchronous && address === machine.address)
  const others = lab.machines.filter((each) => each !== primary)
  return shuffle(others, random).toSorted(
    (a, b) => Number(isSynchronous(b)) - Number(isSynchronous(a)),
  )
}

async function primaryOf(lab: Lab): Promise<Machine> {
  return await until("a primary", () => lab.primary(), wholeMs)
}

const linesOf = (machine: Machine, lab: Lab): Promise<readonly (readonly [number, string])[]> =>
  lab.asSuperuser(machine, async (sql) => {
    const rowsThere = await sql.unsafe(
      "select k, array_to_json(items)::text as items from lists where items <> '{}' order by k",
    )
    return rowsThere.map((each) => [Number(each["k"]), String(each["items"])] as const)
  })

interface Final {
  readonly final: Lists | null
  readonly findings: readonly Finding[]
}

const unreadable = (error: unknown): Final => ({
  final: null,
  findings: [{ rule: "not whole", text: String(error) }],
})

/** The primary's lists; a standby that does not come to hold the same is a finding. */
async function readFinal(lab: Lab): Promise<Final> {
  const primary = await primaryOf(lab)
  const text = await linesOf(primary, lab)
  const final = new Map(text.map(([key, items]) => [key, numbersIn(items)] as const))
  const findings: Finding[] = []
  const wanted = JSON.stringify(text)
  for (const standby of lab.machines) {
    if (standby === primary) continue
    const same = async (): Promise<boolean> =>
      JSON.stringify(await linesOf(standby, lab)) === wanted
    await until(`node ${standby.node} to hold the same`, same, 20_000).catch((error: unknown) => {
      findings.push({ rule: "not whole", text: String(error) })
    })
  }
  return { final, findings }
}

const numbersIn = (json: string): readonly number[] =>
  v.parse(v.array(v.number()), JSON.parse(json))

function rowNamed(name: string): Row {
  const found = rows.find((row) => row.name === name)
  if (found === undefined) throw new Error(`there is no row ${name}`)
  return found
}

function shuffle<T>(items: readonly T[], random: Random): readonly T[] {
  return items
    .map((item) => ({ item, at: random.next() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ item }) => item)
}

const say = (text: string): void =>
  console.log(`  ${new Date().toISOString().slice(11, 19)} ${text}`)
