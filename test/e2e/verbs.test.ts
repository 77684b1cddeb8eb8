/**
 * Verbs of every day on a real cluster with a client that writes: a pause in which PostgreSQL dies,
 * a rolling restart, a fresh copy. sqlite is enough of a store for them.
 */
import { expect } from "bun:test"
import { existsSync, readFileSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { postgresPrograms } from "#cmd/dev-place.ts"
import { until } from "#test/conformance/wait.ts"
import type { Cluster, Node } from "./cluster.ts"
import { environment, superuser, words } from "./place.ts"
import { scenariosOn } from "./scenarios.ts"

const scenario = scenariosOn({
  backend: "sqlite",
  sentinels: 1,
  spec: { synchronousReplication: true },
})

const pidOf = (node: Node): number => node.postmaster()?.pid ?? 0
const standbysOf = async (cluster: Cluster): Promise<readonly Node[]> => {
  const primary = await cluster.primary()
  return cluster.nodes.filter(({ uid }) => uid !== primary.uid)
}

scenario(
  "ctl restart --rolling restarts every PostgreSQL, the primary last, and no role moves",
  async (cluster, writer) => {
    const primary = await cluster.primary()
    const before = cluster.nodes.map(pidOf)
    expect(await cluster.ctl("restart", "--rolling", "--dry-run")).toEndWith(
      `would restart ${primary.uid} (primary)\n`,
    )
    const told = await cluster.ctl("restart", "--rolling")
    expect(told.match(/^restarted keeper\d/gm)).toHaveLength(3)
    expect(told).toMatch(new RegExp(`restarted ${primary.uid} \\(primary\\) in [\\d.]+ s\n$`))
    for (const [i, node] of cluster.nodes.entries()) expect(pidOf(node)).not.toBe(before[i] ?? 0)
    expect((await cluster.primary()).uid).toBe(primary.uid)
    await writer.resumes()
  },
)

scenario(
  "D-46 ctl restart --pending brings in a raised max_connections, standbys first",
  async (cluster) => {
    const primary = await cluster.primary()
    const told = await cluster.ctl("configure", "pgParameters.max_connections=150")
    expect(told).toEndWith('+ pgParameters.max_connections: "150"\n')
    await until("every PostgreSQL to wait for a restart", async () =>
      (await cluster.facts()).members.every(({ pendingRestart }) => pendingRestart),
    )
    expect(await cluster.ctl("status")).toContain("stolon ctl restart --pending")
    const restarts = await cluster.ctl("restart", "--pending")
    const restarted = restarts.split("\n").filter((line) => line.startsWith("restarted "))
    expect(restarted).toHaveLength(3)
    expect(restarted.at(-1)).toStartWith(`restarted ${primary.uid} (primary) in `)
    expect(await cluster.ctl("restart", "--pending")).toEndWith("nothing to restart\n")
  },
)

scenario(
  "a pause leaves a primary that died alone, and resume brings it back without a failover",
  async (cluster, writer) => {
    const primary = await cluster.primary()
    await cluster.ctl("pause", "--reason", "kernel update")
    await until("the keepers to know", () =>
      cluster.ctl("status").then((it) => it.includes("PAUSED")),
    )
    const before = performance.now()
    primary.killPostgres()
    const failInterval = 3_000
    await until("failInterval to be over twice", async () => {
      expect((await cluster.primary()).uid).toBe(primary.uid)
      return performance.now() - before > 2 * failInterval
    })
    expect(primary.postmaster()).toBeNull()
    expect(await cluster.ctl("status")).toContain("kernel update")
    await cluster.ctl("resume")
    await writer.resumes()
    expect((await cluster.primary()).uid).toBe(primary.uid)
  },
)

scenario("ctl failover works in a paused cluster", async (cluster, writer) => {
  const [target] = await standbysOf(cluster)
  const sync = (await cluster.facts()).members.find(({ role }) => role === "synchronous standby")
  const uid = sync?.keeper ?? target?.uid ?? ""
  await cluster.ctl("pause")
  await cluster.ctl("failover", "--keeper", uid)
  await writer.resumes()
  expect((await cluster.primary()).uid).toBe(uid)
  await cluster.settled()
  await cluster.ctl("resume")
})

scenario("ctl reclone replaces a standby's copy and leaves the rest alone", async (cluster) => {
  const { members } = await cluster.facts()
  const one = members.find(({ role }) => role === "standby")
  const node = cluster.node(one?.keeper ?? "")
  const primary = await cluster.primary()
  await expect(cluster.ctl("reclone", primary.uid, "--yes")).rejects.toThrow(
    "move it first: stolon ctl switchover",
  )
  await cluster.ctl("reclone", node.uid, "--yes")
  const now = (await cluster.facts()).members.find(({ keeper }) => keeper === node.uid)
  expect(now?.db).not.toBe(one?.db ?? null)
  const asides = (): readonly string[] =>
    readdirSync(node.dataDir).filter((name) => name.startsWith("postgres.aside-"))
  expect(asides()).toHaveLength(1)
  await cluster.ctl("reclone", node.uid, "--discard-old", "--yes")
  expect(asides()).toHaveLength(1) // the second old copy is gone, the first not ours to remove
  expect((await cluster.primary()).uid).toBe(primary.uid)
})

scenario("ctl reload loads the configuration once more on every keeper", async (cluster) => {
  const before = cluster.nodes.map(pidOf)
  const told = await cluster.ctl("reload")
  expect(told.match(/^reloaded keeper\d/gm)).toHaveLength(3)
  expect(cluster.nodes.map(pidOf)).toEqual(before)
})

const common = (cluster: Cluster): readonly string[] => [
  "--cluster-name=e2e",
  "--store-backend=sqlite",
  `--store-endpoints=${join(cluster.place.directory, "store.db")}`,
]

scenario(
  "keeper --dry-run tells what the keeper would do, and changes nothing",
  async (cluster) => {
    const [node] = await standbysOf(cluster)
    if (node === undefined) throw new Error("no standby")
    const dryRun = (dataDir: string, ...argv: string[]): string => {
      const { superuserFile, replicationFile } = cluster.place
      const ran = Bun.spawnSync(
        [
          ...words([
            "keeper",
            "--dry-run",
            ...common(cluster),
            `--data-dir=${dataDir}`,
            "--pg-listen-address=127.0.0.1",
            `--pg-port=${node.port}`,
            `--pg-bin-path=${postgresPrograms("")}`,
            `--pg-su-username=${superuser}`,
            `--pg-su-passwordfile=${superuserFile}`,
            "--pg-repl-username=repl",
            `--pg-repl-passwordfile=${replicationFile}`,
            ...argv,
          ]),
        ],
        { env: environment(), cwd: "/tmp" },
      )
      if (ran.exitCode !== 0) throw new Error(ran.stderr.toString())
      return ran.stdout.toString()
    }
    expect(dryRun(node.dataDir)).toMatch(
      new RegExp(
        `^keeper ${node.uid}\nwanted: DB \\S+ runs as standby of DB \\S+, generation \\d+\n`,
      ),
    )
    await node.killAll()
    using back = new DisposableStack()
    back.defer(() => node.start())
    const files = (): readonly string[] => readdirSync(node.dataDir).toSorted()
    const before = files()
    expect(dryRun(node.dataDir)).toContain(". start\n")
    expect(files()).toEqual(before)
    expect(node.everything()).toEqual([])
    const nowhere = join(cluster.place.directory, "nowhere")
    expect(dryRun(nowhere, "--uid=new_one")).toMatch(
      /^keeper new_one\nwanted: PostgreSQL is left as it is: .*\n1. save-fencing on=true\n2. save-keeper\n$/,
    )
    expect(existsSync(nowhere)).toBe(false)
  },
)

scenario(
  "a sentinel that is restarted stops no write, and a proxy is back at once",
  async (cluster, writer) => {
    const from = performance.now()
    const leader = (await cluster.facts()).leader
    for (const sentinel of cluster.sentinels) {
      expect(await sentinel.stop()).toBe(0)
      sentinel.start()
    }
    await until("another leader", async () => {
      const now = (await cluster.facts()).leader
      return now !== null && now !== leader
    })
    expect(writer.longestGap(from)).toBeLessThan(1_000)
    const before = await cluster.primary()
    expect(await cluster.proxy.stop()).toBe(0)
    cluster.proxy.start()
    await writer.resumes(10_000)
    expect((await cluster.primary()).uid).toBe(before.uid)
  },
)

scenario(
  "a keeper that is replaced in place does not bounce its PostgreSQL, primary or standby",
  async (cluster, writer) => {
    for (const node of cluster.nodes) {
      const pid = pidOf(node)
      const from = performance.now()
      await node.kill() // the program alone: SIGKILL, as `systemctl kill -s KILL` with its main process
      node.start()
      await until("the new keeper to have taken PostgreSQL over", () =>
        readFileSync(node.log, "utf8").includes("was taken over without a restart"),
      )
      await cluster.ctl("reload", node.uid) // it is the new one that does this
      await cluster.settled()
      expect(pidOf(node)).toBe(pid)
      expect(writer.longestGap(from)).toBeLessThan(1_000)
    }
  },
)

scenario(
  "a keeper whose uid has hyphens is a keeper like any other, and status warns of it",
  async (cluster) => {
    const { uid } = await cluster.addNode("pg-db-1-0")
    await cluster.settled()
    expect(await cluster.ctl("status")).toContain(
      "keeper pg-db-1-0: a Go keeper cannot take over a uid with a hyphen",
    )
    await cluster.ctl("reclone", uid, "--yes")
    expect(await cluster.ctl("restart", uid)).toContain("restarted pg-db-1-0 (standby)")
  },
)
