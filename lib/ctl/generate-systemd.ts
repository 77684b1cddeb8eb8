/**
 * The units and environment files of `stolon generate systemd`.
 *
 * What a keeper's unit must never do is end PostgreSQL behind the keeper's back. So systemd signals
 * the keeper alone (KillMode=process): when it stops in good order it stops PostgreSQL itself, and
 * when it was killed the guardian goes on and ends PostgreSQL by its lease, or the next keeper
 * adopts it. For the same reason there is no PrivateTmp, which would hide PostgreSQL's socket from
 * a keeper that is started anew, and no MemoryDenyWriteExecute: our runtime and PostgreSQL compile.
 */
import { type File, type Passwords, accounts, flagWords, inside } from "./generate.ts"
import { comment } from "./yaml.ts"

/** What was chosen. The names are those of the flags. */
export interface SystemdChoice {
  readonly clusterName: string
  readonly storeBackend: "etcdv3" | "sqlite"
  readonly storeEndpoints: readonly string[]
  readonly storeCaFile: string
  readonly storeCertFile: string
  readonly storeKey: string
  readonly storeUser: string
  readonly parts: readonly string[]
  readonly address: string
  readonly uid: string
  readonly dataDir: string
  readonly pgBinPath: string
  readonly pgPort: string
  readonly user: string
  readonly binary: string
  readonly configDir: string
  readonly listenAddress: string
  readonly port: string
  readonly readOnlyPort: string
  /** Milliseconds. */
  readonly stopTimeout: number
  readonly shutdownTimeout: number
}

type Setting = readonly [name: string, value: string]
interface Section {
  readonly name: string
  readonly settings: readonly Setting[]
}

/** The files of one machine. `passwords` null: the keeper's file waits for them. */
export function systemd(it: SystemdChoice, passwords: Passwords | null): readonly File[] {
  const runs = (part: string): boolean => it.parts.includes(part)
  return [
    { name: "stolon.env", text: sharedEnvironment(it), mode: 0o600 },
    ...(runs("keeper")
      ? [
          { name: "keeper.env", text: keeperEnvironment(it, passwords), mode: 0o600 } as const,
          { name: "stolon-keeper.service", text: keeperUnit(it), mode: 0o644 } as const,
        ]
      : []),
    ...(runs("sentinel")
      ? [{ name: "stolon-sentinel.service", text: sentinelUnit(it), mode: 0o644 } as const]
      : []),
    ...(runs("proxy")
      ? [{ name: "stolon-proxy.service", text: proxyUnit(it), mode: 0o644 } as const]
      : []),
  ]
}

/** One stream for people: a line with the place of each file above it. */
export const stream = (files: readonly File[], places: (name: string) => string): string =>
  files.map((file) => `# ==> ${places(file.name)} <==\n${file.text}`).join("\n")

/** Where a file belongs. */
export const placeOf = (it: SystemdChoice, name: string): string =>
  name.endsWith(".service") ? `/etc/systemd/system/${name}` : `${it.configDir}/${name}`

function sharedEnvironment(it: SystemdChoice): string {
  const { configDir } = it
  return [
    comment([
      `What all parts of cluster ${it.clusterName} on this machine share: ${configDir}/stolon.env, of root, mode 0600.`,
      "systemd reads it as root. For stolon ctl in a shell: set -a; . this file; set +a",
    ]),
    environment({
      STOLON_CLUSTER_NAME: it.clusterName,
      STOLON_STORE_BACKEND: it.storeBackend,
      STOLON_STORE_ENDPOINTS: it.storeEndpoints.join(","),
      STOLON_STORE_CA_FILE: it.storeCaFile,
      STOLON_STORE_CERT_FILE: it.storeCertFile,
      STOLON_STORE_KEY: it.storeKey,
      STOLON_STORE_USER: it.storeUser,
    }),
    ...(it.storeUser === "" ? [] : ["# its password:\nSTOLON_STORE_PASSWORD=\n"]),
    "# for Prometheus and for checks, each part on a port of its own:\n",
    "# STKEEPER_METRICS_LISTEN_ADDRESS=127.0.0.1:8081\n",
    "# STSENTINEL_METRICS_LISTEN_ADDRESS=127.0.0.1:8082\n",
    "# STPROXY_METRICS_LISTEN_ADDRESS=127.0.0.1:8083\n",
  ].join("")
}

function keeperEnvironment(it: SystemdChoice, passwords: Passwords | null): string {
  const blank = (name: string, value: string, example: string): string =>
    value === "" ? `# ${name}=${example}\n` : environment({ [name]: value })
  return [
    comment([
      `What is this machine's own, and the passwords: ${it.configDir}/keeper.env, of root, mode 0600.`,
      "The passwords are the same on all machines of the cluster; made with: openssl rand -hex 24",
    ]),
    `STKEEPER_PG_SU_PASSWORD=${passwords?.superuser ?? ""}\n`,
    `STKEEPER_PG_REPL_PASSWORD=${passwords?.replication ?? ""}\n`,
    comment(["the address at which other machines reach this one's PostgreSQL"]),
    blank("STKEEPER_PG_LISTEN_ADDRESS", it.address, "10.0.0.11"),
    comment(["the name of this keeper; without one it makes one and keeps it"]),
    blank("STKEEPER_UID", it.uid, "pg1"),
  ].join("")
}

/** Lines as systemd and a shell read them alike; empty values are left out. */
const environment = (values: Readonly<Record<string, string>>): string =>
  Object.entries(values)
    .flatMap(([name, value]) => (value === "" ? [] : [`${name}=${quoted(value)}\n`]))
    .join("")
const quoted = (value: string): string =>
  /^[\w./:,@%+-]*$/.test(value) ? value : `"${value.replace(/["\\$`]/g, "\\$&")}"`

function keeperUnit(it: SystemdChoice): string {
  const words = flagWords("keeper", {
    "data-dir": it.dataDir,
    "pg-port": it.pgPort,
    "pg-bin-path": it.pgBinPath,
    "pg-su-username": accounts.superuser,
    "pg-repl-username": accounts.replication,
    "peer-listen-address": `:${inside.peers}`,
  })
  const state = /^\/var\/lib\/(.+?)\/*$/.exec(it.dataDir)?.[1]
  const about = [
    "The keeper alone is signalled: it stops PostgreSQL when it is asked to end, and its guardian does",
    "when it was killed. Processes that systemd finds left over then are PostgreSQL, which the next",
    "keeper takes over as it runs.",
  ]
  return unit(it, "keeper", "PostgreSQL of", about, words, [
    ["EnvironmentFile", `${it.configDir}/keeper.env`],
    ["KillMode", "process"],
    ["TimeoutStopSec", seconds(it.stopTimeout)],
    // one backend that takes too much memory is no reason to end them all
    ["OOMPolicy", "continue"],
    ["OOMScoreAdjust", "-500"],
    ["Environment", "PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj PG_OOM_ADJUST_VALUE=0"],
    ["TasksMax", "infinity"],
    ...(state === undefined
      ? []
      : ([
          ["StateDirectory", state],
          ["StateDirectoryMode", "0700"],
        ] as const)),
    ["ProtectSystem", "full"],
  ])
}

/** Its peers' port is not the keeper's, which may be on the same machine. */
function sentinelUnit(it: SystemdChoice): string {
  const words = flagWords("sentinel", { "peer-listen-address": `:${inside.peers + 1}` })
  return unit(it, "sentinel", "Sentinel of", [], words, [
    ["TimeoutStopSec", "15s"],
    ...systemIsReadOnly(it),
  ])
}

function proxyUnit(it: SystemdChoice): string {
  const words = flagWords("proxy", {
    "listen-address": it.listenAddress,
    port: it.port,
    "read-only-port": it.readOnlyPort,
    "shutdown-timeout": seconds(it.shutdownTimeout),
  })
  const about = [
    "It ends sessions as they become idle; systemd waits for that and signals nobody else.",
  ]
  return unit(it, "proxy", "Proxy of", about, words, [
    ["KillMode", "mixed"],
    ["TimeoutStopSec", seconds(it.shutdownTimeout + 5_000)],
    ...systemIsReadOnly(it),
  ])
}

/** A sqlite file is written by every part; it may be anywhere but in the system itself. */
const systemIsReadOnly = (it: SystemdChoice): readonly Setting[] =>
  it.storeBackend === "sqlite" ? [["ProtectSystem", "full"]] : [["ProtectSystem", "strict"]]

const seconds = (ms: number): string => `${Math.ceil(ms / 1000)}s`

/**
 * The unit of one part. Exit code 2 is a mistake in flags: to start again would repeat it. All else
 * is tried again for ever, since a store that is away for hours must not leave the part down.
 */
function unit(
  it: SystemdChoice,
  part: string,
  what: string,
  about: readonly string[],
  words: readonly string[],
  own: readonly Setting[],
): string {
  const sections: readonly Section[] = [
    {
      name: "Unit",
      settings: [
        ["Description", `${what} cluster ${it.clusterName} (stolon ${part})`],
        ["Documentation", "man:systemd.service(5)"],
        // stopped before the network and a store of this machine are
        ["Wants", "network-online.target"],
        ["After", "network-online.target time-sync.target etcd.service"],
        ["StartLimitIntervalSec", "0"],
      ],
    },
    {
      name: "Service",
      settings: [
        ["Type", "notify"],
        ["NotifyAccess", "main"],
        ["WatchdogSec", "60s"],
        ["EnvironmentFile", `${it.configDir}/stolon.env`],
        ["ExecStart", [it.binary, ...words].join(" ")],
        ["User", it.user],
        ["Restart", "always"],
        ["RestartSec", "1s"],
        ["RestartPreventExitStatus", "2"],
        ["LimitNOFILE", "1048576"],
        ["UMask", "0077"],
        ...own,
        ...hardening,
      ],
    },
    { name: "Install", settings: [["WantedBy", "multi-user.target"]] },
  ]
  const place = placeOf(it, `stolon-${part}.service`)
  return `${comment([`${place}: made by stolon generate systemd.`, ...about])}${sections.map(section).join("")}`
}

const section = ({ name, settings }: Section): string =>
  `\n[${name}]\n${settings.map(([key, value]) => `${key}=${value}\n`).join("")}`

/** What PostgreSQL, its archive commands and our runtime live with. */
const hardening: readonly Setting[] = [
  ["NoNewPrivileges", "yes"],
  ["CapabilityBoundingSet", ""],
  ["ProtectHome", "yes"],
  ["ProtectKernelTunables", "yes"],
  ["ProtectKernelModules", "yes"],
  ["ProtectKernelLogs", "yes"],
  ["ProtectControlGroups", "yes"],
  ["ProtectClock", "yes"],
  ["ProtectHostname", "yes"],
  ["RestrictNamespaces", "yes"],
  ["RestrictRealtime", "yes"],
  ["RestrictSUIDSGID", "yes"],
  ["RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_NETLINK"],
  ["LockPersonality", "yes"],
  ["SystemCallArchitectures", "native"],
]
