/**
 * What automation around Go stolon relies on (reference 9), on real etcd and PostgreSQL, with our
 * executable called by Go's names and Go's flags. One cluster; every test begins when it has
 * settled.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { openSync, closeSync, writeSync, constants } from "node:fs"
import { join } from "node:path"
import { postgresPrograms } from "#cmd/dev-place.ts"
import { freePorts } from "#test/conformance/ports.ts"
import { until } from "#test/conformance/wait.ts"
import { type GoCluster, type GoKeeper, startGoCluster } from "./go-names.ts"
import { environment, superuser, superuserPassword } from "./place.ts"
import { ask, askOne } from "./writer.ts"

/** As short as the rules below leave room to tell one from the other. */
const spec = {
  sleepInterval: "1s",
  failInterval: "6s",
  requestTimeout: "5s",
  proxyCheckInterval: "1s",
  proxyTimeout: "5s",
  maxStandbyLag: 10_485_760,
  usePgrewind: true,
  // what initdb writes is no part of what is tested here
  mergePgParameters: false,
}
const boundMs = 90_000
let cluster: GoCluster
beforeAll(async () => {
  cluster = await startGoCluster(spec)
}, boundMs)
afterAll(async () => cluster?.[Symbol.asyncDispose](), boundMs)

/** From settled to settled; a failure comes with the ends of all logs. */
function scenario(name: string, work: () => Promise<void>): void {
  test(
    name,
    async () => {
      try {
        await cluster.settled()
        await work()
        await cluster.settled()
      } catch (error) {
        console.error(cluster.logs())
        throw error
      }
    },
    boundMs,
  )
}

const seconds = (from: number): number => (performance.now() - from) / 1_000
const other = async (): Promise<GoKeeper> => {
  const { name } = await cluster.primary()
  const found = cluster.keepers.find((keeper) => keeper.name !== name)
  if (found === undefined) throw new Error("there is one keeper only")
  return found
}

/** Waits until the one standby has all that the primary has. */
const streams = (primary: GoKeeper): Promise<true> =>
  until(
    "the standby to stream",
    async () =>
      (await askOne(
        primary.port,
        "select count(*) = 1 from pg_stat_replication where flush_lsn >= pg_current_wal_flush_lsn()",
      )) === "true" || null,
    60_000,
  )

/** psql, as a client that knows nothing of us; throws what it complains of. */
async function psql(conninfo: string, password: string, statement: string): Promise<string> {
  const child = Bun.spawn(
    [join(postgresPrograms(""), "psql"), "-w", "-X", "-A", "-t", "-c", statement, "-d", conninfo],
    {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...environment(), PGPASSWORD: password, PGCONNECT_TIMEOUT: "3" },
    },
  )
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  if (child.exitCode !== 0) throw new Error(err)
  return out.trim()
}

scenario("8.3 a keeper's log has the words that integration tests look for", async () => {
  const [first] = cluster.keepers
  const all = cluster.keepers.map((keeper) => keeper.said()).join("")
  expect(first?.said()).toContain("exclusive lock on data dir taken")
  expect(all).toContain("superuser password set")
  expect(all).toMatch(/replication role created\s+{"role": "repl"}/)
  const twice = await cluster.run("stolon-keeper", [
    ...cluster.common,
    "--uid=another",
    `--data-dir=${first?.dataDir}`,
    "--pg-listen-address=127.0.0.1",
    "--pg-repl-username=repl",
    "--pg-repl-password=x",
    "--pg-su-password=y",
  ])
  expect([twice.code, twice.err]).toEqual([
    1,
    expect.stringContaining("cannot take exclusive lock on data dir"),
  ])
  const clash = await cluster.run("stolon-keeper", [
    ...cluster.common,
    `--data-dir=${join(cluster.place.directory, "clash")}`,
    "--pg-listen-address=127.0.0.1",
    "--pg-su-username=same",
    "--pg-repl-username=same",
    "--pg-repl-password=x",
    "--pg-su-password=y",
  ])
  expect([clash.code, clash.err]).toEqual([
    1,
    expect.stringContaining(
      "provided superuser name and replication user name are the same but provided passwords are different",
    ),
  ])
})

scenario("8.1 a keeper whose metrics port is taken says so and ends with success", async () => {
  const ended = await cluster.run("stolon-keeper", [
    ...cluster.common,
    `--data-dir=${join(cluster.place.directory, "unmeasured")}`,
    "--pg-listen-address=127.0.0.1",
    "--pg-repl-username=repl",
    "--pg-repl-password=x",
    "--pg-su-password=y",
    `--metrics-listen-address=127.0.0.1:${cluster.proxyPort}`,
  ])
  expect([ended.code, ended.err]).toEqual([
    0,
    expect.stringMatching(/\tERROR\t\S+\tmetrics http server error\t/),
  ])
})

scenario("1.4 a keeper without a uid makes one, keeps it, and refuses another", async () => {
  const dataDir = join(cluster.place.directory, "nameless")
  const flags = [
    ...cluster.common,
    "--cluster-name=elsewhere",
    `--data-dir=${dataDir}`,
    "--pg-listen-address=127.0.0.1",
    "--pg-repl-username=repl",
    "--pg-repl-password=x",
    "--pg-su-password=y",
  ]
  const keeper = cluster.component("nameless", "stolon-keeper", flags)
  const saved: string[] = []
  for (let start = 0; start < 2; start++) {
    keeper.mark()
    keeper.start()
    const uid = await until("its uid", () => /"uid": "([0-9a-f]{8})"/.exec(keeper.said())?.[1])
    keeper.signal("SIGTERM")
    expect(await keeper.ended()).toBe(0)
    expect(await Bun.file(join(dataDir, "keeperstate")).text()).toBe(
      `{"UID":"${uid}","ClusterUID":""}`,
    )
    saved.push(uid)
  }
  expect(saved[1]).toBe(saved[0] ?? "")
  const other = await cluster.run("stolon-keeper", [...flags, "--uid=another"])
  expect([other.code, other.err]).toEqual([
    1,
    expect.stringContaining(`saved uid "${saved[0]}" differs from configuration uid: "another"`),
  ])
})

scenario("T10 two keepers on one host need nothing but two ports", async () => {
  const { dbs } = await cluster.data()
  const ports = [...dbs.values()].map(({ status }) => status.port)
  expect(ports.toSorted()).toEqual(cluster.keepers.map(({ port }) => String(port)).toSorted())
})

scenario("T3 128 MB of WAL are kept unless the specification says otherwise", async () => {
  for (const { port } of cluster.keepers)
    expect(await askOne(port, "show wal_keep_size")).toBe("128MB")
})

scenario("T4 the document is rewritten while nothing happens (G11)", async () => {
  const before = await cluster.data()
  const start = performance.now()
  const after = await until(
    "another changeTime",
    async () => {
      const now = await cluster.data()
      return now.changeTime === before.changeTime ? null : now
    },
    20_000,
  )
  expect(seconds(start)).toBeLessThan(12)
  expect(Date.parse(after.changeTime)).toBeGreaterThan(Date.parse(before.changeTime))
})

scenario("T5 every pass with nothing left to do says so at INFO, in Go's words (8.3)", async () => {
  const line =
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d{4})\tINFO\t\S+\tpostgres parameters not changed$/gm
  for (const keeper of cluster.keepers) {
    keeper.mark()
    await until(
      "three passes to be told",
      () => [...keeper.said().matchAll(line)].length >= 3,
      15_000,
    )
  }
})

scenario("T1 a changed specification is acted upon in well under ten seconds", async () => {
  for (const keeper of cluster.keepers) keeper.mark()
  const start = performance.now()
  const done = await cluster.ctl("update", "--patch", '{"pgParameters":{"work_mem":"7MB"}}')
  expect(done.code).toBe(0)
  for (const { port } of cluster.keepers)
    await until("the parameter", async () => (await askOne(port, "show work_mem")) === "7MB")
  expect(seconds(start)).toBeLessThan(10)
  for (const keeper of cluster.keepers)
    await keeper.says("postgres parameters changed, reloading postgres instance")
})

scenario("8.3 a PostgreSQL that cannot start is told, and started as soon as it can", async () => {
  const standby = await other()
  standby.signal("SIGTERM")
  await standby.ended()
  standby.mark()
  const thief = Bun.listen({ hostname: "127.0.0.1", port: standby.port, socket: { data() {} } })
  try {
    standby.start()
    await standby.says("failed to start postgres")
  } finally {
    thief.stop(true)
  }
  await until("PostgreSQL", () => askOne(standby.port, "select 1"), 30_000)
})

scenario("T8 stolonctl tells success from failure by its exit code", async () => {
  const codes = async (...argv: readonly string[]): Promise<number | null> =>
    (await cluster.ctl(...argv)).code
  expect(await codes("status")).toBe(0)
  expect(await codes("spec")).toBe(0)
  expect(await codes("clusterdata", "read")).toBe(0)
  expect(await codes("update", "--patch", '{"maxStandbys":0}')).toBe(1)
  expect(await codes("update", "--patch", '{"initMode":"existing"}')).toBe(1)
  expect(await codes("update", "--patch", "not json")).toBe(1)
  expect(await codes("init", "--yes", "not json")).toBe(1)
  expect(await codes("failkeeper", "nobody")).toBe(1)
  expect(await codes("removekeeper", "nobody")).toBe(1)
  expect(await codes("nonsense")).toBe(1)
  expect((await cluster.run("stolonctl", ["status"])).code).toBe(1)
  const nowhere = cluster.common.map((flag) => flag.replace(/:\d+$/, ":1"))
  const impatient = [...nowhere, "--store-timeout=500ms"]
  expect((await cluster.run("stolonctl", [...impatient, "status"])).code).not.toBe(0)
})

scenario(
  "T16 clients with md5 and SCRAM passwords, and replication, get through over TCP",
  async () => {
    const primary = await cluster.primary()
    await ask(
      primary.port,
      "set password_encryption = 'md5'; create role old login password 'old pw'",
    )
    await ask(
      primary.port,
      "set password_encryption = 'scram-sha-256'; create role young login password 'young pw'",
    )
    for (const port of [primary.port, cluster.proxyPort])
      for (const [user, password] of [
        ["old", "old pw"],
        ["young", "young pw"],
        [superuser, superuserPassword],
      ] as const) {
        const info = `host=127.0.0.1 port=${port} user=${user} dbname=postgres sslmode=disable`
        expect(await psql(info, password, "select current_user")).toBe(user)
      }
    const info = `host=127.0.0.1 port=${primary.port} user=repl replication=1 sslmode=disable`
    expect(await psql(info, "repl-password", "IDENTIFY_SYSTEM")).toMatch(/^\d+\|1\|[0-9A-F]+\//)
    await expect(psql(info, "wrong", "IDENTIFY_SYSTEM")).rejects.toThrow("password authentication")
  },
)

/** Whether the proxy's port accepts a connection. */
async function listens(): Promise<boolean> {
  try {
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port: cluster.proxyPort,
      socket: { data() {}, error() {} },
    })
    socket.end()
    return true
  } catch {
    return false
  }
}

scenario(
  "T9 a frozen store closes the listener after proxyTimeout, and it opens again",
  async () => {
    const [member] = cluster.etcd.members
    expect(await listens()).toBe(true)
    const { pid } = cluster.proxy
    const frozen = performance.now()
    member?.pause()
    try {
      // the last good check was a proxyCheckInterval ago, or two on a busy machine
      await until("the listener to be closed", async () => !(await listens()), 30_000)
      expect(seconds(frozen)).toBeGreaterThan(5 - 2.2)
    } finally {
      member?.resume()
    }
    await until("the proxy to listen", listens, 10_000)
    expect(cluster.proxy.pid).toBe(pid)
  },
)

scenario(
  "T15 SIGSTOP and SIGCONT are survived by keeper, proxy, sentinel and postmaster",
  async () => {
    const primary = await cluster.primary()
    const before = [primary.pid, cluster.proxy.pid, cluster.sentinel.pid, primary.startedAt()]
    const postmaster = primary.postmaster() ?? 0
    for (const pid of [primary.pid, cluster.proxy.pid, cluster.sentinel.pid, postmaster]) {
      process.kill(pid ?? 0, "SIGSTOP")
      try {
        await until("it to be stopped", async () => {
          const stat = await Bun.file(`/proc/${pid}/stat`).text()
          return /\) T /.test(stat)
        })
        // others notice nothing: shorter than every timeout
        await cluster.ctl("status")
      } finally {
        process.kill(pid ?? 0, "SIGCONT")
      }
      expect(await until("an answer", () => askOne(cluster.proxyPort, "select 42"))).toBe("42")
    }
    await cluster.settled()
    const after = [primary.pid, cluster.proxy.pid, cluster.sentinel.pid, primary.startedAt()]
    expect(after).toEqual(before)
  },
)

scenario("T15 SIGINT stops PostgreSQL before the keeper ends", async () => {
  const standby = await other()
  expect(standby.postmaster()).not.toBeNull()
  standby.signal("SIGINT")
  expect(await standby.ended()).toBe(0)
  expect(standby.postmaster()).toBeNull()
  standby.start()
  await until("PostgreSQL", () => askOne(standby.port, "select 1"), 30_000)
})

scenario("T13 a keeper that starts again has PostgreSQL up within 30 s", async () => {
  const standby = await other()
  const start = performance.now()
  await restart(standby)
  expect(seconds(start)).toBeLessThan(30)
})

/** Stops a keeper in good order, starts it, and waits until the cluster knows of both. */
async function restart(keeper: GoKeeper): Promise<void> {
  const bootOf = async (): Promise<string> => {
    const { keepers } = await cluster.data()
    return [...keepers.values()].find(({ uid }) => uid === keeper.name)?.status.bootUUID ?? ""
  }
  const before = await bootOf()
  keeper.signal("SIGTERM")
  expect(await keeper.ended()).toBe(0)
  expect(keeper.postmaster()).toBeNull()
  keeper.start()
  await until("the new start to be known", async () => (await bootOf()) !== before, 30_000)
  await until("PostgreSQL", () => askOne(keeper.port, "select 1"), 30_000)
  await cluster.settled()
}

scenario("T11 a primary whose keeper is stopped and started in time stays primary", async () => {
  const { master } = (await cluster.data()).cluster.status
  const primary = await cluster.primary()
  await restart(primary)
  expect((await cluster.data()).cluster.status.master).toBe(master)
  expect(await askOne(primary.port, "select pg_is_in_recovery()")).toBe("false")
})

scenario("T11 also when it comes back with another port, and the proxy follows", async () => {
  const { master } = (await cluster.data()).cluster.status
  const primary = await cluster.primary()
  const [port = 0] = await freePorts(1)
  primary.port = port
  await restart(primary)
  const { cluster: after, dbs } = await cluster.data()
  expect([after.status.master, dbs.get(master)?.status.port]).toEqual([master, String(port)])
  const seen = (): Promise<string> => askOne(cluster.proxyPort, "show port")
  await until("clients to get there", async () => (await seen()) === String(port), 30_000)
})

scenario(
  "T7 failkeeper is obeyed at the leader's next check, T6 and its keeper follows",
  async () => {
    const old = await cluster.primary()
    const successor = await other()
    // an operator's wish makes nobody primary who lacks what the old one has
    await streams(old)
    const before = (await cluster.data()).cluster.status.master
    const start = performance.now()
    expect((await cluster.ctl("failkeeper", old.name)).code).toBe(0)
    await until(
      "another primary",
      async () => {
        const { status } = (await cluster.data()).cluster
        return status.master !== before
      },
      30_000,
    )
    expect(seconds(start)).toBeLessThan(10)
    await cluster.settled()
    expect((await cluster.primary()).name).toBe(successor.name)
    await streams(successor)
    expect(seconds(start)).toBeLessThan(60)
  },
)

const slots = async (port: number): Promise<readonly string[]> =>
  (await ask(port, "select slot_name from pg_replication_slots order by 1")).map((row) =>
    String(row["slot_name"]),
  )

scenario(
  "T6 an old primary that comes back follows within 60 s, T2 meanwhile nobody keeps a slot for it",
  async () => {
    const old = await cluster.primary()
    const survivor = await other()
    await streams(old)
    expect(await slots(survivor.port)).toEqual([])
    const { master } = (await cluster.data()).cluster.status
    old.signal("SIGKILL")
    process.kill(old.postmaster() ?? 0, "SIGKILL")
    await old.ended()
    await until(
      "the survivor to be primary",
      async () => {
        const { cluster: c, dbs } = await cluster.data()
        return dbs.get(c.status.master)?.spec.keeperUID === survivor.name
      },
      60_000,
    )
    await until("clients to get through", () => askOne(cluster.proxyPort, "select 1"), 30_000)
    const followers = (await cluster.data()).dbs.get((await cluster.data()).cluster.status.master)
    expect(followers?.spec.followers ?? []).not.toContain(master)
    await until("no slot", async () => (await slots(survivor.port)).length === 0)
    const start = performance.now()
    old.start()
    await streams(survivor)
    expect(seconds(start)).toBeLessThan(60)
  },
)

scenario("T14 a keeper whose stderr nobody reads works on, and ends by SIGINT", async () => {
  const standby = await other()
  standby.signal("SIGTERM")
  await standby.ended()
  const fifo = join(cluster.place.directory, "nobody")
  expect(Bun.spawnSync(["mkfifo", "-m", "666", fifo]).exitCode).toBe(0)
  // open at both ends, read by nobody, full to the last byte before the keeper starts
  const end = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK)
  const filling = Buffer.alloc(4_096, "x")
  for (let full = false; !full;)
    try {
      writeSync(end, filling)
    } catch {
      full = true
    }
  const blocking = openSync(fifo, constants.O_RDWR)
  standby.start(["--debug"], blocking)
  try {
    await until("PostgreSQL", () => askOne(standby.port, "select 1"), 30_000)
    await cluster.settled()
    const done = await cluster.ctl("update", "--patch", '{"pgParameters":{"work_mem":"9MB"}}')
    expect(done.code).toBe(0)
    await until(
      "the parameter",
      async () => (await askOne(standby.port, "show work_mem")) === "9MB",
    )
    standby.signal("SIGINT")
    expect(await standby.ended(30_000)).toBe(0)
    expect(standby.postmaster()).toBeNull()
  } finally {
    closeSync(blocking)
    closeSync(end)
    if (standby.pid === null) standby.start()
  }
})

scenario("T17 init over the running cluster is survived by keepers and proxy", async () => {
  const before = [...cluster.keepers, cluster.proxy, cluster.sentinel].map(({ pid }) => pid)
  const { uid } = (await cluster.data()).cluster
  const text = JSON.stringify({ initMode: "new", ...spec })
  expect((await cluster.ctl("init", "--yes", text)).code).toBe(0)
  await until(
    "the new cluster",
    async () => {
      const { cluster: now } = await cluster.data()
      return now.uid !== uid && now.status.phase === "normal"
    },
    60_000,
  )
  await cluster.settled()
  await until("clients to get through", () => askOne(cluster.proxyPort, "select 1"), 30_000)
  const after = [...cluster.keepers, cluster.proxy, cluster.sentinel].map(({ pid }) => pid)
  expect(after).toEqual(before)
})

test(
  "8.3 a superuser that is also the replication user gets the role added",
  async () => {
    await using one = await startGoCluster(spec, 0)
    const same = [`--pg-repl-username=${superuser}`]
    const keeper = await one.keeper("keeper0", [
      ...same,
      `--pg-repl-passwordfile=${one.place.superuserFile}`,
    ])
    await keeper.says("replication role added to superuser")
    await until("clients", () => askOne(one.proxyPort, "select 1"), 30_000)
  },
  boundMs,
)
