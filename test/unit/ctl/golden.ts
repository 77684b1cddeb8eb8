/** Recorded states of Go clusters as what `status` reads, rebuilt from the recorded outputs. */
import { readFileSync } from "node:fs"
import { type ClusterData, decodeClusterData } from "#model/cluster.ts"
import { decodeJson } from "#model/codec.ts"
import { type DBUID, keeperUID, proxyUID, sentinelUID } from "#model/ids.ts"
import { type Infos, ProxyInfo, SentinelInfo } from "#model/info.ts"
import type { GoFound } from "#ctl/status-go.ts"

export const golden = (name: string): string =>
  readFileSync(new URL(`../../golden/cli/${name}`, import.meta.url), "utf8")

/** The rows of a recorded table, without its heading. */
export const table = (name: string): readonly (readonly string[])[] =>
  golden(name)
    .replace(/\n$/, "")
    .split("\n")
    .slice(1)
    .map((line) => line.split("\t"))

interface Recorded {
  readonly sentinels: readonly { readonly uid: string; readonly leader: boolean }[]
  readonly proxies: readonly { readonly uid: string; readonly generation: number }[]
  readonly keepers: readonly {
    readonly uid: string
    readonly listen_address: string
    readonly healthy: boolean
    readonly pg_healthy: boolean
    readonly pg_wanted_generation: number
    readonly pg_current_generation: number
  }[]
  readonly cluster: { readonly master_keeper_uid: string; readonly master_db_uid: string }
}

/** The state `name`, from its JSON; who follows whom comes from the tree of the text. */
export function recorded(name: string): GoFound {
  const json: Recorded = JSON.parse(golden(`status-${name}.json`))
  const tree = /===== Keepers\/DB tree =====\n\n.*\n((?:.*\n)*)\n$/.exec(
    golden(`status-${name}.txt`),
  )
  const following = [...(tree?.[1] ?? "").matchAll(/^[├└]─(.*)$/gm)].map((match) => match[1])
  const dbOf = (uid: string): string =>
    uid === json.cluster.master_keeper_uid ? json.cluster.master_db_uid : `db-${uid}`
  const keepers = json.keepers.map((k) => [k.uid, { uid: k.uid, status: { healthy: k.healthy } }])
  const dbs = json.keepers
    .filter((k) => k.listen_address !== "(no db assigned)")
    .map((k) => {
      const [, address, port] = /^(.*):(\d+)$/.exec(k.listen_address) ?? ["", "", ""]
      const followers =
        k.uid === json.cluster.master_keeper_uid ? following.map((f) => dbOf(f ?? "")) : []
      return [
        dbOf(k.uid),
        {
          uid: dbOf(k.uid),
          generation: k.pg_wanted_generation,
          spec: { keeperUID: k.uid, followers },
          status: {
            healthy: k.pg_healthy,
            currentGeneration: k.pg_current_generation,
            listenAddress: address,
            port,
          },
        },
      ]
    })
  return {
    data: document({
      cluster: { spec: { initMode: "new" }, status: { master: json.cluster.master_db_uid } },
      keepers: Object.fromEntries(keepers),
      dbs: Object.fromEntries(dbs),
    }),
    leader: sentinelUID(json.sentinels.find((s) => s.leader)?.uid ?? "nobody"),
    infos: infosOf(
      json.sentinels.map((s) => s.uid),
      json.proxies,
    ),
  }
}

/** A document written by hand, such as the synthetic inputs. */
export function document(fields: object): ClusterData {
  const data = decodeClusterData(JSON.stringify({ formatVersion: 1, proxy: {}, ...fields }))
  if (data === null) throw new Error("null document")
  return data
}

export const noInfos: Infos = {
  keepers: new Map(),
  sentinels: new Map(),
  proxies: new Map(),
  broken: [],
}

export const infosOf = (
  sentinels: readonly string[],
  proxies: readonly { readonly uid: string; readonly generation: number }[],
): Infos => ({
  ...noInfos,
  sentinels: new Map(
    sentinels.map((uid) => [sentinelUID(uid), decodeJson(SentinelInfo, { UID: uid })]),
  ),
  proxies: new Map(
    proxies.map(({ uid, generation }) => [
      proxyUID(uid),
      decodeJson(ProxyInfo, { UID: uid, Generation: generation, ProxyTimeout: 15_000_000_000 }),
    ]),
  ),
})

/** A cluster of three keepers, pg1 primary, led by one of our sentinels. */
export function threeKeepers(status: object = {}): ClusterData {
  const keeper = (uid: string) => ({
    uid,
    generation: 1,
    status: { healthy: true, postgresBinaryVersion: { Maj: 15, Min: 4 }, canBeMaster: true },
  })
  const db = (uid: string, keeperUid: string, spec: object, xLogPos: number) => ({
    uid,
    generation: 3,
    spec: { keeperUID: keeperUid, initMode: "none", ...spec },
    status: {
      healthy: true,
      currentGeneration: 3,
      listenAddress: `10.0.0.1${keeperUid.slice(2)}`,
      port: "5432",
      timelineID: 2,
      xLogPos,
    },
  })
  const standby = { role: "standby", followConfig: { type: "internal", dbuid: "db1" } }
  return document({
    cluster: {
      uid: "c1",
      generation: 1,
      spec: { initMode: "new" },
      status: { phase: "normal", master: "db1", primaryEpoch: "e1", ...status },
    },
    keepers: { pg1: keeper("pg1"), pg2: keeper("pg2"), pg3: keeper("pg3") },
    dbs: {
      db1: db("db1", "pg1", { role: "master", followers: ["db2", "db3"] }, 0x3000060),
      db2: db("db2", "pg2", standby, 0x3000060),
      db3: db("db3", "pg3", standby, 0x2000060),
    },
    proxy: { generation: 4, spec: { masterDbUid: "db1", enabledProxies: ["p1"] } },
  })
}
export const db = (uid: string): DBUID => uid as DBUID
export const keeper = keeperUID
