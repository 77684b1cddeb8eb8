/**
 * Reads on standbys, on real etcd and PostgreSQL: who is led where, who is left when it dies, and
 * that sessions on a standby that is promoted end, in a switchover before they could write.
 */
import { expect } from "bun:test"
import { freePorts } from "#test/conformance/ports.ts"
import { until } from "#test/conformance/wait.ts"
import { type Cluster, type Node, newPart } from "./cluster.ts"
import { scenariosOn } from "./scenarios.ts"
import { type Connected, askOne, connect } from "./writer.ts"

const scenario = scenariosOn({ backend: "etcdv3" })

/** A proxy of its own, with a port for reads; ends with the scenario. */
async function startReads(
  cluster: Cluster,
  ...flags: readonly string[]
): Promise<AsyncDisposable & { readonly port: number; readonly reads: number }> {
  const [port = 0, reads = 0] = await freePorts(2)
  const part = newPart(cluster.place, `reads${port}`, [
    "proxy",
    "--cluster-name=e2e",
    "--store-backend=etcdv3",
    `--store-endpoints=${cluster.etcd?.endpoints.join() ?? ""}`,
    `--port=${port}`,
    `--read-only-port=${reads}`,
    ...flags,
  ])
  part.start()
  return { port, reads, [Symbol.asyncDispose]: () => part.kill() }
}

const isStandby = (port: number): Promise<string> => askOne(port, "select pg_is_in_recovery()")
const serverOf = (port: number): Promise<number> =>
  askOne(port, "select inet_server_port()").then(Number)

/** Connects until each of `nodes`, and nobody else, has answered lately. */
const ledTo = (port: number, ...nodes: readonly Node[]): Promise<true> =>
  until(
    `reads to be led to ${nodes.map(({ uid }) => uid).join(" and ")}`,
    async () => {
      const seen = new Set<number>()
      for (let i = 0; i < 3 * nodes.length; i++) seen.add(await serverOf(port))
      return nodes.every((node) => seen.has(node.port)) && seen.size === nodes.length ? true : null
    },
    60_000,
  )

const standbysOf = async (cluster: Cluster): Promise<readonly Node[]> => {
  const primary = await cluster.primary()
  return cluster.nodes.filter(({ uid }) => uid !== primary.uid)
}

interface Reader extends AsyncDisposable {
  readonly port: number
  /** What it was once told by a server that was not in recovery, or took its write. */
  readonly wrong: readonly string[]
  readonly answers: () => number
  readonly over: () => boolean
}

/** One session that tries to write, again and again, until it is ended. */
async function startReader(port: number): Promise<Reader> {
  const sql: Connected = connect(port)
  const wrong: string[] = []
  let [answers, over] = [0, false]
  const [row] = await sql`select inet_server_port() as at`
  const attempt = async (): Promise<void> => {
    try {
      await sql`create table written_by_a_reader ()`
      wrong.push("a write was taken")
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : ""
      if (code === "25006") answers++
      else over = true
    }
  }
  const running = (async () => {
    while (!over) await attempt()
  })()
  return {
    port: Number(row?.["at"]),
    wrong,
    answers: () => answers,
    over: () => over,
    [Symbol.asyncDispose]: async () => {
      over = true
      await sql.end({ timeout: 0 })
      await running
    },
  }
}

scenario(
  "reads are led to both standbys, and the port beside leads to the primary",
  async (cluster) => {
    await using proxy = await startReads(cluster)
    await ledTo(proxy.reads, ...(await standbysOf(cluster)))
    expect(await isStandby(proxy.reads)).toBe("true")
    await until("the primary", async () => (await isStandby(proxy.port)) === "false", 20_000)
  },
)

scenario("a standby that dies is left, and led to again when it is back", async (cluster) => {
  await using proxy = await startReads(cluster)
  const [dies, stays] = await standbysOf(cluster)
  if (dies === undefined || stays === undefined) throw new Error("there are two standbys")
  await ledTo(proxy.reads, dies, stays)
  await dies.killAll()
  // also those who come before the proxy knows: who does not answer is passed over
  for (let i = 0; i < 6; i++) expect(await serverOf(proxy.reads)).toBe(stays.port)
  dies.start()
  await ledTo(proxy.reads, dies, stays)
})

scenario(
  "reads are led to the primary while there is no standby, or wait when that is not wanted",
  async (cluster) => {
    await using proxy = await startReads(cluster)
    await using strict = await startReads(cluster, "--fallback-primary=false", "--hold-timeout=2m")
    const standbys = await standbysOf(cluster)
    await ledTo(proxy.reads, ...standbys)
    await ledTo(strict.reads, ...standbys)
    for (const node of standbys) await node.killAll()
    await ledTo(proxy.reads, await cluster.primary())
    let answered = false
    const patient = until("a standby for who waits", () => isStandby(strict.reads), 100_000).then(
      (found) => {
        answered = true
        return found
      },
    )
    await ledTo(proxy.reads, await cluster.primary())
    expect(answered).toBe(false)
    for (const node of standbys) node.start()
    expect(await patient).toBe("true")
    await ledTo(proxy.reads, ...standbys)
  },
)

scenario(
  "sessions for reads on a standby that is promoted end, and those on the other one go on",
  async (cluster) => {
    await using proxy = await startReads(cluster)
    for (const verb of ["switchover", "failover"] as const) {
      const [target, other] = await standbysOf(cluster)
      if (target === undefined || other === undefined) throw new Error("there are two standbys")
      await ledTo(proxy.reads, target, other)
      await using stack = new AsyncDisposableStack()
      const readers: Reader[] = []
      while (!readers.some(({ port }) => port === target.port) || readers.length < 4)
        readers.push(stack.use(await startReader(proxy.reads)))
      await until("all to read", () => readers.every((one) => one.answers() > 0))
      const how = verb === "switchover" ? ["--to", target.uid] : ["--keeper", target.uid, "--yes"]
      await cluster.ctl(verb, ...how)
      expect((await cluster.primary()).uid).toBe(target.uid)
      await until("readers of the new primary to have ended", () =>
        readers.every((one) => one.port !== target.port || one.over()),
      )
      // in a failover a superuser, whom the keeper leaves alone, may be quicker than the proxy; it
      // then wrote to the primary that the view names
      if (verb === "switchover") expect(readers.flatMap(({ wrong }) => wrong)).toEqual([])
      // whoever reads elsewhere was not disturbed
      const others = readers.filter((one) => one.port === other.port)
      const before = others.map((one) => one.answers())
      await until("the others to go on", () =>
        others.every((one, i) => one.answers() > (before[i] ?? 0)),
      )
      await cluster.settled()
    }
  },
)
