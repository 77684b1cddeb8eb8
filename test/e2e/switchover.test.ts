/**
 * Planned switchovers on a real cluster under load (protocol part 6): no transaction fails, no row
 * is lost, and `ctl` tells the phases and the pause. What is refused changes nothing, and who stops
 * waiting stops nothing.
 */
import { expect } from "bun:test"
import { until } from "#test/conformance/wait.ts"
import type { Cluster } from "./cluster.ts"
import { environment, words } from "./place.ts"
import { scenariosOn } from "./scenarios.ts"
import { type Transactors, startTransactors } from "./transactor.ts"
import { ask, rowsAt } from "./writer.ts"

// commits wait for one of the two standbys: round the ring the target often has to be named first
const spec = { synchronousReplication: true }
const scenario = scenariosOn({ backend: "etcdv3", spec })

const createTable = (cluster: Cluster, table: string): Promise<unknown> =>
  ask(cluster.proxyPort, `create table ${table} (id bigint primary key)`)

/** Waits until the leader would agree, by its own rules. */
const agreeable = (cluster: Cluster, ...to: readonly string[]): Promise<string> =>
  until("a switchover to be possible", () => cluster.ctl("switchover", "--dry-run", ...to), 60_000)

/** Every acknowledged row is there, and nothing failed. */
async function whole(cluster: Cluster, clients: Transactors, table: string): Promise<void> {
  await clients.stop()
  expect(clients.failures).toEqual([])
  const there = await rowsAt(cluster.proxyPort, table)
  expect([...clients.acknowledged].filter((id) => !there.has(id))).toEqual([])
}

/** Transactions that began after now are acknowledged. */
async function goesOn({ acknowledged }: Transactors): Promise<void> {
  const before = acknowledged.size
  await until("transactions to go on", () => acknowledged.size > before + 20, 20_000)
}

scenario(
  "D-34 three switchovers round the ring fail no transaction of four clients and lose no row",
  async (cluster) => {
    await createTable(cluster, "ring")
    await using clients = startTransactors(cluster.proxyPort, "ring", 4)
    const pauses: number[] = []
    for (let round = 0; round < 3; round++) {
      await goesOn(clients)
      const from = (await cluster.primary()).uid
      const i = cluster.nodes.findIndex(({ uid }) => uid === from)
      const to = cluster.nodes[(i + 1) % cluster.nodes.length]?.uid ?? ""
      await agreeable(cluster, to)
      const told = await cluster.ctl("switchover", "--to", to)
      const end = new RegExp(
        `^${to} is the primary; writes paused for (?:less than )?([\\d.]+) s\n$`,
        "m",
      )
      expect(told).toMatch(end)
      for (const phase of ["checkpoint", "hold", "stop", "promote"]) expect(told).toContain(phase)
      pauses.push(Number(end.exec(told)?.[1]))
      expect((await cluster.primary()).uid).toBe(to)
      await cluster.settled()
    }
    await goesOn(clients)
    await whole(cluster, clients, "ring")
    expect(await cluster.ctl("status")).toContain("Fencing: on, the primary runs under a lease")
    expect(await cluster.ctl("explain")).toMatch(/^ {2}keeper\d .* yes$/m)
    // generous, for two cores that everything shares; `make bench-failover` measures it
    expect(Math.max(...pauses)).toBeLessThan(10)
    // no client is closed more than once for each of them, and none unless it was idle
    expect(clients.reconnects()).toBeLessThanOrEqual(4 * 3)
  },
)

scenario(
  "a switchover to a keeper that is gone is refused with the reason, and changes nothing",
  async (cluster, writer) => {
    const primary = await cluster.primary()
    const gone = cluster.nodes.find(({ uid }) => uid !== primary.uid)
    if (gone === undefined) throw new Error("there is a standby")
    await gone.killAll()
    await using _ = { [Symbol.asyncDispose]: async () => gone.start() }
    await until(
      "its silence to be noticed",
      async () =>
        (await cluster.facts()).members.some(
          ({ keeper, healthy }) => keeper === gone.uid && healthy === false,
        ),
      40_000,
    )
    const told = await cluster.ctl("switchover", gone.uid).catch(String)
    expect(told).toContain("ended with 1")
    expect(told).toContain("refused the switchover")
    const dry = await cluster.ctl("switchover", gone.uid, "--dry-run").catch(String)
    expect(dry).toContain("ended with 1")
    expect((await cluster.primary()).uid).toBe(primary.uid)
    await writer.resumes()
  },
)

scenario(
  "a switchover whose ctl is interrupted is finished by the leader, after the transaction that it waits for",
  async (cluster) => {
    await createTable(cluster, "slow")
    const from = (await cluster.primary()).uid
    await agreeable(cluster)
    await using clients = startTransactors(cluster.proxyPort, "slow", 2, 1.5)
    await until("a transaction to be under way", async () => {
      const [row] = await ask(
        cluster.proxyPort,
        "select count(*)::int as n from pg_stat_activity where query like 'select pg_sleep%'",
      )
      return Number(row?.["n"]) === 2
    })
    const endpoints = cluster.etcd?.endpoints.join() ?? ""
    const flags = ["--cluster-name=e2e", "--store-backend=etcdv3", `--store-endpoints=${endpoints}`]
    await using ctl = Bun.spawn([...words(["ctl", ...flags, "switchover"])], {
      stdio: ["ignore", "pipe", "pipe"],
      env: environment(),
      cwd: "/tmp",
    })
    // what it tells first proves that it listens for the signal
    await ctl.stdout.getReader().read()
    ctl.kill("SIGINT")
    const [err, code] = await Promise.all([new Response(ctl.stderr).text(), ctl.exited])
    expect({ err, code }).toMatchObject({ code: 130 })
    expect(err).toContain("look at: stolon ctl status")
    await until("another primary", async () => (await cluster.primary()).uid !== from, 30_000)
    await cluster.settled()
    await whole(cluster, clients, "slow")
  },
)
