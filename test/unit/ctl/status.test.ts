/** What `stolon ctl status` says of a cluster, and what it says is being waited for. */
import { describe, expect, test } from "bun:test"
import type { ClusterData } from "#model/cluster.ts"
import { decodeJson } from "#model/codec.ts"
import { sentinelUID } from "#model/ids.ts"
import { type Infos, KeeperInfo } from "#model/info.ts"
import { type Found, facts } from "#ctl/status.ts"
import { statusJson, statusText } from "#ctl/status-text.ts"
import { db, infosOf, keeper, noInfos, threeKeepers } from "./golden.ts"

const alive = (
  uid: string,
  state: object = {},
): readonly [ReturnType<typeof keeper>, KeeperInfo] => [
  keeper(uid),
  decodeJson(KeeperInfo, {
    infoUID: "i",
    uid,
    postgresBinaryVersion: { Maj: 15, Min: 4 },
    ...state,
  }),
]
const everybody: Infos = {
  ...infosOf(["s1", "s2"], [{ uid: "p1", generation: 4 }]),
  keepers: new Map([alive("pg1"), alive("pg2"), alive("pg3")]),
}
const found = (data: ClusterData | null, infos = everybody): Found => ({
  data,
  infos,
  leader: sentinelUID("s1"),
})
const waits = (it: Found): readonly string[] => facts("prod", it).waiting.map(({ code }) => code)

describe("statusText()", () => {
  test("D-66 shows roles, timelines, positions and lag in aligned columns, and nothing to wait for", () => {
    expect(statusText(facts("prod", found(threeKeepers())))).toMatchInlineSnapshot(`
"Cluster prod (c1): normal, asynchronous replication
Primary: pg1, open to clients through proxies
Fencing: off, as in Go stolon

Members
  KEEPER  ROLE     STATE    TL  POSITION   LAG      FOLLOWS  ADDRESS         PG
  pg1     primary  running  2   0/3000060  -        -        10.0.0.11:5432  15.4
  pg2     standby  running  2   0/3000060  0 B      pg1      10.0.0.12:5432  15.4
  pg3     standby  running  2   0/2000060  16.0 MB  pg1      10.0.0.13:5432  15.4

Sentinels
  s1  leader
  s2

Proxies
  p1  enabled  generation 4
"
`)
  })

  test("shows a store without a cluster", () => {
    expect(statusText(facts("prod", { data: null, infos: noInfos, leader: null })))
      .toMatchInlineSnapshot(`
"Cluster prod: no cluster
Primary: none

Members
  no keeper reports

Sentinels
  none reports

Proxies
  none reports

Waiting for
  - a cluster in the store; begin one with: stolon ctl init
"
`)
  })

  test("shows a failover in the middle and what it waits for", () => {
    const data = threeKeepers({ primaryRevoked: true })
    const gone = {
      ...data,
      keepers: new Map(data.keepers).set(keeper("pg1"), {
        ...data.keepers.get(keeper("pg1"))!,
        status: { ...data.keepers.get(keeper("pg1"))!.status, healthy: false },
      }),
      proxy: { ...data.proxy, spec: { ...data.proxy.spec, masterDbUid: db("") } },
    }
    const infos = { ...everybody, keepers: new Map([alive("pg2"), alive("pg3")]) }
    expect(statusText(facts("prod", found(gone, infos)))).toMatchInlineSnapshot(`
"Cluster prod (c1): normal, asynchronous replication
Primary: none (the one on pg1 is deposed)
Fencing: off, as in Go stolon

Members
  KEEPER  ROLE             STATE          TL  POSITION   LAG      FOLLOWS  ADDRESS         PG
  pg1     revoked primary  keeper silent  2   0/3000060  -        -        10.0.0.11:5432  15.4
  pg2     standby          running        2   0/3000060  0 B      pg1      10.0.0.12:5432  15.4
  pg3     standby          running        2   0/2000060  16.0 MB  pg1      10.0.0.13:5432  15.4

Sentinels
  s1  leader
  s2

Proxies
  p1  enabled  generation 4

Waiting for
  - proof that the deposed primary on pg1 is stopped; then the most advanced standby that may be elected takes over (stolon ctl explain)
  - keeper pg1 to report again; if it is gone for good: stolon ctl removekeeper pg1
"
`)
  })
})

describe("facts()", () => {
  const with_ = (change: (data: ClusterData) => ClusterData): Found => found(change(threeKeepers()))

  test("waits for nothing in a healthy cluster", () => {
    expect(waits(found(threeKeepers()))).toEqual([])
  })
  test("tells each thing that is missing", () => {
    expect(waits({ ...found(threeKeepers()), leader: null })).toEqual(["no-leader"])
    expect(waits(found(threeKeepers({ failoverRequest: { nonce: "n", keeper: "pg2" } })))).toEqual([
      "failover-requested",
    ])
    expect(waits(found(threeKeepers({ phase: "initializing", master: "" })))).toContain(
      "initializing",
    )
    expect(waits(found(threeKeepers({ master: "" })))).toContain("no-primary")
    const closed = with_((d) => ({
      ...d,
      proxy: { ...d.proxy, spec: { ...d.proxy.spec, masterDbUid: db("") } },
    }))
    expect(waits(closed)).toEqual(["gate-closed"])
  })
  test("tells a proxy that is behind, a keeper that applies, and work in progress", () => {
    const behind = { ...everybody, proxies: infosOf([], [{ uid: "p1", generation: 3 }]).proxies }
    expect(waits(found(threeKeepers(), behind))).toEqual(["proxy-behind"])
    const db2 = threeKeepers().dbs.get(db("db2"))!
    const applying = with_((d) => ({
      ...d,
      dbs: new Map(d.dbs).set(db("db2"), {
        ...db2,
        generation: (db2.generation + 1) as typeof db2.generation,
      }),
    }))
    expect(facts("x", applying).waiting.map(({ text }) => text)).toEqual([
      "keeper pg2 to apply generation 4 (it has 3)",
    ])
    const working = {
      ...everybody,
      keepers: new Map([
        ...everybody.keepers,
        alive("pg3", { postgresState: { uid: "db3", work: "clone 41%" } }),
      ]),
    }
    expect(facts("x", found(threeKeepers(), working)).waiting.map(({ text }) => text)).toEqual([
      "keeper pg3: clone 41%",
    ])
  })
  test("takes a keeper's own position where it is newer than the view", () => {
    const infos = {
      ...everybody,
      keepers: new Map([
        ...everybody.keepers,
        alive("pg3", { postgresState: { uid: "db3", xLogPos: 0x3000060, timelineID: 2 } }),
      ]),
    }
    expect(facts("x", found(threeKeepers(), infos)).members.map((m) => m.lagBytes)).toEqual([
      null,
      0n,
      0n,
    ])
  })
  test("calls a standby synchronous only while replication is and the leader counts it in", () => {
    const db1 = threeKeepers().dbs.get(db("db1"))!
    const listed = (synchronousReplication: boolean) =>
      with_((d) => ({
        ...d,
        cluster: { ...d.cluster, spec: { ...d.cluster.spec, synchronousReplication } },
        dbs: new Map(d.dbs).set(db("db1"), {
          ...db1,
          status: { ...db1.status, synchronousStandbys: [db("db2")] },
        }),
      }))
    expect(facts("x", listed(true)).members.map((m) => m.role)).toEqual([
      "primary",
      "synchronous standby",
      "standby",
    ])
    expect(facts("x", listed(false)).members.map((m) => m.role)).toEqual([
      "primary",
      "standby",
      "standby",
    ])
  })
  test("waits for a spare keeper's database only while a standby is missing", () => {
    const limited = (maxStandbysPerSender: number) =>
      with_((d) => ({
        ...d,
        cluster: { ...d.cluster, spec: { ...d.cluster.spec, maxStandbysPerSender } },
        dbs: new Map([...d.dbs].filter(([uid]) => uid !== "db3")),
      }))
    expect(waits(limited(1))).toEqual([])
    expect(waits(limited(2))).toEqual(["keeper-idle"])
  })
  test("D-11 warns while minSynchronousStandbys 0 leaves the primary without a standby", () => {
    const spec = { synchronousReplication: true, minSynchronousStandbys: 0 }
    const bare = with_((d) => ({
      ...d,
      cluster: { ...d.cluster, spec: { ...d.cluster.spec, ...spec } },
    }))
    expect(facts("x", bare).warnings.join()).toContain("commits are asynchronous now")
    const db1 = threeKeepers().dbs.get(db("db1"))!
    const covered = new Map(bare.data!.dbs).set(db("db1"), {
      ...db1,
      spec: { ...db1.spec, synchronousStandbys: [db("db2")] },
    })
    expect(facts("x", found({ ...bare.data!, dbs: covered })).warnings.join()).not.toContain(
      "asynchronous now",
    )
  })
  test("warns of documents and names that will make trouble", () => {
    const d = threeKeepers({ primaryEpoch: "" })
    const hyphen = {
      ...d,
      keepers: new Map(d.keepers).set(keeper("pg-4"), {
        ...d.keepers.get(keeper("pg1"))!,
        uid: keeper("pg-4"),
      }),
    }
    const infos = { ...everybody, broken: [{ key: "keepers/info/x", error: "expected an object" }] }
    expect(facts("x", found(hyphen, infos)).warnings).toEqual([
      "the value of keepers/info/x cannot be used: expected an object",
      "keeper pg-4: a Go keeper cannot take over a uid with a hyphen",
      "the leading sentinel is Go stolon's; fencing and failover on request are off",
    ])
  })
})

test("statusJson() is JSON with exact positions and lag as a number", () => {
  const json = JSON.parse(statusJson(facts("prod", found(threeKeepers()))))
  expect(json.primary).toEqual({ keeper: "pg1", db: "db1", revoked: false, openToClients: true })
  expect(json.members[2]).toMatchObject({
    keeper: "pg3",
    position: "0/2000060",
    lagBytes: 16777216,
  })
  expect(json.waiting).toEqual([])
})
