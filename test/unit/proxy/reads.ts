/** A cluster with standbys, what its keepers publish, and one who reads it now and then. */
import { duration } from "#base/duration.ts"
import { millis } from "#base/brand.ts"
import { type ClusterData, type DB, emptyDB, emptyKeeper } from "#model/cluster.ts"
import { decodeJson } from "#model/codec.ts"
import type { Event } from "#model/events.ts"
import { type KeeperUID, dbUID, generation, infoUID, keeperUID } from "#model/ids.ts"
import { type Infos, KeeperInfo } from "#model/info.ts"
import type { Json } from "#model/json.ts"
import {
  type ReadRules,
  type ReadersMemory,
  type Target,
  confine,
  judge,
  noReaders,
  spreadOf,
} from "#proxy/readers.ts"

import { primary, self, view } from "./builder.ts"

export const MiB = 1 << 20

/** How one standby differs: in the view, and in what its keeper says. */
export interface StandbyBend {
  readonly spec?: Partial<DB["spec"]>
  readonly status?: Partial<DB["status"]>
  readonly generation?: number
  readonly keeperHealthy?: boolean
}

export interface Cluster {
  data: ClusterData
  /** By keeper: what is published; a text that counts the publishes is added. */
  readonly says: Map<string, { readonly [key: string]: Json }>
}

/** A standby of `pg2`: DB `db2` at 10.0.0.12, generation 2. */
function standby(keeper: string, { spec, status, generation: of = 2 }: StandbyBend): DB {
  const n = keeper.slice(2)
  return {
    ...emptyDB,
    uid: dbUID(`db${n}`),
    generation: generation(of),
    spec: {
      ...emptyDB.spec,
      keeperUID: keeperUID(keeper),
      role: "standby",
      followConfig: { type: "internal", dbuid: primary },
      ...spec,
    },
    status: {
      ...emptyDB.status,
      healthy: true,
      listenAddress: `10.0.0.1${n}`,
      port: "5432",
      ...status,
    },
  }
}

export const position = (n: number): string => `${n}`

/** What a keeper says of a standby that is well and has everything; 100 MiB is the primary's. */
export const well = (keeper: string, bend: { readonly [key: string]: Json } = {}) => ({
  uid: keeper,
  capabilities: ["lease"],
  postgresState: {
    uid: `db${keeper.slice(2)}`,
    generation: 2,
    healthy: true,
    inRecovery: true,
    acceptsClients: true,
    timelineID: 1,
    xLogPos: 100 * MiB,
    replayed: 100 * MiB,
    ...bend,
  },
})

/** Primaries run under leases. */
export const leased = { spec: { selfFencing: true }, epoch: "e1" } as const

/** `pg1` is the primary, and those named are standbys. */
export function cluster(
  standbys: { readonly [keeper: string]: StandbyBend } = { pg2: {}, pg3: {} },
  bend: Parameters<typeof view>[0] = {},
): Cluster {
  const base = view({ ...bend, spec: { failInterval: duration(3_000), ...bend.spec } })
  const master = base.dbs.get(primary) ?? emptyDB
  const names = Object.keys(standbys)
  const dbs = names.map((keeper) => standby(keeper, standbys[keeper] ?? {}))
  const role = { ...master, spec: { ...master.spec, role: "master" as const } }
  const keepers = names.map((keeper): [KeeperUID, typeof emptyKeeper] => [
    keeperUID(keeper),
    {
      ...emptyKeeper,
      uid: keeperUID(keeper),
      status: { ...emptyKeeper.status, healthy: standbys[keeper]?.keeperHealthy ?? true },
    },
  ])
  const data = {
    ...base,
    keepers: new Map([...base.keepers, ...keepers]),
    dbs: new Map([[primary, role], ...dbs.map((db): [DB["uid"], DB] => [db.uid, db])]),
  }
  const says = new Map<string, { readonly [key: string]: Json }>(
    names.map((keeper) => [keeper, well(keeper)]),
  )
  says.set("pg1", well("pg1", { uid: primary, inRecovery: false }))
  return { data, says }
}

/** What a store lists of it. */
export const infosOf = ({ says }: Pick<Cluster, "says">, publish: string): Infos => ({
  keepers: new Map(
    [...says].map(([keeper, said]) => [
      keeperUID(keeper),
      { ...decodeJson(KeeperInfo, said), infoUID: infoUID(publish) },
    ]),
  ),
  sentinels: new Map(),
  proxies: new Map(),
  broken: [],
})

export const anyLag: ReadRules = { policy: "least-lag", lagMax: 0n, zone: "" }

/** Reads `it` every second, and judges. */
export function reader(it: Cluster, rules: ReadRules = anyLag) {
  let memory: ReadersMemory = noReaders
  let now = 1_000_000
  let publishes = 0
  const events: Event[] = []
  const why = (): Record<string, string> =>
    Object.fromEntries(memory.targets.map((one: Target) => [one.keeper, one.why]))
  return {
    /** Time passes, and everybody of `silent` says nothing new. */
    look(ms = 1_000, ...silent: readonly string[]): Record<string, string> {
      now += ms
      publishes++
      const infos = [...it.says].map(([keeper, said]) => {
        const uid = infoUID(silent.includes(keeper) ? `silent ${keeper}` : `${publishes}`)
        return [keeperUID(keeper), { ...decodeJson(KeeperInfo, said), infoUID: uid }] as const
      })
      const heard = { self, data: it.data, keepers: new Map(infos), readAt: millis(now) }
      const judged = judge(heard, rules, memory)
      memory = judged.memory
      events.push(...judged.events)
      return why()
    },
    /** A check saw another view. */
    confine(data: ClusterData | null): void {
      const judged = confine(memory, data, self)
      memory = judged.memory
      events.push(...judged.events)
    },
    /** Keepers by rank, and those that are leaving. */
    spread: () => {
      const { to, leaving } = spreadOf(memory)
      const names = (group: typeof leaving): string[] => group.map(({ keeper }) => keeper)
      return { to: to.map(names), leaving: names(leaving) }
    },
    lag: (keeper: string) => memory.targets.find((one) => one.keeper === keeper)?.lag ?? null,
    events: () => events.splice(0).map(({ code, fields }) => `${code} ${fields["keeper"] ?? ""}`),
  }
}
