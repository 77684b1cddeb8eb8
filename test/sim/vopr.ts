/**
 * One random run, from its seed: a safety phase in which faults strike while every checker watches,
 * then everything is healed and the cluster must come to rest. The same seed gives the same run, to
 * the last line of its trace.
 */
import { toMillis } from "#base/duration.ts"
import { keeperUID } from "#model/ids.ts"
import { withDefaults } from "#model/spec.ts"
import { isStandbyCluster, waitsFor } from "./checkers/convergence.ts"
import { checkGateOrder } from "./checkers/gate-order.ts"
import { checkNoDestroyedCopy } from "./checkers/no-destroyed-copy.ts"
import { checkNoGhost } from "./checkers/no-ghost.ts"
import { type LossCheck, checkNoLostCommit } from "./checkers/no-lost-commit.ts"
import { checkOneWriter } from "./checkers/one-writer.ts"
import { checkPause } from "./checkers/pause.ts"
import { checkStandbyCount } from "./checkers/standby-count.ts"
import { checkSyncInForce } from "./checkers/sync-in-force.ts"
import { checkTruth } from "./checkers/truth.ts"
import { type Writers, startWriters } from "./clients.ts"
import { type Deed, type Plan, type Wish, draw, wishes } from "./draw.ts"
import { faults } from "./faults.ts"
import type { Heal } from "./strike.ts"
import { startNode } from "./nodes.ts"
import {
  type Operator,
  createOperator,
  failKeeper,
  failover,
  pause,
  promote,
  removeKeeper,
  resume,
  update,
  wishFor,
} from "./operator.ts"
import { type Sim, type Violation, close, createSim, startAll } from "./sim.ts"
import { calm } from "./store.ts"

export interface Result {
  readonly seed: number
  readonly violations: readonly Violation[]
  readonly coverage: ReadonlyMap<string, number>
  readonly hash: string
  readonly faults: number
  readonly acknowledged: number
  readonly minutes: number
  readonly tasks: number
  readonly sim: Sim
}

export function runSeed(seed: number, focus: readonly string[] = []): Result {
  const plan = draw(seed, focus)
  const sim = createSim(plan.shape)
  const loss = watchAll(sim)
  const operator = createOperator(sim)
  operator.init(plan.shape.spec)
  startAll(sim)
  const writers = startWriters({
    world: sim.world,
    servers: sim.servers,
    ledger: sim.ledger,
    relays: () => [...sim.relays.values()],
    hosts: [...sim.hosts.values()],
    ...plan.writers,
  })
  const struck = schedule(sim, plan, operator)
  followAdvice(sim, operator)
  sim.world.run(plan.length)
  if (sim.violations.length === 0) settle(sim, struck, writers)
  if (sim.violations.length === 0) loss.look()
  const hash = sim.world.trace.hash()
  close(sim)
  return {
    seed,
    violations: sim.violations,
    coverage: sim.coverage.counts,
    hash,
    faults: struck.count,
    acknowledged: sim.ledger.acks.length,
    minutes: sim.world.now() / 60_000,
    tasks: sim.world.counts.tasks,
    sim,
  }
}

export function watchAll(sim: Sim): LossCheck {
  checkOneWriter(sim)
  checkGateOrder(sim)
  checkSyncInForce(sim)
  checkNoDestroyedCopy(sim)
  checkTruth(sim)
  checkNoGhost(sim)
  checkStandbyCount(sim)
  checkPause(sim)
  return checkNoLostCommit(sim)
}

/**
 * P5 allows that a person is needed, if `status` says for what: a keeper whose data is lost asks to
 * be removed, and is, after the time that a person takes.
 */
function followAdvice(sim: Sim, operator: Operator): void {
  const advised = new Set<string>()
  sim.hooks.said.push((who, { code, fields }) => {
    if (code !== "plan.blocked" || !String(fields["resolve"]).includes("removekeeper")) return
    if (advised.has(who)) return
    advised.add(who)
    sim.world.at(20_000, null, () => {
      advised.delete(who)
      operator.change(`removekeeper ${who}, as advised`, removeKeeper(keeperUID(who)))
    })
  })
}

interface Struck {
  readonly heals: Set<Heal>
  count: number
}

function schedule(sim: Sim, plan: Plan, operator: Operator): Struck {
  const struck: Struck = { heals: new Set(), count: 0 }
  for (const deed of plan.deeds)
    sim.world.at(deed.at, null, () => strike(sim, struck, operator, deed))
  return struck
}

function strike(sim: Sim, struck: Struck, operator: Operator, { what, lasts }: Deed): void {
  const wish = wishes.find((name) => name === what)
  // Known: asked for while the primary is dead, the one leaves nobody who was confirmed in sync,
  // the other takes the last electable
  // standby away; then nobody can be elected, and no machine can help.
  const hopeless = (wish === "syncOn" || wish === "removeKeeper") && waitsFor(sim).length > 0
  if (wish !== undefined && !hopeless) {
    struck.count++
    return fulfil(sim, operator, wish)
  }
  const heal = faults[what]?.(sim, () => struck.heals.size) ?? null
  // What cannot happen now, because it has happened already or would take the last copy, gives way
  // to something that can.
  const instead = sim.world.chance(0.5) ? "freezeMachine" : "killKeeper"
  if (heal === null)
    return what === instead
      ? undefined
      : strike(sim, struck, operator, { at: 0, what: instead, lasts })
  struck.count++
  const once = (): void => {
    if (struck.heals.delete(once)) heal()
  }
  struck.heals.add(once)
  sim.world.at(lasts, null, once)
}

function fulfil(sim: Sim, operator: Operator, wish: Wish): void {
  const { world, ledger } = sim
  const hosts = [...sim.hosts.keys()]
  const some = keeperUID(hosts[world.random.below(hosts.length)] ?? "")
  switch (wish) {
    case "failover":
      return operator.change("failover", failover(sim, keeperUID("")))
    case "failoverTo":
      return operator.change(`failover to ${some}`, failover(sim, some))
    case "failKeeper": {
      sim.troubles.begin(some, "failkeeper", world.now())()
      return operator.change(`failkeeper ${some}`, failKeeper(some))
    }
    case "removeKeeper":
      return operator.change(`removekeeper ${some}`, removeKeeper(some))
    case "syncOn":
      ledger.promise = "sync"
      return operator.change("synchronousReplication on", update({ synchronousReplication: true }))
    case "syncOff":
      ledger.relax()
      return operator.change(
        "synchronousReplication off",
        update({ synchronousReplication: false }),
      )
    case "toggleRewind":
      return operator.change(
        "usePgrewind",
        update(({ usePgrewind }) => ({ usePgrewind: usePgrewind !== true })),
      )
    case "parameters": {
      // The second is the keeper's own business and must be ignored.
      const many = String(150 + world.random.below(100))
      const typed = [
        ["max_connections", many],
        ["port", "1"],
      ] as const
      return operator.change(
        "pgParameters",
        update((spec) => ({ pgParameters: new Map([...spec.pgParameters, ...typed]) })),
      )
    }
    case "limits": {
      const limits = { maxStandbys: 1 + world.random.below(8) }
      const maxStandbysPerSender = 1 + world.random.below(3)
      return operator.change("limits", update({ ...limits, maxStandbysPerSender }))
    }
    case "syncLimits": {
      const minSynchronousStandbys = world.random.below(2)
      const maxSynchronousStandbys = 1 + world.random.below(2)
      if (minSynchronousStandbys === 0) ledger.second = false
      return operator.change("limits", update({ minSynchronousStandbys, maxSynchronousStandbys }))
    }
    case "slots": {
      const names = world.chance(0.5) ? null : ["backup", "other"].slice(world.random.below(2))
      return operator.change("slots", update({ additionalMasterReplicationSlots: names }))
    }
    case "promote":
      return operator.change("promote", promote)
    case "pause": {
      const whom = world.chance(0.5) ? null : some
      world.at(world.between(30_000, 55_000), null, () => operator.change("resume", resume(whom)))
      return operator.change(`pause ${whom ?? ""}`, pause(whom))
    }
    case "restart":
    case "reload":
      return operator.change(`${wish} ${some}`, wishFor(sim, wish, some))
    case "reclone":
      return operator.change(`reclone ${some}`, wishFor(sim, wish, some, world.chance(0.5)))
    case "init":
      ledger.forget(systems(sim))
      return operator.init(sim.shape.spec)
  }
}

/** Every system identifier that there is now. */
const systems = (sim: Sim): readonly string[] =>
  [...sim.hosts.values()].flatMap(({ disk }) => (disk.data === null ? [] : [disk.data.systemID]))

/** Heals everything, then waits until nothing is missing, and clients are served again. */
function settle(sim: Sim, struck: Struck, writers: Writers): void {
  const { world } = sim
  for (const heal of [...struck.heals]) heal()
  Object.assign(sim.store.weather, calm())
  world.mendAll()
  for (const node of sim.nodes.values()) startNode(sim, node)
  world.trace.add("FAULT", "everything is healed")
  const spec = withDefaults(sim.shape.spec)
  const bound = 240_000 + 8 * toMillis(spec.failInterval) + 2 * toMillis(spec.convergenceTimeout)
  const until = world.now() + bound
  let quiet = 0
  let heard = writers.acknowledged()
  let missing: readonly string[] = []
  while (world.now() < until && sim.violations.length === 0) {
    world.run(world.now() + 4_000)
    missing = waitsFor(sim)
    const served = writers.acknowledged() > heard || isStandbyCluster(sim)
    heard = writers.acknowledged()
    quiet = missing.length === 0 && served ? quiet + 1 : 0
    if (quiet === 2) return
  }
  if (sim.violations.length > 0) return
  const words = missing.length === 0 ? ["no client is served"] : missing
  sim.fail(
    "P5 nothing sticks",
    `after ${Math.round(bound / 1000)} s without faults: ${words.join("; ")}`,
  )
}
