/**
 * A cluster as existing automation runs it: our executable called by the names of Go's four
 * programs, with Go's flags, on etcd. Processes start directly (the pid is the component's), any of
 * them can be signalled, and the document in the store can be read and overwritten as bytes.
 *
 * Everything that was started is gone when the cluster is disposed of; only its own pids are
 * signalled.
 */
import { closeSync, openSync, readFileSync, symlinkSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import { postgresPrograms } from "#cmd/dev-place.ts"
import { type ClusterData, decodeClusterData } from "#model/cluster.ts"
import { addressFile } from "#system/protocol.ts"
import {
  type Process,
  isAlive,
  processes,
  signalProcess,
  withDescendants,
} from "#system/process.ts"
import { type EtcdCluster, startEtcd } from "#test/conformance/etcd.ts"
import { freePorts } from "#test/conformance/ports.ts"
import { until } from "#test/conformance/wait.ts"
import {
  type Place,
  binary,
  environment,
  newPlace,
  own,
  ownedDirectory,
  superuser,
  wordsOf,
} from "./place.ts"

export type Program = "stolonctl" | "stolon-keeper" | "stolon-sentinel" | "stolon-proxy"
const programs = ["stolonctl", "stolon-keeper", "stolon-sentinel", "stolon-proxy"] as const

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** One process, which may end and start again with other flags. */
export interface Component {
  readonly name: string
  readonly pid: number | null
  /** `stderr`: a descriptor instead of the log file. */
  start(flags?: readonly string[], stderr?: number): void
  signal(signal: NodeJS.Signals): void
  /** Waits for its end; the exit code. */
  ended(ms?: number): Promise<number | null>
  /** What it has logged since the last call of `mark`. */
  said(): string
  mark(): void
  says(what: string | RegExp, ms?: number): Promise<string>
}

export interface GoKeeper extends Component {
  readonly dataDir: string
  /** What `start` gives as --pg-port. */
  port: number
  /** The pid in postmaster.pid, when that process is alive. */
  postmaster(): number | null
  /** The third line of postmaster.pid: when PostgreSQL was started. */
  startedAt(): string
}

export interface GoCluster extends AsyncDisposable {
  readonly place: Place
  readonly etcd: EtcdCluster
  readonly keepers: readonly GoKeeper[]
  readonly sentinel: Component
  readonly proxy: Component
  readonly proxyPort: number
  readonly common: readonly string[]
  ctl(...argv: readonly string[]): Promise<Ended>
  /** Any of the programs, to its end. */
  run(program: Program, argv: readonly string[]): Promise<Ended>
  component(name: string, program: Program, argv: readonly string[]): Component
  keeper(uid: string, more?: readonly string[]): Promise<GoKeeper>
  /** The value of the clusterdata key, byte for byte. */
  text(): Promise<string>
  data(): Promise<ClusterData>
  put(key: string, value: string): Promise<void>
  remove(key: string): Promise<void>
  /** The keeper of the DB that the document names as primary. */
  primary(): Promise<GoKeeper>
  /** Waits until the primary and all standbys are healthy, converged, and the gate is open. */
  settled(ms?: number): Promise<ClusterData>
  logs(): string
}

export const clusterName = "test"
const base = `stolon/cluster/${clusterName}`
export const clusterDataKey = `${base}/clusterdata`
export const infoKey = (kind: "keepers" | "proxies", uid: string): string =>
  `${base}/${kind}/info/${uid}`

/** Starts etcd, initialises, and starts keepers, one sentinel and one proxy. */
export async function startGoCluster(
  spec: Readonly<Record<string, unknown>>,
  keepers = 2,
): Promise<GoCluster> {
  await using building = new AsyncDisposableStack()
  const place = building.use(await newPlace("stolon-go-"))
  const names = join(place.directory, "bin")
  mkdirSync(names)
  for (const name of programs) symlinkSync(binary, join(names, name))
  const etcd = building.use(await startEtcd())
  const common = [
    `--cluster-name=${clusterName}`,
    "--store-backend=etcdv3",
    `--store-endpoints=${etcd.endpoints.join()}`,
  ]
  const [proxyPort = 0] = await freePorts(1)
  const world: World = { place, names, common, all: [] }
  building.defer(async () => {
    // sentinels and proxies first: nobody may answer the end of the keepers
    for (const one of world.all.toReversed()) one.signal("SIGKILL")
    for (const one of world.all) await one.ended()
    for (const keeper of all) killAll(keeper)
  })
  const all: GoKeeper[] = []
  const ctl = (...argv: readonly string[]): Promise<Ended> =>
    run(world, "stolonctl", [...common, ...argv])
  const done = await ctl("init", "--yes", JSON.stringify({ initMode: "new", ...spec }))
  if (done.code !== 0) throw new Error(`init: ${done.err}`)
  const addKeeper = async (uid: string, more: readonly string[] = []): Promise<GoKeeper> => {
    const made = await newKeeper(world, uid, more)
    all.push(made)
    made.start()
    return made
  }
  for (let i = 0; i < keepers; i++) await addKeeper(`keeper${i}`)
  const sentinel = component(world, "sentinel", "stolon-sentinel", common)
  const proxy = component(world, "proxy", "stolon-proxy", [...common, `--port=${proxyPort}`])
  sentinel.start()
  proxy.start()
  const owned = building.move()
  const text = async (): Promise<string> => {
    const { kvs } = await etcd.request("kv/range", { key: btoa(clusterDataKey) })
    const [found] = (kvs ?? []) as readonly { readonly value: string }[] // etcd's own JSON
    return found === undefined ? "" : Buffer.from(found.value, "base64").toString()
  }
  const data = async (): Promise<ClusterData> => {
    const found = decodeClusterData(await text())
    if (found === null) throw new Error("no cluster data")
    return found
  }
  const primary = async (): Promise<GoKeeper> => {
    const { cluster, dbs } = await data()
    const uid = dbs.get(cluster.status.master)?.spec.keeperUID
    const keeper = all.find(({ name }) => name === uid)
    if (keeper === undefined) throw new Error(`no keeper runs ${cluster.status.master}`)
    return keeper
  }
  return {
    place,
    etcd,
    keepers: all,
    sentinel,
    proxy,
    proxyPort,
    common,
    ctl,
    run: (program, argv) => run(world, program, argv),
    component: (name, program, argv) => component(world, name, program, argv),
    keeper: addKeeper,
    text,
    data,
    put: async (key, value) => {
      await etcd.request("kv/put", { key: btoa(key), value: Buffer.from(value).toString("base64") })
    },
    remove: async (key) => void (await etcd.request("kv/deleterange", { key: btoa(key) })),
    primary,
    settled: (ms = 60_000) =>
      until("the cluster to settle", async () => judge(await data(), all), ms),
    logs: () => world.all.map((one) => `--- ${one.name}\n${tail(one.said())}`).join("\n"),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Throws what is missing, so that a deadline's message says it. */
function judge(data: ClusterData, keepers: readonly GoKeeper[]): ClusterData {
  const started = keepers.filter(({ pid }) => pid !== null)
  const { master, phase } = data.cluster.status
  const missing: string[] = []
  if (phase !== "normal") missing.push(`phase normal, not ${phase}`)
  if (data.proxy.spec.masterDbUid !== master || master === "") missing.push("an open gate")
  if (data.proxy.spec.enabledProxies.length === 0) missing.push("an enabled proxy")
  for (const { name } of started) {
    const db = [...data.dbs.values()].find(({ spec }) => spec.keeperUID === name)
    if (db === undefined) missing.push(`a DB on ${name}`)
    else if (!db.status.healthy) missing.push(`${name} to be healthy`)
    else if (db.status.currentGeneration !== db.generation) missing.push(`${name} to converge`)
  }
  if (missing.length > 0) throw new Error(missing.join("; "))
  return data
}

interface World {
  readonly place: Place
  readonly names: string
  readonly common: readonly string[]
  readonly all: Component[]
}

async function run(world: World, program: Program, argv: readonly string[]): Promise<Ended> {
  const child = Bun.spawn([...wordsOf([join(world.names, program), ...argv])], {
    stdio: ["ignore", "pipe", "pipe"],
    env: environment(),
    cwd: "/tmp",
  })
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { code: child.exitCode, out, err }
}

function component(
  world: World,
  name: string,
  program: Program,
  argv: readonly string[],
): Component {
  const log = join(world.place.directory, `${name}.log`)
  let child: Bun.Subprocess | null = null
  let marked = 0
  const content = (): string => {
    try {
      return readFileSync(log, "utf8")
    } catch {
      return ""
    }
  }
  const said = (): string => content().slice(marked)
  const made: Component = {
    name,
    get pid() {
      return child === null || child.exitCode !== null || child.signalCode !== null
        ? null
        : child.pid
    },
    start(flags = [], stderr) {
      const output = stderr ?? openSync(log, "a")
      child = Bun.spawn([...wordsOf([join(world.names, program), ...argv, ...flags])], {
        stdio: ["ignore", output, output],
        env: environment(),
        cwd: "/tmp",
      })
      if (stderr === undefined) closeSync(output)
    },
    signal: (signal) => child?.kill(signal),
    ended: async (ms = 60_000) => {
      const ending = child
      if (ending === null) return null
      await until(
        `${name} to end`,
        () => ending.exitCode !== null || ending.signalCode !== null,
        ms,
      )
      return ending.exitCode
    },
    said,
    mark: () => (marked = content().length),
    says: (what, ms = 30_000) =>
      until(
        `${name} to say ${what}`,
        () =>
          (typeof what === "string"
            ? said().includes(what)
              ? what
              : ""
            : what.exec(said())?.[0]) || null,
        ms,
      ),
  }
  world.all.push(made)
  return made
}

async function newKeeper(world: World, uid: string, more: readonly string[]): Promise<GoKeeper> {
  const { place, common } = world
  const dataDir = join(place.directory, uid)
  await ownedDirectory(dataDir)
  await own(dataDir)
  const [first = 0] = await freePorts(1)
  let port = first
  const made = component(world, uid, "stolon-keeper", [
    ...common,
    `--uid=${uid}`,
    `--data-dir=${dataDir}`,
    "--pg-listen-address=127.0.0.1",
    `--pg-bin-path=${postgresPrograms("")}`,
    `--pg-su-username=${superuser}`,
    `--pg-su-passwordfile=${place.superuserFile}`,
    "--pg-repl-username=repl",
    `--pg-repl-passwordfile=${place.replicationFile}`,
    ...more,
  ])
  const lines = (): readonly string[] => {
    try {
      return readFileSync(join(dataDir, "postgres", "postmaster.pid"), "utf8").split("\n")
    } catch {
      return []
    }
  }
  return {
    ...made,
    dataDir,
    get pid() {
      return made.pid
    },
    get port() {
      return port
    },
    set port(next) {
      port = next
    },
    start: (flags = [], stderr) => made.start([`--pg-port=${port}`, ...flags], stderr),
    postmaster: () => {
      const pid = Number(lines()[0] ?? 0)
      return processes().some((each) => each.pid === pid && isAlive(each)) ? pid : null
    },
    startedAt: () => lines()[2] ?? "",
  }
}

/** Whatever is left of a keeper: its guardian and its PostgreSQL. */
function killAll(keeper: GoKeeper): void {
  const guardian = (): number => {
    try {
      const text = readFileSync(join(keeper.dataDir, addressFile), "utf8")
      return Number(/"pid":\s*(\d+)/.exec(text)?.[1] ?? 0)
    } catch {
      return 0
    }
  }
  const roots = [guardian(), keeper.postmaster() ?? 0]
  const family: readonly Process[] = withDescendants(processes(), ({ pid }) => roots.includes(pid))
  for (const each of family.filter(isAlive)) signalProcess(each, "SIGKILL")
}

/** The end of a log, without the line of every pass. */
const tail = (text: string): string =>
  text
    .split("\n")
    .filter((line) => !line.includes("/parameters.unchanged"))
    .slice(-150)
    .join("\n")
