/**
 * What an operator asks for in a random run, one row per wish: the command, and what it changes in
 * what clients were promised. Faults go on meanwhile.
 */
import { duration, toMillis } from "#base/duration.ts"
import { type KeeperUID, keeperUID } from "#model/ids.ts"
import { type Spec, withDefaults } from "#model/spec.ts"
import type { Edit } from "#ctl/edit.ts"
import type { Wish } from "./draw.ts"
import {
  type Operator,
  failKeeper,
  failover,
  pause,
  promote,
  removeKeeper,
  resume,
  switchover,
  update,
  wishFor,
} from "./operator.ts"
import type { Sim } from "./sim.ts"

interface Asked {
  readonly sim: Sim
  /** Some keeper. */
  readonly some: KeeperUID
  /** How long what can be taken back lasts. */
  readonly lasts: number
  change(what: string, edit: Edit): void
}

export function fulfil(sim: Sim, operator: Operator, wish: Wish, lasts: number): void {
  const hosts = [...sim.hosts.keys()]
  const some = keeperUID(hosts[sim.world.random.below(hosts.length)] ?? "")
  if (wish !== "init") return rows[wish]({ sim, some, lasts, change: operator.change })
  sim.ledger.forget(systems(sim))
  operator.init(sim.shape.spec)
}

/** Every system identifier that there is now. */
const systems = (sim: Sim): readonly string[] =>
  [...sim.hosts.values()].flatMap(({ disk }) => (disk.data === null ? [] : [disk.data.systemID]))

/**
 * Known: whoever fails the last standby in sync when the primary is dead already leaves nobody who
 * may be elected. Operators fail the one that is dead.
 */
function deadPrimary(sim: Sim): KeeperUID | null {
  const reading = sim.store.core.read()
  if (reading.kind === "absent") return null
  const { cluster, dbs } = reading.data
  const uid = dbs.get(cluster.status.master)?.spec.keeperUID
  return uid !== undefined && sim.hosts.get(uid)?.instance === null ? uid : null
}

const spec = (what: string, patch: Partial<Spec>): ((asked: Asked) => void) => {
  return ({ change }) => change(what, update(patch))
}

const rows: Readonly<Record<Exclude<Wish, "init">, (asked: Asked) => void>> = {
  failover: ({ sim, change }) => change("failover", failover(sim, keeperUID(""))),
  failoverTo: ({ sim, some, change }) => change(`failover to ${some}`, failover(sim, some)),
  switchover: ({ sim, change }) => change("switchover", switchover(sim, null)),
  switchoverTo: ({ sim, some, change }) => change(`switchover to ${some}`, switchover(sim, some)),
  failKeeper: ({ sim, some, change }) => {
    const whom = deadPrimary(sim) ?? some
    sim.troubles.begin(whom, "failkeeper", sim.world.now())()
    change(`failkeeper ${whom}`, failKeeper(whom))
  },
  removeKeeper: ({ some, change }) => change(`removekeeper ${some}`, removeKeeper(some)),
  syncOn: ({ sim, change }) => {
    sim.ledger.promise = "sync"
    change("synchronousReplication on", update({ synchronousReplication: true }))
  },
  syncOff: ({ sim, change }) => {
    sim.ledger.relax()
    change("synchronousReplication off", update({ synchronousReplication: false }))
  },
  fencing: ({ sim, change }) => {
    const selfFencing = sim.world.chance(0.5)
    change(`selfFencing ${selfFencing}`, update({ selfFencing }))
  },
  fencingLease: ({ sim, change }) => {
    const { failInterval } = withDefaults(sim.shape.spec)
    const lease = toMillis(failInterval) * sim.world.between(0.5, 1.5)
    change("fencingLease", update({ fencingLease: duration(Math.round(lease)) }))
  },
  silence: spec("failureDetection silence", { failureDetection: "silence" }),
  evidence: spec("failureDetection evidence", { failureDetection: "evidence" }),
  toggleRewind: ({ change }) =>
    change(
      "usePgrewind",
      update(({ usePgrewind }) => ({ usePgrewind: usePgrewind !== true })),
    ),
  parameters: ({ sim, change }) => {
    // The second is the keeper's own business and must be ignored.
    const many = String(150 + sim.world.random.below(100))
    const typed = [
      ["max_connections", many],
      ["port", "1"],
    ] as const
    change(
      "pgParameters",
      update(({ pgParameters }) => ({ pgParameters: new Map([...pgParameters, ...typed]) })),
    )
  },
  limits: ({ sim: { world }, change }) => {
    const limits = { maxStandbys: 1 + world.random.below(8) }
    const maxStandbysPerSender = 1 + world.random.below(3)
    change("limits", update({ ...limits, maxStandbysPerSender }))
  },
  syncLimits: ({ sim: { world, ledger }, change }) => {
    const minSynchronousStandbys = world.random.below(2)
    const maxSynchronousStandbys = 1 + world.random.below(2)
    if (minSynchronousStandbys === 0) ledger.second = false
    change("limits", update({ minSynchronousStandbys, maxSynchronousStandbys }))
  },
  slots: ({ sim: { world }, change }) => {
    const names = world.chance(0.5) ? null : ["backup", "other"].slice(world.random.below(2))
    change("slots", update({ additionalMasterReplicationSlots: names }))
  },
  promote: ({ change }) => change("promote", promote),
  pause: ({ sim, some, lasts, change }) => {
    const whom = sim.world.chance(0.5) ? null : some
    sim.world.at(lasts, null, () => change("resume", resume(whom)))
    change(`pause ${whom ?? ""}`, pause(whom))
  },
  restart: ({ sim, some, change }) => change(`restart ${some}`, wishFor(sim, "restart", some)),
  reload: ({ sim, some, change }) => change(`reload ${some}`, wishFor(sim, "reload", some)),
  reclone: ({ sim, some, change }) =>
    change(`reclone ${some}`, wishFor(sim, "reclone", some, sim.world.chance(0.5))),
}
