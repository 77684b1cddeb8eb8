/**
 * The life of two keepers' PostgreSQL, step by step, with PostgreSQL 15: initialised, configured,
 * copied, promoted, diverged, rewound, followed again. What a plan relies on is asserted on the
 * way.
 */
import { expect, test } from "bun:test"
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs"
import { join } from "node:path"
import * as v from "valibot"
import { formatLsn, lsn } from "#base/lsn.ts"
import { clusterUID, dbUID, epoch, keeperUID } from "../../unit/postgres/ids.ts"
import type { DBState } from "#model/local.ts"
import type { Step } from "#model/step.ts"
import { newSession } from "#postgres/session.ts"
import { sourceTarget } from "#postgres/clone.ts"
import { until } from "../../unit/system/until.ts"
import { asPostgres } from "../run-as.ts"
import { files, type Keeper, keeper, never, ready, seconds, start, stop } from "./keeper.ts"

if (asPostgres(import.meta.path)) {
  test("D-52 two keepers initialise, copy, fail over, rewind and follow, each step done twice", async () => {
    await using a = await keeper("a")
    await using b = await keeper("b")
    await initialised(a)
    await configured(a)
    await copied(b, a)
    await promoted(b, a)
    await diverged(a, b)
  }, 120_000)
}

/** Each step twice: the second time must change nothing. */
async function twice(of: Keeper, ...steps: readonly Step[]): Promise<void> {
  for (const step of steps) await of.run(step, step)
}

const state: DBState = {
  uid: dbUID("c89509c3"),
  generation: 0 as DBState["generation"],
  initializing: true,
  initPGParameters: null,
}

async function initialised(a: Keeper): Promise<void> {
  expect((await a.observe()).data).toEqual({ kind: "missing" })
  await twice(
    a,
    {
      kind: "save-keeper",
      state: { uid: keeperUID("keeper4"), clusterUID: clusterUID("d8458580") },
    },
    { kind: "save-db", state },
    { kind: "initdb", config: { locale: "C", encoding: "UTF8", dataChecksums: true } },
  )
  expect((await a.observe()).side).toBe(true)
  await twice(
    a,
    { kind: "mark", mark: { kind: "copied", db: state.uid } },
    { kind: "set-aside", reason: "a new cluster begins here" },
    { kind: "swap-in" },
    { kind: "mark", mark: { kind: "setup", db: state.uid } },
    { kind: "prepare", hba: files(a).hba, signal: "none" },
  )
  const temporary = `include_if_exists 'postgresql.conf'\n${files(a, { revision: "temporary" }).conf}work_mem = '5MB'\n`
  await twice(a, { kind: "start", temporary }, ready)
  expect((await a.up()).revision).toBe("temporary")
  const opts = readFileSync(join(a.pgData, "postmaster.opts"), "utf8")
  expect(opts).toContain(
    `"-c" "unix_socket_directories=${a.dataDir}" "-c" "config_file=${a.pgData}/stolon-temp-postgresql.conf"`,
  )
  await twice(a, { kind: "create-roles" }, { kind: "capture-parameters", state })
  const found = await a.observe()
  // what the temporary file adds is nobody's
  expect(found.db.initPGParameters?.has("work_mem")).toBe(false)
  expect(found.db.initPGParameters?.has("stolon.revision")).toBe(false)
  expect(found.db.initPGParameters?.get("datestyle")).toBe("iso, mdy")
  await twice(a, stop, { kind: "unmark" })
  const stopped = await a.observe()
  expect(stopped).toMatchObject({
    mark: null,
    postmaster: false,
    server: { kind: "down" },
    keeper: { uid: "keeper4" },
  })
  expect(stopped.data).toMatchObject({
    kind: "initialized",
    role: "master",
    major: 15,
    control: { state: "shut down", timeline: 1, checksums: true, minRecoveryEnd: 0n },
  })
}

async function configured(a: Keeper): Promise<void> {
  const wanted = files(a, { revision: "r1" })
  await twice(a, { kind: "write-config", files: wanted }, start, ready)
  const found = await a.observe()
  expect(found.files).toEqual(wanted)
  expect(existsSync(join(a.pgData, "stolon-temp-postgresql.conf"))).toBe(false)
  expect(readlinkSync(join(a.pgData, "postgresql.auto.conf"))).toBe("/dev/null")
  for (const name of ["postgresql.conf", "pg_hba.conf"])
    expect(statSync(join(a.pgData, name)).mode & 0o777).toBe(0o600)
  expect(await a.up()).toMatchObject({
    revision: "r1",
    inRecovery: false,
    timeline: 1,
    pendingRestart: false,
  })
  await twice(a, {
    kind: "write-config",
    files: files(a, { revision: "r2", lines: ["max_connections = '25'"] }),
  })
  expect((await a.up()).revision).toBe("r1") // written is not loaded
  await twice(a, { kind: "reload", revision: "r2", timeout: seconds(5) })
  expect(await a.up()).toMatchObject({ revision: "r2", pendingRestart: true })
  await twice(
    a,
    { kind: "create-slot", name: "stolon_db2", reserve: true },
    { kind: "create-slot", name: "stolon_gone", reserve: true },
  )
  await twice(a, { kind: "drop-slot", name: "stolon_gone" })
  expect((await a.up()).slots).toEqual([{ name: "stolon_db2", active: false, lost: false }])
}

async function copied(b: Keeper, a: Keeper): Promise<void> {
  await twice(b, { kind: "clone", from: a.source, slot: "stolon_db2" })
  expect(b.progress.at(-1)).toBe("clone 100%")
  expect(statSync(join(b.dataDir, "postgres.new")).mode & 0o777).toBe(0o700)
  expect(existsSync(join(b.dataDir, "postgres.new", "standby.signal"))).toBe(true)
  await twice(b, { kind: "swap-in" })
  await twice(b, { kind: "write-config", files: files(b, { follow: a, own: "db2" }) }, start, ready)
  await until("b streams", async () => (await b.up()).streaming)
  const wanted = {
    kind: "write-config",
    files: files(a, { revision: "r3", sync: "stolon_db2" }),
  } as const
  await twice(a, wanted, { kind: "reload", revision: "r3", timeout: seconds(5) })
  await until("b is synchronous", async () => (await a.up()).syncStandbys.length > 0)
  expect((await a.up()).syncStandbys).toEqual([dbUID("db2")])
  await twice(a, { kind: "prove-sync", names: "stolon_db2", timeout: seconds(10) })
  await expect(a.run({ kind: "drop-slot", name: "stolon_db2" })).rejects.toThrow("is active")
  await caughtUp(b, a)
}

async function caughtUp(behind: Keeper, ahead: Keeper): Promise<void> {
  const { position } = await ahead.up()
  await until("the standby has everything", async () => (await behind.up()).position >= position)
}

async function promoted(b: Keeper, a: Keeper): Promise<void> {
  await sql(a, "create table rows (n int)")
  await sql(a, "insert into rows values (1)")
  process.kill(a.postmaster().pid, "SIGKILL")
  await until("a is down", async () => (await a.observe()).server.kind === "down")
  await b.run({
    kind: "write-config",
    files: files(b, { revision: "p1", sync: "stolon_db3", follow: a, own: "db2" }),
  })
  await b.run({ kind: "reload", revision: "p1", timeout: seconds(5) })
  await b.run({ kind: "promote", timeout: seconds(20) })
  await b.run({ kind: "promote", timeout: seconds(20) })
  expect(await b.up()).toMatchObject({ inRecovery: false, timeline: 2, streaming: false })
  expect((await b.up()).history.map(({ timelineID }) => timelineID)).toEqual([1])
  expect((await b.observe()).data).toMatchObject({ role: "master" })
  await twice(
    b,
    { kind: "end-sessions" },
    { kind: "prove-sync", names: "stolon_db3", timeout: seconds(10) },
  )
  await b.run({ kind: "write-config", files: files(b, { revision: "p2" }) })
  await b.run({ kind: "reload", revision: "p2", timeout: seconds(5) })
  await sql(b, "insert into rows values (2)")
}

async function diverged(a: Keeper, b: Keeper): Promise<void> {
  // a goes on by itself and writes what b does not have, then crashes.
  await a.run({ kind: "write-config", files: files(a) }, start, ready)
  await sql(a, "insert into rows select generate_series(100, 200)")
  process.kill(a.postmaster().pid, "SIGKILL")
  await until("a is down", async () => (await a.observe()).server.kind === "down")
  const since = (await b.up()).history[0]?.switchPoint ?? lsn(0n)
  await twice(a, { kind: "save-divergent-wal", since })
  const saved = readdirSync(a.dataDir).filter((name) => name.startsWith("divergent-wal-"))
  expect(saved).toHaveLength(1)
  const content = readdirSync(join(a.dataDir, saved[0] ?? ""))
  expect(content).toContain("ORIGIN")
  expect(content.filter((name) => /^00000001[0-9A-F]{16}$/.test(name)).length).toBeGreaterThan(0)
  await b.run({ kind: "create-slot", name: "stolon_db3", reserve: true })
  const mark = { kind: "rewind", db: dbUID("db3") } as const
  await twice(a, { kind: "mark", mark })
  await rewoundWhileWriting(a, b)
  await expect(a.run(start)).rejects.toThrow("half rewound")
  await a.run({ kind: "rewind", source: b.source })
  expect((await a.observe()).data).toMatchObject({ kind: "initialized", role: "standby" })
  await a.run(
    { kind: "unmark" },
    { kind: "write-config", files: files(a, { follow: b, own: "db3" }) },
    start,
    ready,
  )
  await until("a streams from b", async () => (await a.up()).streaming)
  await caughtUp(a, b)
  expect(await a.up()).toMatchObject({ inRecovery: true, timeline: 2 })
  const certificate = {
    epoch: epoch("e1"),
    bootUUID: a.postgres.boot,
    dbuid: dbUID("db3"),
    finalLSN: lsn(0x7fff_ffff_ffff_ffffn),
    reason: "test",
  }
  await twice(a, stop, { kind: "certify", certificate })
  expect((await a.observe()).certificate).toEqual(certificate)
  expect((await a.observe()).data).toMatchObject({
    control: { state: "shut down in recovery", timeline: 2 },
  })
  await twice(a, { kind: "set-aside", reason: "a fresh copy replaces it" })
  const { asides } = await a.observe()
  expect(asides).toHaveLength(1)
  await twice(a, {
    kind: "remove-asides",
    names: asides,
    reason: "the fresh copy has proved itself",
  })
  expect(readdirSync(a.dataDir).filter((name) => name.startsWith("postgres"))).toEqual([])
  expect(lstatSync(join(a.dataDir, "dbstate")).mode & 0o777).toBe(0o600)
  await b.postgres.end(seconds(20), never)
  expect(existsSync(join(b.pgData, "postmaster.pid"))).toBe(false)
}

/**
 * Somebody writes and does not commit, so that nobody else flushes what pg_rewind takes for the end
 * of the log: a copy that has to wait for it is no standby for up to fifteen seconds, and where
 * commits wait for this copy, neither is anything else done.
 */
async function rewoundWhileWriting(a: Keeper, b: Keeper): Promise<void> {
  const target = sourceTarget(b.source, b.settings.superuser, {})
  const session = newSession(target, b.settings.clock, seconds(10))
  await session.run("begin", never)
  let done = false
  const rewound = a.run({ kind: "rewind", source: b.source }).finally(() => (done = true))
  rewound.catch(() => undefined) // it is awaited below
  while (!done) await session.run("insert into rows values (-1)", never)
  await rewound
  const { data } = await a.observe()
  const end = data.kind === "initialized" ? (data.control?.minRecoveryEnd ?? lsn(0n)) : lsn(0n)
  expect(end).toBeGreaterThan(0n)
  const row = v.object({ flushed: v.boolean() })
  const text = `select pg_current_wal_flush_lsn() >= '${formatLsn(end)}' as flushed`
  expect(await session.query(row, text, never)).toEqual([{ flushed: true }])
  session.close()
}

/** One statement as superuser over TCP: also shows that passwords and rules work. */
async function sql(of: Keeper, text: string): Promise<void> {
  const target = sourceTarget(of.source, of.settings.superuser, {})
  const session = newSession(target, of.settings.clock, seconds(10))
  await session.run(text, never)
  session.close()
}
