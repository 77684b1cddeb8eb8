/**
 * Hand-written stories on the simulator: one cluster, one seed, things done to it on purpose, and
 * the list of what its components said. The list is the assertion, so a change of behaviour shows
 * up as a diff that a person can judge. All checkers watch along.
 */
import { duration } from "#base/duration.ts"
import { type ClusterData, dbOfKeeper } from "#model/cluster.ts"
import { keeperUID } from "#model/ids.ts"
import { type EventCode } from "#model/events.ts"
import { type Spec, emptySpec, recommended } from "#model/spec.ts"
import type { StepKind } from "#model/step.ts"
import type { Edit } from "#ctl/edit.ts"
import type { KeeperFlags } from "#test/sim/agents.ts"
import { isStandbyCluster, waitsFor } from "#test/sim/checkers/convergence.ts"
import type { LossCheck } from "#test/sim/checkers/no-lost-commit.ts"
import { type Writers, startWriters } from "#test/sim/clients.ts"
import { type Node, endNode, killNode, startNode } from "#test/sim/nodes.ts"
import { type Operator, createOperator, update } from "#test/sim/operator.ts"
import type { Instance } from "#test/sim/server.ts"
import { type Sim, close, createSim, startAll } from "#test/sim/sim.ts"
import { printLine } from "#test/sim/trace.ts"
import { watchAll } from "#test/sim/vopr.ts"
import type { Machine } from "#test/sim/world.ts"

export interface Story extends Disposable {
  readonly sim: Sim
  readonly operator: Operator
  readonly writers: Writers
  run(seconds: number): void
  /** Until nothing is missing and clients are served; every acknowledged row is there then. */
  rest(): void
  /** Until it is so; the time is bounded. */
  until(what: string, met: () => boolean): void
  /**
   * What was said since the last call: `who code`, or `who step kind`. Keepers are `first`, the one
   * that the cluster began with, and `other`: which of two equals is chosen hangs on their random
   * names.
   */
  told(): readonly string[]
  node(name: string): Node
  machine(name: string): Machine
  kill(name: string): void
  end(name: string): void
  start(name: string): void
  /** Every process of a machine, at once. */
  powerOff(name: string): void
  powerOn(name: string): void
  /** The keeper whose DB the view calls the primary. */
  primary(): string
  /** A keeper that is not. */
  standby(): string
  standbys(): readonly string[]
  /** The cluster data as it is in the store. */
  view(): ClusterData
  /** The running PostgreSQL of a keeper. */
  postgres(name: string): Instance
  /** An operator's command, and a moment for it. */
  ctl(what: string, edit: Edit): void
  update(patch: Partial<Spec>): void
  /** Cuts, both ways; `store` is a name too. */
  cut(name: string, ...others: readonly string[]): void
  mend(): void
  /** Its supervisor ends it and starts it with other flags. */
  restart(name: string, flags: Partial<KeeperFlags>): void
  /** How many rows a keeper's directory holds. */
  rows(name: string): number
  /** The uid of its DB in the view; empty without one. */
  dbOf(name: string): string
  /** The leading sentinel. */
  leader(): string
}

/** What a story is about; the rest is noise. */
const codes: ReadonlySet<EventCode> = new Set<EventCode>([
  "leader.elected",
  "leader.lost",
  "cluster.initializing",
  "cluster.initialized",
  "primary.failed",
  "primary.deposed",
  "primary.fenced",
  "primary.elected",
  "primary.stuck",
  "primary.reinstated",
  "failover.requested",
  "failover.refused",
  "gate.opened",
  "db.added",
  "db.removed",
  "db.failed",
  "db.recovered",
  "keeper.removed",
  "certificate.issued",
  "postgres.adopted",
  "postgres.exited",
  "plan.blocked",
  "sync.confirmed",
  "guardian.deadline",
])
const steps: ReadonlySet<StepKind> = new Set<StepKind>([
  "initdb",
  "clone",
  "rewind",
  "promote",
  "set-aside",
  "prove-sync",
  "remove-asides",
])

interface Setting {
  readonly seed?: number
  readonly keepers?: number
  readonly sentinels?: number
  readonly spec?: Partial<Spec>
  readonly outside?: boolean
  readonly proxies?: number
}

/** A cluster as `stolon ctl init` makes it, with one proxy, at rest. */
export function story(setting: Setting = {}): Story {
  const { seed = 1, keepers = 2, sentinels = 1, spec = {}, outside = false, proxies = 1 } = setting
  const sim = createSim({
    seed,
    keepers,
    sentinels,
    proxies,
    together: false,
    spec: {
      ...emptySpec,
      ...recommended,
      initMode: "new",
      convergenceTimeout: duration(30_000),
      ...spec,
    },
    honest: true,
    signs: true,
    drift: 0,
    oneAccount: false,
    news: 8,
    outside,
  })
  const loss = watchAll(sim)
  const operator = createOperator(sim)
  operator.init(sim.shape.spec)
  startAll(sim)
  const writers = startWriters({
    world: sim.world,
    servers: sim.servers,
    ledger: sim.ledger,
    relays: () => [...sim.relays.values()],
    hosts: [...sim.hosts.values()],
    direct: 0,
    proxied: 1,
    pause: 500,
    patience: 4_000,
  })
  return tell(sim, operator, writers, loss)
}

function tell(sim: Sim, operator: Operator, writers: Writers, loss: LossCheck): Story {
  let seen = 0
  let first = ""
  const { world } = sim
  const node = (name: string): Node => found(sim.nodes.get(name), name)
  const machine = (name: string): Machine => found(sim.machines.get(name), name)
  const view = (): ClusterData => {
    const reading = sim.store.core.read()
    if (reading.kind === "absent") throw new Error("there is no cluster data")
    return reading.data
  }
  const primary = (): string => {
    const reading = sim.store.core.read()
    if (reading.kind === "absent") return ""
    return reading.data.dbs.get(reading.data.cluster.status.master)?.spec.keeperUID ?? ""
  }
  const standbys = (): readonly string[] => {
    const { dbs } = view()
    const named = new Set([...dbs.values()].map((db) => db.spec.keeperUID))
    return [...sim.hosts.keys()].filter((name) => name !== primary() && named.has(keeperUID(name)))
  }
  const fail = (what: string): never => {
    const tail = world.trace.lines.slice(-40).map(printLine).join("\n")
    throw new Error(`${what}\n${tail}`)
  }
  const judge = (): void => {
    const [broken] = sim.violations
    if (broken !== undefined) fail(`${broken.promise}: ${broken.what}`)
  }
  const run = (seconds: number): void => {
    world.run(world.now() + seconds * 1_000)
    judge()
  }
  const ctl = (what: string, edit: Edit): void => {
    operator.change(what, edit)
    run(0.5)
  }
  const trouble = (name: string, what: string): void =>
    void sim.troubles.begin(name, what, world.now())
  return {
    sim,
    operator,
    writers,
    run,
    node,
    machine,
    rest() {
      const until = world.now() + 300_000
      for (let quiet = 0; quiet < 3;) {
        const heard = writers.acknowledged()
        run(2)
        const missing = waitsFor(sim)
        if (world.now() > until) fail(`no rest: ${missing.join("; ") || "no client is served"}`)
        const served = writers.acknowledged() > heard || isStandbyCluster(sim)
        quiet = missing.length === 0 && served ? quiet + 1 : 0
      }
      loss.look()
      judge()
      if (first === "") first = primary()
    },
    told() {
      const lines = world.trace.lines.slice(seen)
      seen = world.trace.lines.length
      return lines.flatMap(({ who: name, what, fields }) => {
        const who = sim.hosts.has(name) ? (name === first ? "first" : "other") : name
        if ([...codes].some((code) => code === what)) return [`${who} ${what}`]
        const step = String(fields["step"])
        if (name === "ctl" && what === "refused")
          return [`ctl refused: ${String(fields["message"])}`]
        return what === "step.started" && [...steps].some((kind) => kind === step)
          ? [`${who} step ${step}`]
          : []
      })
    },
    until(what, met) {
      for (const limit = world.now() + 120_000; !met(); run(0.05))
        if (world.now() > limit) fail(`never: ${what}`)
    },
    kill: (name) => keep(node(name), false, () => killNode(sim, node(name))),
    end: (name) => keep(node(name), false, () => endNode(sim, node(name))),
    start: (name) => keep(node(name), true, () => startNode(sim, node(name))),
    powerOff(name) {
      const { processes } = machine(name)
      trouble(name, "power off")
      machine(name).up = false
      for (const process of [...processes]) world.kill(process)
    },
    powerOn(name) {
      machine(name).up = true
      for (const each of sim.nodes.values())
        if (each.machine === machine(name)) startNode(sim, each)
    },
    primary,
    standby: () => [...sim.hosts.keys()].find((name) => name !== primary()) ?? "",
    standbys,
    view,
    postgres: (name) => found(sim.hosts.get(name)?.instance ?? undefined, `PostgreSQL on ${name}`),
    ctl,
    update: (patch) => ctl("update", update(patch)),
    cut(name, ...others) {
      trouble(name, "cut")
      for (const other of others) {
        world.cut(name, other)
        world.cut(other, name)
      }
    },
    mend: () => world.mendAll(),
    restart(name, flags) {
      Object.assign(node(name).flags, flags)
      endNode(sim, node(name))
      run(3)
    },
    rows: (name) =>
      sim.hosts.get(name)?.disk.data?.wal.records.filter(({ kind }) => kind === "commit").length ??
      0,
    dbOf: (name) => dbOfKeeper(view(), keeperUID(name))?.uid ?? "",
    leader: () => sim.store.core.leader()?.split("-")[0] ?? "",
    [Symbol.dispose]: () => close(sim),
  }
}

function keep(node: Node, wanted: boolean, then: () => void): void {
  node.wanted = wanted
  then()
}

function found<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new Error(`there is no ${name}`)
  return value
}
