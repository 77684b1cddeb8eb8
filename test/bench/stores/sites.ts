/**
 * The stores that a cluster is measured on, each a real server started for the bench, and how many
 * requests that server says it was asked.
 */
import type { ClusterOptions } from "#test/e2e/cluster.ts"
import { kubePlatform } from "#test/e2e/kube-platform.ts"
import { consulMissing, startConsul } from "#test/conformance/consul.ts"
import { startEtcd } from "#test/conformance/etcd.ts"
import { kubeMissing, startKube } from "#test/conformance/kube-server.ts"
import { addressed } from "#test/e2e/addressed.ts"

export interface Site {
  readonly options: ClusterOptions
  /** Since the start of the server; null: there is no server, or it does not count. */
  requests(): Promise<number | null>
}

export interface StoreLane {
  readonly id: string
  readonly title: string
  readonly servers: string
  /** Conformance tests of this store, by the beginning of their files' names. */
  readonly tests: string
  /** Why it cannot be measured here; null: it can. */
  readonly missing: string | null
  /** What it starts ends with `stack`. */
  open(stack: AsyncDisposableStack): Promise<Site>
}

/** The sum of a counter of a page of metrics, over all its labels. */
export const counted = (page: string, name: string): number =>
  page
    .split("\n")
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0)

/** Consul counts by method and path, each under a name of its own. */
export const httpRequests = (text: string): number =>
  text
    .split("\n")
    .filter((line) => /^consul_http_[A-Z]+_v1_(?!agent_metrics)\w*_count /.test(line))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0)

const page = async (url: string): Promise<string> => (await fetch(url)).text()

export const storeLanes: readonly StoreLane[] = [
  {
    id: "sqlite",
    title: "SQLite",
    servers: "a file (one machine)",
    tests: "sqlite",
    missing: null,
    open: async () => ({ options: { backend: "sqlite" }, requests: async () => null }),
  },
  {
    id: "etcdv3",
    title: "etcd, API v3",
    servers: "three members",
    tests: "etcd-",
    missing: null,
    async open(stack) {
      const etcd = stack.use(await startEtcd({ members: 3 }))
      return {
        options: { backend: "etcdv3", platform: async () => addressed("etcdv3", etcd.endpoints) },
        async requests() {
          const pages = await Promise.all(etcd.endpoints.map((url) => page(`${url}/metrics`)))
          return pages.reduce((sum, text) => sum + counted(text, "grpc_server_started_total"), 0)
        },
      }
    },
  },
  {
    id: "etcdv2",
    title: "etcd, API v2",
    servers: "three members",
    tests: "etcdv2",
    missing: null,
    async open(stack) {
      const etcd = stack.use(await startEtcd({ members: 3, args: ["--enable-v2=true"] }))
      return {
        options: { backend: "etcdv3", platform: async () => addressed("etcdv2", etcd.endpoints) },
        async requests() {
          const pages = await Promise.all(etcd.endpoints.map((url) => page(`${url}/metrics`)))
          return pages.reduce((sum, text) => sum + counted(text, "etcd_http_received_total"), 0)
        },
      }
    },
  },
  {
    id: "consul",
    title: "Consul",
    servers: "three servers",
    tests: "consul",
    missing: consulMissing,
    async open(stack) {
      const telemetry = { prometheus_retention_time: "1h", disable_hostname: true }
      const consul = stack.use(await startConsul({ servers: 3, config: { telemetry } }))
      return {
        options: { backend: "etcdv3", platform: async () => addressed("consul", consul.endpoints) },
        async requests() {
          const pages = await Promise.all(
            consul.endpoints.map((url) => page(`${url}/v1/agent/metrics?format=prometheus`)),
          )
          return pages.reduce((sum, text) => sum + httpRequests(text), 0)
        },
      }
    },
  },
  {
    id: "kubernetes",
    title: "Kubernetes",
    servers: "one API server, one etcd member",
    tests: "kubernetes",
    missing: kubeMissing,
    async open(stack) {
      const server = stack.use(await startKube())
      const platform = await kubePlatform(server)
      return {
        options: { backend: "etcdv3", platform: async () => platform },
        requests: async () => counted(await server.metrics(), "apiserver_request_total"),
      }
    },
  },
]
