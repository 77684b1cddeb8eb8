/** What the verbs of every day refuse, in which order they restart, and what they show. */
import { describe, expect, test } from "bun:test"
import type { Time } from "#base/brand.ts"
import type { ClusterData, KeeperStatus } from "#model/cluster.ts"
import { decodeJson } from "#model/codec.ts"
import { type KeeperUID, nonce, sentinelUID } from "#model/ids.ts"
import { type Infos, KeeperInfo, SentinelInfo } from "#model/info.ts"
import type { Change, Edited } from "#ctl/edit.ts"
import { removeKeeper } from "#ctl/edit.ts"
import { deafKeepers, deafLeader, pauseChange, resumeChange } from "#ctl/pause.ts"
import { recloneProgress, recloneRefusal } from "#ctl/reclone.ts"
import { restartOrder, restartProgress } from "#ctl/restart.ts"
import { type Found, facts } from "#ctl/status.ts"
import { statusJson, statusText } from "#ctl/status-text.ts"
import { isWell, reloadTargets, wishChange, withdrawal } from "#ctl/wishes.ts"
import { db, infosOf, keeper, threeKeepers } from "./golden.ts"

const since = "2026-01-01T00:00:00Z" as Time
const mark = { since, by: "ann@db1", reason: "kernel update" }
const wish = { nonce: nonce("n1"), by: "ann@db1", since, discardOld: false }

/** What a keeper of ours publishes of its DB while all is well. */
const info = (
  uid: string,
  state: object = {},
  change: object = {},
): readonly [KeeperUID, KeeperInfo] => [
  keeper(uid),
  decodeJson(KeeperInfo, {
    uid,
    infoUID: "i",
    capabilities: ["wishes"],
    postgresState: {
      uid: `db${uid.slice(2)}`,
      generation: 3,
      healthy: true,
      inRecovery: uid !== "pg1",
      streaming: uid !== "pg1",
      acceptsClients: true,
      ...state,
    },
    ...change,
  }),
]
const infos = (...all: readonly (readonly [KeeperUID, KeeperInfo])[]): Infos => ({
  ...infosOf(["s1"], [{ uid: "p1", generation: 4 }]),
  keepers: new Map([info("pg1"), info("pg2"), info("pg3"), ...all]),
})
const found = (
  data: ClusterData = threeKeepers(),
  known: Infos = infos(),
): Found & { readonly data: ClusterData } => ({ data, infos: known, leader: sentinelUID("s1") })

function withKeeper(data: ClusterData, uid: string, change: Partial<KeeperStatus>): ClusterData {
  const old = data.keepers.get(keeper(uid))!
  const next = { ...old, status: { ...old.status, ...change } }
  return { ...data, keepers: new Map(data.keepers).set(old.uid, next) }
}
function withDB(data: ClusterData, uid: string, spec: object, status: object = {}): ClusterData {
  const old = data.dbs.get(db(uid))!
  const next = { ...old, spec: { ...old.spec, ...spec }, status: { ...old.status, ...status } }
  return { ...data, dbs: new Map(data.dbs).set(old.uid, next) }
}
const apply = ({ edit }: Change, data: ClusterData): ClusterData => {
  const edited = edit(data)
  if (edited.kind !== "edited") throw new Error(`${edited.kind}: ${edited.message}`)
  return edited.data
}
const said = (edited: Edited): string => (edited.kind === "edited" ? "" : edited.message)
const go = threeKeepers({ primaryEpoch: "" })

describe("ctl pause and resume", () => {
  test("mark the cluster or one keeper, and take only their own mark away", () => {
    const both = apply(
      pauseChange(keeper("pg2"), mark),
      apply(pauseChange(null, mark), threeKeepers()),
    )
    expect(both.cluster.status.paused).toEqual(mark)
    expect(both.keepers.get(keeper("pg2"))?.status.paused).toEqual(mark)
    const one = apply(resumeChange(null), both)
    expect(one.cluster.status).not.toHaveProperty("paused")
    expect(one.keepers.get(keeper("pg2"))?.status.paused).toEqual(mark)
    const none = apply(resumeChange(keeper("pg2")), one)
    expect(none).toEqual(threeKeepers())
  })
  test("refuse a cluster led by a Go sentinel, one without a primary, and unknown keepers", () => {
    expect(said(pauseChange(null, mark).edit(go))).toContain("Go stolon's")
    const young = threeKeepers({ phase: "initializing" })
    expect(said(pauseChange(null, mark).edit(young))).toContain("no primary yet")
    expect(said(pauseChange(keeper("pg4"), mark).edit(threeKeepers()))).toContain("no keeper pg4")
  })
  test("say what is so already, and which resume is meant", () => {
    const paused = apply(pauseChange(null, mark), threeKeepers())
    expect(pauseChange(null, mark).edit(paused)).toMatchObject({ kind: "unchanged" })
    expect(said(resumeChange(keeper("pg2")).edit(paused))).toContain("with the whole cluster")
    const single = apply(pauseChange(keeper("pg2"), mark), threeKeepers())
    expect(said(resumeChange(null).edit(single))).toContain("pg2: stolon ctl resume KEEPER")
    expect(said(resumeChange(null).edit(threeKeepers()))).toBe("the cluster is not paused")
  })
  test("notice a leader of ours that is too old, and keepers that will not listen", () => {
    const old = {
      ...infos(),
      sentinels: new Map([[sentinelUID("s1"), decodeJson(SentinelInfo, { UID: "s1" })]]),
    }
    expect(deafLeader(found(threeKeepers(), old))).toContain("update the sentinels first")
    const knowing = decodeJson(SentinelInfo, { UID: "s1", capabilities: ["pause"] })
    const able = { ...old, sentinels: new Map([[sentinelUID("s1"), knowing]]) }
    expect(deafLeader(found(threeKeepers(), able))).toBeNull()
    const mixed = infos(info("pg3", {}, { capabilities: [] }))
    expect(deafKeepers(mixed, null)).toEqual([keeper("pg3")])
  })
  test("status shows a pause loudly, as text and as JSON", () => {
    const paused = apply(
      pauseChange(keeper("pg2"), mark),
      apply(pauseChange(null, mark), threeKeepers()),
    )
    const known = facts("prod", found(paused))
    const text = statusText(known).split("\n")
    expect(text[1]).toBe(
      "PAUSED: paused by ann@db1 since 2026-01-01T00:00:00Z (kernel update); no automatic failover, PostgreSQL is left as it is; to go on: stolon ctl resume",
    )
    expect(text[2]).toStartWith("PAUSED: keeper pg2 is paused by ann@db1")
    const json = JSON.parse(statusJson(known))
    expect(json.cluster.paused).toEqual(mark)
    expect(json.members.map((one: { paused: object | null }) => one.paused)).toEqual([
      null,
      mark,
      null,
    ])
  })
})

describe("restartOrder()", () => {
  const order = (
    it = found(),
    which: Parameters<typeof restartOrder>[1] = { kind: "rolling" },
    done: string[] = [],
  ) => {
    const made = restartOrder(it, which, new Set(done.map(keeper)))
    return made.kind === "order"
      ? made.targets.map((one) => one.keeper as string)
      : `${made.kind}: ${made.message}`
  }
  const sync = (healthy = true): ClusterData =>
    withDB(
      withDB(threeKeepers(), "db1", {
        synchronousReplication: true,
        synchronousStandbys: [db("db2")],
        externalSynchronousStandbys: [],
      }),
      "db2",
      {},
      { healthy },
    )

  test("takes standbys first, synchronous ones after the others, the primary last", () => {
    expect(order()).toEqual(["pg2", "pg3", "pg1"])
    expect(order(found(sync()))).toEqual(["pg3", "pg2", "pg1"])
  })
  test("goes on where it was, also when the primary's role has moved meanwhile", () => {
    expect(order(found(), { kind: "rolling" }, ["pg2"])).toEqual(["pg3", "pg1"])
    expect(order(found(), { kind: "rolling" }, ["pg1", "pg2", "pg3"])).toEqual([])
  })
  test("pending: only those that wait, and after the primary standbys that wait since", () => {
    const pending = { kind: "pending" } as const
    expect(order(found(), pending)).toEqual([])
    const raised = infos(
      info("pg1", { pendingRestart: true }),
      info("pg3", { pendingRestart: true }),
    )
    expect(order(found(threeKeepers(), raised), pending)).toEqual(["pg3", "pg1"])
    // lowered: a standby may follow only after the primary
    const after = infos(info("pg2", { pendingRestart: true }))
    expect(order(found(threeKeepers(), after), pending, ["pg1", "pg2"])).toEqual(["pg2"])
  })
  test("waits for who is not well before anybody is restarted", () => {
    const lagging = infos(info("pg3", { streaming: false }))
    expect(order(found(threeKeepers(), lagging))).toStartWith("unwell: keeper pg3 is not well")
    const behind = infos(info("pg2", { generation: 2 }))
    expect(order(found(threeKeepers(), behind))).toStartWith("unwell: keeper pg2")
  })
  test("refuses in a pause, during a failover, and what nobody there understands", () => {
    const paused = apply(pauseChange(null, mark), threeKeepers())
    expect(order(found(paused))).toContain("first: stolon ctl resume")
    const one = { kind: "one", keeper: keeper("pg2") } as const
    expect(order(found(apply(pauseChange(keeper("pg2"), mark), threeKeepers())), one)).toContain(
      "keeper pg2 is paused",
    )
    expect(order(found(threeKeepers({ primaryRevoked: true })))).toContain(
      "a failover is in progress",
    )
    expect(order(found(go))).toContain("Go stolon's")
    const mixed = infos(info("pg3", {}, { capabilities: [] }))
    expect(order(found(threeKeepers(), mixed))).toContain("keeper pg3 does not know this request")
    expect(order(found(), { kind: "one", keeper: keeper("pg9") })).toContain("no keeper pg9")
    const silent = withKeeper(threeKeepers(), "pg2", { healthy: false })
    expect(order(found(silent), one)).toContain("keeper pg2 is silent")
  })
  test("refuses to restart a synchronous primary whose standbys are not there", () => {
    const one = { kind: "one", keeper: keeper("pg1") } as const
    expect(order(found(sync()), one)).toEqual(["pg1"])
    expect(order(found(sync(false)), one)).toContain("would let no client in")
  })
})

test("restartProgress() is done only when PostgreSQL does its part again", () => {
  const at = (state: object, handled: string[]) =>
    restartProgress(
      found(threeKeepers(), infos(info("pg2", state, { handled }))),
      keeper("pg2"),
      nonce("n1"),
    )
  expect(at({}, [])).toMatchObject({
    kind: "waiting",
    line: "waiting for keeper pg2 to stop PostgreSQL",
  })
  expect(at({ healthy: false }, ["n1"])).toMatchObject({ line: "keeper pg2: PostgreSQL starts" })
  expect(at({ streaming: false }, ["n1"])).toMatchObject({ kind: "waiting" })
  expect(at({}, ["n0", "n1"])).toEqual({ kind: "done" })
})

test("a wish is refused while another is open, and taken back only by its own name", () => {
  const data = apply(wishChange("restart", keeper("pg2"), wish), threeKeepers())
  expect(data.keepers.get(keeper("pg2"))?.status.wishes?.restart?.nonce).toBe(nonce("n1"))
  const other = wishChange("restart", keeper("pg2"), { ...wish, nonce: nonce("n2") })
  expect(said(other.edit(data))).toContain("asked for by ann@db1")
  expect(withdrawal("restart", keeper("pg2"), nonce("n2")).edit(data).kind).toBe("unchanged")
  expect(apply(withdrawal("restart", keeper("pg2"), nonce("n1")), data)).toEqual(threeKeepers())
})

test("reloadTargets() leaves out who cannot be asked, and a pause is no hindrance", () => {
  const paused = apply(pauseChange(null, mark), threeKeepers())
  expect(reloadTargets(found(paused), null)).toMatchObject({
    keepers: ["pg1", "pg2", "pg3"].map(keeper),
  })
  const mixed = found(threeKeepers(), infos(info("pg3", {}, { capabilities: [] })))
  expect(reloadTargets(mixed, null)).toMatchObject({
    keepers: ["pg1", "pg2"].map(keeper),
    skipped: [expect.stringContaining("pg3")],
  })
  expect(reloadTargets(mixed, keeper("pg3"))).toMatchObject({ kind: "refused" })
  expect(reloadTargets(found(go), null)).toMatchObject({ kind: "refused" })
})

describe("recloneRefusal()", () => {
  const why = (it = found(), uid = "pg2"): string | null => recloneRefusal(it, keeper(uid))
  test("lets a standby of a healthy primary be copied afresh", () => expect(why()).toBeNull())
  test("keeps the primary, and whatever may be the last good copy", () => {
    expect(why(found(), "pg1")).toContain("move it first: stolon ctl switchover")
    const ill = withDB(threeKeepers(), "db1", {}, { healthy: false })
    expect(why(found(ill))).toContain("may be the last good copy")
    const shut = threeKeepers()
    const closed = {
      ...shut,
      proxy: { ...shut.proxy, spec: { ...shut.proxy.spec, masterDbUid: db("") } },
    }
    expect(why(found(closed))).toContain("no healthy primary to copy from")
  })
  test("keeps the synchronous standby that nobody could replace", () => {
    const sync = withDB(threeKeepers(), "db1", {
      synchronousReplication: true,
      synchronousStandbys: [db("db2")],
    })
    expect(why(found(sync))).toBeNull()
    const alone = withDB(sync, "db3", {}, { healthy: false })
    expect(why(found(alone))).toContain("no other could take its place")
    const unwilling = withKeeper(sync, "pg3", { canBeSynchronousReplica: false })
    expect(why(found(unwilling))).toContain("no other could take its place")
  })
  test("refuses in a pause, and what nobody there understands", () => {
    expect(why(found(apply(pauseChange(null, mark), threeKeepers())))).toContain(
      "stolon ctl resume",
    )
    expect(why(found(go))).toContain("Go stolon's")
    expect(why(found(threeKeepers(), infos(info("pg2", {}, { capabilities: [] }))))).toContain(
      "does not know",
    )
  })
})

test("recloneProgress() tells a refusal from a copy under way and from its end", () => {
  const at = (data: ClusterData, known = infos()) =>
    recloneProgress(found(data, known), keeper("pg2"), db("db2"), nonce("n1"))
  expect(at(apply(wishChange("reclone", keeper("pg2"), wish), threeKeepers()))).toMatchObject({
    kind: "waiting",
  })
  expect(at(threeKeepers())).toEqual({ kind: "refused" })
  const data = threeKeepers()
  const { [0]: old } = [data.dbs.get(db("db2"))!]
  const dbs = new Map(data.dbs)
  dbs.delete(db("db2"))
  dbs.set(db("db4"), { ...old, uid: db("db4") })
  const copying = infos(
    info("pg2", { uid: "db4", generation: 0, healthy: false, work: "clone 41%" }),
  )
  expect(at({ ...data, dbs }, copying)).toEqual({ kind: "waiting", line: "keeper pg2: clone 41%" })
  expect(at({ ...data, dbs }, infos(info("pg2", { uid: "db4" })))).toEqual({ kind: "done" })
})

test("isWell() wants a standby to stream and a primary to let clients in", () => {
  expect(isWell(found(), keeper("pg1"))).toBe(true)
  expect(
    isWell(found(threeKeepers(), infos(info("pg1", { acceptsClients: false }))), keeper("pg1")),
  ).toBe(false)
  expect(
    isWell(found(threeKeepers(), infos(info("pg2", { streaming: false }))), keeper("pg2")),
  ).toBe(false)
  expect(isWell(found(threeKeepers(), infos(info("pg2", { uid: "db9" }))), keeper("pg2"))).toBe(
    false,
  )
})

describe("removeKeeper()", () => {
  const down = withKeeper(threeKeepers(), "pg1", { healthy: false })
  const twoDown = withKeeper(down, "pg3", { healthy: false })
  const remove = (data: ClusterData, uid: string, evenLast = false) =>
    removeKeeper(keeper(uid), "strict", evenLast)(data)
  test("refuses the last copy that could take over from a primary that is down", () => {
    expect(said(remove(twoDown, "pg2"))).toContain("the only copy that could take over")
    expect(remove(down, "pg2").kind).toBe("edited")
    expect(remove(twoDown, "pg2", true).kind).toBe("edited")
    expect(remove(threeKeepers(), "pg2").kind).toBe("edited")
  })
  test("counts in synchronous mode only who has every acknowledged commit", () => {
    const sync = withDB(
      down,
      "db1",
      { synchronousReplication: true, synchronousStandbys: [db("db2")] },
      { synchronousStandbys: [db("db2")] },
    )
    expect(said(remove(sync, "pg2"))).toContain("the only copy")
    expect(remove(sync, "pg3").kind).toBe("edited")
  })
  test("keeps Go's rule under Go's name", () => {
    expect(removeKeeper(keeper("pg2"), "go")(twoDown).kind).toBe("edited")
  })
})
