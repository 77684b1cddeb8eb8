/** Which standbys serve reads, rule by rule, in which order, and who leaves when. */
import { expect, test } from "bun:test"

import type { ClusterData, DB } from "#model/cluster.ts"
import { dbUID, epoch, generation, keeperUID, proxyUID } from "#model/ids.ts"
import { leaveWithin } from "#proxy/readers.ts"
import { permitted } from "#proxy/standbys.ts"

import { primary, self } from "./builder.ts"
import { anyLag, type Cluster, cluster, leased, MiB, reader, well } from "./reads.ts"

const within = { ...anyLag, lagMax: BigInt(64 * MiB) }
const names = (data: ClusterData, who = self): string[] =>
  permitted(data, who).map(({ uid, host, port }) => `${uid} ${host}:${port}`)
const both = ["db2 10.0.0.12:5432", "db3 10.0.0.13:5432"]

const withDB = (data: ClusterData, uid: string, change: (db: DB) => Partial<DB>): ClusterData => {
  const db = data.dbs.get(dbUID(uid))
  if (db === undefined) throw new Error(`no ${uid}`)
  return { ...data, dbs: new Map([...data.dbs, [db.uid, { ...db, ...change(db) }]]) }
}
const withStatus = (
  data: ClusterData,
  change: Partial<ClusterData["cluster"]["status"]>,
): ClusterData => ({
  ...data,
  cluster: { ...data.cluster, status: { ...data.cluster.status, ...change } },
})
/** How far behind a standby's replay is, in MiB, of a primary at 100. */
const behind = (it: Cluster, keeper: string, mib: number): void =>
  void it.says.set(keeper, well(keeper, { replayed: (100 - mib) * MiB }))

test("permitted() are the standbys of the view, by uid, while it lists this proxy", () => {
  const { data } = cluster({ pg3: {}, pg2: {} })
  expect(names(data)).toEqual(both)
  expect(names(data, proxyUID("another"))).toEqual([])
})

test("permitted() are those of a closed gate only where primaries run under leases", () => {
  const closed = { master: "" }
  const of = (bend: Parameters<typeof cluster>[1]) =>
    names(cluster({ pg2: {}, pg3: {} }, bend).data)
  expect(of({ ...leased, ...closed })).toEqual(both)
  expect(of(closed)).toEqual([])
  expect(of({ ...leased, epoch: "", ...closed })).toEqual([]) // a Go leader's view
  expect(of({ epoch: "e1", ...closed })).toEqual([])
  expect(of({ ...leased, master: "gone" })).toEqual(both)
  expect(of({ master: "gone" })).toEqual([])
})

test("permitted() are never the primary that is named, that is to come, or that was, nor what is at its address", () => {
  const { data } = cluster()
  expect(names(withStatus(data, { master: dbUID("db2") }))).toEqual([both[1] ?? ""])
  const served = { ...data.proxy.spec, masterDbUid: dbUID("db3") }
  expect(names({ ...data, proxy: { ...data.proxy, spec: served } })).toEqual([both[0] ?? ""])
  const spec = (change: Partial<DB["spec"]>) =>
    names(withDB(data, "db2", (db) => ({ spec: { ...db.spec, ...change } })))
  for (const change of [
    { role: "master" },
    { role: "undefined" },
    { followConfig: { type: "external", dbuid: primary } },
    { followConfig: { type: "", dbuid: primary } },
  ] as const)
    expect(spec(change)).toEqual([both[1] ?? ""])
  const moved = { listenAddress: "10.0.0.11", port: "5432" }
  expect(names(withDB(data, "db2", (db) => ({ status: { ...db.status, ...moved } })))).toEqual([
    both[1] ?? "",
  ])
  for (const port of ["", "0", "x"])
    expect(names(withDB(data, "db2", (db) => ({ status: { ...db.status, port } })))).toEqual([
      both[1] ?? "",
    ])
})

test("judge() leads reads to standbys that are well, and tells of each once", () => {
  const it = reader(cluster())
  expect(it.look()).toEqual({ pg2: "", pg3: "" })
  expect(it.look()).toEqual({ pg2: "", pg3: "" })
  expect(it.spread()).toEqual({ to: [["pg2", "pg3"]], leaving: [] })
  expect(it.events()).toEqual(["reads.joined pg2", "reads.joined pg3"])
})

test.each([
  ["copied", { uid: "other" }, "its copy is being made"],
  ["stopped", { healthy: false }, "PostgreSQL is down"],
  ["a primary", { inRecovery: false }, "PostgreSQL is not in recovery"],
  ["guarded", { acceptsClients: false }, "PostgreSQL lets no clients in"],
  ["behind its specification", { generation: 1 }, "it has not applied its specification"],
  ["on another timeline", { timelineID: 2 }, "how far it lags is not known"],
])("judge() leads no reads to one that is %s", (_, bend, why) => {
  const c = cluster()
  c.says.set("pg2", well("pg2", bend))
  const it = reader(c)
  expect(it.look()).toEqual({ pg2: why, pg3: "" })
  expect(it.spread()).toEqual({ to: [["pg3"]], leaving: [] })
})

test("judge() leads no reads to one that has failed by the sentinel's word, or whose keeper says nothing", () => {
  const failed = "it has failed, by the sentinel's word"
  expect(reader(cluster({ pg2: { keeperHealthy: false } })).look()).toEqual({ pg2: failed })
  expect(reader(cluster({ pg2: { status: { healthy: false } } })).look()).toEqual({ pg2: failed })
  const c = cluster({ pg2: {} })
  c.says.delete("pg2")
  expect(reader(c).look()).toEqual({ pg2: "its keeper publishes nothing" })
})

test("judge() takes a Go keeper's word that it has applied its specification", () => {
  const c = cluster({ pg2: {} })
  const go = (of: number) => {
    const { postgresState } = well("pg2", { generation: of })
    const { inRecovery: _, acceptsClients: __, replayed: ___, ...state } = postgresState
    c.says.set("pg2", { uid: "pg2", postgresState: state })
  }
  go(1)
  const it = reader(c)
  expect(it.look()).toEqual({ pg2: "it has not applied its specification" })
  go(2)
  expect(it.look()).toEqual({ pg2: "" })
})

test("judge() lets go of a keeper that is silent for failInterval, and not for the time in which nobody looked", () => {
  const it = reader(cluster({ pg2: {} }))
  it.look()
  it.look(1_000, "pg2")
  expect(it.look(1_000, "pg2")).toEqual({ pg2: "" })
  expect(it.look(60_000, "pg2")).toEqual({ pg2: "" }) // we slept: 1.5 s of it count
  expect(it.look(1_000, "pg2")).toEqual({ pg2: "its keeper has been silent for 3.5 s" })
  expect(it.spread()).toEqual({ to: [], leaving: ["pg2"] })
  expect(it.look()).toEqual({ pg2: "" })
  expect(it.spread()).toEqual({ to: [["pg2"]], leaving: [] })
})

test("judge() lets go of a standby that lags too far, and takes it back at half of that", () => {
  const c = cluster({ pg2: {} })
  const it = reader(c, within)
  behind(c, "pg2", 64)
  expect(it.look()).toEqual({ pg2: "" })
  behind(c, "pg2", 65)
  expect(it.look()).toEqual({ pg2: "it lags 68157440 bytes, and may 67108864" })
  expect(it.spread()).toEqual({ to: [], leaving: ["pg2"] })
  for (const mib of [63, 65, 33]) {
    behind(c, "pg2", mib)
    expect(it.look()["pg2"]).toContain("it lags")
  }
  behind(c, "pg2", 32)
  expect(it.look()).toEqual({ pg2: "" })
  behind(c, "pg2", 60)
  expect(it.look()).toEqual({ pg2: "" })
  expect(it.events()).toEqual(["reads.joined pg2", "reads.left pg2", "reads.joined pg2"])
})

test("judge() takes what is too far behind from the start in at half, too, and nobody for its lag with 0", () => {
  const c = cluster({ pg2: {} })
  behind(c, "pg2", 90)
  expect(reader(c).look()).toEqual({ pg2: "" })
  const it = reader(c, within)
  expect(it.look()["pg2"]).toContain("it lags")
  expect(it.spread()).toEqual({ to: [], leaving: [] }) // nobody was ever led there
  behind(c, "pg2", 40)
  expect(it.look()["pg2"]).toContain("it lags")
  behind(c, "pg2", 20)
  expect(it.look()).toEqual({ pg2: "" })
})

test("judge() cuts at the bound what has not left by then, also where the lag goes on", () => {
  const c = cluster({ pg2: {} })
  const it = reader(c, within)
  it.look()
  behind(c, "pg2", 90)
  it.look()
  it.look(leaveWithin - 1)
  expect(it.spread()).toEqual({ to: [], leaving: ["pg2"] })
  it.look(1)
  expect(it.spread()).toEqual({ to: [], leaving: [] })
})

test("judge() cuts at once what says that it is not in recovery any more", () => {
  const c = cluster()
  const it = reader(c)
  it.look()
  c.says.set("pg2", well("pg2", { inRecovery: false }))
  expect(it.look()).toEqual({ pg2: "PostgreSQL is not in recovery", pg3: "" })
  expect(it.spread()).toEqual({ to: [["pg3"]], leaving: [] })
})

test("judge() compares positions of the same time: who publishes seldom is not behind", () => {
  const c = cluster({ pg2: {} })
  const it = reader(c, within)
  it.look(1_000, "pg2")
  const at = (mib: number) =>
    c.says.set("pg1", well("pg1", { uid: primary, inRecovery: false, xLogPos: mib * MiB }))
  at(300)
  expect(it.look(1_000, "pg2")).toEqual({ pg2: "" })
  expect(it.lag("pg2")).toBe(0n)
  expect(it.look()["pg2"]).toContain("it lags") // its next word is as old as the primary's
  expect(it.lag("pg2")).toBe(BigInt(200 * MiB))
})

test("judge() reckons with what was replayed, not with what was received; a Go keeper tells only the latter", () => {
  const c = cluster()
  c.says.set("pg2", well("pg2", { replayed: 90 * MiB }))
  c.says.set("pg3", well("pg3", { replayed: 0, xLogPos: 95 * MiB }))
  const it = reader(c)
  it.look()
  expect([it.lag("pg2"), it.lag("pg3")]).toEqual([BigInt(10 * MiB), BigInt(5 * MiB)])
})

test("judge() goes on by the primary's last word when it is silent or gone, and by the view's when none was heard", () => {
  const c = cluster({ pg2: {} })
  behind(c, "pg2", 10)
  const it = reader(c)
  it.look()
  c.says.delete("pg1")
  expect(it.look()).toEqual({ pg2: "" })
  expect(it.lag("pg2")).toBe(BigInt(10 * MiB))
  expect(reader(c).look()).toEqual({ pg2: "how far it lags is not known" })
  const status = { timelineID: 1, xLogPos: BigInt(95 * MiB) as DB["status"]["xLogPos"] }
  c.data = withDB(c.data, primary, (db) => ({ status: { ...db.status, ...status } }))
  const late = reader(c)
  expect(late.look()).toEqual({ pg2: "" })
  expect(late.lag("pg2")).toBe(BigInt(5 * MiB))
})

test("judge() keeps who follows a new primary while its timeline is not there yet, for ten seconds", () => {
  const c = cluster({ pg2: {} })
  const it = reader(c, within)
  it.look()
  c.says.set("pg1", well("pg1", { uid: primary, inRecovery: false, timelineID: 2 }))
  expect(it.look()).toEqual({ pg2: "" })
  expect(it.look(8_000)).toEqual({ pg2: "" })
  expect(it.look(1_000)).toEqual({ pg2: "how far it lags is not known" })
  c.says.set("pg2", well("pg2", { timelineID: 2 }))
  expect(it.look()).toEqual({ pg2: "" })
})

test("judge() keeps who is in while a new specification is being applied", () => {
  const c = cluster({ pg2: {} })
  const it = reader(c)
  it.look()
  c.data = withDB(c.data, "db2", () => ({ generation: generation(3) }))
  expect(it.look()).toEqual({ pg2: "" })
  expect(reader(c).look()).toEqual({ pg2: "it has not applied its specification" })
})

test("judge() empties the standby that is to become the primary, before it is one", () => {
  const c = cluster({ pg2: {}, pg3: {} }, leased)
  const it = reader(c)
  it.look()
  const asked = {
    nonce: "n" as never,
    keeper: keeperUID("pg2"),
    drain: 0n as never,
    phase: "asked",
  }
  c.data = withStatus(c.data, { switchover: asked as never })
  expect(it.look()).toEqual({ pg2: "it is to become the primary", pg3: "" })
  expect(it.spread()).toEqual({ to: [["pg3"]], leaving: ["pg2"] })
})

test("judge() empties all in a switchover without leases, because their sessions end with the gate", () => {
  const c = cluster()
  const it = reader(c)
  it.look()
  const asked = {
    nonce: "n" as never,
    keeper: keeperUID("pg2"),
    drain: 0n as never,
    phase: "asked",
  }
  c.data = withStatus(c.data, { switchover: asked as never })
  expect(it.look()["pg3"]).toBe("the primary is being switched over")
  expect(it.spread()).toEqual({ to: [], leaving: ["pg2", "pg3"] })
})

test("judge() leads no reads to a keeper that would run a primary without a lease, beside those with one", () => {
  const c = cluster({ pg2: {}, pg3: {} }, leased)
  c.says.set("pg2", { ...well("pg2"), capabilities: [] })
  expect(reader(c).look()).toEqual({ pg2: "its keeper would run it without a lease", pg3: "" })
})

test("confine() forgets at once whom the view makes primary, and asks for a new proof when it is a standby again", () => {
  const c = cluster()
  const it = reader(c)
  it.look()
  it.events()
  const before = c.data
  it.confine(withStatus(before, { master: dbUID("db2"), primaryEpoch: epoch("e2") }))
  expect(it.spread()).toEqual({ to: [["pg3"]], leaving: [] })
  expect(it.events()).toEqual(["reads.left pg2"])
  // deposed again, and a standby by the view, but its keeper has not said so
  c.data = withDB(before, "db2", () => ({ generation: generation(5) }))
  it.confine(c.data)
  expect(it.look()).toEqual({ pg2: "it has not applied its specification", pg3: "" })
  c.says.set("pg2", well("pg2", { generation: 5 }))
  expect(it.look()).toEqual({ pg2: "", pg3: "" })
})

test("confine() forgets a standby whose place or DB is another one, and all of them without a view", () => {
  const c = cluster()
  const it = reader(c)
  it.look()
  it.confine(withDB(c.data, "db2", (db) => ({ status: { ...db.status, port: "5433" } })))
  expect(it.spread().to).toEqual([["pg3"]])
  it.confine(null)
  expect(it.spread()).toEqual({ to: [], leaving: [] })
})

test("judge() prefers who is least behind, and takes those as equals that differ by little", () => {
  const c = cluster({ pg2: {}, pg3: {}, pg4: {}, pg5: {} })
  behind(c, "pg2", 5)
  behind(c, "pg4", 0.5)
  behind(c, "pg5", 7)
  const it = reader(c)
  it.look()
  expect(it.spread().to).toEqual([
    ["pg3", "pg4"],
    ["pg2", "pg5"],
  ])
})

test("judge() takes all in turns with round-robin, however they lag", () => {
  const c = cluster()
  behind(c, "pg2", 50)
  const it = reader(c, { ...anyLag, policy: "round-robin" })
  it.look()
  expect(it.spread().to).toEqual([["pg2", "pg3"]])
})

test("judge() leads to synchronous standbys only, when that is asked for: named, and confirmed", () => {
  const c = cluster()
  const it = reader(c, { ...anyLag, policy: "synchronous" })
  const no = "it is not a synchronous standby"
  expect(it.look()).toEqual({ pg2: no, pg3: no })
  const sync = (...uids: readonly string[]) => ({ synchronousStandbys: uids.map(dbUID) })
  c.data = withDB(c.data, primary, (db) => ({
    spec: { ...db.spec, ...sync("db2", "db3") },
    status: { ...db.status, ...sync("db3") },
  }))
  expect(it.look()).toEqual({ pg2: no, pg3: "" })
})

test("judge() prefers its own zone when one there is fit, and goes elsewhere when none is", () => {
  const c = cluster({ pg2: {}, pg3: {}, pg4: {} })
  const zone = (keeper: string, name: string, bend = {}) =>
    c.says.set(keeper, { ...well(keeper, bend), zone: name })
  zone("pg2", "west")
  zone("pg3", "east", { replayed: 80 * MiB })
  zone("pg4", "west")
  const it = reader(c, { ...anyLag, zone: "east" })
  it.look()
  expect(it.spread().to).toEqual([["pg3"], ["pg2", "pg4"]])
  zone("pg3", "east", { healthy: false })
  it.look()
  expect(it.spread()).toEqual({ to: [["pg2", "pg4"]], leaving: ["pg3"] })
})
