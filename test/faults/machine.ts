/**
 * A node: etcd member, keeper (with guardian and PostgreSQL), sentinel and proxy in a network
 * namespace of their own, with a disk of their own in memory. What belongs to a node is whatever
 * runs in its namespace, so nothing escapes a kill by having lost its parent; the clients, which
 * stand for a program on the same machine, are left alone.
 */
import { statSync } from "node:fs"
import { join } from "node:path"
import { until } from "#test/conformance/wait.ts"
import { ownedDirectory, user } from "#test/e2e/place.ts"
import {
  type Process,
  argumentsOf,
  isAlive,
  processes,
  readProcess,
  signalProcess,
} from "#system/process.ts"
import { type Network, addressOf, nodeCount } from "./network.ts"
import { type Part, newPart } from "./part.ts"
import { type Trouble, newTrouble } from "./trouble.ts"

export const roles = ["etcd", "keeper", "sentinel", "proxy"] as const
export type Role = (typeof roles)[number]
/** What can be struck alone. */
export type Target = Role | "guardian" | "postgres"

export interface Machine {
  readonly node: number
  readonly uid: string
  readonly address: string
  readonly postgresPort: number
  readonly dataDir: string
  readonly parts: Readonly<Record<Role, Part>>
  readonly trouble: Readonly<Record<"keeper" | "sentinel" | "proxy", Trouble>>
  /** Runs on this node and belongs to us, not to it. */
  spare(pid: number): void
  /** The living processes of one part, or of the whole node. */
  processes(target: Target | "all"): readonly Process[]
  signal(target: Target | "all", signal: NodeJS.Signals): readonly Process[]
  /** SIGKILL, until nothing is left; what it killed. Parts that are not held start again. */
  kill(target: Target | "all"): Promise<readonly Process[]>
  /** Its etcd member leads the others. */
  leadsStore(): Promise<boolean>
  /** Off and on again, as a machine. */
  powerOff(): Promise<void>
  powerOn(): void
}

export interface MachinePlan {
  readonly node: number
  readonly directory: string
  readonly logs: string
  readonly network: Network
  readonly binary: string
  readonly preload: string
  readonly programs: string
  /** Size of the data disk, as mount(8) takes it. */
  readonly disk: string
  readonly superuserFile: string
  readonly replicationFile: string
  readonly superuser: string
  readonly environment: Readonly<Record<string, string>>
}

export const proxyPort = 5430
export const etcdPort = 2379
export const etcdPeerPort = 2380
export const postgresPortOf = (node: number): number => 5430 + node
export const clusterName = "faults"

const everyNode = Array.from({ length: nodeCount }, (_, i) => i + 1)
const endpointOf = (node: number): string => `http://${addressOf(node)}:${etcdPort}`
/** All members, that of `node` first. */
export const endpoints = (node: number): readonly string[] =>
  everyNode.toSorted((a, b) => Number(b === node) - Number(a === node)).map(endpointOf)

export const storeFlags = (node: number): readonly string[] => [
  `--cluster-name=${clusterName}`,
  "--store-backend=etcdv3",
  `--store-endpoints=${endpoints(node).join()}`,
]

export async function newMachine(plan: MachinePlan): Promise<Machine> {
  const { node, network } = plan
  const dataDir = join(plan.directory, `node${node}`)
  await mountMemory(dataDir, plan.disk)
  await mountMemory(etcdDirectory(plan), "1g")
  await ownedDirectory(tmpOf(plan))
  const uid = `keeper${node}`
  const troubleOf = (role: string): Trouble =>
    newTrouble(join(plan.directory, `${role}${node}.control`), plan.preload, dataDir)
  const trouble = {
    keeper: troubleOf("keeper"),
    sentinel: troubleOf("sentinel"),
    proxy: troubleOf("proxy"),
  }
  const part = (role: Role, command: readonly string[], mine: Trouble | null): Part =>
    newPart({
      name: `${role}${node}`,
      command: [...network.inside(node, [...withOwnTmp(plan), ...asUser()]), ...command],
      environment: { ...plan.environment, ...mine?.environment },
      log: join(plan.logs, `${role}${node}.log`),
    })
  const ours = (role: "keeper" | "sentinel" | "proxy", flags: readonly string[]): Part =>
    part(role, [plan.binary, role, ...storeFlags(node), ...flags], trouble[role])
  const parts = {
    etcd: part("etcd", etcdCommand(plan), null),
    keeper: ours("keeper", keeperFlags(plan, uid, dataDir)),
    sentinel: ours("sentinel", []),
    proxy: ours("proxy", [`--listen-address=${addressOf(node)}`, `--port=${proxyPort}`]),
  }
  const spared = new Set<number>()
  const namespace = network.namespace(node)
  const family = (): readonly Process[] =>
    processes().filter(({ pid }) => !spared.has(pid) && namespaceOf(pid) === namespace)
  const found = (target: Target | "all"): readonly Process[] =>
    family().filter(({ pid, name }) => {
      switch (target) {
        case "all":
          return true
        case "postgres":
          return name === "postgres"
        case "guardian":
          return argumentsOf(pid).includes("guardian")
        case "etcd":
        case "keeper":
        case "sentinel":
        case "proxy":
          return pid === parts[target].pid
        default:
          return target satisfies never
      }
    })
  const signal = (target: Target | "all", name: NodeJS.Signals): readonly Process[] => {
    const all = found(target)
    for (const each of all) signalProcess(each, name)
    return all
  }
  const kill = async (target: Target | "all"): Promise<readonly Process[]> => {
    const struck = signal(target, "SIGKILL")
    await until(`${target} of node ${node} to be gone`, () => !struck.some(isAlive))
    // while everything is being killed something may still have been born
    if (target === "all" && found("all").length > 0) await kill("all")
    return struck
  }
  return {
    node,
    uid,
    address: addressOf(node),
    postgresPort: postgresPortOf(node),
    dataDir,
    parts,
    trouble,
    spare: (pid) => void spared.add(pid),
    processes: found,
    signal,
    kill,
    leadsStore: async () => {
      const answer = await fetch(`${endpointOf(node)}/metrics`, {
        signal: AbortSignal.timeout(2_000),
      }).catch(() => null)
      return ((await answer?.text()) ?? "").includes("\netcd_server_is_leader 1")
    },
    powerOff: async () => {
      for (const role of roles) parts[role].hold()
      await kill("all")
    },
    powerOn: () => {
      for (const role of roles) parts[role].release()
    },
  }
}

const etcdDirectory = (plan: MachinePlan): string => join(plan.directory, `etcd${plan.node}`)

function etcdCommand(plan: MachinePlan): readonly string[] {
  const here = addressOf(plan.node)
  const peerOf = (node: number): string => `http://${addressOf(node)}:${etcdPeerPort}`
  return [
    "etcd",
    `--name=etcd${plan.node}`,
    `--data-dir=${join(etcdDirectory(plan), "data")}`,
    `--listen-client-urls=${endpointOf(plan.node)}`,
    `--advertise-client-urls=http://${here}:${etcdPort}`,
    `--listen-peer-urls=${peerOf(plan.node)}`,
    `--initial-advertise-peer-urls=${peerOf(plan.node)}`,
    `--initial-cluster=${everyNode.map((node) => `etcd${node}=${peerOf(node)}`).join()}`,
    "--initial-cluster-state=new",
  ]
}

const keeperFlags = (plan: MachinePlan, uid: string, dataDir: string): readonly string[] => [
  `--uid=${uid}`,
  `--data-dir=${join(dataDir, "keeper")}`,
  `--pg-listen-address=${addressOf(plan.node)}`,
  `--pg-port=${postgresPortOf(plan.node)}`,
  `--pg-bin-path=${plan.programs}`,
  `--pg-su-username=${plan.superuser}`,
  `--pg-su-passwordfile=${plan.superuserFile}`,
  "--pg-repl-username=repl",
  `--pg-repl-passwordfile=${plan.replicationFile}`,
]

const tmpOf = (plan: MachinePlan): string => join(plan.directory, `tmp${plan.node}`)

/** PostgreSQL's sockets are named by port alone and lie in /tmp, which another run may be using. */
const withOwnTmp = (plan: MachinePlan): readonly string[] => [
  ...["sh", "-c", 'mount --bind "$0" /tmp && exec "$@"'],
  tmpOf(plan),
]

/** The user that PostgreSQL may run as, for a command that is started by root. */
function asUser(): readonly string[] {
  if (user === null) throw new Error("there is no user postgres: install PostgreSQL")
  return ["setpriv", `--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups", "--"]
}

async function mountMemory(path: string, size: string): Promise<void> {
  await ownedDirectory(path)
  const owner = user === null ? "" : `,uid=${user.uid},gid=${user.gid}`
  const words = ["mount", "-t", "tmpfs", "-o", `size=${size},mode=0700${owner}`, "tmpfs", path]
  const { exitCode, stderr } = Bun.spawnSync(words)
  if (exitCode !== 0) throw new Error(`${words.join(" ")}: ${stderr.toString()}`)
}

function namespaceOf(pid: number): number | null {
  try {
    return statSync(`/proc/${pid}/ns/net`).ino
  } catch {
    return null // ended meanwhile
  }
}

/** Whether those of them that still are there are stopped, as SIGSTOP leaves them. */
export const stopped = (all: readonly Process[]): boolean =>
  all.every((each) => !isAlive(each) || readProcess(each.pid)?.state === "T")
