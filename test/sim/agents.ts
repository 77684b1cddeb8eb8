/**
 * The one place where the simulator meets the real agents: which options they get in here.
 * Everything that a run decides comes through the ports.
 */
import { type KeeperOptions, runKeeper } from "#agent/keeper.ts"
import { millis } from "#base/brand.ts"
import { runProxy } from "#agent/proxy.ts"
import { runSentinel } from "#agent/sentinel.ts"
import { type KeeperUID, type SentinelUID, keeperUID } from "#model/ids.ts"
import type { PeerEndpoint, Peers } from "#port/peer.ts"
import type { Postgres } from "#port/postgres.ts"
import type { Readers, Relay } from "#port/relay.ts"
import { users } from "./conf.ts"
import type { Ports } from "./nodes.ts"
import { pgPort } from "./server.ts"

/** What a keeper's supervisor starts it with; may be changed for its next life. */
export interface KeeperFlags {
  uid: KeeperUID
  address: string
  port: string
  canBeMaster: boolean
  canBeSynchronousReplica: boolean
}

export const keeperFlags = (machine: string): KeeperFlags => ({
  uid: keeperUID(machine),
  address: machine,
  port: pgPort,
  canBeMaster: true,
  canBeSynchronousReplica: true,
})

/** What a process says to others past the store. */
interface Talk {
  readonly peers: Peers
  readonly endpoint: PeerEndpoint
}

export const agents = {
  sentinel: (ports: Ports & Talk, uid: SentinelUID, signal: AbortSignal): Promise<void> =>
    runSentinel(ports, { uid, initialSpec: null, report: () => {} }, signal),
  proxy: (
    ports: Ports & Pick<Talk, "peers"> & { readonly relay: Relay },
    readers: Readers | null,
    listenAddress: string,
    signal: AbortSignal,
  ): Promise<void> => {
    const rules = { policy: "least-lag", lagMax: 0n, zone: "" } as const
    const reads = readers === null ? {} : { readers: { relay: readers, rules, report: () => {} } }
    const options = { stopListening: true, listenAddress, shutdownTimeout: millis(3_000) }
    return runProxy({ ...ports, ...reads }, options, signal)
  },
  keeper: (
    ports: Ports & Talk & { readonly postgres: Postgres },
    flags: KeeperFlags,
    oneAccount: boolean,
    signal: AbortSignal,
  ): Promise<void> => {
    const { uid, address, port, canBeMaster, canBeSynchronousReplica } = flags
    const superuser = { name: users.super, method: "md5", password: "super" } as const
    const options: KeeperOptions = {
      uid,
      listenAddress: address,
      port,
      advertiseAddress: address,
      advertisePort: port,
      socketDirectory: "/tmp",
      superuser,
      replication: oneAccount
        ? superuser
        : { name: users.replication, method: "md5", password: "repl" },
      canBeMaster,
      canBeSynchronousReplica,
      zone: "",
      report: () => {},
    }
    return runKeeper(ports, options, signal)
  },
}
