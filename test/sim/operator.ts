/**
 * What a person at `stolon ctl` does, as a process of its own: read, change, compare-and-swap,
 * again on conflict. The changes are those of the reference (1.7); what is refused there is not
 * written here.
 */
import { generator } from "#base/random.ts"
import { sortedValues } from "#base/order.ts"
import { type ClusterData, newClusterData } from "#model/cluster.ts"
import { type KeeperUID, newCluster, newNonce } from "#model/ids.ts"
import { type Spec, withDefaults } from "#model/spec.ts"
import { validate } from "#model/validation.ts"
import { createClock } from "./clock.ts"
import type { Sim } from "./sim.ts"

/** Null: there is nothing to do, or it is refused. */
export type Change = (data: ClusterData) => ClusterData | null

/** A person who does not give up while the store is away. */
const tries = 100

export interface Operator {
  /** Writes the first document. */
  init(spec: Spec): void
  change(what: string, change: Change): void
}

export function createOperator(sim: Sim): Operator {
  const { world } = sim
  const process = world.spawn("ctl", world.machine("ctl", 5_000, 1))
  const store = sim.store.port(process)
  const clock = createClock(world, process)
  const { signal } = new AbortController()
  const attempt = async (change: Change): Promise<boolean> => {
    const reading = await store.read(signal)
    if (reading.kind === "absent") return true
    const next = change(reading.data)
    if (next === null) return true
    const { version } = reading
    const written = await store.write(next, { kind: "version", version }, null, signal)
    return written.kind !== "conflict"
  }
  const change = (what: string, how: Change): void => {
    world.trace.add("ctl", what)
    const again = (left: number): void => {
      world.at(left === tries ? 0 : 300, process, () => {
        attempt(how).then(
          (done) => void (done || left === 0 || again(left - 1)),
          () => void (left === 0 || again(left - 1)),
        )
      })
    }
    again(tries)
  }
  return {
    change,
    init(spec) {
      world.trace.add("ctl", "init")
      const uid = newCluster(generator(world.random.below(2 ** 31)))
      const data = newClusterData(uid, spec, clock.now().wall)
      const write = (): void => {
        store.write(data, { kind: "anything" }, null, signal).then(
          ({ kind }) => void (kind === "written" || world.at(500, process, write)),
          () => void world.at(500, process, write),
        )
      }
      world.at(0, process, write)
    },
  }
}

/** `ctl failover [KEEPER]`: a wish, see `FailoverRequest`. */
export const failover =
  (sim: Sim, keeper: KeeperUID): Change =>
  (data) => ({
    ...data,
    cluster: {
      ...data.cluster,
      status: {
        ...data.cluster.status,
        failoverRequest: { nonce: newNonce(generator(sim.world.random.below(2 ** 31))), keeper },
      },
    },
  })

/** `ctl failkeeper KEEPER`. */
export const failKeeper =
  (uid: KeeperUID): Change =>
  (data) => {
    const keeper = data.keepers.get(uid)
    if (keeper === undefined) return null
    const status = { ...keeper.status, forceFail: true }
    return { ...data, keepers: new Map(data.keepers).set(uid, { ...keeper, status }) }
  }

/** `ctl removekeeper KEEPER`: refused for the primary's. */
export const removeKeeper =
  (uid: KeeperUID): Change =>
  (data) => {
    if (!data.keepers.has(uid)) return null
    const db = sortedValues(data.dbs).find(({ spec }) => spec.keeperUID === uid)
    if (db !== undefined && db.uid === data.cluster.status.master) return null
    const keepers = new Map(data.keepers)
    const dbs = new Map(data.dbs)
    keepers.delete(uid)
    if (db !== undefined) dbs.delete(db.uid)
    return { ...data, keepers, dbs }
  }

/** `ctl update --patch`. */
export const update =
  (patch: Partial<Spec>): Change =>
  (data) => {
    const spec = { ...data.cluster.spec, ...patch }
    if (validate(spec) !== null || withDefaults(spec).role !== "master") return null
    return { ...data, cluster: { ...data.cluster, spec } }
  }
