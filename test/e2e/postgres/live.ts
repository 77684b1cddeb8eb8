/**
 * A keeper's real loops on a real PostgreSQL, with a store in memory: it shows the view of the test
 * and passes infos from keeper to keeper.
 */
import { runKeeper } from "#agent/keeper.ts"
import { noEndpoint, noPeers } from "#agent/no-peers.ts"
import type { ClusterData } from "#model/cluster.ts"
import type { Event } from "#model/events.ts"
import type { KeeperUID } from "#model/ids.ts"
import type { KeeperInfo } from "#model/info.ts"
import type { Postgres } from "#port/postgres.ts"
import type { Store } from "#port/store.ts"
import type { PostgresSettings } from "#postgres/settings.ts"
import { realChance } from "#system/chance.ts"
import { realClock } from "#system/clock.ts"

/** What all keepers of a test share. */
export interface Shared {
  view: ClusterData | null
  readonly infos: Map<KeeperUID, KeeperInfo>
  readonly published: KeeperInfo[]
  /** What happened, in order, and to whom. */
  readonly events: { readonly who: KeeperUID; readonly event: Event }[]
  readonly changed: (() => void)[]
}

export const shared = (): Shared => ({
  view: null,
  infos: new Map(),
  published: [],
  events: [],
  changed: [],
})

/** Shows another view to everybody. */
export function show(to: Shared, view: ClusterData): void {
  to.view = view
  for (const ring of to.changed) ring()
}

export interface Life extends AsyncDisposable {
  stop(): Promise<void>
}

export function live(
  uid: KeeperUID,
  postgres: Postgres,
  settings: PostgresSettings,
  common: Shared,
): Life {
  const shutdown = new AbortController()
  const ports = {
    store: storeOf(common),
    peers: noPeers,
    endpoint: noEndpoint,
    postgres,
    clock: realClock,
    chance: realChance,
    log: { event: (event: Event) => void common.events.push({ who: uid, event }) },
  }
  const running = runKeeper(
    ports,
    {
      uid,
      listenAddress: "127.0.0.1",
      port: settings.port,
      advertiseAddress: "127.0.0.1",
      advertisePort: settings.port,
      socketDirectory: settings.socketDirectory,
      superuser: settings.superuser,
      replication: settings.replication,
      canBeMaster: true,
      canBeSynchronousReplica: true,
      zone: "",
      report: () => {},
    },
    shutdown.signal,
  )
  const stop = async (): Promise<void> => {
    shutdown.abort()
    await running
  }
  return { stop, [Symbol.asyncDispose]: stop }
}

function storeOf(common: Shared): Store {
  const unused = (): never => {
    throw new Error("a keeper does not do this")
  }
  return {
    read: async () => {
      const version = "1" as never // a keeper never writes by it
      return common.view === null
        ? { kind: "absent", version: null }
        : { kind: "found", data: common.view, version }
    },
    publish: async (what) => {
      if (what.kind !== "keeper") return
      common.infos.set(what.info.uid, what.info)
      common.published.push(what.info)
    },
    infos: async () => ({
      keepers: new Map(common.infos),
      sentinels: new Map(),
      proxies: new Map(),
      broken: [],
    }),
    watch: (_, changed, signal) => {
      common.changed.push(changed)
      const { promise, resolve } = Promise.withResolvers<void>()
      signal.addEventListener("abort", () => resolve(), { once: true })
      return promise
    },
    write: unused,
    withdraw: unused,
    unseat: unused,
    leader: unused,
    campaign: unused,
    [Symbol.asyncDispose]: async () => {},
  }
}
