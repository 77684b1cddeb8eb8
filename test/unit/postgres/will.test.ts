/**
 * What a real guardian certifies, when, and what it refuses afterwards; and the herald that tells
 * the store.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { existsSync, readFileSync } from "node:fs"
import { chown } from "node:fs/promises"
import { join } from "node:path"
import * as v from "valibot"
import { millis } from "#base/brand.ts"
import { decode, encode } from "#model/codec.ts"
import { type ClusterUID, keeperUID } from "#model/ids.ts"
import { Certificate, KeeperInfo } from "#model/info.ts"
import type { StoreSettings } from "#port/store.ts"
import type { Will } from "#port/supervision.ts"
import { openStore } from "#store/open.ts"
import { requestSchema, welcomeSchema } from "#system/protocol.ts"
import { isAlive } from "#system/process.ts"
import { until } from "../system/until.ts"
import {
  type Cluster,
  cluster,
  identity,
  mono,
  never,
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

const fileOf = (pg: Cluster): string => join(pg.dataDir, "stolon-certificate")
const will = (pg: Cluster, more: Partial<Will> = {}): Will => ({
  epoch: "e1",
  dbuid: "db1",
  boot: "boot-1",
  file: fileOf(pg),
  herald: null,
  certify: true,
  ...more,
})
const certificate = (pg: Cluster): Certificate =>
  decode<Certificate>(Certificate, readFileSync(fileOf(pg), "utf8"))
const written = (pg: Cluster): Promise<unknown> =>
  until("the certificate", () => existsSync(fileOf(pg)), 5_000)
const kill = (pg: Cluster, signal: NodeJS.Signals): boolean =>
  process.kill(pg.postmaster().pid, signal)

test("a lease that runs out ends PostgreSQL before it is over, and is certified beside a living keeper", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  const end = mono(1_500)
  await supervisor.lease(end, will(pg), never)
  await supervisor.start(pg.what, never)
  await until("PostgreSQL is gone", () => !stillRuns(pg.pgData))
  expect(mono(0)).toBeLessThan(end)
  await written(pg)
  expect(certificate(pg)).toMatchObject({
    epoch: "e1",
    dbuid: "db1",
    bootUUID: "boot-1",
    reason: "its lease ran out",
  })
})

test("PostgreSQL that dies while its keeper lives is the keeper's affair", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  await supervisor.lease(mono(30_000), will(pg), never)
  await supervisor.start(pg.what, never)
  kill(pg, "SIGKILL")
  await until("it is gone", async () => (await supervisor.state(never)).kind === "stopped")
  await supervisor.start(pg.what, never)
  expect(existsSync(fileOf(pg))).toBe(false)
  await supervisor.end(seconds(30), never)
  expect(existsSync(fileOf(pg))).toBe(false)
})

test("without a keeper the end of PostgreSQL is certified, with the end of its log when it was orderly", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  await supervisor.lease(mono(30_000), will(pg), never)
  await supervisor.start(pg.what, never)
  await psql(pg.dataDir, "select 1")
  await supervisor[Symbol.asyncDispose]()
  expect(existsSync(fileOf(pg))).toBe(false) // it still runs
  kill(pg, "SIGINT")
  await written(pg)
  const { reason, finalLSN } = certificate(pg)
  expect(reason).toBe("its keeper is gone")
  expect(finalLSN).toBeGreaterThan(0n)
})

test("a keeper that goes after its PostgreSQL is spoken for too", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  await supervisor.lease(mono(30_000), will(pg), never)
  await supervisor.start(pg.what, never)
  kill(pg, "SIGKILL")
  await until("it is gone", async () => (await supervisor.state(never)).kind === "stopped")
  await supervisor[Symbol.asyncDispose]()
  await written(pg)
  expect(certificate(pg).finalLSN).toBe(0n as Certificate["finalLSN"])
})

test("after a certificate the guardian starts nothing in that epoch, and in the next as ever", async () => {
  await using pg = await cluster(from)
  const first = await pg.open()
  await first.lease(mono(30_000), will(pg), never)
  await first.start(pg.what, never)
  kill(pg, "SIGKILL")
  await first[Symbol.asyncDispose]()
  await written(pg)
  const second = await pg.open()
  expect(second.leased).toBeGreaterThan(mono(0))
  await second.lease(mono(30_000), will(pg), never)
  const refused = await second.start(pg.what, never).then(
    () => "started",
    (error: Error) => error.message,
  )
  expect(refused).toContain("certified already")
  await second.lease(mono(30_000), will(pg, { epoch: "e2" }), never)
  await second.start(pg.what, never)
  await second.end(seconds(30), never)
})

test("P1 after a certificate nothing starts in that epoch, though nobody could take over by now", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  await supervisor.lease(mono(900), will(pg), never)
  await supervisor.start(pg.what, never)
  await written(pg)
  await supervisor.lease(mono(30_000), will(pg, { certify: false }), never)
  const start = supervisor.start(pg.what, never)
  await expect(start).rejects.toThrow("certified already")
  await supervisor.end(seconds(30), never)
})

test("what nobody could take over from is not certified", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  await supervisor.lease(mono(900), will(pg, { certify: false }), never)
  await supervisor.start(pg.what, never)
  await until("PostgreSQL is gone", () => !stillRuns(pg.pgData))
  await supervisor.end(seconds(30), never)
  expect(existsSync(fileOf(pg))).toBe(false)
})

test("a plain hold takes the will back, and so does the end that a keeper asks for", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  await supervisor.lease(mono(30_000), will(pg), never)
  await supervisor.start(pg.what, never)
  await supervisor.hold(mono(30_000), never)
  await supervisor[Symbol.asyncDispose]()
  kill(pg, "SIGINT")
  await until("PostgreSQL is gone", () => !stillRuns(pg.pgData))
  const next = await pg.open()
  expect(next.leased).toBeNull()
  await next.end(seconds(30), never)
  expect(existsSync(fileOf(pg))).toBe(false)
})

test("L5 a guardian that was replaced after a lease was given starts under that lease, not longer", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open(60_000)
  await supervisor.lease(mono(2_500), will(pg), never)
  const guardian = pg.guardian()
  process.kill(guardian.pid, "SIGKILL")
  await until("it is gone", () => !isAlive(guardian))
  const end = mono(2_500)
  // a call that finds out about the loss may fail; the next one finds another guardian
  await supervisor.start(pg.what, never).catch(() => supervisor.start(pg.what, never))
  await until("PostgreSQL is gone", () => !stillRuns(pg.pgData))
  expect(mono(0)).toBeLessThan(end)
})

test("L5 a start that comes after its lease is refused, by a fresh guardian too", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open(60_000)
  await supervisor.lease(mono(150), will(pg), never)
  const past = mono(200)
  await until("the lease is over", () => mono(0) > past)
  const start = (): Promise<string> =>
    supervisor.start(pg.what, never).then(
      () => "started",
      () => "refused",
    )
  // the first finds a guardian that is ending, the second another
  expect([await start(), await start()]).toEqual(["refused", "refused"])
  expect(stillRuns(pg.pgData)).toBe(false)
})

test("D-20 the herald publishes the certificate in the keeper's name", async () => {
  await using pg = await cluster(from)
  const store: StoreSettings = {
    clusterName: "c",
    backend: "sqlite",
    endpoints: [join(pg.dataDir, "store.db")],
    prefix: "stolon/cluster",
    timeout: millis(5_000),
    tls: { certFile: "", keyFile: "", caFile: "", skipVerify: false },
    user: "",
    password: "",
  }
  await using reader = await openStore(store, never)
  const base = decode<KeeperInfo>(KeeperInfo, "{}")
  const info: KeeperInfo = {
    ...base,
    uid: keeperUID("k1"),
    clusterUID: "c1" as ClusterUID,
  }
  await reader.publish({ kind: "keeper", info }, millis(60_000), never)
  for (const name of ["store.db", "store.db-wal", "store.db-shm"])
    await chown(join(pg.dataDir, name), identity.uid, identity.gid).catch(() => undefined)
  const supervisor = await pg.open()
  const herald = { info: encode(KeeperInfo, info), store, ttl: millis(60_000) }
  await supervisor.lease(mono(30_000), will(pg, { herald }), never)
  await supervisor.start(pg.what, never)
  await supervisor[Symbol.asyncDispose]()
  kill(pg, "SIGKILL")
  await written(pg)
  await until(
    "it is published",
    async () => {
      const found = (await reader.infos(never)).keepers.get(keeperUID("k1"))
      return found?.certificate?.epoch === certificate(pg).epoch && found.infoUID !== info.infoUID
    },
    10_000,
  )
})

test("words of older keepers and guardians are understood: they know of no lease", () => {
  const hold = v.parse(requestSchema, { id: 1, op: "hold", until: 5 })
  expect(hold).toEqual({ id: 1, op: "hold", until: 5, lease: null })
  const what = { postgres: "/p", dataDir: "/d", args: [] }
  const start = v.parse(requestSchema, { id: 1, op: "start", what })
  expect(start).toEqual({ id: 1, op: "start", what, hold: null })
  expect(v.parse(welcomeSchema, { boot: "b", pid: 1 }).leased).toBeNull()
})
