/**
 * Real etcd members for tests: processes on free loopback ports with a temporary directory, which
 * can be killed, frozen, thawed and restarted. Everything that was started is gone when the cluster
 * is disposed of, or with the test process.
 */
import { mkdtempSync, openSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { freePorts } from "./ports.ts"
import { until } from "./wait.ts"

export interface EtcdMember {
  readonly name: string
  /** As `--store-endpoints` takes it. */
  readonly endpoint: string
  readonly port: number
  /** Its output, for when a test fails. */
  readonly log: string
  /** SIGKILL, and waits until it is gone. */
  kill(): Promise<void>
  /** SIGSTOP: it holds its connections and answers nothing. */
  pause(): void
  resume(): void
  /** Starts it again with its data after `kill`. */
  start(): void
  /** True when it serves linearizable reads. */
  healthy(): Promise<boolean>
  isLeader(): Promise<boolean>
}

export interface EtcdCluster extends AsyncDisposable {
  readonly members: readonly EtcdMember[]
  readonly endpoints: readonly string[]
  readonly directory: string
  /** Waits until all members serve. */
  settled(ms?: number): Promise<void>
  /**
   * One request to the JSON form of the protocol, such as `kv/compaction`. Needs a cluster without
   * TLS.
   */
  request(path: string, body: unknown, token?: string): Promise<Readonly<Record<string, unknown>>>
}

export interface EtcdOptions {
  readonly members?: 1 | 3
  /** Certificate files for clients' connections; then endpoints are https. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa: string }
  readonly args?: readonly string[]
}

/** Another version than the one of this machine, for a suite of its own. */
const program = process.env["STOLON_TEST_ETCD"] ?? "etcd"

const running = new Set<number>()
process.on("exit", () => {
  for (const pid of running) signal(pid, "SIGKILL")
})

export async function startEtcd(options: EtcdOptions = {}): Promise<EtcdCluster> {
  const count = options.members ?? 1
  const directory = mkdtempSync(join(tmpdir(), "stolon-etcd-"))
  const ports = await freePorts(count * 3)
  const peers = Array.from({ length: count }, (_, i) => `http://127.0.0.1:${ports[i * 3 + 1]}`)
  const initial = peers.map((url, i) => `m${i}=${url}`).join(",")
  const members = peers.map((peer, i) => {
    const [client = 0, , metrics = 0] = ports.slice(i * 3)
    return member({ name: `m${i}`, client, peer, metrics, initial, directory, options })
  })
  for (const each of members) each.start()
  const cluster: EtcdCluster = {
    members,
    endpoints: members.map(({ endpoint }) => endpoint),
    directory,
    async settled(ms = 15_000) {
      for (const each of members) await until(`${each.name} to serve`, () => each.healthy(), ms)
    },
    async request(path, body, token) {
      const [first] = members
      const version = (await asked(`${first?.endpoint}/version`)) ?? ""
      const api = version.includes('"etcdserver":"3.3') ? "v3beta" : "v3"
      const response = await fetch(`${first?.endpoint}/${api}/${path}`, {
        method: "POST",
        body: JSON.stringify(body),
        headers: token === undefined ? {} : { Authorization: token },
      })
      const text = await response.text()
      if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`)
      return JSON.parse(text) as Readonly<Record<string, unknown>> // etcd's JSON objects
    },
    async [Symbol.asyncDispose]() {
      for (const each of members) await each.kill()
      rmSync(directory, { recursive: true, force: true })
    },
  }
  try {
    await cluster.settled()
  } catch (error) {
    await cluster[Symbol.asyncDispose]()
    throw error
  }
  return cluster
}

interface MemberPlan {
  readonly name: string
  readonly client: number
  readonly peer: string
  readonly metrics: number
  readonly initial: string
  readonly directory: string
  readonly options: EtcdOptions
}

function member(plan: MemberPlan): EtcdMember {
  const { tls, args = [] } = plan.options
  const url = `${tls === undefined ? "http" : "https"}://127.0.0.1:${plan.client}`
  const log = join(plan.directory, `${plan.name}.log`)
  const health = `http://127.0.0.1:${plan.metrics}`
  const secure =
    tls === undefined
      ? []
      : [
          `--cert-file=${tls.cert}`,
          `--key-file=${tls.key}`,
          `--trusted-ca-file=${tls.clientCa}`,
          "--client-cert-auth",
        ]
  const command = [
    ...["setpriv", "--pdeathsig", "KILL"], // a test run that is killed leaves nothing behind
    program,
    `--name=${plan.name}`,
    `--data-dir=${join(plan.directory, plan.name)}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-peer-urls=${plan.peer}`,
    `--initial-advertise-peer-urls=${plan.peer}`,
    `--initial-cluster=${plan.initial}`,
    `--listen-metrics-urls=${health}`,
    "--heartbeat-interval=50",
    "--election-timeout=500",
    ...secure,
    ...args,
  ]
  let child: Bun.Subprocess | null = null
  return {
    name: plan.name,
    endpoint: url,
    port: plan.client,
    log,
    start() {
      const output = openSync(log, "a")
      child = Bun.spawn(command, { stdin: "ignore", stdout: output, stderr: output })
      running.add(child.pid)
    },
    async kill() {
      if (child === null) return
      signal(child.pid, "SIGKILL")
      await child.exited
      running.delete(child.pid)
      child = null
    },
    pause: () => child !== null && signal(child.pid, "SIGSTOP"),
    resume: () => child !== null && signal(child.pid, "SIGCONT"),
    async healthy() {
      const answer = await asked(`${health}/health`)
      return answer?.includes('"true"') ?? false
    },
    async isLeader() {
      const answer = await asked(`${health}/metrics`)
      return answer?.includes("\netcd_server_is_leader 1") ?? false
    },
  }
}

async function asked(url: string): Promise<string | null> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) })
    return await response.text()
  } catch {
    return null
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // gone already
  }
}
