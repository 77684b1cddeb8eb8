/**
 * The file of `stolon generate compose`: etcd, keepers, sentinels and proxies in containers of one
 * engine. Names of services are the addresses, so a container that comes back with another address
 * is the same to the others.
 *
 * Without `--with-passwords` the file refuses to start until the environment holds them; a password
 * that everybody knows is never put in.
 */
import { type Passwords, accounts, count, dataDir, flagWords, inside, volume } from "./generate.ts"
import { type Yaml, comment, yaml } from "./yaml.ts"

/** What was chosen. The names are those of the flags. */
export interface ComposeChoice {
  readonly clusterName: string
  readonly etcds: number
  readonly keepers: number
  readonly sentinels: number
  readonly proxies: number
  readonly image: string
  readonly etcdImage: string
  readonly bind: string
  readonly port: string
  readonly readOnlyPort: string
  /** Milliseconds. */
  readonly stopTimeout: number
  readonly shutdownTimeout: number
}

type Service = Readonly<Record<string, Yaml>>

/** How far the ports of a proxy lie from those of the one before. */
const portStep = 10
/** The ports on this machine, in the order of the proxies: to the primary, to standbys. */
export const composePorts = (it: ComposeChoice): readonly (readonly [number, number])[] =>
  count(0, it.proxies - 1).map((i) => [
    Number(it.port) + portStep * i,
    Number(it.readOnlyPort) + portStep * i,
  ])

/** What is wrong with the choice as a whole; null: nothing. */
export function composeTrouble(it: ComposeChoice): string | null {
  const ports = composePorts(it).flat()
  const twice = ports.find((port, i) => ports.indexOf(port) !== i)
  if (twice !== undefined)
    return `--port ${it.port} and --read-only-port ${it.readOnlyPort} with ${it.proxies} proxies need port ${twice} twice; choose others`
  if (Math.max(...ports) > 65_535) return `the ports of ${it.proxies} proxies end above 65535`
  return it.etcds % 2 === 0
    ? `--etcds ${it.etcds}: an even number tolerates no more failures than one less; give 1, 3 or 5`
    : null
}

export function compose(it: ComposeChoice, passwords: Passwords | null): string {
  const etcds = count(1, it.etcds).map((i) => `etcd${i}`)
  const keepers = count(1, it.keepers).map((i) => `keeper${i}`)
  const all: readonly (readonly [string, Service])[] = [
    ...etcds.map((name) => [name, etcd(it, name, etcds)] as const),
    ...keepers.map((name) => [name, keeper(it, name, etcds, passwords)] as const),
    ...count(1, it.sentinels).map((i) => [`sentinel${i}`, sentinel(it, etcds)] as const),
    ...composePorts(it).map((ports, i) => [`proxy${i + 1}`, proxy(it, ports, etcds)] as const),
  ]
  const file = {
    name: it.clusterName,
    services: Object.fromEntries(all),
    volumes: Object.fromEntries([...etcds, ...keepers].map((name) => [name, {}])),
  }
  return `${comment(head(it, passwords))}${yaml(file)}`
}

const head = (it: ComposeChoice, passwords: Passwords | null): readonly string[] => [
  `Cluster ${it.clusterName} in containers of one machine: made by stolon generate compose.`,
  "",
  ...(passwords === null
    ? [
        "First, once, the passwords, in the file .env beside this one:",
        `  (umask 077; for who in SUPERUSER REPLICATION; do echo "STOLON_\${who}_PASSWORD=$(openssl rand -hex 24)"; done > .env)`,
      ]
    : ["The passwords below were made for this output; whoever reads it has them."]),
  "Then: docker compose up -d",
  "After it, once, the cluster begins: docker compose exec sentinel1 stolon ctl init",
  "Whenever you want to know: docker compose exec sentinel1 stolon ctl status",
  `Clients: port ${it.port} leads to the primary, ${it.readOnlyPort} to standbys.`,
]

const seconds = (ms: number): string => `${Math.ceil(ms / 1000)}s`

const etcdUrls = (etcds: readonly string[]): string =>
  etcds.map((name) => `http://${name}:2379`).join(",")

function etcd(it: ComposeChoice, name: string, etcds: readonly string[]): Service {
  const flags = {
    name,
    "data-dir": "/var/lib/etcd/data",
    "listen-client-urls": "http://0.0.0.0:2379",
    "advertise-client-urls": `http://${name}:2379`,
    "listen-peer-urls": "http://0.0.0.0:2380",
    "initial-advertise-peer-urls": `http://${name}:2380`,
    "initial-cluster": etcds.map((one) => `${one}=http://${one}:2380`).join(","),
    "initial-cluster-token": it.clusterName,
  }
  return {
    image: it.etcdImage,
    command: flagWords("etcd", flags),
    hostname: name,
    restart: "unless-stopped",
    volumes: [`${name}:/var/lib/etcd`],
  }
}

/** What our components have in common; the environment serves `stolon ctl` in there, too. */
const ours = (
  it: ComposeChoice,
  etcds: readonly string[],
  command: readonly string[],
  page: string,
): Service => ({
  image: it.image,
  command,
  restart: "unless-stopped",
  environment: environment(it, etcds),
  security_opt: ["no-new-privileges:true"],
  cap_drop: ["ALL"],
  healthcheck: healthcheck(page),
})

const environment = (it: ComposeChoice, etcds: readonly string[]): Service => ({
  STOLON_CLUSTER_NAME: it.clusterName,
  STOLON_STORE_BACKEND: "etcdv3",
  STOLON_STORE_ENDPOINTS: etcdUrls(etcds),
  STOLON_METRICS_LISTEN_ADDRESS: `:${inside.metrics}`,
})

/** The image has bash and no HTTP client. */
const healthcheck = (page: string): Service => ({
  test: [
    "CMD",
    "bash",
    "-c",
    `exec 3<>/dev/tcp/127.0.0.1/${inside.metrics} && printf 'GET ${page} HTTP/1.1\\r\\nHost: here\\r\\nConnection: close\\r\\n\\r\\n' >&3 && grep -q '^HTTP/1.. 200' <&3`,
  ],
  interval: "5s",
  timeout: "3s",
  retries: 3,
})

function keeper(
  it: ComposeChoice,
  name: string,
  etcds: readonly string[],
  passwords: Passwords | null,
): Service {
  const command = flagWords("keeper", {
    uid: name,
    "data-dir": dataDir,
    "pg-listen-address": name,
    "pg-port": inside.postgres,
    "pg-su-username": accounts.superuser,
    "pg-repl-username": accounts.replication,
    "peer-listen-address": `${name}:${inside.peers}`,
  })
  const base = ours(it, etcds, command, "/readyz")
  return {
    ...base,
    hostname: name,
    environment: {
      ...environment(it, etcds),
      STKEEPER_PG_SU_PASSWORD: passwords?.superuser ?? asked("STOLON_SUPERUSER_PASSWORD"),
      STKEEPER_PG_REPL_PASSWORD: passwords?.replication ?? asked("STOLON_REPLICATION_PASSWORD"),
    },
    stop_grace_period: seconds(it.stopTimeout),
    shm_size: "256mb",
    volumes: [`${name}:${volume}`],
  }
}
const asked = (name: string): string => `\${${name}:?set it in .env beside this file}`

/** Neither a sentinel nor a proxy writes a file. */
const readOnly = { read_only: true } as const

const sentinel = (it: ComposeChoice, etcds: readonly string[]): Service => ({
  ...readOnly,
  ...ours(
    it,
    etcds,
    flagWords("sentinel", { "peer-listen-address": `:${inside.peers}` }),
    "/healthz",
  ),
  stop_grace_period: "15s",
})

function proxy(
  it: ComposeChoice,
  [primary, standbys]: readonly [number, number],
  etcds: readonly string[],
): Service {
  const [own, ownReads] = [5432, 5433]
  const command = flagWords("proxy", {
    "listen-address": "0.0.0.0",
    port: own,
    "read-only-port": ownReads,
    "shutdown-timeout": seconds(it.shutdownTimeout),
  })
  const at = it.bind.includes(":") ? `[${it.bind}]` : it.bind
  return {
    ...readOnly,
    ...ours(it, etcds, command, "/readyz"),
    ports: [`${at}:${primary}:${own}`, `${at}:${standbys}:${ownReads}`],
    stop_grace_period: seconds(it.shutdownTimeout + 5_000),
  }
}
