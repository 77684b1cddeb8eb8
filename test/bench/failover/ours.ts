/**
 * Our cluster under the bench: three nodes, each keeper, sentinel and proxy, an etcd of three
 * members, the settings that `stolon ctl init` writes by itself. The client goes through the proxy
 * of another node than the primary's.
 */
import { readFileSync } from "node:fs"
import { by, byNumber } from "#base/order.ts"
import { signalProcess, withDescendants, processes } from "#system/process.ts"
import { until } from "#test/conformance/wait.ts"
import { type Cluster, type ClusterOptions, type Part, startCluster } from "#test/e2e/cluster.ts"
import { environment, words } from "#test/e2e/place.ts"
import { role } from "./client.ts"
import { type FaultId, type Lane, type Stage, type System, storeFrozenMs } from "./faults.ts"
import { entriesOf } from "./journal.ts"
import { at, output, sleep } from "./tools.ts"

const lane = (id: string, title: string, synchronous: boolean): Lane => ({
  id,
  title,
  family: "ours",
  beatMs: 1_000,
  settings:
    "what `stolon ctl init` writes by itself" +
    (synchronous ? ", with `synchronousReplication: true`" : ""),
  open: () =>
    openOurs({ backend: "etcdv3", etcdMembers: 3, spec: { synchronousReplication: synchronous } }),
})

export const ourLanes: readonly Lane[] = [
  lane("ours-async", "ours, asynchronous", false),
  lane("ours-sync", "ours, synchronous", true),
]

/** Three nodes on whatever store. */
export async function openOurs(options: ClusterOptions): Promise<System> {
  await using building = new AsyncDisposableStack()
  const cluster = building.use(
    await startCluster({
      ...options,
      sentinels: 3,
      proxies: 3,
      flags: ["--log-format=json"],
      spec: { ...options.spec, pgHBA: [`host all ${role} 127.0.0.1/32 trust`] },
    }),
  )
  const settled = async (): Promise<void> => void (await cluster.settled(180_000))
  await settled()
  const help = await output(words(["ctl", "--help"]), environment())
  const switchover = /^ +switchover /m.test(help)
  const owned = building.move()
  return {
    primaryPort: async () => (await cluster.primary()).port,
    prepare: (fault) => prepare(cluster, fault, switchover),
    settled,
    logs: [...cluster.nodes, ...cluster.sentinels, ...cluster.proxies.map(({ part }) => part)].map(
      ({ log }) => log,
    ),
    notes: switchover
      ? []
      : ["Our planned switchover was made by `ctl failover`, there was no better word yet"],
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

async function prepare(cluster: Cluster, fault: FaultId, switchover: boolean): Promise<Stage> {
  const node = await cluster.primary()
  const i = cluster.nodes.indexOf(node)
  await seatLeader(cluster, i, fault === "leader-killed" || fault === "leader-silent")
  const { port } = at(cluster.proxies, (i + 1) % cluster.proxies.length)
  const beside: readonly Part[] = [at(cluster.sentinels, i), at(cluster.proxies, i).part]
  const nothing = async (): Promise<void> => {}
  switch (fault) {
    case "postgres-killed":
      return { port, strike: async () => node.killPostgres(), repair: nothing }
    case "node-killed":
      return {
        port,
        strike: async () => {
          const gone = node.kill() // first, or it would tell of PostgreSQL's end
          node.killPostgres()
          await gone
        },
        repair: async () => node.start(),
      }
    case "guardian-killed":
    case "leader-killed":
      return {
        port,
        strike: async () =>
          void (await Promise.all([node.killAll(), ...beside.map((part) => part.kill())])),
        repair: async () => [node, ...beside].forEach((part) => part.start()),
      }
    case "node-silent":
    case "leader-silent": {
      const signal = (name: NodeJS.Signals): void => {
        const pids = beside.map(({ pid }) => pid)
        const others = withDescendants(processes(), ({ pid }) => pids.includes(pid))
        for (const each of [...node.everything(), ...others]) signalProcess(each, name)
      }
      return {
        port,
        strike: async () => signal("SIGSTOP"),
        repair: async () => signal("SIGCONT"),
      }
    }
    case "switchover": {
      const uid = await heir(cluster)
      const command = switchover
        ? ["switchover", "--yes", `--to=${uid}`]
        : ["failover", "--yes", `--keeper=${uid}`]
      return { port, strike: async () => void (await cluster.ctl(...command)), repair: nothing }
    }
    case "store-frozen":
      return { port, strike: () => freezeStore(cluster), repair: nothing }
  }
}

/** Whom to switch over to: a synchronous standby where there is one; then nobody else may. */
async function heir(cluster: Cluster): Promise<string> {
  const { members } = await cluster.facts()
  const standbys = members.filter(({ role: name }) => name.endsWith("standby"))
  return at([...standbys.filter(({ role: name }) => name !== "standby"), ...standbys], 0).keeper
}

async function freezeStore({ etcd }: Cluster): Promise<void> {
  if (etcd === null) throw new Error("the cluster has no etcd")
  for (const member of etcd.members) member.pause()
  await sleep(storeFrozenMs)
  for (const member of etcd.members) member.resume()
}

/**
 * Has the leader sentinel on node `i`, or not on it. Sentinels that stand in the way give the
 * office back as they stop, and are started again at once.
 */
async function seatLeader(cluster: Cluster, i: number, wanted: boolean): Promise<void> {
  const stopped: Part[] = []
  for (;;) {
    const leader = await until("a sentinel to lead", () => leaderOf(cluster), 30_000)
    const there = at(cluster.sentinels, i) === leader
    if (there === wanted) break
    await leader.stop()
    stopped.push(leader)
    await until("its office to be free", async () => (await leaderOf(cluster)) !== leader, 30_000)
  }
  for (const part of stopped) part.start()
  if (stopped.length > 0) await cluster.settled(60_000)
}

/** The running sentinel that the store names; its log tells under which name it was elected. */
async function leaderOf(cluster: Cluster): Promise<Part | null> {
  const { leader } = await cluster.facts()
  if (leader === null) return null
  const elected = cluster.sentinels
    .filter(({ pid }) => pid !== null)
    .flatMap((part) =>
      entriesOf(readFileSync(part.log, "utf8"))
        .filter(({ code, fields }) => code === "leader.elected" && fields["sentinel"] === leader)
        .map(({ time }) => ({ part, time })),
    )
    .toSorted(by(({ time }) => time, byNumber))
  return elected.at(-1)?.part ?? null
}
