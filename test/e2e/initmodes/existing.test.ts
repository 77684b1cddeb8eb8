/**
 * initMode existing: an instance with data, built by PostgreSQL's own programs and not as stolon
 * would (segments of 64 MiB, WAL on another disk, a tablespace, settings in every file, no
 * replication role), becomes a cluster. Nothing that it held is lost, and what makes it different
 * survives copies, rewinds and being set aside.
 */
import { describe, expect, test } from "bun:test"
import { lstat, readdir, readlink } from "node:fs/promises"
import { dirname, join } from "node:path"
import { until } from "#test/conformance/wait.ts"
import { type Cluster, startCluster } from "../cluster.ts"
import { newOutside } from "../outside.ts"
import { ownedDirectory } from "../place.ts"
import { scenariosOn } from "../scenarios.ts"
import { type TestedServer, servers } from "../versions/servers.ts"
import { askOne } from "../writer.ts"

for (const server of servers())
  describe(`PostgreSQL ${server.major}`, () => {
    suite(server)
  })

const spec = { initMode: "existing", existingConfig: { keeperUID: "keeper1" } }
const rows = "select count(*) from kept"

/** Data in `keeper1`, stopped in good order. */
const prepared =
  (programs: string, conf: readonly string[]) =>
  async (uid: string, dataDir: string): Promise<void> => {
    if (uid !== "keeper1") return
    const directory = dirname(dataDir)
    const [wal, space] = [join(directory, "wal"), join(directory, "space")]
    await ownedDirectory(space)
    await using outside = await newOutside({
      place: { directory, superuserFile: join(directory, "su") },
      programs,
      dataDir: join(dataDir, "postgres"),
      initdb: ["--wal-segsize=64", "--waldir", wal],
      conf,
      replication: false,
    })
    await outside.run("create tablespace elsewhere location '" + space + "'")
    await outside.run("create table kept tablespace elsewhere as select generate_series(1, 1000) i")
    await outside.run("alter system set random_page_cost = 1.5")
    await outside.stop()
  }

const specOf = async (cluster: Cluster): Promise<string> => await cluster.ctl("spec")

function suite({ programs }: TestedServer): void {
  const scenario = scenariosOn({
    backend: "sqlite",
    programs,
    keepers: 2,
    sentinels: 1,
    spec,
    prepare: prepared(programs, ["work_mem = '7MB'", "log_min_duration_statement = 250"]),
  })
  const standbyOf = async (cluster: Cluster) => {
    const primary = await cluster.primary()
    const standby = cluster.nodes.find(({ uid }) => uid !== primary.uid)
    if (standby === undefined) throw new Error("no standby")
    return { primary, standby }
  }

  scenario("an instance is taken over with its data and its parameters", async (cluster) => {
    const { primary, standby } = await standbyOf(cluster)
    expect(primary.uid).toBe("keeper1")
    for (const { port } of cluster.nodes) {
      expect(await askOne(port, rows)).toBe("1000")
      expect(await askOne(port, "show work_mem")).toBe("7MB")
    }
    expect(await askOne(standby.port, "show wal_segment_size")).toBe("64MB")
    const written = await specOf(cluster)
    expect(written).toMatch(/"work_mem": "7MB"/)
    expect(written).toMatch(/"log_min_duration_statement": "250"/)
    // the keeper's own are not the specification's
    expect(written).not.toMatch(/"(port|listen_addresses|unix_socket_directories)":/)
  })

  scenario("D-53 the replication role that it lacked is made", async (cluster) => {
    const { primary } = await standbyOf(cluster)
    const sql = "select rolreplication and rolcanlogin from pg_roles where rolname = 'repl'"
    expect(await askOne(primary.port, sql)).toBe("true")
  })

  scenario("what ALTER SYSTEM had set is taken over too", async (cluster) => {
    for (const { port } of cluster.nodes)
      expect(await askOne(port, "show random_page_cost")).toBe("1.5")
  })

  scenario(
    "D-51 two keepers of one machine have a tablespace each, and a copy made again has its own",
    async (cluster) => {
      const placesOf = async (dataDir: string): Promise<readonly string[]> => {
        const links = join(dataDir, "postgres", "pg_tblspc")
        return await Promise.all((await readdir(links)).map((oid) => readlink(join(links, oid))))
      }
      const { primary, standby } = await standbyOf(cluster)
      const [original] = await placesOf(primary.dataDir)
      const [first] = await placesOf(standby.dataDir)
      expect(original).toEndWith("/space")
      expect(first).toStartWith(`${standby.dataDir}/tablespaces/`)
      // its data is damaged: a standby like that is copied again
      await standby.killAll()
      await Bun.file(join(standby.dataDir, "postgres", "PG_VERSION")).delete()
      standby.start()
      await until(
        "another copy",
        async () => (await placesOf(standby.dataDir))[0] !== first,
        60_000,
      )
      await cluster.settled()
      expect(await askOne(standby.port, rows)).toBe("1000")
      expect(await askOne(primary.port, rows)).toBe("1000")
    },
  )

  scenario(
    "D-39 with other segments and a linked WAL directory the old primary is rewound and follows",
    async (cluster, writer) => {
      await cluster.ctl("update", "--patch", '{"synchronousReplication":true}')
      await until("the standby to be confirmed", async () => {
        const { members } = await cluster.facts()
        return members.some(({ role }) => role === "synchronous standby")
      })
      await cluster.settled()
      const { primary: old } = await standbyOf(cluster)
      const wal = join(old.dataDir, "postgres", "pg_wal")
      const target = (await lstat(wal)).isSymbolicLink() ? await readlink(wal) : ""
      expect(target).toEndWith("/wal")
      await writer.resumes()
      await old.killAll()
      await until("another primary", async () => (await cluster.primary()).uid !== old.uid, 30_000)
      // commits wait for a second copy, which only it can be
      old.start()
      await writer.resumes()
      await cluster.settled()
      expect(await Bun.file(old.log).text()).toMatch(/step.finished.*"step": "rewind"/)
      expect(await readlink(wal)).toBe(target)
      expect(await askOne(old.port, rows)).toBe("1000")
    },
  )

  test("with mergePgParameters false nothing is taken over but the data", async () => {
    await using cluster = await startCluster({
      backend: "sqlite",
      programs,
      keepers: 1,
      sentinels: 1,
      spec: { ...spec, mergePgParameters: false },
      prepare: prepared(programs, ["work_mem = '7MB'"]),
    })
    await cluster.settled()
    expect(await askOne(cluster.proxyPort, "show work_mem")).toBe("4MB")
    expect(await askOne(cluster.proxyPort, rows)).toBe("1000")
    expect(await specOf(cluster)).not.toMatch(/"work_mem"/)
    const { port } = await cluster.primary()
    await until(
      "the role",
      async () => await askOne(port, "select 1 from pg_roles where rolname = 'repl'"),
    )
  }, 60_000)
}
