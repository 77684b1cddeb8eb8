/**
 * The image on a real engine, deployed as `stolon generate compose` says: whatever happens to the
 * primary's container, writes go on, every row that was acknowledged is there, and the container
 * follows when it is back. One cluster for all scenarios; each begins when it has settled.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { until } from "#test/conformance/wait.ts"
import { type At, ask, rowsAt, startWriter, type Writer } from "#test/e2e/writer.ts"
import { type Box, type Containers, startContainers, withoutEngine } from "./cluster.ts"

const boundMs = 300_000
/** Generous, as everything in here: nine containers on two cores. */
const takeoverMs = 60_000
/** What a planned handover may take; the switchovers end to end have the same bound. */
const handoverMs = 10_000
/** Twice as patient as by default: no failover of its own on a machine that is busy besides. */
const spec = { synchronousReplication: true, failInterval: "6s" }
const data = "/var/lib/stolon/keeper/postgres"

let cluster: Containers | undefined
const running = (): Containers => {
  if (cluster === undefined) throw new Error("the cluster did not start")
  return cluster
}

async function explained(work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch (error) {
    console.error(await cluster?.logs())
    throw error
  }
}

function scenario(name: string, work: (all: Containers, writer: Writer) => Promise<void>): void {
  const whole = async (): Promise<void> => {
    const all = running()
    await all.settled()
    const writer = await startWriter(all.door)
    try {
      await writer.resumes()
      await work(all, writer)
      await writer.resumes()
    } finally {
      await writer.stop()
    }
    await all.settled()
    const there = await until("the rows to be read", () => rowsAt(all.door), takeoverMs)
    expect([...writer.acknowledged].filter((id) => !there.has(id))).toEqual([])
  }
  if (withoutEngine === null) test(name, () => explained(whole), boundMs)
  else test.skip(`${name} (skipped: ${withoutEngine})`, () => {})
}

beforeAll(async () => {
  if (withoutEngine !== null) return
  cluster = await startContainers(spec)
  await explained(() => running().settled())
}, boundMs)
afterAll(async () => cluster?.[Symbol.asyncDispose](), boundMs)

const another = (all: Containers, old: Box): Promise<Box> =>
  until(
    "another primary",
    async () => {
      const now = await all.primary()
      return now.name === old.name ? null : now
    },
    takeoverMs,
  )

async function follows(all: Containers, box: Box): Promise<void> {
  const now = await all.settled()
  expect(now.members.find(({ keeper }) => keeper === box.name)?.role).toEndWith("standby")
}

const standby = async (all: Containers): Promise<Box> => {
  const primary = await all.primary()
  return all.box(primary.name === "keeper1" ? "keeper2" : "keeper1")
}

/** As its administrator would, past the network. */
const inPostgres = (box: Box, statement: string) =>
  box.run(
    "bash",
    "-c",
    `PGPASSWORD=$STKEEPER_PG_SU_PASSWORD psql -h /tmp -U postgres -Atqc "$0"`,
    statement,
  )

/** Which directory it is: another one after a copy. */
const directory = (box: Box): Promise<string> => box.shell(`stat --format %i ${data}/base`)

/** On a busy machine a connection may take longer than our client waits. */
const asked = (at: At, statement: string) =>
  until("an answer", () => ask(at, statement), takeoverMs)

const tell = (what: string, ms: number): void => console.log(`${what}: ${(ms / 1000).toFixed(1)} s`)

scenario(
  "each component is process 1 of its container, an ordinary user, and well by the file's own check",
  async (all) => {
    const ours = all.boxes.filter(({ name }) => !name.startsWith("etcd"))
    expect(ours.map(({ name }) => name)).toEqual([
      ...["keeper1", "keeper2", "keeper3", "sentinel1", "sentinel2", "proxy1", "proxy2"],
    ])
    for (const box of ours) {
      const first = await box.shell(
        "readlink /proc/1/exe; awk '/^Uid/ { print $3 }' /proc/1/status",
      )
      expect([box.name, first]).toEqual([box.name, "/usr/local/bin/stolon\n999"])
      const [, ...check] = box.service.healthcheck?.test ?? []
      await until(
        `${box.name} to be well`,
        async () => (await box.run(...check)).code === 0,
        30_000,
      )
    }
  },
)

scenario("published ports lead to the primary and to standbys", async (all) => {
  const standsBy = "select pg_is_in_recovery() as yes"
  for (const proxy of ["proxy1", "proxy2"]) {
    expect(await asked(all.doorOf(proxy, 5432), standsBy)).toEqual([{ yes: false }])
    expect(await asked(all.doorOf(proxy, 5433), standsBy)).toEqual([{ yes: true }])
  }
})

scenario("D-77 orphans in a keeper's container are collected by process 1", async (all) => {
  const box = await all.primary()
  // no process of theirs is left when the shell ends, and the kernel gives them to process 1
  const pids = await box.shell("for i in 1 2 3 4 5; do (exec sleep 600) & done; echo $(jobs -p)")
  const parents = `for pid in ${pids}; do awk '/^PPid/ { print $2 }' /proc/$pid/status; done`
  expect((await box.shell(parents)).split("\n")).toEqual(["1", "1", "1", "1", "1"])
  await box.shell(`kill ${pids}`)
  const left = `for pid in ${pids}; do [ ! -e /proc/$pid ] || echo $pid; done`
  await until("them to be collected", async () => (await box.shell(left)) === "")
})

scenario(
  "a primary's container that is killed is replaced, and follows when started again",
  async (all, writer) => {
    const old = await all.primary()
    const from = performance.now()
    await old.kill()
    await another(all, old)
    await writer.resumes()
    tell("container of the primary killed, longest gap", writer.longestGap(from))
    await old.start()
    await follows(all, old)
  },
)

scenario(
  "a primary's container that is paused beyond failInterval is replaced, and follows afterwards",
  async (all, writer) => {
    const old = await all.primary()
    const from = performance.now()
    await old.pause()
    try {
      await another(all, old)
      await writer.resumes()
      tell("container of the primary paused, longest gap", writer.longestGap(from))
    } finally {
      await old.unpause()
    }
    await follows(all, old)
  },
)

scenario(
  "a primary that is disconnected from the network has fenced itself before another is promoted, and follows when it is back",
  async (all, writer) => {
    const old = await all.primary()
    const from = performance.now()
    await old.disconnect()
    try {
      await another(all, old)
      const { code, output } = await inPostgres(old, "create table fence_probe ()")
      expect({ code, output }).toMatchObject({ code: 2 })
      await writer.resumes()
      tell("primary disconnected, longest gap", writer.longestGap(from))
    } finally {
      await old.connect()
    }
    await follows(all, old)
  },
)

scenario(
  "a standby's container that is stopped and started goes on with its volume",
  async (all) => {
    const box = await standby(all)
    const before = await directory(box)
    expect((await box.stop()).code).toBe(0)
    await box.start()
    await follows(all, box)
    expect(await directory(box)).toBe(before)
  },
)

scenario(
  "a primary's container that comes back without its volume is cloned anew",
  async (all, writer) => {
    const old = await all.primary()
    await old.kill()
    await another(all, old)
    await writer.resumes()
    await old.renew()
    await follows(all, old)
    const [row] = await asked(all.door, "select max(id)::int as id from written")
    await until("the rows", async () => {
      const { output } = await inPostgres(old, "select max(id) from written")
      return Number(output) >= Number(row?.["id"])
    })
  },
)

scenario(
  "docker stop of the primary hands over like a switchover, long before its deadline",
  async (all, writer) => {
    const first = await all.primary()
    await until("a switchover to be possible", () => all.ctl("switchover", "--dry-run"), takeoverMs)
    const planned = performance.now()
    console.log(await all.ctl("switchover"))
    await writer.resumes()
    tell("switchover, longest gap", writer.longestGap(planned))
    const old = await another(all, first)
    await all.settled()
    const from = performance.now()
    const { ms, code } = await old.stop()
    expect(code).toBe(0)
    expect(ms).toBeLessThan(handoverMs)
    await another(all, old)
    await writer.resumes()
    const gap = writer.longestGap(from)
    tell("docker stop of the primary, longest gap", gap)
    tell("docker stop of the primary, until it had ended", ms)
    expect(gap).toBeLessThan(handoverMs)
    await old.start()
    await follows(all, old)
  },
)

scenario("the whole cluster stopped and started has its rows", async (all) => {
  const keepers = all.boxes.filter(({ name }) => name.startsWith("keeper"))
  const ended = await Promise.all(keepers.map((box) => box.stop()))
  expect(ended.map(({ code }) => code)).toEqual([0, 0, 0])
  await Promise.all(keepers.map((box) => box.start()))
})

scenario(
  "docker stop of a sentinel or a proxy ends it in good order before its deadline",
  async (all) => {
    for (const name of ["sentinel1", "sentinel2", "proxy2"]) {
      const box = all.box(name)
      const { ms, code } = await box.stop()
      expect([name, code]).toEqual([name, 0])
      expect(ms).toBeLessThan(Number.parseInt(box.service.stop_grace_period, 10) * 1_000)
      await box.start()
    }
  },
)

scenario(
  "docker stop of the primary ends it before its deadline while the store is away, too",
  async (all) => {
    const members = all.boxes.filter(({ name }) => name.startsWith("etcd"))
    const old = await all.primary()
    for (const member of members) await member.pause()
    try {
      const { ms, code } = await old.stop()
      tell("docker stop of the primary without a store, until it had ended", ms)
      expect(code).toBe(0)
      expect(ms).toBeLessThan(Number.parseInt(old.service.stop_grace_period, 10) * 1_000)
    } finally {
      for (const member of members) await member.unpause()
    }
    await old.start()
  },
)
