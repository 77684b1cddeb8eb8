/**
 * The one place where the simulator meets the real agents: which options they get in here.
 * Everything that a run decides comes through the ports.
 */
import { type KeeperOptions, runKeeper } from "#agent/keeper.ts"
import { runProxy } from "#agent/proxy.ts"
import { runSentinel } from "#agent/sentinel.ts"
import type { KeeperUID, SentinelUID } from "#model/ids.ts"
import type { Postgres } from "#port/postgres.ts"
import type { Relay } from "#port/relay.ts"
import { users } from "./conf.ts"
import type { Ports } from "./nodes.ts"
import { pgPort } from "./server.ts"

export const agents = {
  sentinel: (ports: Ports, uid: SentinelUID, signal: AbortSignal): Promise<void> =>
    runSentinel(ports, { uid, initialSpec: null, report: () => {} }, signal),
  proxy: (
    ports: Ports & { readonly relay: Relay },
    listenAddress: string,
    signal: AbortSignal,
  ): Promise<void> => runProxy(ports, { stopListening: true, listenAddress }, signal),
  keeper: (
    ports: Ports & { readonly postgres: Postgres },
    uid: KeeperUID,
    oneAccount: boolean,
    signal: AbortSignal,
  ): Promise<void> => {
    const superuser = { name: users.super, method: "md5", password: "super" } as const
    const options: KeeperOptions = {
      uid,
      listenAddress: uid,
      port: pgPort,
      advertiseAddress: uid,
      advertisePort: pgPort,
      socketDirectory: "/tmp",
      superuser,
      replication: oneAccount
        ? superuser
        : { name: users.replication, method: "md5", password: "repl" },
      canBeMaster: true,
      canBeSynchronousReplica: true,
      report: () => {},
    }
    return runKeeper(ports, options, signal)
  },
}
