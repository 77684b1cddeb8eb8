/**
 * A standby that fetches the segment of a fork anew, as the first of a newer timeline, and has not
 * come to the fork yet: promoted or restarted then it must not stumble over its own half file. The
 * WAL comes through a wire that stops after some bytes.
 */
import { expect, test } from "bun:test"
import { connect, createServer, type Socket } from "node:net"
import * as v from "valibot"
import { sourceTarget } from "#postgres/clone.ts"
import { shortBeginnings } from "#postgres/first-segment.ts"
import { newSession, type Session } from "#postgres/session.ts"
import { passwordOf } from "#postgres/settings.ts"
import { realClock } from "#system/clock.ts"
import { instanceProcesses } from "#system/instance.ts"
import { signalProcess } from "#system/process.ts"
import { until } from "../../unit/system/until.ts"
import { asPostgres } from "../run-as.ts"
import { files, type Keeper, keeper, never, primary, ready, seconds, standby } from "./keeper.ts"
import { start, stop, type Wish } from "./keeper.ts"

/** Walsenders send 128 KiB at a time. */
const budget = 400_000
const rows = 20_000

interface Wire extends AsyncDisposable {
  readonly port: string
  /** It has carried what it may. */
  stuck(): boolean
}

/** What a server sends of timeline 2 passes until the budget is used up, and then nothing. */
async function wire(to: string): Promise<Wire> {
  const sockets: Socket[] = []
  let [left, counts] = [budget, false]
  const server = createServer((client) => {
    const upstream = connect(Number(to), "127.0.0.1")
    sockets.push(client, upstream)
    const end = (): void => void [client.destroy(), upstream.destroy()]
    for (const each of [client, upstream]) each.on("error", end).on("close", end)
    client.on("data", (bytes: Buffer) => {
      counts ||= /^Q....START_REPLICATION .* TIMELINE 2\0/s.test(bytes.toString("latin1"))
      upstream.write(bytes)
    })
    upstream.on("data", (bytes: Buffer) => {
      if (counts) left -= bytes.length
      if (left > 0) client.write(bytes)
      else {
        client.write(bytes.subarray(0, Math.max(0, left + bytes.length)))
        upstream.pause()
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no port")
  return {
    port: `${address.port}`,
    stuck: () => left <= 0,
    [Symbol.asyncDispose]: async () => {
      for (const each of sockets) each.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const session = (of: Keeper): Session =>
  newSession(
    {
      ...sourceTarget(of.source, of.settings.superuser, {}),
      password: passwordOf(of.settings.superuser),
    },
    realClock,
    seconds(10),
  )

const row = v.object({ v: v.string() })
async function ask(of: Keeper, expression: string): Promise<string> {
  const one = session(of)
  try {
    return (await one.query(row, `select (${expression})::text as v`, never))[0]?.v ?? ""
  } finally {
    one.close()
  }
}
async function tell(of: Keeper, sql: string): Promise<void> {
  const one = session(of)
  await one.run(sql, never)
  one.close()
}

let revisions = 0
async function load(of: Keeper, wish: Wish): Promise<void> {
  const revision = `h${++revisions}`
  await of.run({ kind: "write-config", files: files(of, { ...wish, revision }) })
  await of.run({ kind: "reload", revision, timeout: seconds(5) })
}

const lines = [`wal_retrieve_retry_interval = '100ms'`]
const alone: Wish = {
  signal: "standby",
  lines: [...lines, `recovery_target_timeline = 'latest'`],
}

/**
 * `b` has replayed all of `a`, which begins timeline 2 then, and `b` receives a piece of it and no
 * more.
 */
async function half(a: Keeper, b: Keeper, through: Wire): Promise<void> {
  await primary(a)
  await standby(b, a, "db2", { lines })
  const filler = "string_agg(md5((i * j)::text), '') from generate_series(1, 8) j"
  await tell(
    a,
    `create table big as select i, (select ${filler}) as t from generate_series(1, ${rows}) i`,
  )
  await a.run(stop)
  await until("b has replayed everything", async () => {
    const known = "pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()"
    return (await ask(b, `${known} and not exists(select from pg_stat_wal_receiver)`)) === "true"
  })
  const relayed = { ...a, settings: { ...a.settings, port: through.port } }
  await load(b, { follow: relayed, own: "db2", lines })
  await a.run({ kind: "write-config", files: files(a, { signal: "standby" }) }, start, ready)
  await a.run(promote, { kind: "create-slot", name: "stolon_db2", reserve: true })
  await until(
    "b has half of the segment",
    async () =>
      through.stuck() && (await shortBeginnings(b.pgData, "whole")).length > 0 && isBehind(b),
  )
}
const promote = { kind: "promote", timeout: seconds(10) } as const

const isBehind = async (b: Keeper): Promise<boolean> =>
  (await ask(b, "pg_last_wal_receive_lsn() < pg_last_wal_replay_lsn()")) === "true"

const everyRow = "select count(*) || ' ' || count(distinct i) from big"
const whole = `${rows} ${rows}`

async function isPrimaryOf(b: Keeper, timeline: number): Promise<void> {
  await b.run(promote)
  expect(await ask(b, everyRow)).toBe(whole)
  await tell(b, "checkpoint")
  expect(await ask(b, "select timeline_id from pg_control_checkpoint()")).toBe(`${timeline}`)
}

if (asPostgres(import.meta.path)) {
  test("promote() makes a primary of a standby whose newest timeline is received half, as far as it had replayed", async () => {
    await using a = await keeper("above")
    await using b = await keeper("below")
    await using through = await wire(a.settings.port)
    await half(a, b, through)
    await load(b, alone)
    await isPrimaryOf(b, 3)
    expect(b.progress.filter((text) => text.startsWith("completed"))).toHaveLength(1)
    // and all of it is there for its standbys, and for itself after a crash
    await crash(b)
    await b.run({ kind: "write-config", files: files(b) }, start, ready)
    expect(await ask(b, everyRow)).toBe(whole)
  }, 60_000)

  test("start() brings a standby up that ended while its newest timeline was received half and whose upstream is gone", async () => {
    await using a = await keeper("above")
    await using b = await keeper("below")
    await using through = await wire(a.settings.port)
    await half(a, b, through)
    await crash(a)
    await load(b, alone)
    const position = await ask(b, "pg_last_wal_replay_lsn()")
    await crash(b)
    await b.run(start, ready)
    await until(
      "everything is replayed once more",
      async () => (await ask(b, "pg_last_wal_replay_lsn()")) === position,
    )
    await b.run(stop, start, ready)
    await isPrimaryOf(b, 3)
  }, 60_000)

  test("start() lets a standby stream on that ended while its newest timeline was received half", async () => {
    await using a = await keeper("above")
    await using b = await keeper("below")
    await using through = await wire(a.settings.port)
    await half(a, b, through)
    await crash(b)
    await tell(a, "insert into big values (0, 'on the new timeline')")
    const conf = files(b, { follow: a, own: "db2", lines })
    await b.run({ kind: "write-config", files: conf }, start, ready)
    await until("b follows", async () => (await ask(b, everyRow)) === `${rows + 1} ${rows + 1}`)
    await load(b, alone)
    await b.run(promote)
    expect(await ask(b, everyRow)).toBe(`${rows + 1} ${rows + 1}`)
  }, 60_000)
}

async function crash(of: Keeper): Promise<void> {
  for (const each of instanceProcesses(new Set([of.pgData]))) signalProcess(each, "SIGKILL")
  await until("it is down", async () => (await of.observe()).server.kind === "down")
}
