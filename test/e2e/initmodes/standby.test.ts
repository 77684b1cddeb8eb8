/**
 * A standby cluster: its primary follows a PostgreSQL that stolon does not manage, by streaming and
 * by the archive; its other keeper follows the first. It fails over within itself, stays a follower
 * whatever happens, and becomes a cluster of its own when it is told to.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { join } from "node:path"
import { until } from "#test/conformance/wait.ts"
import { type Cluster, type Node, startCluster } from "../cluster.ts"
import { type Outside, newOutside } from "../outside.ts"
import { newPlace } from "../place.ts"
import { type TestedServer, servers } from "../versions/servers.ts"
import { ask, askOne, startWriter } from "../writer.ts"

for (const server of servers())
  describe(`PostgreSQL ${server.major}`, () => {
    suite(server)
  })

const boundMs = 60_000
const streaming = "select status from pg_stat_wal_receiver"
const recovering = "select pg_is_in_recovery()"

function suite(server: TestedServer): void {
  const { major, programs } = server
  const started = new AsyncDisposableStack()
  let outside: Outside
  let cluster: Cluster
  let rows = 0

  /** Writes outside, and waits until the row is at each of these. */
  const arrives = async (nodes: readonly Node[]): Promise<void> => {
    const id = ++rows
    await outside.run(`insert into written values (${id}) returning id`)
    for (const { uid, port } of nodes)
      await until(
        `row ${id} on ${uid}`,
        async () => {
          const found = await askOne(port, `select count(*) from written where id = ${id}`)
          return found === "1"
        },
        30_000,
      )
  }
  const explained = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      console.error(cluster.logs())
      throw error
    }
  }
  const check = (name: string, work: () => Promise<void>): void =>
    test(name, () => explained(work), boundMs)
  const patch = (change: unknown): Promise<string> =>
    cluster.ctl("update", "--patch", JSON.stringify(change))
  const pids = (): readonly (number | undefined)[] =>
    cluster.nodes.map((node) => node.postmaster()?.pid)
  const top = () => cluster.primary()

  beforeAll(async () => {
    const place = started.use(await newPlace("stolon-outside-"))
    outside = started.use(await newOutside({ place, programs }))
    await ask(outside.port, "select pg_create_physical_replication_slot('far')")
    const backup = join(place.directory, "backup")
    await outside.backup(backup)
    const archiveRecoverySettings = { restoreCommand: outside.restoreCommand }
    cluster = started.use(
      await startCluster({
        backend: "etcdv3",
        programs,
        keepers: 2,
        sentinels: 1,
        spec: {
          initMode: "pitr",
          role: "standby",
          pitrConfig: { dataRestoreCommand: `cp -a ${backup}/. %d`, archiveRecoverySettings },
          standbyConfig: {
            standbySettings: { primaryConninfo: outside.conninfo, primarySlotName: "far" },
            archiveRecoverySettings,
          },
        },
      }),
    )
  }, boundMs)
  afterAll(() => started.disposeAsync(), boundMs)

  check("it follows the primary outside by its slot, and its second keeper the first", async () => {
    await cluster.settled()
    await arrives(cluster.nodes)
    const first = await top()
    expect(await askOne(outside.port, "select active from pg_replication_slots")).toBe("true")
    const sender = "select sender_port from pg_stat_wal_receiver"
    for (const { uid, port } of cluster.nodes) {
      expect(await askOne(port, recovering)).toBe("true")
      const from = uid === first.uid ? outside.port : first.port
      expect(await askOne(port, sender)).toBe(`${from}`)
    }
  })

  check("D-45 a changed delay or restore command is loaded without a restart", async () => {
    const before = pids()
    await patch({
      standbyConfig: {
        standbySettings: {
          primaryConninfo: `${outside.conninfo} connect_timeout=5`,
          primarySlotName: "far",
          recoveryMinApplyDelay: "1ms",
        },
        archiveRecoverySettings: { restoreCommand: `${outside.restoreCommand} || exit 1` },
      },
    })
    const { port } = await top()
    await until(
      "the delay",
      async () => (await askOne(port, "show recovery_min_apply_delay")) === "1ms",
    )
    await until("the command", async () =>
      (await askOne(port, "show restore_command")).includes("exit 1"),
    )
    // restore_command needs a restart before 14
    if (major >= 14) expect(pids()).toEqual(before)
    await arrives(cluster.nodes)
  })

  check("what it cannot stream it reads from the archive", async () => {
    const node = await top()
    await ask(outside.port, "alter role repl nologin")
    const busy = "select pg_terminate_backend(pid)::text from pg_stat_replication"
    await ask(outside.port, busy)
    await until("nothing to stream", async () => (await ask(node.port, streaming)).length === 0)
    const id = ++rows
    await outside.run(`insert into written values (${id}) returning id`)
    await outside.archived()
    await until(
      "the row",
      async () =>
        (await askOne(node.port, `select count(*) from written where id = ${id}`)) === "1",
      30_000,
    )
    await ask(outside.port, "alter role repl login")
    await arrives(cluster.nodes)
  })

  check("its primary that dies is replaced by the other, which follows outside too", async () => {
    const old = await top()
    await cluster.settled()
    await old.killAll()
    await until("another primary", async () => (await top()).uid !== old.uid, 30_000)
    const now = await top()
    await arrives([now])
    old.start()
    await cluster.settled()
    await arrives(cluster.nodes)
    for (const { port } of cluster.nodes) expect(await askOne(port, recovering)).toBe("true")
  })

  check("promoted it is a cluster of its own", async () => {
    await cluster.ctl("promote", "--yes")
    await until(
      "the end of recovery",
      async () => {
        const { port } = await top()
        return (await askOne(port, recovering)) === "false"
      },
      30_000,
    )
    await using writer = await startWriter(cluster.proxyPort, "mine")
    await writer.resumes()
    await cluster.settled()
    const primary = await top()
    const conf = await Bun.file(join(primary.dataDir, "postgres", "postgresql.conf")).text()
    expect(conf).not.toMatch(/^(primary_conninfo|restore_command|recovery_min)/m)
  })

  test(
    "D-31 role standby with initMode existing begins as a standby, never as a primary",
    async () => {
      await using other = await startCluster({
        backend: "sqlite",
        programs,
        keepers: 1,
        sentinels: 1,
        spec: {
          initMode: "existing",
          existingConfig: { keeperUID: "keeper1" },
          role: "standby",
          standbyConfig: { standbySettings: { primaryConninfo: outside.conninfo } },
        },
        prepare: (_, dataDir) => outside.backup(join(dataDir, "postgres"), true),
      })
      await other.settled()
      const node = other.node("keeper1")
      await arrives([node])
      expect(await askOne(node.port, recovering)).toBe("true")
      expect(await askOne(node.port, "select received_tli from pg_stat_wal_receiver")).toBe("1")
    },
    boundMs,
  )
}
