/**
 * What only PostgreSQL itself can show of the keeper's part of the reference's defects: slots that
 * lost their WAL, roles that no longer fit the flags, a server that listens elsewhere, other
 * segment sizes, what a standby's control file demands.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { join } from "node:path"
import * as v from "valibot"
import { millis } from "#base/brand.ts"
import { privateHba } from "#keeper/hba.ts"
import type { Step } from "#model/step.ts"
import type { Postgres } from "#port/postgres.ts"
import { sourceTarget } from "#postgres/clone.ts"
import { openPostgres } from "#postgres/open.ts"
import { literal, newSession, type Session } from "#postgres/session.ts"
import type { Account, PostgresSettings } from "#postgres/settings.ts"
import { realClock } from "#system/clock.ts"
import { until } from "../../unit/system/until.ts"
import { asPostgres } from "../run-as.ts"
import {
  bin,
  files,
  freePort,
  type Keeper,
  keeper,
  never,
  primary,
  ready,
  seconds,
  standby,
  start,
  stop,
} from "./keeper.ts"

if (asPostgres(import.meta.path)) {
  setDefaultTimeout(30_000)
  let a: Keeper
  let b: Keeper
  beforeAll(async () => {
    a = await keeper("a")
    b = await keeper("b")
    await primary(a, { lines })
    await standby(b, a, "db2")
  }, 60_000)
  afterAll(async () => {
    await a[Symbol.asyncDispose]()
    await b[Symbol.asyncDispose]()
  }, 30_000)

  test("D-38 a slot keeps WAL from its creation on where it should, and not where Go's do not", async () => {
    await a.run(slot("stolon_kept", true), slot("stolon_not", false))
    const kept = `select coalesce(restart_lsn::text, '') as v from pg_replication_slots where slot_name`
    expect(await ask(a, `${kept} = 'stolon_kept'`)).toMatch(/\//)
    expect(await ask(a, `${kept} = 'stolon_not'`)).toBe("")
    await a.run(drop("stolon_kept"), drop("stolon_not"))
  })

  test("D-37 a slot that kept too much is seen as lost, and can be made anew", async () => {
    await a.run(slot("stolon_late", true))
    for (let i = 0; i < 4; i++) {
      await sql(a, "create table if not exists churn (n int)")
      await sql(a, "insert into churn values (1)")
      await sql(a, "select pg_switch_wal()")
    }
    await sql(a, "checkpoint")
    const late = async () => (await a.up()).slots.find(({ name }) => name === "stolon_late")
    await until("it is lost", async () => (await late())?.lost)
    expect((await a.up()).slots.find(({ name }) => name === "stolon_db2")?.lost).toBe(false)
    await a.run(drop("stolon_late"), slot("stolon_late", true))
    expect((await late())?.lost).toBe(false)
    await a.run(drop("stolon_late"))
  })

  test("D-49 slots of every kind are counted", async () => {
    const before = (await a.up()).slotsUsed
    await sql(a, "select pg_create_logical_replication_slot('theirs', 'pgoutput')")
    const { slotsUsed, slots } = await a.up()
    expect(slotsUsed).toBe(before + 1)
    expect(slots.map(({ name }) => name)).not.toContain("theirs")
    await sql(a, "select pg_drop_replication_slot('theirs')")
  })

  test("D-46 a standby knows what its primary's WAL demands, running and stopped", async () => {
    expect((await a.observe()).floors).toBeNull()
    expect((await b.observe()).floors?.get("max_connections")).toBe(20)
    await b.run(stop)
    expect((await b.observe()).floors?.get("max_wal_senders")).toBe(10)
    await b.run(start, ready)
  })

  test("D-58 looking opens no connection", async () => {
    await a.up()
    const session = sessionOf(a, a.settings.superuser)
    const count = "select sum(sessions)::text as v from pg_stat_database"
    const one = async () => (await session.query(valueRow, count, never))[0]?.v
    const before = await one()
    for (let i = 0; i < 20; i++) await a.up()
    expect(await one()).toBe(before ?? "")
    session.close()
  })

  test("D-72 ALTER SYSTEM is refused in the words that automation knows", async () => {
    const altered = sql(a, "alter system set work_mem = '5MB'")
    await expect(altered).rejects.toThrow(
      'could not fsync file "postgresql.auto.conf": Invalid argument',
    )
  })

  test("D-53 a role that is missing or has another password is made to fit, and no other", async () => {
    const events = () => a.events.filter(({ code }) => code === "role.changed").length
    const secret = () => ask(a, "select rolpassword as v from pg_authid where rolname = 'repl'")
    await a.run({ kind: "check-roles" })
    expect(events()).toBe(0)
    const before = await secret()
    // the same password for SCRAM alone is no change either: it is a SCRAM secret already
    const scram = { ...a.settings.replication, method: "scram-sha-256" } as const
    await as({ ...a.settings, replication: scram }, { kind: "check-roles" })
    expect(await secret()).toBe(before)
    const changed = { ...scram, password: "another" }
    await as({ ...a.settings, replication: changed }, { kind: "check-roles" })
    expect(await secret()).not.toBe(before)
    await a.run({ kind: "check-roles" }) // and back
    expect(events()).toBe(2)
    const fresh = { name: "newrepl", method: "md5", password: "x y'\\" } as const
    await as({ ...a.settings, replication: fresh }, { kind: "check-roles" })
    expect(
      await ask(a, "select rolreplication::text as v from pg_roles where rolname = 'newrepl'"),
    ).toBe("true")
    await as({ ...a.settings, replication: fresh }, { kind: "check-roles" })
    expect(events()).toBe(3)
  })

  test("D-53 a refused superuser gets its new password in a start that only its owner reaches", async () => {
    await using c = await keeper("c")
    await primary(c)
    const superuser = { ...c.settings.superuser, password: "new one" }
    const settings: PostgresSettings = { ...c.settings, superuser }
    const next = await openPostgres(settings, never)
    expect((await next.observe(never)).server).toMatchObject({ kind: "starting", refused: true })
    await expect(next.run(ready, () => {}, never)).rejects.toThrow("refuses its keeper")
    const who = { superuser } as Parameters<typeof privateHba>[0]
    const temporary = `${files(c, { revision: "temporary" }).conf}listen_addresses = ''\nunix_socket_permissions = '0700'\n`
    for (const step of [
      stop,
      { kind: "prepare", hba: privateHba(who), signal: "none" },
      { kind: "start", temporary },
      ready,
      { kind: "create-roles" },
      stop,
      { kind: "write-config", files: files(c) },
      start,
      ready,
    ] as const)
      await next.run(step, () => {}, never)
    expect((await next.observe(never)).server.kind).toBe("up")
    await next[Symbol.asyncDispose]()
  })

  test("T11 a keeper with another port finds the PostgreSQL that runs, and what it listens on", async () => {
    const port = `${await freePort()}`
    const next = await openPostgres({ ...a.settings, port }, never)
    const { server } = await next.observe(never)
    expect(server).toMatchObject({
      kind: "up",
      place: {
        port: a.settings.port,
        listenAddress: "127.0.0.1",
        socketDirectory: a.settings.socketDirectory,
      },
    })
    await next[Symbol.asyncDispose]()
    await until(
      "the first is in charge again",
      async () => (await a.observe()).server.kind === "up",
    )
  })

  test("T16 SCRAM and md5 users reach it over TCP, for replication too", async () => {
    const identify = async (): Promise<string> => {
      const target = sourceTarget(a.source, a.settings.replication, { replication: "true" })
      const session = newSession(target, realClock, seconds(5))
      const [row] = await session.query(systemRow, "IDENTIFY_SYSTEM", never)
      session.close()
      return row?.systemid ?? ""
    }
    const { systemID } = await a.up()
    expect(await identify()).toBe(systemID)
    const { password } = a.settings.replication
    await sql(a, `set password_encryption = 'md5'; alter role repl password ${literal(password)}`)
    expect(await identify()).toBe(systemID)
    expect(
      await ask(a, "select left(rolpassword, 3) as v from pg_authid where rolname = 'repl'"),
    ).toBe("md5")
  })

  test("D-39 another segment size is told, with the oldest file", async () => {
    await using c = await keeper("d")
    const command = `${join(bin, "initdb")} -D %d -U su -A trust --no-sync --wal-segsize=1 >/dev/null`
    await c.run({ kind: "restore", command, timeout: seconds(60) }, { kind: "swap-in" })
    await c.run({ kind: "write-config", files: files(c) }, start)
    const { files: written } = await c.observe()
    expect(written).not.toBeNull()
    const hba = `local all all trust\n`
    await c.run({ kind: "prepare", hba, signal: "none" }, stop, start, ready)
    const { segmentBytes, olderWalFile } = await c.up()
    expect(segmentBytes).toBe(1 << 20)
    expect(olderWalFile).toMatch(/^[0-9A-F]{24}$/)
  })

  const as = async (settings: PostgresSettings, step: Step): Promise<void> => {
    const log = a.settings.log
    const next: Postgres = await openPostgres({ ...settings, log }, never)
    await next.run(step, () => {}, never)
    await next[Symbol.asyncDispose]()
    await until(
      "the first is in charge again",
      async () => (await a.observe()).server.kind === "up",
    )
  }
}

const lines = [
  "wal_level = 'logical'",
  "wal_keep_size = '0'",
  "max_slot_wal_keep_size = '17MB'",
  "min_wal_size = '32MB'",
  "max_wal_size = '32MB'",
] as const
const slot = (name: string, reserve: boolean): Step => ({ kind: "create-slot", name, reserve })
const drop = (name: string): Step => ({ kind: "drop-slot", name })
const systemRow = v.object({ systemid: v.string() })
const valueRow = v.object({ v: v.string() })

const sessionOf = (of: Keeper, account: Account): Session =>
  newSession(
    sourceTarget(of.source, account, { synchronous_commit: "local" }),
    realClock,
    millis(10_000),
  )

async function ask(of: Keeper, text: string): Promise<string> {
  const session = sessionOf(of, of.settings.superuser)
  const [row] = await session.query(valueRow, text, never)
  session.close()
  return row?.v ?? ""
}
async function sql(of: Keeper, text: string): Promise<void> {
  const session = sessionOf(of, of.settings.superuser)
  try {
    await session.run(text, never, seconds(20))
  } finally {
    session.close()
  }
}
