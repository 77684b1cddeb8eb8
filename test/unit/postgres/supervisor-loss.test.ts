/** Who survives whose death: keeper, guardian, postmaster, backends, one by one and together. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { closeSync, openSync } from "node:fs"
import { join } from "node:path"
import type { Exit } from "#port/supervision.ts"
import { isAlive, processes } from "#system/process.ts"
import { until } from "../system/until.ts"
import {
  bin,
  cluster,
  entry,
  freezeBackend,
  identity,
  mono,
  never,
  processOf,
  psql,
  seconds,
  stillRuns,
  template,
} from "./cluster.ts"

let from: Awaited<ReturnType<typeof template>>
beforeAll(async () => {
  from = await template()
})
afterAll(() => from[Symbol.dispose]())

test("PostgreSQL survives a keeper killed with SIGKILL, and the next keeper adopts it as it is", async () => {
  await using pg = await cluster(from)
  const keeper = Bun.spawn(
    [process.execPath, entry, "keeper", pg.dataDir, JSON.stringify(pg.what)],
    {
      stdio: ["pipe", "pipe", "inherit"],
      detached: true,
    },
  )
  const words = keeper.stdout.getReader()
  const boot = new TextDecoder().decode((await words.read()).value).trim()
  const before = pg.postmaster()
  process.kill(-keeper.pid, "SIGKILL") // its whole group: the guardian is not in it
  await keeper.exited
  const supervisor = await pg.open()
  expect({ adopted: supervisor.adopted, boot: supervisor.boot }).toEqual({ adopted: true, boot })
  expect(await supervisor.state(never)).toMatchObject({
    kind: "running",
    pid: before.pid,
    stopping: false,
  })
  expect(pg.postmaster()).toMatchObject({ pid: before.pid, start: before.start })
  await supervisor.end(seconds(30), never)
})

test("a frozen guardian is replaced by the next keeper, and its PostgreSQL goes with it", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  await supervisor.start(pg.what, never)
  const { boot } = supervisor
  const guardian = pg.guardian()
  process.kill(guardian.pid, "SIGSTOP")
  const next = await pg.open()
  expect(isAlive(guardian)).toBe(false)
  expect(next.boot).not.toBe(boot)
  expect(next.adopted).toBe(false)
  await until("PostgreSQL is gone", async () => (await next.state(never)).kind === "stopped")
  await next.end(seconds(5), never)
}, 15_000)

test("P1 a guardian that freezes beside a living keeper does not outlast the lease, nor does its PostgreSQL", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  const exits: Exit[] = []
  supervisor.onExit((exit) => exits.push(exit))
  const end = mono(2_000)
  await supervisor.lease(end, null, never)
  await supervisor.start(pg.what, never)
  const guardian = pg.guardian()
  process.kill(guardian.pid, "SIGSTOP")
  // what the keeper says next is never answered
  const unheard = new AbortController()
  const next = supervisor.lease(mono(30_000), null, unheard.signal).catch(() => "unheard")
  try {
    await until("PostgreSQL is gone", () => !stillRuns(pg.pgData), 4_000)
    expect(mono(0)).toBeLessThan(end + 100)
    expect(isAlive(guardian)).toBe(false)
    await until("the exit is reported", () => exits.length > 0, 3_000)
  } finally {
    unheard.abort()
    await next
    if (isAlive(guardian)) process.kill(guardian.pid, "SIGKILL")
  }
  await supervisor.end(seconds(30), never)
}, 15_000)

test("a guardian that a keeper finds under a lease, and that freezes then, does not outlast it either", async () => {
  await using pg = await cluster(from)
  const first = await pg.open()
  await first.lease(mono(2_000), null, never)
  await first.start(pg.what, never)
  await first[Symbol.asyncDispose]()
  const second = await pg.open()
  const exits: Exit[] = []
  second.onExit((exit) => exits.push(exit))
  const end = second.leased ?? mono(0)
  const guardian = pg.guardian()
  process.kill(guardian.pid, "SIGSTOP")
  await until("PostgreSQL is gone", () => !stillRuns(pg.pgData), 4_000)
  expect(mono(0)).toBeLessThan(end + 100)
  await until("the exit is reported", () => exits.length > 0, 3_000)
  await second.end(seconds(30), never)
}, 15_000)

test("PostgreSQL ends when its guardian is killed, and a new guardian takes over", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  const exits: Exit[] = []
  supervisor.onExit((exit) => exits.push(exit))
  await supervisor.start(pg.what, never)
  const { boot } = supervisor
  process.kill(pg.guardian().pid, "SIGKILL")
  await until("the exit is reported", () => exits.length > 0, 3_000)
  expect(stillRuns(pg.pgData)).toBe(false)
  expect(exits).toEqual([{ code: null, signal: null, asked: false }])
  expect(await supervisor.state(never)).toEqual({ kind: "stopped", exit: null })
  expect(supervisor.boot).not.toBe(boot)
  await supervisor.start(pg.what, never)
  await supervisor.end(seconds(30), never)
})

test("a postmaster killed with SIGKILL is reported at once, and its backends do not live on", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  const exits: Exit[] = []
  supervisor.onExit((exit) => exits.push(exit))
  await supervisor.start(pg.what, never)
  await freezeBackend(pg) // one that would never notice
  process.kill(pg.postmaster().pid, "SIGKILL")
  await until("the exit is reported", () => exits.length > 0, 800)
  expect(stillRuns(pg.pgData)).toBe(false)
  expect(exits).toEqual([{ code: null, signal: "SIGKILL", asked: false }])
  await supervisor.start(pg.what, never)
  await supervisor.end(seconds(30), never)
})

test("a PostgreSQL that somebody else started is seen, held and stopped", async () => {
  await using pg = await cluster(from)
  // pg_ctl's child outlives it, as a Go keeper's does.
  const pgCtl = [
    join(bin, "pg_ctl"),
    "-D",
    pg.pgData,
    "-o",
    pg.what.args.map((word) => `'${word}'`).join(" "),
  ]
  const log = join(pg.dataDir, "out.log")
  const start = Bun.spawnSync(
    [
      process.execPath,
      entry,
      "launch",
      "--uid",
      `${identity.uid}`,
      "--gid",
      `${identity.gid}`,
      "--",
      ...pgCtl,
      "-w",
      "-l",
      log,
      "start",
    ],
    { stdio: ["ignore", "ignore", "inherit"], cwd: "/" },
  )
  expect(start.exitCode).toBe(0)
  const supervisor = await pg.open()
  const exits: Exit[] = []
  supervisor.onExit((exit) => exits.push(exit))
  const { pid } = pg.postmaster()
  expect(await supervisor.state(never)).toMatchObject({ kind: "running", pid, stopping: false })
  await supervisor.stop("fast", seconds(30), never)
  expect(stillRuns(pg.pgData)).toBe(false)
  expect(exits).toEqual([{ code: null, signal: null, asked: true }])
  await supervisor.end(seconds(5), never)
})

test("a new guardian ends backends whose postmaster and guardian were both killed", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  await supervisor.start(pg.what, never)
  const backend = await freezeBackend(pg)
  const [guardian, postmaster] = [pg.guardian(), pg.postmaster()]
  process.kill(postmaster.pid, "SIGSTOP") // so that the parent-death signal finds it deaf
  process.kill(guardian.pid, "SIGKILL")
  process.kill(postmaster.pid, "SIGKILL")
  await until("both are gone", () => !isAlive(guardian) && !isAlive(postmaster))
  expect(isAlive(backend)).toBe(true)
  const next = await pg.open()
  await until("it says stopped", async () => (await next.state(never)).kind === "stopped", 2_000)
  expect(stillRuns(pg.pgData)).toBe(false)
  await next.start(pg.what, never)
  await next.end(seconds(30), never)
})

test("a guardian that ended for lack of a keeper is replaced by the next call", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  const { boot } = supervisor
  const guardian = pg.guardian()
  await supervisor.hold(mono(200), never)
  await until("the guardian is gone", () => !isAlive(guardian))
  const exits: Exit[] = []
  supervisor.onExit((exit) => exits.push(exit))
  // A call in the very moment of its end fails, like any whose connection breaks; the next one
  // finds a new guardian.
  const answered = () =>
    supervisor.state(never).then(
      () => true,
      () => false,
    )
  await until("an answer", answered, 1_000)
  await supervisor.start(pg.what, never)
  expect(supervisor.boot).not.toBe(boot)
  expect(exits).toEqual([]) // nothing had run, so nothing has ended
  await supervisor.end(seconds(30), never)
  expect(exits).toHaveLength(1)
})

test("T14 PostgreSQL's output never waits for a standard error that nobody reads", async () => {
  await using pg = await cluster(from)
  const pipe = join(pg.dataDir, "stderr")
  Bun.spawnSync(["mkfifo", pipe])
  const fd = openSync(pipe, "r+") // keeps a reader in existence that does not read
  try {
    const keeper = Bun.spawn(
      [process.execPath, entry, "keeper", pg.dataDir, JSON.stringify(pg.what)],
      {
        stdio: ["pipe", "pipe", fd],
      },
    )
    await keeper.stdout.getReader().read()
    keeper.kill("SIGKILL")
    await keeper.exited
    const many =
      "do $$ begin for i in 1..5000 loop raise log '%', repeat('x', 1000); end loop; end $$"
    expect((await psql(pg.dataDir, many)).code).toBe(0)
    const supervisor = await pg.open()
    expect(supervisor.adopted).toBe(true)
    await supervisor.end(seconds(30), never)
  } finally {
    closeSync(fd)
  }
})

test("PostgreSQL goes on when the reader of the guardian's standard error has died with the keeper", async () => {
  await using pg = await cluster(from)
  const keeper = Bun.spawn(
    [process.execPath, entry, "keeper", pg.dataDir, JSON.stringify(pg.what)],
    {
      stdio: ["pipe", "pipe", "pipe"],
    },
  )
  await keeper.stdout.getReader().read()
  keeper.kill("SIGKILL")
  await keeper.stderr.cancel()
  await keeper.exited
  const some = "do $$ begin for i in 1..100 loop raise log '%', i; end loop; end $$"
  expect((await psql(pg.dataDir, some)).code).toBe(0)
  const supervisor = await pg.open()
  expect(supervisor.adopted).toBe(true)
  await supervisor.end(seconds(30), never)
})

test("two guardians never share a data directory, and a stale guardian.json is ignored", async () => {
  await using pg = await cluster(from)
  const alive = processOf(process.pid)
  const stale = { ...alive, start: "1", machineBoot: "x", boot: "old", socket: "/nonexistent" }
  await Bun.write(join(pg.dataDir, "guardian.json"), JSON.stringify(stale))
  const [one, two] = await Promise.all([pg.open(), pg.open()])
  expect(one.boot).toBe(two.boot)
  const guardians = processes().filter((each) => each.pid === pg.guardian().pid)
  expect(guardians).toHaveLength(1)
  await two.end(seconds(5), never).catch(() => one.end(seconds(5), never))
})
