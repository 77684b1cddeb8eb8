/** A view with one primary, and the few ways in which the proxy's tests bend it. */
import { type Millis, type Now, millis } from "#base/brand.ts"
import { duration } from "#base/duration.ts"
import {
  type ClusterData,
  type Switchover,
  emptyDB,
  emptyKeeper,
  newClusterData,
} from "#model/cluster.ts"
import { zeroTime } from "#model/codec.ts"
import {
  type ClusterUID,
  type Nonce,
  bootUUID,
  dbUID,
  epoch,
  generation,
  keeperUID,
  proxyUID,
} from "#model/ids.ts"
import { emptySpec, type Spec } from "#model/spec.ts"
import type { Snapshot } from "#proxy/brain.ts"

export const self = proxyUID("5b0c66fa")
export const primary = dbUID("c1d2e3f4")
export const keeper = keeperUID("pg1")
export const at = (mono: number): Now => ({ mono: millis(mono), wall: zeroTime })

export interface Bend {
  readonly spec?: Partial<Spec>
  readonly master?: string
  readonly enabled?: boolean
  readonly generation?: number
  readonly host?: string
  readonly port?: string
  readonly revoked?: boolean
  /** A switchover is in this phase; `drain` is its bound in milliseconds. */
  readonly phase?: Switchover["phase"]
  readonly drain?: number
  readonly epoch?: string
  /** Where the keeper answers, by the view. */
  readonly peerAddress?: string
}

export function view(bend: Bend = {}): ClusterData {
  const spec: Spec = { ...emptySpec, initMode: "new", ...bend.spec }
  // A test may mint an id; only the proxy's own parts of the view matter here.
  const data = newClusterData("5d8a1c0e" as ClusterUID, spec, zeroTime)
  const status = {
    ...emptyDB.status,
    listenAddress: bend.host ?? "10.0.0.11",
    port: bend.port ?? "5432",
  }
  const dbSpec = { ...emptyDB.spec, keeperUID: keeper }
  const keeperStatus = {
    ...emptyKeeper.status,
    bootUUID: bootUUID("boot1"),
    peerAddress: bend.peerAddress ?? "10.0.0.11:7001",
  }
  return {
    ...data,
    cluster: {
      ...data.cluster,
      status: {
        ...data.cluster.status,
        phase: "normal",
        master: primary,
        primaryRevoked: bend.revoked ?? false,
        primaryEpoch: epoch(bend.epoch ?? ""),
        ...(bend.phase === undefined ? {} : { switchover: switchover(bend.phase, bend.drain) }),
      },
    },
    keepers: new Map([[keeper, { ...emptyKeeper, uid: keeper, status: keeperStatus }]]),
    dbs: new Map([[primary, { ...emptyDB, uid: primary, spec: dbSpec, status }]]),
    proxy: {
      ...data.proxy,
      generation: generation(bend.generation ?? 3),
      spec: {
        masterDbUid: dbUID(bend.master ?? primary),
        enabledProxies: (bend.enabled ?? true) ? [self] : [],
      },
    },
  }
}

const switchover = (phase: Switchover["phase"], drain = 5_000): Switchover => ({
  nonce: "n1" as Nonce, // a test may mint one
  keeper: keeperUID("pg2"),
  drain: duration(drain),
  phase,
})

export const timing = (check: number, timeout: number): Partial<Spec> => ({
  proxyCheckInterval: duration(check),
  proxyTimeout: duration(timeout),
})

export const snapshot = (what: Partial<Snapshot> & { readonly readAt?: Millis }): Snapshot => ({
  self,
  view: { kind: "found", data: view() },
  readAt: millis(1_000),
  destination: null,
  draining: false,
  told: generation(3),
  listening: true,
  reads: "none",
  ...what,
})
