/**
 * Our keeper on what a Go keeper left: its files, and a PostgreSQL 15 that it started and that
 * nobody looks after any more. No row is lost, PostgreSQL is restarted at most once, and the files
 * are such that a Go keeper can go on afterwards.
 */
import { expect, test } from "bun:test"
import { readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as v from "valibot"
import { duration } from "#base/duration.ts"
import type { ClusterData } from "#model/cluster.ts"
import { generation } from "#model/ids.ts"
import type { Postgres } from "#port/postgres.ts"
import { sourceTarget } from "#postgres/clone.ts"
import { openPostgres } from "#postgres/open.ts"
import { newSession } from "#postgres/session.ts"
import { decodeDBState } from "#postgres/state.ts"
import { realClock } from "#system/clock.ts"
import { instanceProcesses } from "#system/instance.ts"
import { db, me, view } from "../../unit/keeper/build.ts"
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
  seconds,
  stop,
} from "./keeper.ts"
import { live, shared } from "./live.ts"

if (asPostgres(import.meta.path)) {
  test("a Go keeper's running primary is taken over with its rows, its generation and its process", async () => {
    await using a = await keeper("go")
    const goStarted = await asGoLeftIt(a)
    const common = shared()
    const { published } = common
    await using postgres = await openPostgres(a.settings, never)
    common.view = viewFor(postgres)
    await using life = live(me, postgres, a.settings, common)
    await until("it is healthy, with what Go had applied", () => {
      const state = published.at(-1)?.postgresState
      return state?.healthy === true && state.generation === 4 && state.acceptsClients
    })
    expect(published[0]?.postgresState).toMatchObject({ uid: "c1d2e3f4", generation: 4 })
    expect(await rows(a)).toBe("1000")
    await until("our configuration is loaded", async () => {
      const { server } = await postgres.observe(never)
      return server.kind === "up" && server.revision !== ""
    })
    expect(a.postmaster().pid).toBe(goStarted)
    await life.stop()
    expect(instanceProcesses(new Set([a.pgData]))).toEqual([])
    // a Go keeper reads these again
    expect(readFileSync(join(a.dataDir, "dbstate"), "utf8")).toBe(goDBState)
    expect(readFileSync(join(a.dataDir, "keeperstate"), "utf8")).toBe(goKeeperState)
  }, 60_000)

  test("T11 D-53 a keeper that comes back with another port and another password is primary again", async () => {
    await using a = await keeper("moved")
    await primary(a)
    await ask(a, "create table rows as select generate_series(1, 1000) as n")
    await a.run({ kind: "save-db", state: decodeDBState(goDBState) })
    const before = a.postmaster().pid
    const superuser = { ...a.settings.superuser, password: "changed" }
    const settings = { ...a.settings, port: `${await freePort()}`, superuser }
    const common = shared()
    await using postgres = await openPostgres(settings, never)
    common.view = viewFor(postgres)
    await using life = live(me, postgres, settings, common)
    await until("it is healthy where its keeper says", () => {
      const state = common.published.at(-1)?.postgresState
      return state?.healthy === true && state.port === settings.port && state.acceptsClients
    })
    const source = { ...a.source, port: settings.port }
    expect(await rows({ ...a, source, settings })).toBe("1000")
    expect(a.postmaster().pid).not.toBe(before)
    await expect(rows({ ...a, source })).rejects.toThrow("password authentication failed")
    await life.stop()
  }, 60_000)
}

/** The leader has seen this start of the keeper, and wants of it what was applied. */
function viewFor({ boot }: Postgres): ClusterData {
  const own = { ...db("c1d2e3f4", { maxStandbys: 5 }), generation: generation(4) }
  return view({ dbs: [own], master: own.uid, boot, spec: quick })
}

const quick = { sleepInterval: duration(200), failInterval: duration(5_000) }
const goDBState = '{"UID":"c1d2e3f4","Generation":4,"Initializing":false,"InitPGParameters":null}'
const goKeeperState = '{"UID":"k1","ClusterUID":"c1"}'

/** Resolves with the pid of a postmaster whose keeper was killed. */
async function asGoLeftIt(a: Keeper): Promise<number> {
  await primary(a)
  await a.run(stop)
  await a.postgres.end(seconds(5), never)
  const { conf, hba } = files(a)
  const lines = conf.split("\n").filter((line) => !line.startsWith("stolon.revision"))
  writeFileSync(join(a.pgData, "postgresql.conf"), lines.toReversed().join("\n"))
  writeFileSync(join(a.pgData, "pg_hba.conf"), hba)
  writeFileSync(join(a.dataDir, "dbstate"), goDBState, { mode: 0o600 })
  writeFileSync(join(a.dataDir, "keeperstate"), goKeeperState, { mode: 0o600 })
  try {
    symlinkSync("/dev/null", join(a.pgData, "postgresql.auto.conf"))
  } catch {
    // our own start has made it
  }
  const argv = [join(bin, "postgres"), "-D", a.pgData, "-c", `unix_socket_directories=${a.dataDir}`]
  const child = Bun.spawn(argv, { stdio: ["ignore", "ignore", "inherit"], cwd: "/" })
  await until("it accepts", async () => {
    const text = "create table if not exists rows as select generate_series(1, 1000) as n"
    return await ask(a, text).then(
      () => true,
      () => false,
    )
  })
  return child.pid
}

const row = v.object({ v: v.optional(v.string()) })
async function ask(of: Keeper, text: string): Promise<string> {
  const target = sourceTarget(of.source, of.settings.superuser, {})
  const session = newSession(target, realClock, seconds(5))
  try {
    return (await session.query(row, text, never))[0]?.v ?? ""
  } finally {
    session.close()
  }
}
const rows = (of: Keeper): Promise<string> => ask(of, "select count(*)::text as v from rows")
