/**
 * initMode pitr: a cluster begins from a base backup and an archive, up to each kind of target. One
 * keeper is initialised again and again, so every restore also begins over the data of a living
 * cluster, which may not be gone before the restore has succeeded.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { existsSync, readFileSync } from "node:fs"
import { open, readdir, stat } from "node:fs/promises"
import { join } from "node:path"
import { until } from "#test/conformance/wait.ts"
import { type Cluster, startCluster } from "../cluster.ts"
import { type Outside, newOutside } from "../outside.ts"
import { type Place, newPlace, wordsOf } from "../place.ts"
import { type TestedServer, servers } from "../versions/servers.ts"
import { ask, askOne } from "../writer.ts"

for (const server of servers())
  describe(`PostgreSQL ${server.major}`, () => {
    suite(server)
  })

const boundMs = 60_000
const rowsSql = "select string_agg(id::text, ',' order by id) from written"

/** What there is to go back to, and the rows that each target ends with. */
interface Past extends AsyncDisposable {
  readonly place: Place
  readonly outside: Outside
  readonly backup: string
  readonly targets: readonly Target[]
}
interface Target {
  readonly name: string
  readonly settings: Readonly<Record<string, string>>
  readonly rows: string
}

async function newPast(programs: string): Promise<Past> {
  await using building = new AsyncDisposableStack()
  const place = building.use(await newPlace("stolon-pitr-"))
  const outside = building.use(await newOutside({ place, programs }))
  const backup = join(place.directory, "backup")
  const add = (id: number): Promise<string> =>
    outside.run(`insert into written values (${id}) returning id`)
  await add(0)
  await outside.backup(backup)
  await add(1)
  const time = await outside.run("select clock_timestamp()::text")
  await add(2)
  await outside.run("select pg_create_restore_point('here')")
  await outside.run("select pg_switch_wal()")
  const xid = await outside.run("insert into written values (3) returning txid_current()")
  await add(4)
  const position = await outside.run("select pg_current_wal_lsn()")
  await add(5)
  await outside.archived()
  const target = (name: string, value: string, rows: string): Target => ({
    name,
    settings: { [name]: value },
    rows,
  })
  const owned = building.move()
  return {
    place,
    outside,
    backup,
    targets: [
      target("recoveryTargetTime", time, "0,1"),
      target("recoveryTargetName", "here", "0,1,2"),
      target("recoveryTargetXid", xid, "0,1,2,3"),
      target("recoveryTargetLsn", position, "0,1,2,3,4"),
      target("recoveryTarget", "immediate", "0"),
      target("recoveryTargetTimeline", "1", "0,1,2,3,4,5"),
    ],
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

function suite({ programs }: TestedServer): void {
  const started = new AsyncDisposableStack()
  let past: Past
  let cluster: Cluster
  const specOf = (
    command: string,
    target?: Readonly<Record<string, string>>,
  ): Readonly<Record<string, unknown>> => ({
    initMode: "pitr",
    mergePgParameters: false,
    pitrConfig: {
      dataRestoreCommand: command,
      archiveRecoverySettings: { restoreCommand: past.outside.restoreCommand },
      ...(target === undefined ? {} : { recoveryTargetSettings: target }),
    },
  })
  const copying = (): string => `cp -a ${past.backup}/. %d && touch ${past.place.directory}/100%%`
  const again = async (spec: Readonly<Record<string, unknown>>): Promise<void> => {
    await cluster.ctl("init", "--yes", JSON.stringify(spec))
  }
  /** Settled, and the cluster that was asked for last. */
  const begun = async (rows: string): Promise<void> => {
    await until(
      `rows ${rows}`,
      async () => {
        const found = await askOne(cluster.proxyPort, rowsSql)
        if (found !== rows) throw new Error(`rows ${found}`)
        return true
      },
      boundMs,
    )
    await cluster.settled()
  }
  const keeper = () => cluster.node("keeper1")
  const logged = (pattern: RegExp): number =>
    [...readFileSync(keeper().log, "utf8").matchAll(new RegExp(pattern, "g"))].length
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

  beforeAll(async () => {
    past = started.use(await newPast(programs))
    cluster = started.use(
      await startCluster({
        backend: "sqlite",
        programs,
        keepers: 1,
        sentinels: 1,
        spec: specOf(copying()),
      }),
    )
  }, boundMs)
  afterAll(() => started.disposeAsync(), boundMs)

  check("without a target everything in the archive comes back, on a new timeline", async () => {
    await begun("0,1,2,3,4,5")
    const { port } = keeper()
    expect(await askOne(port, "select pg_is_in_recovery()")).toBe("false")
    expect(await askOne(port, "select timeline_id from pg_control_checkpoint()")).toBe("2")
    expect(existsSync(join(past.place.directory, "100%"))).toBe(true)
    const conf = readFileSync(join(keeper().dataDir, "postgres", "postgresql.conf"), "utf8")
    expect(conf).not.toMatch(/restore_command|recovery_target(?!_timeline)/)
    // nothing of the new timeline got into the archive that the next restore will read
    expect(await readdir(past.outside.archive)).not.toContain("00000002.history")
  })

  check("each kind of recovery target ends where it says", async () => {
    for (const { settings, rows } of past.targets) {
      await again(specOf(copying(), settings))
      await begun(rows)
    }
  })

  check("a restore command that runs is seen in status, and what was there stays", async () => {
    const pipe = join(past.place.directory, "pipe")
    Bun.spawnSync([...wordsOf(["/usr/bin/mkfifo", pipe])])
    await again(specOf(`${copying()} && cat ${pipe}`))
    await until("the work to be seen", async () =>
      (await cluster.ctl("status")).includes("restore"),
    )
    expect(existsSync(join(keeper().dataDir, "postgres", "PG_VERSION"))).toBe(true)
    await (await open(pipe, "w")).close()
    await begun("0,1,2,3,4,5")
  })

  check("a restore command that fails is reported, tried again, and destroys nothing", async () => {
    const file = join(keeper().dataDir, "postgres", "global", "pg_control")
    const before = await stat(file)
    await again(specOf("echo the tape is torn >&2; exit 3"))
    const failed = /step.failed.*"step": "restore".*\(3\).*the tape is torn/
    await until("the second failure", () => logged(failed) >= 2, 20_000)
    expect((await stat(file)).ino).toBe(before.ino)
    await until("status to say why", async () =>
      (await cluster.ctl("status")).includes("the tape is torn"),
    )
    await again(specOf(copying()))
    await begun("0,1,2,3,4,5")
  })

  check("a restore command that hangs is ended after syncTimeout", async () => {
    await again({
      ...specOf("cat %d/../never 2>/dev/null || tail -f /dev/null"),
      syncTimeout: "1s",
    })
    const ended = /step.failed.*"step": "restore".*ended after syncTimeout/
    await until("its end", () => logged(ended) > 0, 20_000)
  })

  check("D-30 a target that is not in the archive is noticed, and a new init obeyed", async () => {
    await again(specOf(copying(), { recoveryTargetName: "nowhere" }))
    const ended = /recovery ended before configured recovery target was reached/
    await until("PostgreSQL to say so", () => logged(ended) > 0, 20_000)
    await until(
      "the keeper to say so",
      () => logged(/step.failed.*recovery has not reached its target/) > 0,
    )
    await again(specOf(copying(), { recoveryTarget: "immediate" }))
    await begun("0")
    await ask(cluster.proxyPort, "insert into written values (1)")
  })

  check(
    "the parameters of the backup are taken over, but for what the keeper manages",
    async () => {
      await again({ ...specOf(copying()), mergePgParameters: true })
      await begun("0,1,2,3,4,5")
      const { port } = keeper()
      expect(await askOne(port, "show archive_mode")).toBe("on")
      expect(await askOne(port, "show archive_command")).toContain(past.outside.archive)
      const spec = await cluster.ctl("spec")
      expect(spec).toMatch(/"archive_mode": "on"/)
      expect(spec).not.toMatch(/"restore_command"|"port"|"unix_socket/)
    },
  )
}
