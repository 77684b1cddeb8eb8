/**
 * One cluster per PostgreSQL version, and on it what the versions do differently: copies, rewind,
 * synchronous names, parameters that are gone or never were, recovery settings that a reload
 * brings in. The version of this machine in `make test`, all supported ones in `make
 * test-pg-matrix`.
 */
import { describe, expect, test } from "bun:test"
import { existsSync, readFileSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { rows as parameters } from "#keeper/parameters.ts"
import { refusals } from "#postgres/fitness.ts"
import { until } from "#test/conformance/wait.ts"
import { type Cluster, type Node, startCluster } from "../cluster.ts"
import { newPlace, own, wordsOf } from "../place.ts"
import { scenariosOn } from "../scenarios.ts"
import { ask, askOne, rowsAt } from "../writer.ts"
import { type TestedServer, servers } from "./servers.ts"

for (const server of servers())
  describe(`PostgreSQL ${server.major}`, () => {
    suite(server)
  })

/** What PostgreSQL does not know any more, or did not know yet, in this version. */
const unknownTo = (major: number): readonly string[] =>
  parameters
    .filter(({ owner, since, until: last }) => owner === "user" && (major < since || major > last))
    .map(({ name }) => name)

const patch = (cluster: Cluster, change: Readonly<Record<string, unknown>>): Promise<string> =>
  cluster.ctl("update", "--patch", JSON.stringify(change))

const unset = (cluster: Cluster, ...names: readonly string[]): Promise<string> =>
  patch(cluster, { pgParameters: Object.fromEntries(names.map((name) => [name, null])) })

async function standbysOf(cluster: Cluster): Promise<readonly Node[]> {
  const { members } = await cluster.facts()
  return members.filter(({ role }) => role.endsWith("standby")).map((m) => cluster.node(m.keeper))
}

const logOf = (node: Node): string => readFileSync(node.log, "utf8")
const postmasterOf = (node: Node): number | undefined => node.postmaster()?.pid

/** Waits until the server at each of the nodes answers `wanted`. */
const answered = (nodes: readonly Node[], statement: string, wanted: string): Promise<true> =>
  until(
    `${statement} to be ${wanted}`,
    async () => {
      for (const node of nodes) {
        const found = await askOne(node.port, statement)
        if (found !== wanted) throw new Error(`${node.uid}: ${found}`)
      }
      return true as const
    },
    30_000,
  )

/** A standby whose PostgreSQL is killed comes back. */
async function restarted(cluster: Cluster): Promise<void> {
  const [standby] = await standbysOf(cluster)
  if (standby === undefined) throw new Error("no standby")
  const before = postmasterOf(standby)
  standby.killPostgres()
  await until("another start", () => {
    const now = postmasterOf(standby)
    return now !== undefined && now !== before
  })
  await cluster.settled()
}

function suite({ major, programs }: TestedServer): void {
  test("D-70 the table of parameters says of each name what PostgreSQL itself says", async () => {
    const asked = parameters.filter(({ owner, name }) => owner !== "nobody" && !name.includes("."))
    await using place = await newPlace("stolon-names-")
    const file = join(place.directory, "postgresql.conf")
    const text = asked.map(({ name }) => `${name} = '1'\n`).join("")
    await writeFile(file, text)
    await own(file)
    const question = ["-c", `config_file=${file}`, "-c", `data_directory=${place.directory}`]
    const child = Bun.spawnSync(
      [...wordsOf([join(programs, "postgres"), ...question, "-C", "port"])],
      { env: { LC_ALL: "C" } },
    )
    const unknown = refusals(child.stderr.toString(), text).filter(({ line }) => line === null)
    expect(unknown.map(({ name }) => name).toSorted()).toEqual(
      asked
        .filter(({ since, until: last }) => major < since || major > last)
        .map(({ name }) => name)
        .toSorted(),
    )
  })

  test("D-71 newConfig is obeyed, and checksums are off where nobody asks, in every version", async () => {
    const options = { backend: "sqlite", programs, keepers: 1, sentinels: 1 } as const
    await using cluster = await startCluster(options)
    const found = async (): Promise<string> => {
      await cluster.settled()
      return await askOne(cluster.proxyPort, "show data_checksums")
    }
    expect(await found()).toBe("off")
    const { clusterUID } = await cluster.facts()
    const newConfig = { dataChecksums: false, locale: "C", encoding: "LATIN1" }
    await cluster.ctl("init", "--yes", JSON.stringify({ initMode: "new", newConfig }))
    await until("the other cluster", async () => (await cluster.facts()).clusterUID !== clusterUID)
    expect(await found()).toBe("off")
    const made = "datcollate || ' ' || pg_encoding_to_char(encoding)"
    const from = "from pg_database where datname = 'postgres'"
    expect(await askOne(cluster.proxyPort, `select ${made} ${from}`)).toBe("C LATIN1")
  })

  const scenario = scenariosOn({
    backend: "sqlite",
    programs,
    keepers: 3,
    sentinels: 1,
    spec: { newConfig: { dataChecksums: true }, automaticPgRestart: true },
  })

  scenario(
    "D-69 D-74 standbys are cloned with their slots and stream, in this version",
    async (cluster) => {
      const now = await cluster.settled()
      expect(now.members.map(({ version }) => version?.split(".")[0])).toEqual(
        Array.from({ length: 3 }, () => `${major}`),
      )
      const standbys = await standbysOf(cluster)
      expect(standbys).toHaveLength(2)
      for (const { port } of standbys) {
        expect(await askOne(port, "select status from pg_stat_wal_receiver")).toBe("streaming")
        expect(await askOne(port, "show server_version_num")).toStartWith(`${major}`)
      }
      const { port } = await cluster.primary()
      const slots =
        "select count(*) from pg_replication_slots where active and restart_lsn is not null"
      expect(await askOne(port, slots)).toBe("2")
    },
  )

  scenario("D-71 checksums are on where they are asked for", async (cluster) => {
    expect(await askOne((await cluster.primary()).port, "show data_checksums")).toBe("on")
  })

  scenario("D-72 ALTER SYSTEM is refused with PostgreSQL's own words", async (cluster) => {
    for (const { port } of cluster.nodes) {
      const refused = ask(port, "alter system set work_mem = '8MB'")
      // opening the link to /dev/null works, making it durable does not
      expect(refused).rejects.toThrow('could not fsync file "postgresql.auto.conf"')
    }
  })

  scenario(
    "D-70 D-48 parameters that this version does not know are reported and stop no start",
    async (cluster) => {
      const wrong = ["wal_keep_segments", ...unknownTo(major), "no_such_parameter"]
      const values = Object.fromEntries(wrong.map((name) => [name, "0"]))
      await patch(cluster, { pgParameters: { ...values, work_mem: "5MB" } })
      await answered(cluster.nodes, "show work_mem", "5MB")
      for (const node of cluster.nodes)
        for (const name of wrong)
          await until(`${node.uid} to report ${name}`, () =>
            logOf(node).includes(`"name": "${name}"`),
          )
      await restarted(cluster)
      await unset(cluster, "work_mem", ...wrong)
    },
  )

  scenario("a wrong value is reported and stops no start", async (cluster) => {
    await patch(cluster, { pgParameters: { work_mem: "much" } })
    const [standby] = await standbysOf(cluster)
    const log = standby?.log ?? ""
    const said = (pattern: RegExp) => async () => pattern.test(await Bun.file(log).text())
    await until("the refusal", said(/step.failed.*loaded its configuration but for.*work_mem/))
    standby?.killPostgres()
    await until("the start without it", said(/parameter.ignored.*"name": "work_mem"/))
    await until("it to run", () => standby?.postmaster())
    await unset(cluster, "work_mem")
  })

  scenario(
    "D-73 D-46 a limit that grows and shrinks pauses no standby and ends none",
    async (cluster) => {
      for (const limit of ["130", "90"]) {
        await patch(cluster, { pgParameters: { max_connections: limit } })
        await until(
          "the primary's limit",
          async () => {
            const { port } = await cluster.primary()
            return (await askOne(port, "show max_connections")) === limit
          },
          40_000,
        )
        await cluster.settled()
        const rows = await rowsAt(cluster.proxyPort)
        for (const { port } of await standbysOf(cluster)) {
          await until("a limit that suffices", async () => {
            return Number(await askOne(port, "show max_connections")) >= Number(limit)
          })
          expect(await askOne(port, "select pg_is_wal_replay_paused()")).toBe("false")
          await until("the rows to be there", async () => {
            const there = await rowsAt(port)
            return [...rows].every((id) => there.has(id))
          })
          // a lowered limit comes late, by a restart of its own, which belongs here
          const shown = async () => (await askOne(port, "show max_connections")) === limit
          await until("the limit itself", shown, 40_000)
        }
      }
    },
  )

  scenario("commits wait for the synchronous standby", async (cluster) => {
    await patch(cluster, { synchronousReplication: true })
    await until("the standby to be confirmed", () =>
      cluster.sentinels.some(({ log }) => readFileSync(log, "utf8").includes("sync.confirmed")),
    )
    const { port } = await cluster.primary()
    expect(await askOne(port, "show synchronous_standby_names")).toMatch(/^stolon_\w+$/)
    const standby = "select sync_state from pg_stat_replication where sync_state <> 'async'"
    await until("one of the two", async () => (await ask(port, standby)).length === 1)
    expect(await askOne(port, standby)).toBe("sync")
  })

  scenario(
    "D-45 D-52 a killed primary is replaced, rewound and follows; the others change sides unrestarted",
    async (cluster, writer) => {
      const old = await cluster.primary()
      const pids = new Map(cluster.nodes.map((node) => [node.uid, postmasterOf(node)]))
      await old.killAll()
      await until("another primary", async () => (await cluster.primary()).uid !== old.uid, 30_000)
      await writer.resumes()
      const now = await cluster.primary()
      const other = cluster.nodes.find(({ uid }) => uid !== old.uid && uid !== now.uid)
      if (other === undefined) throw new Error("no third node")
      await until(
        "the other to follow",
        async () =>
          (await askOne(other.port, "select received_tli from pg_stat_wal_receiver")) !== "1" &&
          (await askOne(other.port, "select sender_port from pg_stat_wal_receiver")) ===
            `${now.port}`,
        30_000,
      )
      expect(postmasterOf(other)).toBe(pids.get(other.uid))
      old.start()
      await cluster.settled()
      expect(logOf(old)).toMatch(/step.finished.*"step": "rewind"/)
      expect(logOf(old)).not.toMatch(/step.failed.*"step": "rewind"/)
      expect(existsSync(join(old.dataDir, "postgres.new"))).toBe(false)
      await answered([old], "select status from pg_stat_wal_receiver", "streaming")
    },
  )
}
