/**
 * A parameter that a standby must not have less of than its primary, raised and lowered under
 * `automaticPgRestart` (D-46): two keepers' real loops, two PostgreSQL 15.
 */
import { expect, test } from "bun:test"
import * as v from "valibot"
import { duration } from "#base/duration.ts"
import type { ClusterData } from "#model/cluster.ts"
import { dbUID, generation, keeperUID } from "#model/ids.ts"
import type { Postgres } from "#port/postgres.ts"
import { sourceTarget } from "#postgres/clone.ts"
import { newSession } from "#postgres/session.ts"
import { decodeDBState } from "#postgres/state.ts"
import { realClock } from "#system/clock.ts"
import { db, me, view } from "../../unit/keeper/build.ts"
import { until } from "../../unit/system/until.ts"
import { asPostgres } from "../run-as.ts"
import { type Keeper, keeper, never, primary, seconds, standby } from "./keeper.ts"
import { live, shared, show } from "./live.ts"

if (asPostgres(import.meta.path)) {
  test("D-46 raised, the standby restarts first, lowered, the primary; and both come up", async () => {
    await using a = await keeper("first")
    await using b = await keeper("second")
    await primary(a)
    await standby(b, a, "db2")
    for (const [of, uid] of [
      [a, "db1"],
      [b, "db2"],
    ] as const)
      await of.run({ kind: "save-db", state: decodeDBState(`{"UID":"${uid}","Generation":1}`) })
    const common = shared()
    common.view = wanting(a, b, "40", 2)
    await using two = live(second, b.postgres, b.settings, common)
    // who has never been heard of is not waited for
    await until("the standby is heard", async () => common.infos.has(second), 10_000)
    await using one = live(me, a.postgres, a.settings, common)
    const restarts = (): readonly string[] =>
      common.events
        .filter(({ event }) => event.code === "step.finished" && event.fields["step"] === "start")
        .map(({ who }) => who)
    const both = async (value: string): Promise<boolean> =>
      (await connectionsOf(a)) === value && (await connectionsOf(b)) === value
    await until("both run with more", () => both("40"), 30_000)
    expect(restarts()).toEqual([second, me])
    const demands = async () => (await b.observe()).floors?.get("max_connections")
    await until("the standby has heard of it", async () => (await demands()) === 40)
    show(common, wanting(a, b, "25", 3))
    await until("both run with less", () => both("25"), 40_000)
    expect(restarts()).toEqual([second, me, me, second])
    // found stopped, the standby is promoted with less than its WAL demands: it recovers first
    const less = wanting(a, b, "20", 4)
    show(common, { ...less, dbs: new Map() })
    const down = async () => [(await a.observe()).server.kind, (await b.observe()).server.kind]
    await until("both are stopped", async () => (await down()).join() === "down,down", 30_000)
    show(common, promoted(less))
    await until("it runs with less", async () => (await connectionsOf(b)) === "20", 40_000)
    expect((await b.observe()).server).toMatchObject({ kind: "up", inRecovery: false })
    expect(common.events.map(({ event }) => event.code)).not.toContain("start.failed")
    await two.stop()
    await one.stop()
  }, 90_000)
}

const second = keeperUID("k2")

/** Both DBs with this many connections, as a leader would write it. */
function wanting(a: Keeper, b: Keeper, connections: string, gen: number): ClusterData {
  const spec = {
    pgParameters: new Map([["max_connections", connections]]),
    maxStandbys: 2,
  }
  const at = ({ settings }: Keeper) => ({ listenAddress: "127.0.0.1", port: settings.port })
  const top = { ...db("db1", { ...spec, followers: [dbUID("db2")] }, { healthy: true, ...at(a) }) }
  const follower = db(
    "db2",
    {
      ...spec,
      keeperUID: second,
      role: "standby",
      followConfig: { type: "internal", dbuid: dbUID("db1") },
    },
    at(b),
  )
  const dbs = [top, follower].map((one) => ({ ...one, generation: generation(gen) }))
  const quick = { sleepInterval: duration(300), failInterval: duration(10_000) }
  const made = view({ dbs, spec: { ...quick, automaticPgRestart: true } })
  const boots = [
    [me, a.postgres],
    [second, b.postgres],
  ] as const
  const keepers = boots.map(([uid, { boot }]: readonly [typeof me, Postgres]) => {
    const known = made.keepers.get(uid)
    if (known === undefined) throw new Error(uid)
    return [uid, { ...known, status: { ...known.status, bootUUID: boot } }] as const
  })
  return { ...made, keepers: new Map(keepers) }
}

/** The second as the primary, and the first gone. */
function promoted(data: ClusterData): ClusterData {
  const follower = data.dbs.get(dbUID("db2"))
  if (follower === undefined) throw new Error("db2")
  const { followConfig: _, ...spec } = follower.spec
  const top = { ...follower, spec: { ...spec, role: "master" as const } }
  const status = { ...data.cluster.status, master: top.uid }
  return { ...data, cluster: { ...data.cluster, status }, dbs: new Map([[top.uid, top]]) }
}

const row = v.object({ v: v.string() })
/** What it runs with; empty while it does not answer. */
async function connectionsOf(of: Keeper): Promise<string> {
  const target = sourceTarget(of.source, of.settings.superuser, {})
  const session = newSession(target, realClock, seconds(5))
  try {
    const sql = "select current_setting('max_connections') as v"
    return (await session.query(row, sql, never))[0]?.v ?? ""
  } catch {
    return ""
  } finally {
    session.close()
  }
}
