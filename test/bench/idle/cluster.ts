/**
 * A cluster to measure at rest: a store, a sentinel that leads, two that follow, two proxies, and
 * keepers: three real ones with PostgreSQL, or any number of played ones. Each component reaches
 * etcd through a meter of its own.
 */
import { rmSync } from "node:fs"
import { join } from "node:path"
import { facts } from "#ctl/status.ts"
import { postgresPrograms } from "#cmd/dev-place.ts"
import type { Store, StoreSettings } from "#port/store.ts"
import { openStore } from "#store/open.ts"
import { settingsOf } from "#test/conformance/scene.ts"
import { processes, withDescendants } from "#system/process.ts"
import { startEtcd } from "#test/conformance/etcd.ts"
import { freePorts } from "#test/conformance/ports.ts"
import { until } from "#test/conformance/wait.ts"
import { type Part, newNode, newPart } from "#test/e2e/cluster.ts"
import { environment, newPlace, ownedDirectory, words } from "#test/e2e/place.ts"
import { output } from "../failover/tools.ts"
import { type Meter, startMeter } from "./meter.ts"

export interface Case {
  readonly backend: "sqlite" | "etcdv3"
  readonly keepers: number
  /** Without PostgreSQL, all of them in one process. */
  readonly played: boolean
}

export interface Component {
  readonly name: string
  /** Of how many such components this is the sum. */
  readonly count: number
  pid(): number
  /** Null: the store is a file. */
  readonly meter: Meter | null
  /** A guardian asks the store for nothing. */
  readonly usesStore: boolean
}

export interface Rest extends AsyncDisposable {
  readonly components: readonly Component[]
  /** Where `counted.ts` counts. */
  readonly counts: string
  readonly store: Store
  /** Bytes of the cluster data, and of all infos. */
  sizes(): Promise<{ readonly document: number; readonly infos: number }>
  /** Milliseconds after which each played keeper knew of a change; null without players. */
  sample: (() => Promise<readonly number[]>) | null
}

const never = new AbortController().signal
const clusterName = "rest"

export async function startRest(which: Case): Promise<Rest> {
  await using building = new AsyncDisposableStack()
  const place = building.use(await newPlace("stolon-idle-"))
  const counts = join(place.directory, "counts")
  await ownedDirectory(counts)
  process.env["IDLE_COUNTS"] = counts
  const etcd = which.backend === "etcdv3" ? building.use(await startEtcd({ members: 3 })) : null
  const file = join(place.directory, "store.db")
  const settings = settingsOf(which.backend, etcd?.endpoints ?? [file], clusterName)
  const meters: Meter[] = []
  const flagsOf = async (): Promise<{ flags: readonly string[]; meter: Meter | null }> => {
    const ports = etcd?.members.map(({ port }) => port) ?? []
    const meter = etcd === null ? null : await startMeter(ports)
    if (meter !== null) meters.push(meter)
    const flags = [
      `--cluster-name=${clusterName}`,
      `--store-backend=${which.backend}`,
      `--store-endpoints=${meter?.endpoints.join() ?? file}`,
    ]
    return { flags, meter }
  }
  const direct = await flagsOf()
  const spec = { initMode: "new", maxStandbys: 200, maxStandbysPerSender: 200 }
  await output(
    words(["ctl", ...direct.flags, "init", "--yes", JSON.stringify(spec)]),
    environment(),
  )
  const store = building.use(await openStore(settings))
  const parts: Part[] = []
  const components: Component[] = []
  building.defer(async () => {
    for (const part of parts) await part.kill()
    for (const meter of meters) await meter[Symbol.asyncDispose]()
  })
  const add = async (name: string, argv: readonly string[]): Promise<Part> => {
    const { flags, meter } = await flagsOf()
    const [command = "", ...rest] = argv
    const part = newPart(place, `${name}${parts.length}`, [command, ...flags, ...rest])
    parts.push(part)
    components.push({ name, count: 1, pid: () => part.pid ?? 0, meter, usesStore: true })
    part.start()
    return part
  }
  const sentinel = ["sentinel", "--peer-listen-address=127.0.0.1"]
  await add("sentinel, leader", sentinel)
  await until("a leader", async () => (await store.leader(never)) !== null, 30_000)
  for (let i = 0; i < 2; i++) await add("sentinel, follower", sentinel)
  for (const port of await freePorts(2)) await add("proxy", ["proxy", `--port=${port}`])

  let sample: Rest["sample"] = null
  if (which.played) {
    const { flags: _, meter } = await flagsOf()
    const endpoints = meter?.endpoints ?? [file]
    const players = startPlayers({ ...settings, endpoints }, which.keepers)
    building.defer(() => players[Symbol.asyncDispose]())
    const [name, count] = ["keeper, played", which.keepers]
    components.push({ name, count, pid: () => players.pid, meter, usesStore: true })
    sample = players.sample
  } else {
    for (let i = 1; i <= which.keepers; i++) {
      const { flags, meter } = await flagsOf()
      const node = await newNode(place, flags, postgresPrograms(""), `keeper${i}`)
      building.defer(async () => {
        await node.killAll()
        for (const end of ["", ".lock"]) rmSync(`/tmp/.s.PGSQL.${node.port}${end}`, { force: true })
      })
      node.start()
      const pid = (): number => node.pid ?? 0
      components.push({ name: `keeper ${i}`, count: 1, pid, meter, usesStore: true })
      const guard = { name: `guardian of keeper ${i}`, count: 1, meter: null, usesStore: false }
      components.push({ ...guard, pid: () => guardianOf(pid()) })
    }
  }
  await until("the cluster to settle", () => isSettled(store, which.keepers), 240_000)
  const primary = await primaryOf(store)
  const owned = building.move()
  return {
    components: components.map((one) =>
      one.name === primary ? { ...one, name: `${primary}, primary` } : one,
    ),
    counts,
    store,
    sample,
    async sizes() {
      const [reading, infos] = [await store.read(never), await store.infos(never)]
      const text = (value: unknown): number =>
        JSON.stringify(value, (_, x: unknown) =>
          x instanceof Map ? Object.fromEntries(x) : typeof x === "bigint" ? Number(x) : x,
        ).length
      return { document: reading.kind === "found" ? text(reading.data) : 0, infos: text(infos) }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** As it is called here; nobody among players. */
async function primaryOf(store: Store): Promise<string> {
  const reading = await store.read(never)
  if (reading.kind === "absent") return ""
  const { cluster, dbs } = reading.data
  return dbs.get(cluster.status.master)?.spec.keeperUID.replace(/^keeper/, "keeper ") ?? ""
}

/** The guardian is a child of its keeper that runs our executable, as PostgreSQL's does not. */
function guardianOf(keeper: number): number {
  const family = withDescendants(processes(), ({ pid }) => pid === keeper)
  const child = family.find(({ parent, name }) => parent === keeper && !name.startsWith("postgres"))
  return child?.pid ?? 0
}

async function isSettled(store: Store, keepers: number): Promise<boolean> {
  const [reading, infos, leader] = [
    await store.read(never),
    await store.infos(never),
    await store.leader(never),
  ]
  const data = reading.kind === "found" ? reading.data : null
  const now = facts(clusterName, { data, infos, leader })
  const ready = now.members.filter((one) => one.postgresHealthy && one.applied === one.wanted)
  if (now.primary?.gateOpen !== true) throw new Error("the gate is closed")
  if (ready.length < keepers) throw new Error(`${ready.length} of ${keepers} keepers are ready`)
  if (now.proxies.filter(({ enabled, current }) => enabled && current).length < 2)
    throw new Error("proxies are missing")
  return true
}

interface Players extends AsyncDisposable {
  readonly pid: number
  readonly sample: () => Promise<readonly number[]>
}

function startPlayers(settings: StoreSettings, keepers: number): Players {
  const child = Bun.spawn(
    [process.execPath, join(import.meta.dir, "players.ts"), JSON.stringify({ keepers, settings })],
    { stdin: "pipe", stdout: "pipe", stderr: "inherit", env: environment() },
  )
  const lines: string[] = []
  void (async () => {
    let rest = ""
    const decoder = new TextDecoder()
    for await (const bytes of child.stdout) {
      const pieces = (rest + decoder.decode(bytes, { stream: true })).split("\n")
      rest = pieces.pop() ?? ""
      lines.push(...pieces.filter((line) => line.startsWith("[")))
    }
  })()
  return {
    pid: child.pid,
    async sample() {
      const before = lines.length
      void child.stdin.write("sample\n")
      void child.stdin.flush()
      const line = await until("all to know", () => lines[before], 30_000)
      const numbers: unknown = JSON.parse(line)
      if (!Array.isArray(numbers)) throw new Error(`not a sample: ${line}`)
      return numbers.map(Number)
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL")
      await child.exited
    },
  }
}
