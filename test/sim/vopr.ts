/**
 * One random run, from its seed: a safety phase in which faults strike while every checker watches,
 * then everything is healed and the cluster must come to rest. The same seed gives the same run, to
 * the last line of its trace.
 */
import { toMillis } from "#base/duration.ts"
import { dbOfKeeper } from "#model/cluster.ts"
import { keeperUID } from "#model/ids.ts"
import { withDefaults } from "#model/spec.ts"
import { withLightSignals } from "./abort.ts"
import { isStandbyCluster, waitsFor } from "./checkers/convergence.ts"
import { checkElectable } from "./checkers/electable.ts"
import { checkGateOrder } from "./checkers/gate-order.ts"
import { checkLeases } from "./checkers/leases.ts"
import { checkNoDestroyedCopy } from "./checkers/no-destroyed-copy.ts"
import { checkNoGhost } from "./checkers/no-ghost.ts"
import { type LossCheck, checkNoLostCommit } from "./checkers/no-lost-commit.ts"
import { checkOneWriter } from "./checkers/one-writer.ts"
import { checkPause } from "./checkers/pause.ts"
import { checkStandbyCount } from "./checkers/standby-count.ts"
import { checkSyncInForce } from "./checkers/sync-in-force.ts"
import { checkTruth } from "./checkers/truth.ts"
import { checkUndisturbed } from "./checkers/undisturbed.ts"
import { checkWords } from "./checkers/words.ts"
import { type Writers, startWriters } from "./clients.ts"
import { type Deed, type Plan, draw, wishes } from "./draw.ts"
import { faults } from "./faults.ts"
import type { Heal } from "./strike.ts"
import { startNode } from "./nodes.ts"
import { type Operator, createOperator, removeKeeper, resume } from "./operator.ts"
import { fulfil } from "./wishes.ts"
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
  /** How often somebody could have failed in that time. */
  readonly intervals: number
  readonly tasks: number
  readonly sim: Sim
}

/** `reads`: proxies have a port for reads as well, and clients there. */
export const runSeed = (seed: number, focus: readonly string[] = [], reads = false): Result =>
  withLightSignals(() => runPlan(seed, focus, reads))

function runPlan(seed: number, focus: readonly string[], reads: boolean): Result {
  const plan = draw(seed, focus)
  const sim = createSim({ ...plan.shape, reads })
  const loss = watchAll(sim)
  const operator = createOperator(sim)
  operator.init(plan.shape.spec)
  startAll(sim)
  const writers = startWriters({
    world: sim.world,
    servers: sim.servers,
    ledger: sim.ledger,
    relays: () => [...sim.relays.values()],
    readers: () => [...sim.readers.values()],
    reading: reads ? 4 : 0,
    hosts: [...sim.hosts.values()],
    ...plan.writers,
  })
  const begin = plan.only === null ? () => {} : checkUndisturbed(sim, plan.only)
  const struck = schedule(sim, plan, operator, begin)
  followAdvice(sim, operator)
  sim.world.run(plan.length)
  if (sim.violations.length === 0) settle(sim, plan, struck, writers, operator)
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
    intervals: sim.world.now() / plan.unit,
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
  checkLeases(sim)
  checkElectable(sim)
  checkWords(sim)
  return checkNoLostCommit(sim)
}

/**
 * P5 allows that a person is needed, if `status` says for what: a keeper whose data is lost asks to
 * be removed, and is, after the time that a person takes. Who then finds another DB there leaves it
 * alone: the advice was about one that is gone, and this may be the last copy of everything.
 */
export function followAdvice(sim: Sim, operator: Operator): void {
  const advised = new Set<string>()
  sim.hooks.said.push((who, { code, fields }) => {
    if (code !== "plan.blocked" || !String(fields["resolve"]).includes("removekeeper")) return
    const uid = keeperUID(who)
    const reading = sim.store.core.read()
    const db = reading.kind === "found" ? dbOfKeeper(reading.data, uid)?.uid : undefined
    const advice = `${who} ${db}`
    if (db === undefined || advised.has(advice)) return
    advised.add(advice)
    sim.world.at(20_000, null, () => {
      advised.delete(advice)
      operator.change(`removekeeper ${who}, as advised`, (data) =>
        dbOfKeeper(data, uid)?.uid === db
          ? removeKeeper(uid)(data)
          : { kind: "unchanged", message: `keeper ${who} has another DB by now` },
      )
    })
  })
}

interface Struck {
  readonly heals: Set<Heal>
  count: number
}

function schedule(sim: Sim, plan: Plan, operator: Operator, begin: () => void): Struck {
  const struck: Struck = { heals: new Set(), count: 0 }
  for (const deed of plan.deeds)
    sim.world.at(deed.at, null, () => {
      begin()
      strike(sim, struck, operator, deed)
    })
  return struck
}

function strike(sim: Sim, struck: Struck, operator: Operator, { what, lasts }: Deed): void {
  const wish = wishes.find((name) => name === what)
  // Known: asked for while the primary is dead, the one leaves nobody who was confirmed in sync, as
  // do another copy for the only one who was, and the promotion of a standby cluster whose commits
  // wait from then on, the other takes the last electable standby away; then nobody can be elected,
  // and no machine can help.
  const harmful: readonly unknown[] = [
    ...["syncOn", "removeKeeper"],
    ...(sim.shape.spec.synchronousReplication === true ? ["promote", "reclone"] : []),
  ]
  const hopeless = harmful.includes(wish) && waitsFor(sim).length > 0
  if (wish !== undefined && !hopeless) {
    struck.count++
    return fulfil(sim, operator, wish, lasts)
  }
  // What cannot happen now, because it has happened already or would take the last copy, gives way
  // to something that can.
  const two = sim.world.chance(0.5)
    ? ["freezeMachine", "killKeeper"]
    : ["killKeeper", "freezeMachine"]
  const heal = [what, ...two, "hiccups"].reduce<Heal | null>(
    (found, name) => found ?? faults[name]?.(sim, () => struck.heals.size) ?? null,
    null,
  )
  if (heal === null) return
  struck.count++
  const once = (): void => {
    if (struck.heals.delete(once)) heal()
  }
  struck.heals.add(once)
  sim.world.at(lasts, null, once)
}

/** A pause may come back with a document that somebody restored, or be applied late. */
function endPauses(sim: Sim, operator: Operator): void {
  const reading = sim.store.core.read()
  if (reading.kind === "absent") return
  const { cluster, keepers } = reading.data
  if (cluster.status.paused !== undefined) operator.change("resume", resume(null))
  for (const [uid, { status }] of keepers)
    if (status.paused !== undefined) operator.change("resume", resume(uid))
}

/**
 * Heals everything, then waits until nothing is missing and clients are served again, and for a
 * while more: what comes to rest stays at rest.
 */
function settle(
  sim: Sim,
  { unit, writers: { pause } }: Plan,
  struck: Struck,
  writers: Writers,
  operator: Operator,
): void {
  const { world } = sim
  for (const heal of [...struck.heals]) heal()
  Object.assign(sim.store.weather, calm())
  world.mendAll()
  for (const node of sim.nodes.values()) startNode(sim, node)
  world.trace.add("FAULT", "everything is healed")
  endPauses(sim, operator)
  const spec = withDefaults(sim.shape.spec)
  const bound = 240_000 + 8 * toMillis(spec.failInterval) + 2 * toMillis(spec.convergenceTimeout)
  const until = world.now() + bound
  const glance = Math.min(4_000, unit)
  let quiet = 0
  let heard = writers.acknowledged()
  let heardAt = -Infinity
  let missing: readonly string[] = []
  while (world.now() < until && sim.violations.length === 0) {
    world.run(world.now() + glance)
    endPauses(sim, operator)
    missing = waitsFor(sim)
    if (writers.acknowledged() > heard) heardAt = world.now()
    heard = writers.acknowledged()
    // a writer may pause for longer than this looks
    const served = world.now() - heardAt <= 2 * pause || isStandbyCluster(sim)
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
