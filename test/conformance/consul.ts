/**
 * Real Consul servers for tests, one or three, on free loopback ports with a temporary directory.
 * They can be killed, frozen, thawed and started again with their data.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { freePorts } from "./ports.ts"
import { type Server, serverOf } from "./server.ts"
import { until } from "./wait.ts"

const program = join(import.meta.dir, "../../.cache/consul/consul")
/** Null: it can be run. */
export const consulMissing: string | null = existsSync(program)
  ? null
  : "consul is not here: scripts/getserver.sh consul"

export interface ConsulServer extends Server {
  readonly endpoint: string
  /** True when it answers consistent reads. */
  ready(): Promise<boolean>
  isLeader(): Promise<boolean>
  /** A request to its API, as an operator; the answer's text. */
  request(method: string, path: string, body?: unknown): Promise<string>
}

export interface ConsulCluster extends AsyncDisposable {
  readonly servers: readonly ConsulServer[]
  readonly endpoints: readonly string[]
  readonly directory: string
  settled(): Promise<void>
}

export interface ConsulOptions {
  readonly servers?: 1 | 3
  /** Beside what a server needs to run here. */
  readonly config?: Readonly<Record<string, unknown>>
  /** For requests of the harness. */
  readonly token?: string
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca: string }
}

export async function startConsul(options: ConsulOptions = {}): Promise<ConsulCluster> {
  const directory = mkdtempSync(join(tmpdir(), "stolon-consul-"))
  const count = options.servers ?? 1
  const ports = await freePorts(4 * count)
  const serfs = Array.from({ length: count }, (_, i) => `127.0.0.1:${ports[4 * i + 2]}`)
  const servers = serfs.map((_, i) => {
    const [http = 0, rpc = 0, serf = 0, wan = 0] = ports.slice(4 * i)
    return newServer({ ...{ directory, options, serfs, i }, ...{ http, rpc, serf, wan } })
  })
  for (const server of servers) server.start()
  const cluster: ConsulCluster = {
    servers,
    endpoints: servers.map(({ endpoint }) => endpoint),
    directory,
    async settled() {
      for (const server of servers)
        await until(`${server.endpoint} to serve`, () => server.ready(), 60_000)
    },
    async [Symbol.asyncDispose]() {
      for (const server of servers) await server.kill()
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

interface Plan {
  readonly directory: string
  readonly options: ConsulOptions
  readonly serfs: readonly string[]
  readonly i: number
  readonly http: number
  readonly rpc: number
  readonly serf: number
  readonly wan: number
}

function newServer({ directory, options, serfs, i, http, rpc, serf, wan }: Plan): ConsulServer {
  const name = `server${i}`
  const file = join(directory, `${name}.json`)
  const { tls, token } = options
  const local = "127.0.0.1"
  const config = {
    ...{ node_name: name, data_dir: join(directory, name), server: true, log_level: "info" },
    ...{ bind_addr: local, client_addr: local, disable_update_check: true },
    bootstrap_expect: serfs.length,
    retry_join: serfs,
    retry_interval: "1s",
    // every client of a test comes from one address
    limits: { http_max_conns_per_client: 2_000 },
    performance: { raft_multiplier: 1 },
    ports: {
      ...{ server: rpc, serf_lan: serf, serf_wan: wan, dns: -1, grpc: -1 },
      ...(tls === undefined ? { http } : { http: -1, https: http }),
    },
    ...(tls === undefined
      ? {}
      : { cert_file: tls.cert, key_file: tls.key, ca_file: tls.ca, verify_incoming_https: true }),
    ...options.config,
  }
  writeFileSync(file, JSON.stringify(config))
  const server = serverOf(
    [program, "agent", `-config-file=${file}`],
    join(directory, `${name}.log`),
  )
  const scheme = tls === undefined ? "http" : "https"
  const endpoint = `${scheme}://${local}:${http}`
  const asked = (method: string, path: string, body?: unknown): Promise<Response> =>
    fetch(`${endpoint}/v1/${path}`, {
      method,
      headers: token === undefined ? {} : { "X-Consul-Token": token },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(tls === undefined ? {} : { tls: clientTls(tls) }),
      signal: AbortSignal.timeout(5_000),
    })
  return {
    ...server,
    endpoint,
    async request(method, path, body) {
      const response = await asked(method, path, body)
      const text = await response.text()
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
      return text
    },
    async ready() {
      const answer = await asked("GET", "kv/?keys&consistent").catch(() => null)
      return answer !== null && (answer.status === 200 || answer.status === 404)
    },
    async isLeader() {
      const answer = await asked("GET", "agent/self").catch(() => null)
      return answer !== null && /"leader":\s*"true"/.test(await answer.text())
    },
  }
}

const clientTls = ({ cert, key, ca }: NonNullable<ConsulOptions["tls"]>) => ({
  cert: Bun.file(cert),
  key: Bun.file(key),
  ca: Bun.file(ca),
})
