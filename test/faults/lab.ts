/**
 * The cluster under test: three nodes on a switch, initialised by `stolon ctl init`, supervised,
 * looked at from the operator's network, which no fault touches. The harness never repairs it.
 */
import { mkdirSync, readFileSync } from "node:fs"
import { chmod, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { millis } from "#base/brand.ts"
import { postgresPrograms } from "#cmd/dev-place.ts"
import { type Facts, facts } from "#ctl/status.ts"
import type { Store } from "#port/store.ts"
import { openStore } from "#store/open.ts"
import { settingsOf } from "#test/conformance/scene.ts"
import { until } from "#test/conformance/wait.ts"
import { environment, own, ownedDirectory, superuser, superuserPassword } from "#test/e2e/place.ts"
import { type Connected, connectTo } from "#test/e2e/writer.ts"
import {
  type Machine,
  clusterName,
  endpoints,
  newMachine,
  proxyPort,
  roles,
  storeFlags,
} from "./machine.ts"
import { compileNative } from "./native.ts"
import { type Network, nodeCount, startNetwork } from "./network.ts"

export interface LabOptions {
  /** Empty and open to everybody; everything is below it. */
  readonly directory: string
  readonly logs: string
  readonly binary: string
  readonly spec: Readonly<Record<string, unknown>>
  /** How many standbys have to be synchronous before it is whole. */
  readonly synchronousStandbys: number
  /** Size of each node's data disk, as mount(8) takes it. */
  readonly disk: string
}

export interface Lab extends AsyncDisposable {
  readonly network: Network
  readonly machines: readonly Machine[]
  machine(node: number): Machine
  /** `stolon ctl …`: its exit code and output. */
  ctl(...argv: readonly string[]): Promise<Answer>
  facts(): Promise<Facts>
  /** The node that the view names, null while it names none. */
  primary(): Promise<Machine | null>
  /** The node whose sentinel leads, null while none does. */
  leader(): Promise<Machine | null>
  /** The node whose etcd member leads, null while none does. */
  storeLeader(): Promise<Machine | null>
  /** Runs statements as the superuser on one node. */
  asSuperuser<T>(machine: Machine, work: (sql: Connected) => Promise<T>): Promise<T>
  /** Undoes every fault that can be undone, for a run that broke off in the middle of one. */
  pardon(): Promise<void>
  /** Waits until it is whole: see `missing`. Throws with what is missing. */
  whole(ms: number): Promise<void>
}

export interface Answer {
  readonly code: number
  readonly text: string
}

const never = new AbortController().signal

export async function startLab(options: LabOptions): Promise<Lab> {
  await using building = new AsyncDisposableStack()
  const { directory, logs, binary } = options
  mkdirSync(logs, { recursive: true })
  await chmod(directory, 0o755)
  const native = compileNative(directory)
  const network = building.use(await startNetwork(native.switch))
  await ownedDirectory(join(directory, "secrets"))
  const secret = async (name: string, content: string): Promise<string> => {
    const path = join(directory, "secrets", name)
    await writeFile(path, content, { mode: 0o600 })
    await own(path)
    return path
  }
  const common = {
    directory,
    logs,
    network,
    binary,
    preload: native.preload,
    programs: postgresPrograms(""),
    disk: options.disk,
    superuser,
    superuserFile: await secret("su", superuserPassword),
    replicationFile: await secret("repl", "repl-password"),
    environment: environment(),
  }
  const machines: Machine[] = []
  for (let node = 1; node <= nodeCount; node++) machines.push(await newMachine({ ...common, node }))
  const ctl = (...argv: readonly string[]): Promise<Answer> => runCtl(binary, argv)
  for (const { parts } of machines) parts.etcd.release()
  const init = async (): Promise<boolean> => {
    const spec = JSON.stringify({ initMode: "new", ...options.spec })
    const { code, text } = await ctl("init", "--yes", spec)
    if (code !== 0) throw new Error(text)
    return true
  }
  await until("ctl init", init, 30_000)
  const store = building.use(await openLabStore())
  for (const { parts } of machines) for (const role of roles) parts[role].release()
  building.defer(async () => {
    for (const each of machines) await each.powerOff()
  })
  const look = (): Promise<Facts> => readFacts(store)
  const owned = building.move()
  return {
    network,
    machines,
    machine: (node) => machineOf(machines, ({ node: each }) => each === node),
    ctl,
    facts: look,
    primary: async () => {
      const { primary } = await look()
      return machines.find(({ uid }) => uid === primary?.keeper) ?? null
    },
    leader: async () => {
      const { leader } = await look()
      return (
        machines.find(({ parts }) => leader !== null && uidIn(parts.sentinel.log) === leader) ??
        null
      )
    },
    storeLeader: async () => {
      const leads = await Promise.all(machines.map((each) => each.leadsStore()))
      return machines[leads.indexOf(true)] ?? null
    },
    asSuperuser,
    pardon: async () => {
      await network.heal()
      for (const each of machines) {
        each.signal("all", "SIGCONT")
        each.powerOn()
        for (const trouble of Object.values(each.trouble)) {
          trouble.disk({ kind: "well" })
          trouble.rate(1)
        }
      }
    },
    whole: async (ms) => {
      const probe = async (): Promise<boolean> => {
        const lacking = await missing(await look(), machines, options.synchronousStandbys)
        if (lacking.length > 0) throw new Error(lacking.join("; "))
        return true
      }
      await until("the cluster to be whole", probe, ms)
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** The name under which a sentinel last started, from its log. */
const uidIn = (log: string): string =>
  [...readFileSync(log, "utf8").matchAll(/sentinel uid.*?"uid": "(\w+)"/g)].at(-1)?.[1] ?? ""

const machineOf = (all: readonly Machine[], is: (each: Machine) => boolean): Machine => {
  const found = all.find(is)
  if (found === undefined) throw new Error("there is no such node")
  return found
}

const openLabStore = (): Promise<Store> =>
  openStore(settingsOf("etcdv3", endpoints(1), clusterName, millis(3_000)))

async function readFacts(store: Store): Promise<Facts> {
  const [reading, infos, leader] = await Promise.all([
    store.read(never),
    store.infos(never),
    store.leader(never),
  ])
  const data = reading.kind === "found" ? reading.data : null
  return facts(clusterName, { data, infos, leader })
}

async function runCtl(binary: string, argv: readonly string[]): Promise<Answer> {
  const child = Bun.spawn([binary, "ctl", ...storeFlags(1), ...argv], {
    stdio: ["ignore", "pipe", "pipe"],
    env: environment(),
    cwd: "/tmp",
  })
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { code, text: `${out}${err}` }
}

async function asSuperuser<T>(
  { address, postgresPort }: Machine,
  work: (sql: Connected) => Promise<T>,
): Promise<T> {
  const door = { host: address, port: postgresPort, user: superuser, password: superuserPassword }
  const sql = connectTo(door)
  const late = setTimeout(() => void sql.end({ timeout: 0 }), 20_000)
  try {
    return await work(sql)
  } finally {
    clearTimeout(late)
    await sql.end({ timeout: 0 })
  }
}

/**
 * What keeps the cluster from being whole: every process there, an open gate to a primary that
 * takes writes, every other node streaming from it (synchronously, as the row wants), everybody
 * reporting, every proxy letting writes through.
 */
async function missing(
  now: Facts,
  machines: readonly Machine[],
  synchronousStandbys: number,
): Promise<readonly string[]> {
  const { primary, members, proxies, sentinels, leader } = now
  const lacking: string[] = []
  for (const { parts } of machines)
    for (const role of roles)
      if (parts[role].pid === null) lacking.push(`${parts[role].name} to be started again`)
  if (primary === null || primary.revoked || !primary.gateOpen) lacking.push("an open gate")
  for (const { uid } of machines) {
    const member = members.find(({ keeper }) => keeper === uid)
    if (member?.reporting !== true) lacking.push(`${uid} to report`)
    else if (!member.postgresHealthy) lacking.push(`${uid}'s PostgreSQL to be healthy`)
  }
  if (leader === null) lacking.push("a leading sentinel")
  if (sentinels.length < machines.length) lacking.push("every sentinel to report")
  if (proxies.length < machines.length) lacking.push("every proxy to report")
  if (primary === null || lacking.length > 0) return lacking
  const top = machineOf(machines, ({ uid }) => uid === primary.keeper)
  const streams = await streamsOf(top)
  for (const { uid, address } of machines)
    if (uid !== top.uid && !streams.some((each) => each.address === address))
      lacking.push(`${uid} to stream`)
  if (streams.filter(({ synchronous }) => synchronous).length < synchronousStandbys)
    lacking.push(`${synchronousStandbys} synchronous standbys`)
  if (lacking.length > 0) return lacking
  for (const each of machines) await writesThrough(each)
  return []
}

interface Stream {
  readonly address: string
  readonly synchronous: boolean
}

/** Who streams from a primary. */
export const streamsOf = (machine: Machine): Promise<readonly Stream[]> =>
  asSuperuser(machine, async (sql) => {
    const rows = await sql.unsafe(
      "select host(client_addr) as address, sync_state from pg_stat_replication where state = 'streaming'",
    )
    return rows.map((row) => ({
      address: String(row["address"]),
      synchronous: ["sync", "quorum"].includes(String(row["sync_state"])),
    }))
  })

/** A write of the superuser through a node's proxy. */
async function writesThrough({ address, node }: Machine): Promise<void> {
  const door = { host: address, port: proxyPort, user: superuser, password: superuserPassword }
  const sql = connectTo(door)
  const late = setTimeout(() => void sql.end({ timeout: 0 }), 2_000)
  try {
    await sql.unsafe("select pg_logical_emit_message(true, 'faults', '')")
  } catch (error) {
    throw new Error(`proxy ${node} lets no write through`, { cause: error })
  } finally {
    clearTimeout(late)
    await sql.end({ timeout: 0 })
  }
}
