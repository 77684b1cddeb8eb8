/**
 * What the reducers of one decision share: the facts, chance, and a place for events. A reducer
 * takes the document as it stands and returns the next one; nothing else of it leaves the decision.
 */
import type { Now } from "#base/brand.ts"
import { byText } from "#base/order.ts"
import type { Random } from "#base/random.ts"
import type {
  ClusterData,
  ClusterStatus,
  DB,
  DBSpec,
  DBStatus,
  Keeper,
  Proxy,
} from "#model/cluster.ts"
import { type Event, type EventCode, type EventField, event } from "#model/events.ts"
import { type DBUID, type KeeperUID, type Nonce, nextGeneration, noDB } from "#model/ids.ts"
import type { Facts } from "./facts.ts"
import type { Memory } from "./memory.ts"

export interface Round {
  readonly facts: Facts
  readonly memory: Memory
  readonly now: Now
  readonly random: Random
  readonly say: (code: EventCode, fields?: Fields) => void
  /** Says a lasting condition once; again only after its fields changed. */
  readonly sayOnce: (code: EventCode, fields: Fields) => void
  /** A lasting condition is over: the next time it is news again. */
  readonly over: (code: EventCode) => void
  /** Initialisation failed on this keeper. */
  readonly initFailedOn: (keeper: KeeperUID) => void
  /** This keeper's next word is waited for: it may be asked to look and publish now. */
  readonly awaits: (keeper: KeeperUID) => void
}
type Fields = Readonly<Record<string, EventField>>

export type Reducer = (data: ClusterData, round: Round) => ClusterData

/** A round and what it gathered. */
export interface Gathering {
  readonly round: Round
  readonly gathered: () => {
    readonly events: readonly Event[]
    readonly memory: Memory
    readonly awaited: readonly KeeperUID[]
  }
}

export function beginRound(facts: Facts, memory: Memory, now: Now, random: Random): Gathering {
  const events: Event[] = []
  const said = new Map(memory.said)
  const failedInit = new Set(memory.failedInit)
  const awaited = new Set<KeeperUID>()
  const round: Round = {
    facts,
    memory,
    now,
    random,
    say: (code, fields = {}) => void events.push(event(code, fields)),
    sayOnce: (code, fields) => {
      const text = JSON.stringify(fields)
      if (said.get(code) === text) return
      said.set(code, text)
      events.push(event(code, fields))
    },
    over: (code) => void said.delete(code),
    initFailedOn: (keeper) => void failedInit.add(keeper),
    awaits: (keeper) => void awaited.add(keeper),
  }
  const gathered: Gathering["gathered"] = () => ({
    events,
    memory: { ...memory, said, failedInit },
    awaited: [...awaited].toSorted(byText),
  })
  return { round, gathered }
}

/** Applies reducers one after the other. */
export const inOrder =
  (...reducers: readonly Reducer[]): Reducer =>
  (data, round) =>
    reducers.reduce((current, reducer) => reducer(current, round), data)

export const withStatus = (data: ClusterData, change: Partial<ClusterStatus>): ClusterData => ({
  ...data,
  cluster: { ...data.cluster, status: { ...data.cluster.status, ...change } },
})
/** Without the optional `key`: absent, not undefined. */
export function withoutRequest(data: ClusterData): ClusterData {
  const { failoverRequest: _, ...status } = data.cluster.status
  return { ...data, cluster: { ...data.cluster, status } }
}

export function withoutSwitchover(data: ClusterData): ClusterData {
  const { switchover, ...status } = data.cluster.status
  if (switchover === undefined) return data
  return { ...data, cluster: { ...data.cluster, status } }
}
/** What became of an operator's wish; `why` is empty when it was fulfilled. */
export const answered = (data: ClusterData, nonce: Nonce, why: string): ClusterData =>
  withStatus(data, { answered: { nonce, done: why === "", why } })

export const withKeeper = (data: ClusterData, keeper: Keeper): ClusterData => ({
  ...data,
  keepers: new Map(data.keepers).set(keeper.uid, keeper),
})
export const withDB = (data: ClusterData, db: DB): ClusterData => ({
  ...data,
  dbs: new Map(data.dbs).set(db.uid, db),
})
export const withoutDB = (data: ClusterData, uid: DBUID): ClusterData => ({
  ...data,
  dbs: new Map([...data.dbs].filter(([key]) => key !== uid)),
})
/** Changes the spec of a DB that is there. */
export function withSpec(data: ClusterData, uid: DBUID, change: Partial<DBSpec>): ClusterData {
  const db = data.dbs.get(uid)
  return db === undefined ? data : withDB(data, { ...db, spec: { ...db.spec, ...change } })
}
export function withDBStatus(
  data: ClusterData,
  uid: DBUID,
  change: Partial<DBStatus>,
): ClusterData {
  const db = data.dbs.get(uid)
  return db === undefined ? data : withDB(data, { ...db, status: { ...db.status, ...change } })
}
/** A DB's spec without its followConfig: it follows nobody. */
export function withoutFollow(data: ClusterData, uid: DBUID): ClusterData {
  const db = data.dbs.get(uid)
  if (db === undefined) return data
  const { followConfig: _, ...spec } = db.spec
  return withDB(data, { ...db, spec })
}

/** A new proxy spec is a new generation, which every proxy acknowledges (G9). */
export const withGate = (data: ClusterData, spec: Proxy["spec"]): ClusterData => ({
  ...data,
  proxy: { ...data.proxy, spec, generation: nextGeneration(data.proxy.generation) },
})
/** Closed for everybody; enabledProxies stay as they are (N4). */
export const closeGate = (data: ClusterData): ClusterData =>
  data.proxy.spec.masterDbUid === ""
    ? data
    : withGate(data, { ...data.proxy.spec, masterDbUid: noDB })
