/**
 * One PostgreSQL 15 and its standby in trouble of every kind that a keeper must see through: wrong
 * files, exhausted connections, a frozen server, a killed one, a restarted keeper; and the proof
 * that commits wait.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import * as v from "valibot"
import { millis } from "#base/brand.ts"
import { sourceTarget } from "#postgres/clone.ts"
import { newSession, type Session } from "#postgres/session.ts"
import { passwordOf } from "#postgres/settings.ts"
import { realClock } from "#system/clock.ts"
import { instanceProcesses } from "#system/instance.ts"
import { signalProcess } from "#system/process.ts"
import { until } from "../../unit/system/until.ts"
import { asPostgres } from "../run-as.ts"
import {
  files,
  type Keeper,
  keeper,
  never,
  primary,
  ready,
  seconds,
  standby,
  start,
  stop,
  type Wish,
} from "./keeper.ts"

if (asPostgres(import.meta.path)) {
  setDefaultTimeout(30_000)
  let a: Keeper
  let b: Keeper
  beforeAll(async () => {
    a = await keeper("a", { requestTimeout: millis(1_500) })
    b = await keeper("b")
    await primary(a)
    await standby(b, a, "db2")
    await superuser(a, "create role app login")
  }, 60_000)
  afterAll(async () => {
    await a[Symbol.asyncDispose]()
    await b[Symbol.asyncDispose]()
  }, 30_000)

  let counter = 0
  /** Writes and loads; resolves with the revision. */
  const configure = async (wish: Wish): Promise<string> => {
    const revision = `c${++counter}`
    await a.run({ kind: "write-config", files: files(a, { ...wish, revision }) })
    await a.run({ kind: "reload", revision, timeout: seconds(5) })
    return revision
  }

  test("reload() throws with line and text for a file that PostgreSQL would not load", async () => {
    const before = await configure({})
    const broken = files(a, { revision: "x", lines: ["no_such_parameter = 'on'"] })
    await a.run({ kind: "write-config", files: broken })
    const reload = a.run({ kind: "reload", revision: "x", timeout: seconds(5) })
    await expect(reload).rejects.toThrow(
      /postgresql.conf line 12: no_such_parameter: unrecognized configuration parameter/,
    )
    const syntax = { ...broken, conf: `${files(a).conf}work_mem == \n` }
    await a.run({ kind: "write-config", files: syntax })
    await expect(a.run({ kind: "reload", revision: "x", timeout: seconds(5) })).rejects.toThrow(
      /line 12: syntax error/,
    )
    const hba = {
      ...files(a, { revision: "x" }),
      hba: `${files(a).hba}host all all 1.2.3.4/99 md5\n`,
    }
    await a.run({ kind: "write-config", files: hba })
    await expect(a.run({ kind: "reload", revision: "x", timeout: seconds(5) })).rejects.toThrow(
      /pg_hba.conf line 6: invalid CIDR mask/,
    )
    expect((await a.up()).revision).toBe(before)
  })

  test("reload() loads what it can of a file with one wrong value, and then throws", async () => {
    await a.run({
      kind: "write-config",
      files: files(a, {
        revision: "soft",
        lines: ["work_mem = 'much'", "maintenance_work_mem = '33MB'"],
      }),
    })
    const reload = a.run({ kind: "reload", revision: "soft", timeout: seconds(5) })
    await expect(reload).rejects.toThrow(/but for: postgresql.conf line 12: work_mem/)
    expect((await a.up()).revision).toBe("soft")
    expect(await ask(a, "select current_setting('maintenance_work_mem') as v")).toBe("33MB")
  })

  test("observe() tells the loaded revision also when an idle session has read a newer file", async () => {
    const loaded = await configure({})
    await a.up()
    // Somebody else's SIGHUP stays pending in our idle session; then newer files are written, and
    // not loaded.
    process.kill(a.postmaster().pid, "SIGHUP")
    await until(
      "the postmaster has told its children",
      async () => (await freshRevision(a)) === loaded,
    )
    await a.run({ kind: "write-config", files: files(a, { revision: "newer" }) })
    expect((await a.up()).revision).toBe(loaded)
  })

  test("prove-sync() needs no checkpoint while no standby answers, and proves it with a quick one too", async () => {
    const before = await checkpoints(a)
    await configure({ sync: "stolon_nobody" })
    await a.run({ kind: "prove-sync", names: "stolon_nobody", timeout: seconds(10) })
    expect(await checkpoints(a)).toBe(before)
    await configure({ sync: "stolon_db2" })
    await until("b is synchronous", async () => (await a.up()).syncStandbys.length === 1)
    for (let i = 0; i < 5; i++)
      await a.run({ kind: "prove-sync", names: "stolon_db2", timeout: seconds(10) })
    await configure({})
  })

  test("D-03 after prove-sync() no commit of anybody is acknowledged without the standby", async () => {
    await superuser(a, "create table if not exists writes (n int)")
    await superuser(a, "grant all on writes to app")
    for (let i = 0; i < 5; i++) {
      await configure({})
      const client = clientOf(a)
      await client.run("insert into writes values (1)", never)
      await configure({ sync: "stolon_nobody" })
      await a.run({ kind: "prove-sync", names: "stolon_nobody", timeout: seconds(10) })
      const insert = client.run("insert into writes values (2)", never, seconds(30)).then(
        () => "acknowledged",
        () => "lost",
      )
      await until("it waits", async () => (await ask(a, waiting)) === "1")
      client.close()
      expect(await insert).toBe("lost")
      await superuser(
        a,
        "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'",
      )
    }
    await configure({})
  })

  test("prove-sync() is not deceived while the checkpointer has not seen the new names", async () => {
    await superuser(a, "create table if not exists writes (n int)")
    await superuser(a, "grant all on writes to app")
    const pid = Number(
      await ask(
        a,
        "select pid::text as v from pg_stat_activity where backend_type = 'checkpointer'",
      ),
    )
    const proof = { kind: "prove-sync", names: "stolon_nobody" } as const
    process.kill(pid, "SIGSTOP")
    try {
      await configure({ sync: "stolon_nobody" })
      // New sessions show the names, and yet a commit is acknowledged without any standby.
      expect(await ask(a, "select current_setting('synchronous_standby_names') as v")).toBe(
        "stolon_nobody",
      )
      const client = clientOf(a)
      await client.run("insert into writes values (3)", never, seconds(10))
      client.close()
      await expect(a.run({ ...proof, timeout: millis(700) })).rejects.toThrow(
        "not proved within 700 ms",
      )
    } finally {
      process.kill(pid, "SIGCONT")
    }
    await a.run({ ...proof, timeout: seconds(10) })
    await configure({})
  })

  test("prove-sync() throws when other names are loaded, and on a standby", async () => {
    await configure({})
    const proof = { kind: "prove-sync", names: "stolon_db2", timeout: seconds(5) } as const
    await expect(a.run(proof)).rejects.toThrow(/is "", not "stolon_db2"/)
    await expect(b.run(proof)).rejects.toThrow("a standby commits nothing")
  })

  test("end-sessions() ends clients, and neither superusers nor walsenders", async () => {
    const client = clientOf(a)
    await client.run("select 1", never)
    const boss = superSession(a)
    await boss.run("select 1", never)
    await a.run({ kind: "end-sessions" })
    await until("the client noticed", () => client.closed)
    await boss.run("select 1", never)
    boss.close()
    await until("b streams", async () => (await b.up()).streaming)
  })

  test("D-43 observe() sees a server whose connections are all taken", async () => {
    await a.up()
    const taken = await exhaust(a)
    expect((await a.observe()).server.kind).toBe("up")
    for (const session of taken) session.close()
    await until("they are gone", async () => (await freshRevision(a)) !== null)
  })

  test("D-81 new names are loaded and proved while clients hold every connection", async () => {
    await configure({})
    await a.up()
    const taken = await exhaust(a)
    await configure({ sync: "stolon_nobody" })
    await a.run({ kind: "prove-sync", names: "stolon_nobody", timeout: seconds(10) })
    await configure({ sync: "stolon_db2" })
    await a.run({ kind: "prove-sync", names: "stolon_db2", timeout: seconds(10) })
    await configure({})
    for (const session of taken) session.close()
    await until("they are gone", async () => (await freshRevision(a)) !== null)
  })

  test("T15 observe() says `starting` of a frozen server within the request timeout, and recovers", async () => {
    await a.up()
    const pid = Number(await ask(a, "select pg_backend_pid()::text as v"))
    expect(pid).toBeGreaterThan(0)
    const frozen = instanceProcesses(new Set([a.pgData]))
    for (const each of frozen) signalProcess(each, "SIGSTOP")
    const before = performance.now()
    const found = await a.observe().finally(() => {
      for (const each of frozen) signalProcess(each, "SIGCONT")
    })
    expect(performance.now() - before).toBeLessThan(4_000)
    expect(found).toMatchObject({
      postmaster: true,
      server: { kind: "starting", why: expect.stringContaining("did not answer") },
    })
    await until("it is up again", async () => (await a.observe()).server.kind === "up")
  })

  test("a session outlives a silence, and takes no late answer for another", async () => {
    const session = superSession(a, 300)
    const one = async (text: string) => (await session.query(valueRow, text, never))[0]?.v
    const pid = Number(await one("select pg_backend_pid()::text as v"))
    process.kill(pid, "SIGSTOP")
    try {
      await expect(one("select 'late' as v")).rejects.toThrow("did not answer within 300 ms")
      await expect(one("select 'later' as v")).rejects.toThrow("did not answer within 300 ms")
    } finally {
      process.kill(pid, "SIGCONT")
    }
    await until("it answers", () =>
      one("select 'now' as v").then(
        (word) => word === "now",
        () => false,
      ),
    )
    expect(await one("select pg_backend_pid()::text as v")).toBe(`${pid}`)
    process.kill(pid, "SIGSTOP")
    for (let i = 0; i < 5; i++) await expect(one("select 'never' as v")).rejects.toThrow("did not")
    expect(session.closed).toBe(true)
    process.kill(pid, "SIGCONT")
  })

  test("a restarted keeper adopts the running PostgreSQL and sees the same", async () => {
    const revision = await configure({})
    const { pid } = a.postmaster()
    const next = await a.reopen()
    expect({ adopted: next.adopted, boot: next.boot }).toEqual({
      adopted: true,
      boot: a.postgres.boot,
    })
    expect((await next.observe(never)).server).toMatchObject({ kind: "up", revision })
    expect(a.postmaster().pid).toBe(pid)
    await next[Symbol.asyncDispose]()
  })

  test("onChange() calls back, and the exit is told, when the postmaster is killed", async () => {
    let calls = 0
    a.postgres.onChange(() => calls++)
    await until(
      "the keeper that was adopted from is in charge again",
      async () => (await a.observe()).server.kind === "up",
    )
    process.kill(a.postmaster().pid, "SIGKILL")
    await until("it is told", () => a.events.some(({ code }) => code === "postgres.exited"))
    expect(calls).toBeGreaterThan(0)
    expect((await a.observe()).server).toEqual({ kind: "down" })
    await a.run(start, ready)
  })

  test("wait-ready() throws as soon as PostgreSQL has ended", async () => {
    await a.run(stop)
    const before = performance.now()
    await expect(a.run({ kind: "wait-ready", timeout: seconds(60) })).rejects.toThrow(
      "PostgreSQL has ended",
    )
    expect(performance.now() - before).toBeLessThan(3_000)
    await a.run(start, ready)
  })

  test("a standby's signal file is not taken away while it is a standby", async () => {
    const wanted = files(b, { follow: a, own: "db2", signal: "none" })
    await expect(b.run({ kind: "write-config", files: wanted })).rejects.toThrow("only a promotion")
    expect((await b.observe()).files?.signal).toBe("standby")
    await b.run(stop)
    await expect(b.run({ kind: "write-config", files: wanted })).rejects.toThrow("only a promotion")
    await b.run({ kind: "write-config", files: files(b, { follow: a, own: "db2" }) }, start, ready)
  })

  test("D-81 promote() works, on a standby with all connections taken and none of its own", async () => {
    await using c = await keeper("c")
    await standby(c, a, "db3")
    const taken = await exhaust(c)
    const next = await c.reopen()
    expect((await next.observe(never)).server).toMatchObject({ kind: "up", inRecovery: true })
    await next.run({ kind: "promote", timeout: seconds(20) }, () => {}, never)
    for (const session of taken) session.close()
    await until("c is a primary", async () => {
      const { server } = await next.observe(never)
      return server.kind === "up" && !server.inRecovery && server.timeline === 2
    })
    await next[Symbol.asyncDispose]()
  })

  test("promote() is quick", async () => {
    await until("b streams", async () => (await b.up()).streaming)
    await a.run(stop)
    const before = performance.now()
    await b.run({ kind: "promote", timeout: seconds(20) })
    const took = performance.now() - before
    expect(took).toBeLessThan(10_000)
    expect(await b.up()).toMatchObject({ inRecovery: false, timeline: 2 })
  })
}

/** Sessions of a superuser until no more is to be had. */
async function exhaust(of: Keeper): Promise<readonly Session[]> {
  const taken: Session[] = []
  for (;;) {
    const session = superSession(of)
    if (
      !(await session.run("select 1", never).then(
        () => true,
        () => false,
      ))
    )
      return taken
    taken.push(session)
    expect(taken.length).toBeLessThan(40)
  }
}

const valueRow = v.object({ v: v.string() })
const waiting = "select count(*)::text as v from pg_stat_activity where wait_event = 'SyncRep'"

function superSession(of: Keeper, ms = 10_000): Session {
  return newSession(
    sourceTarget(of.source, of.settings.superuser, { synchronous_commit: "local" }),
    realClock,
    millis(ms),
  )
}
async function superuser(of: Keeper, text: string): Promise<void> {
  const session = superSession(of)
  await session.run(text, never)
  session.close()
}
async function ask(of: Keeper, text: string): Promise<string> {
  const session = superSession(of)
  const [row] = await session.query(valueRow, text, never)
  session.close()
  return row?.v ?? ""
}
const freshRevision = (of: Keeper): Promise<string | null> =>
  ask(of, "select current_setting('stolon.revision') as v").catch(() => null)
const checkpoints = (of: Keeper): Promise<string> =>
  ask(of, "select checkpoints_req::text as v from pg_stat_bgwriter")

function clientOf(of: Keeper): Session {
  const account = { name: "app", method: "trust", password: "" } as const
  const target = sourceTarget(of.source, account, {})
  return newSession({ ...target, password: passwordOf(account) }, realClock, seconds(10))
}
