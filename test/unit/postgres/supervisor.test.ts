/** The guardian and its PostgreSQL, as real processes: starting, stopping, and the deadline. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { chownSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import { millis } from "#base/brand.ts"
import type { Exit } from "#port/supervision.ts"
import { openSupervisor } from "#postgres/supervisor.ts"
import { realClock } from "#system/clock.ts"
import { isAlive, readProcess } from "#system/process.ts"
import { until } from "../system/until.ts"
import {
  cluster,
  entry,
  freezeBackend,
  identity,
  mono,
  never,
  privateTemp,
  seconds,
  stillRuns,
  template,
} from "./cluster.ts"

let from: Awaited<ReturnType<typeof template>>
beforeAll(async () => {
  from = await template()
})
afterAll(() => from[Symbol.dispose]())

test("start() resolves once the pid file names the postmaster, stop() once nothing is left", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  const exits: Exit[] = []
  supervisor.onExit((exit) => exits.push(exit))
  expect(await supervisor.state(never)).toEqual({ kind: "stopped", exit: null })
  await supervisor.start(pg.what, never)
  const { pid } = pg.postmaster()
  expect(await supervisor.state(never)).toEqual({
    kind: "running",
    pid,
    dataDir: pg.pgData,
    stopping: false,
  })
  await supervisor.stop("fast", seconds(30), never)
  expect(stillRuns(pg.pgData)).toBe(false)
  const exit = { code: 0, signal: null, asked: true }
  expect(await supervisor.state(never)).toEqual({ kind: "stopped", exit })
  expect(exits).toEqual([exit])
})

test("end() stops PostgreSQL, ends the guardian and removes its files", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  await supervisor.start(pg.what, never)
  const guardian = pg.guardian()
  await supervisor.end(seconds(30), never)
  expect(isAlive(guardian)).toBe(false)
  expect(stillRuns(pg.pgData)).toBe(false)
  expect(await Array.fromAsync(new Bun.Glob("guardian.{json,sock}").scan(pg.dataDir))).toEqual([])
})

test("start() tells the last words of a postmaster that ends at once", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  const start = supervisor.start({ ...pg.what, args: ["-c", "nonsense=1"] }, never)
  expect(start).rejects.toThrow(
    /postgres exited unexpectedly.*unrecognized configuration parameter "nonsense"/s,
  )
  await start.catch(() => null)
  expect(await supervisor.state(never)).toMatchObject({
    kind: "stopped",
    exit: { code: 1, asked: false },
  })
})

test("start() refuses a second PostgreSQL", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  await supervisor.start(pg.what, never)
  expect(supervisor.start(pg.what, never)).rejects.toThrow("already running")
  await supervisor.stop("immediate", seconds(30), never)
})

test("at the deadline nothing of PostgreSQL is alive, and the guardian ends", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  await supervisor.start(pg.what, never)
  const guardian = pg.guardian()
  const deadline = mono(1_500)
  await supervisor.hold(deadline, never)
  await supervisor[Symbol.asyncDispose]()
  await until("PostgreSQL is gone", () => !stillRuns(pg.pgData))
  expect(mono(0)).toBeLessThan(deadline)
  await until("the guardian is gone", () => !isAlive(guardian))
  expect(mono(0)).toBeGreaterThanOrEqual(deadline)
})

test("hold() keeps PostgreSQL running for as long as it is repeated", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  await supervisor.start(pg.what, never)
  const end = mono(2_000)
  let held = 0
  await until("two seconds of short holds", async () => {
    await supervisor.hold(mono(1_000), never)
    held++
    return mono(0) > end
  })
  expect(held).toBeGreaterThan(10)
  expect(await supervisor.state(never)).toMatchObject({ kind: "running", stopping: false })
  await supervisor.end(seconds(30), never)
})

test("a backend that hangs does not hold PostgreSQL over the deadline", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  await supervisor.start(pg.what, never)
  const backend = await freezeBackend(pg)
  const deadline = mono(1_500)
  await supervisor.hold(deadline, never)
  await until("PostgreSQL is gone", () => !stillRuns(pg.pgData))
  expect(mono(0)).toBeLessThan(deadline + 100)
  await until("its last trace is gone", () => !isAlive(backend), 500)
})

test("D-44 stop() escalates when a frozen backend holds up the fast shutdown", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  await supervisor.start(pg.what, never)
  const backend = await freezeBackend(pg)
  await supervisor.stop("fast", millis(300), never)
  await until("its last trace is gone", () => !isAlive(backend), 500)
  expect(stillRuns(pg.pgData)).toBe(false)
}, 15_000)

test("a guardian that was frozen past the deadline, its keeper gone, ends PostgreSQL when it wakes", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  await supervisor.start(pg.what, never)
  const guardian = pg.guardian()
  const deadline = mono(1_000)
  await supervisor.hold(deadline, never)
  process.kill(guardian.pid, "SIGSTOP")
  // A hold that is sent while it sleeps must not extend the lease when it is read at last.
  const late = supervisor.hold(mono(1_200), never).catch(() => null)
  await Bun.sleep(0) // it is on its way
  await supervisor[Symbol.asyncDispose]() // who lives would not wait for the guardian to wake
  await until("the deadline has passed", () => mono(0) > deadline + 500)
  expect(stillRuns(pg.pgData)).toBe(true)
  process.kill(guardian.pid, "SIGCONT")
  const woke = mono(0)
  await until("PostgreSQL is gone", () => !stillRuns(pg.pgData))
  expect(mono(0) - woke).toBeLessThan(5_000)
  await late
})

test("D-17 a stop overtakes a start that was just asked for", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  for (let round = 0; round < 10; round++) {
    const start = supervisor.start(pg.what, never).catch(() => null)
    await supervisor.stop("immediate", millis(0), never)
    await start
    expect(await supervisor.state(never)).toMatchObject({ kind: "stopped" })
    expect(stillRuns(pg.pgData)).toBe(false)
  }
  await supervisor.end(seconds(5), never)
})

test("SIGTERM to the guardian stops PostgreSQL in good order and ends the guardian", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  const exits: Exit[] = []
  supervisor.onExit((exit) => exits.push(exit))
  await supervisor.start(pg.what, never)
  const guardian = pg.guardian()
  // the terminal's, not for it
  for (const signal of ["SIGHUP", "SIGINT"] as const) process.kill(guardian.pid, signal)
  expect(await supervisor.state(never)).toMatchObject({ kind: "running", stopping: false })
  process.kill(guardian.pid, "SIGTERM")
  await until("the guardian is gone", () => !isAlive(guardian))
  expect(exits).toEqual([{ code: 0, signal: null, asked: true }])
})

test("start() gets past the pid file of a dead postmaster whose number another program has now", async () => {
  await using pg = await cluster(from)
  // A program of the same user, as after a container's restart. PostgreSQL alone refuses.
  const orders = [
    "launch",
    "--uid",
    `${identity.uid}`,
    "--gid",
    `${identity.gid}`,
    "--",
    "sleep",
    "1000",
  ]
  const other = Bun.spawn([process.execPath, entry, ...orders], { cwd: "/" })
  await until("the other program", () => readProcess(other.pid)?.name === "sleep")
  try {
    const lines = [other.pid, pg.pgData, 1_700_000_000, 5432, pg.dataDir, "", "", "ready"].join(
      "\n",
    )
    await Bun.write(join(pg.pgData, "postmaster.pid"), lines)
    await Bun.write(join(pg.dataDir, ".s.PGSQL.5432.lock"), lines)
    for (const file of [join(pg.pgData, "postmaster.pid"), join(pg.dataDir, ".s.PGSQL.5432.lock")])
      chownSync(file, identity.uid, identity.gid)
    const supervisor = await pg.open()
    await supervisor.start(pg.what, never)
    expect(await supervisor.state(never)).toMatchObject({ kind: "running" })
    await supervisor.end(seconds(30), never)
  } finally {
    other.kill("SIGKILL")
    await other.exited
  }
})

test("the socket works below a directory deeper than socket addresses reach", async () => {
  using temp = privateTemp("stolon-deep-")
  let path = temp.path
  for (let i = 0; i < 4; i++) {
    path = join(path, "d".repeat(60))
    mkdirSync(path)
    chownSync(path, identity.uid, identity.gid)
  }
  const options = { dataDir: path, clock: realClock, identity, initialDeadline: seconds(10) }
  const supervisor = await openSupervisor(options, never)
  expect(await supervisor.state(never)).toEqual({ kind: "stopped", exit: null })
  await supervisor.end(seconds(5), never)
})
