/**
 * A real cluster: the compiled executable's keepers, sentinels and proxy on a real store, each a
 * process that a test can kill, freeze, start again. Started as an operator would, without `stolon
 * dev`, because nobody may start again what a test has killed.
 *
 * Everything that was started is gone when the cluster is disposed of; only pids that belong to it
 * are ever signalled.
 */
import { closeSync, openSync, readFileSync } from "node:fs"
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { type Facts, facts } from "#ctl/status.ts"
import { postgresPrograms } from "#cmd/dev-place.ts"
import type { Store, StoreSettings } from "#port/store.ts"
import { openStore } from "#store/open.ts"
import { settingsOf } from "#test/conformance/scene.ts"
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
import { type Place, environment, newPlace, ownedDirectory, superuser, words } from "./place.ts"

/** A store that brings more than an address: each component begins in a place of its own there. */
export interface Platform {
  /** For `ctl`, and the harness itself. */
  readonly settings: StoreSettings
  readonly flags: readonly string[]
  /** For the components. */
  readonly inside: readonly string[]
  /** Makes the place of a component; the environment that it finds there. */
  prepare(name: string, component: ComponentKind): Promise<Readonly<Record<string, string>>>
  /** How a component of this process finds the store from that place. */
  settingsOf(name: string, component: ComponentKind): Promise<StoreSettings>
}
export type ComponentKind = "keeper" | "sentinel" | "proxy"

export interface ClusterOptions {
  readonly backend: "sqlite" | "etcdv3"
  /** In place of the backend; what it starts ends with the stack, after the cluster. */
  readonly platform?: (stack: AsyncDisposableStack) => Promise<Platform>
  readonly keepers?: number
  readonly sentinels?: number
  readonly proxies?: number
  readonly etcdMembers?: 1 | 3
  /** For every component, not for `ctl`. */
  readonly flags?: readonly string[]
  /** Beyond what `stolon ctl init` writes by itself. */
  readonly spec?: Readonly<Record<string, unknown>>
  /** PostgreSQL's programs; those of this machine by default. */
  readonly programs?: string
  /** Called for each node before its first start: what lies on its disk already. */
  readonly prepare?: (uid: string, dataDir: string) => Promise<void>
}

/** A component that is not a keeper. */
export interface Part {
  readonly name: string
  readonly pid: number | null
  readonly log: string
  start(): void
  /** SIGKILL, and waits until it is gone. */
  kill(): Promise<void>
  /** SIGTERM, and waits; the exit code. */
  stop(): Promise<number | null>
}

/** A keeper, its guardian and its PostgreSQL: what dies together when a machine dies. */
export interface Node extends Part {
  readonly uid: string
  readonly dataDir: string
  readonly port: number
  /** Keeper, guardian, postmaster and all that descends from them. */
  everything(): readonly Process[]
  postmaster(): Process | null
  /** SIGKILL to PostgreSQL alone, all of it. */
  killPostgres(): void
  /** SIGKILL to everything, as fast as the kernel takes it. */
  killAll(): Promise<void>
  freeze(): void
  thaw(): void
}

export interface Cluster extends AsyncDisposable {
  readonly place: Place
  readonly nodes: readonly Node[]
  readonly sentinels: readonly Part[]
  /** The first of the proxies, and its port. */
  readonly proxy: Part
  readonly proxyPort: number
  readonly proxies: readonly { readonly part: Part; readonly port: number }[]
  readonly etcd: EtcdCluster | null
  readonly store: Store
  /** `stolon ctl …` on this cluster; throws with its output when it fails. */
  ctl(...argv: readonly string[]): Promise<string>
  facts(): Promise<Facts>
  node(uid: string): Node
  /** The node whose PostgreSQL the view names as primary. */
  primary(): Promise<Node>
  /** Waits until every started keeper runs its part, converged, and clients get through. */
  settled(ms?: number): Promise<Facts>
  addNode(uid?: string): Promise<Node>
  /** The ends of all logs, for a failed test. */
  logs(): string
}

export const clusterName = "e2e"
const never = new AbortController().signal

export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  await using building = new AsyncDisposableStack()
  const place = building.use(await newPlace("stolon-e2e-"))
  const platform = (await options.platform?.(building)) ?? null
  const etcd =
    options.backend === "etcdv3" && platform === null
      ? building.use(await startEtcd({ members: options.etcdMembers ?? 1 }))
      : null
  const endpoint = etcd?.endpoints.join() ?? join(place.directory, "store.db")
  const storeFlags = [`--store-backend=${options.backend}`, `--store-endpoints=${endpoint}`]
  const named = [`--cluster-name=${clusterName}`]
  const common = [...named, ...(platform?.flags ?? storeFlags)]
  const component = [...named, ...(platform?.inside ?? storeFlags), ...(options.flags ?? [])]
  const surroundings: Platform["prepare"] = async (name, kind) =>
    (await platform?.prepare(name, kind)) ?? {}
  await ctl(common, ["init", "--yes", JSON.stringify({ initMode: "new", ...options.spec })])
  const store = building.use(
    await openStore(
      platform?.settings ?? settingsOf(options.backend, endpoint.split(","), clusterName),
    ),
  )
  const nodes: Node[] = []
  const parts: Part[] = []
  building.defer(async () => {
    // Sentinels first, or they would answer the end of the others with failovers.
    for (const part of [...parts, ...nodes]) await part.kill()
    for (const node of nodes) {
      await node.killAll()
      // what was killed leaves its socket and that one's lock, in a place that all tests share
      for (const end of ["", ".lock"]) await rm(`/tmp/.s.PGSQL.${node.port}${end}`, { force: true })
    }
  })
  const programs = options.programs ?? postgresPrograms("")
  const addNode = async (uid = `keeper${nodes.length + 1}`): Promise<Node> => {
    const env = await surroundings(uid, "keeper")
    const made = await newNode(place, component, programs, uid, null, env)
    await options.prepare?.(made.uid, made.dataDir)
    nodes.push(made)
    made.start()
    return made
  }
  for (let i = 0; i < (options.keepers ?? 3); i++) await addNode()
  const sentinels: Part[] = []
  for (let i = 1; i <= (options.sentinels ?? 2); i++) {
    const env = await surroundings(`sentinel${i}`, "sentinel")
    // beside an etcd of this machine it would take the address that others see
    const argv = ["sentinel", "--peer-listen-address=127.0.0.1", ...component]
    sentinels.push(newPart(place, `sentinel${i}`, argv, env))
  }
  const proxies: { readonly part: Part; readonly port: number }[] = []
  for (const port of await freePorts(options.proxies ?? 1)) {
    const name = `proxy${proxies.length + 1}`
    const argv = ["proxy", ...component, `--port=${port}`]
    proxies.push({ part: newPart(place, name, argv, await surroundings(name, "proxy")), port })
  }
  const [first] = proxies
  if (first === undefined) throw new Error("a cluster has a proxy")
  parts.push(...sentinels, ...proxies.map(({ part }) => part))
  for (const part of parts) part.start()
  const owned = building.move()
  return {
    place,
    nodes,
    sentinels,
    proxy: first.part,
    proxyPort: first.port,
    proxies,
    etcd,
    store,
    ctl: (...argv) => ctl(common, argv),
    facts: () => look(store),
    node: (uid) => nodeOf(nodes, uid),
    primary: async () => nodeOf(nodes, (await look(store)).primary?.keeper ?? "none"),
    settled: (ms) => settledOn(store, nodes, ms),
    addNode,
    logs: () => [...nodes, ...parts].map(({ log }) => tail(log)).join("\n"),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** See `settled`; of nodes that may have moved to another store. */
export const settledOn = (store: Store, nodes: readonly Node[], ms = 60_000): Promise<Facts> =>
  until("the cluster to settle", () => isSettled(store, nodes), ms)

const nodeOf = (nodes: readonly Node[], uid: string): Node => {
  const node = nodes.find((each) => each.uid === uid)
  if (node === undefined) throw new Error(`there is no node ${uid}`)
  return node
}

async function look(store: Store): Promise<Facts> {
  const [reading, infos, leader] = await Promise.all([
    store.read(never),
    store.infos(never),
    store.leader(never),
  ])
  const data = reading.kind === "found" ? reading.data : null
  return facts(clusterName, { data, infos, leader })
}

/** Throws what is missing, so that a deadline's message says it. */
async function isSettled(store: Store, nodes: readonly Node[]): Promise<Facts> {
  const now = await look(store)
  const started = nodes.filter((node) => node.pid !== null)
  const missing = now.waiting.map(({ text }) => text)
  if (now.primary === null || !now.primary.gateOpen) missing.push("an open gate")
  const top = now.members.find((member) => member.role === "primary")?.timeline
  for (const node of started) {
    const { uid } = node
    const member = now.members.find(({ keeper }) => keeper === uid)
    if (member === undefined) missing.push(`${uid} to be taken in`)
    else if (!member.reporting) missing.push(`${uid} to report`)
    else if (member.role === "none") continue
    else if (member.timeline !== top) missing.push(`${uid} to reach timeline ${top}`)
    // what it published before it was killed is believed for a while
    else if (node.postmaster() === null) missing.push(`${uid} to run PostgreSQL`)
  }
  if (missing.length > 0) throw new Error(missing.join("; "))
  return now
}

async function ctl(common: readonly string[], argv: readonly string[]): Promise<string> {
  const child = Bun.spawn([...words(["ctl", ...common, ...argv])], {
    stdio: ["ignore", "pipe", "pipe"],
    env: environment(),
    cwd: "/tmp",
  })
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  if (code !== 0) throw new Error(`ctl ${argv.join(" ")} ended with ${code}: ${out}${err}`)
  return out
}

/** A component of ours, not started yet. */
export const newPart = (
  place: Place,
  name: string,
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Part => newProgram(place, name, words(argv), env)

/** Any program, started and ended as a component is. */
export function newProgram(
  place: Place,
  name: string,
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Part {
  const log = join(place.directory, `${name}.log`)
  let child: Bun.Subprocess | null = null
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    const ending = child
    if (ending === null) return null
    ending.kill(signal)
    await ending.exited
    child = null
    return ending.exitCode
  }
  return {
    name,
    log,
    get pid() {
      return child === null || child.exitCode !== null || child.signalCode !== null
        ? null
        : child.pid
    },
    start: () => {
      const output = openSync(log, "a")
      child = Bun.spawn([...command], {
        stdio: ["ignore", output, output],
        env: { ...environment(), ...env },
        cwd: "/tmp",
      })
      closeSync(output)
    },
    kill: async () => void (await end("SIGKILL")),
    stop: () => end("SIGTERM"),
  }
}

/** A keeper of ours, not started yet; on a port of its own unless `given` is one. */
export async function newNode(
  place: Place,
  common: readonly string[],
  programs: string,
  uid: string,
  given: number | null = null,
  env: Readonly<Record<string, string>> = {},
): Promise<Node> {
  const dataDir = join(place.directory, uid)
  await ownedDirectory(dataDir)
  const port = given ?? (await freePorts(1))[0] ?? 0
  const argv = [
    "keeper",
    ...common,
    `--uid=${uid}`,
    `--data-dir=${dataDir}`,
    "--pg-listen-address=127.0.0.1",
    `--pg-port=${port}`,
    `--pg-bin-path=${programs}`,
    `--pg-su-username=${superuser}`,
    `--pg-su-passwordfile=${place.superuserFile}`,
    "--pg-repl-username=repl",
    `--pg-repl-passwordfile=${place.replicationFile}`,
  ]
  const part = newPart(place, uid, argv, env)
  const pidIn = (file: string, pattern: RegExp): number | null => {
    try {
      const found = pattern.exec(readFileSync(join(dataDir, file), "utf8"))?.[1]
      return found === undefined ? null : Number(found)
    } catch {
      return null
    }
  }
  const postmasterPid = (): number | null => pidIn("postgres/postmaster.pid", /^(\d+)/)
  const family = (pids: readonly (number | null)[]): readonly Process[] =>
    withDescendants(processes(), (each) => pids.includes(each.pid)).filter(isAlive)
  const everything = (): readonly Process[] =>
    family([part.pid, pidIn(addressFile, /"pid":\s*(\d+)/), postmasterPid()])
  const signalAll = (all: readonly Process[], signal: NodeJS.Signals): void => {
    for (const each of all) signalProcess(each, signal)
  }
  return {
    ...part,
    get pid() {
      return part.pid
    },
    uid,
    dataDir,
    port,
    everything,
    postmaster: () => family([postmasterPid()]).find(({ pid }) => pid === postmasterPid()) ?? null,
    killPostgres: () => signalAll(family([postmasterPid()]), "SIGKILL"),
    killAll: async () => {
      // Again until nothing is left: a process may have been starting another one.
      for (let left = everything(); left.length > 0; left = everything()) {
        signalAll(left, "SIGKILL")
        await until(`${uid} to be gone`, () => !left.some(isAlive))
      }
      await part.kill()
    },
    freeze: () => signalAll(everything(), "SIGSTOP"),
    thaw: () => signalAll(everything(), "SIGCONT"),
  }
}

/** Removes a stopped node's directory: its disk is lost. */
export async function loseDisk(node: Node): Promise<void> {
  await rm(node.dataDir, { recursive: true })
  await ownedDirectory(node.dataDir)
}

const tail = (log: string): string => {
  try {
    return `--- ${log}\n${readFileSync(log, "utf8").split("\n").slice(-60).join("\n")}`
  } catch {
    return `--- ${log}: nothing`
  }
}
