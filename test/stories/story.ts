/**
 * Hand-written stories on the simulator: one cluster, one seed, things done to it on purpose, and
 * the list of what its components said. The list is the assertion, so a change of behaviour shows
 * up as a diff that a person can judge. All checkers watch along.
 */
import { duration } from "#base/duration.ts"
import { type EventCode } from "#model/events.ts"
import { type Spec, emptySpec, recommended } from "#model/spec.ts"
import type { StepKind } from "#model/step.ts"
import { waitsFor } from "#test/sim/checkers/convergence.ts"
import { type Writers, startWriters } from "#test/sim/clients.ts"
import { type Node, endNode, killNode, startNode } from "#test/sim/nodes.ts"
import { type Operator, createOperator } from "#test/sim/operator.ts"
import { type Sim, close, createSim, startAll } from "#test/sim/sim.ts"
import { printLine } from "#test/sim/trace.ts"
import { watchAll } from "#test/sim/vopr.ts"
import type { Machine } from "#test/sim/world.ts"

export interface Story extends Disposable {
  readonly sim: Sim
  readonly operator: Operator
  readonly writers: Writers
  run(seconds: number): void
  /** Until nothing is missing and clients are served. */
  rest(): void
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
}

/** A cluster as `stolon ctl init` makes it, with one proxy, at rest. */
export function story({ seed = 1, keepers = 2, sentinels = 1, spec = {} }: Setting = {}): Story {
  const sim = createSim({
    seed,
    keepers,
    sentinels,
    proxies: 1,
    together: false,
    spec: {
      ...emptySpec,
      ...recommended,
      initMode: "new",
      convergenceTimeout: duration(30_000),
      ...spec,
    },
    honest: true,
    drift: 0,
    oneAccount: false,
    news: 8,
  })
  watchAll(sim)
  const operator = createOperator(sim)
  operator.init(sim.shape.spec)
  startAll(sim)
  const writers = startWriters({
    world: sim.world,
    servers: sim.servers,
    ledger: sim.ledger,
    relays: () => [...sim.relays.values()],
    hosts: [...sim.hosts.keys()],
    direct: 0,
    proxied: 1,
    pause: 500,
  })
  return tell(sim, operator, writers)
}

function tell(sim: Sim, operator: Operator, writers: Writers): Story {
  let seen = 0
  let first = ""
  const { world } = sim
  const node = (name: string): Node => found(sim.nodes.get(name), name)
  const machine = (name: string): Machine => found(sim.machines.get(name), name)
  const primary = (): string => {
    const reading = sim.store.core.read()
    if (reading.kind === "absent") return ""
    return reading.data.dbs.get(reading.data.cluster.status.master)?.spec.keeperUID ?? ""
  }
  const run = (seconds: number): void => {
    world.run(world.now() + seconds * 1_000)
    const [broken] = sim.violations
    if (broken === undefined) return
    const tail = world.trace.lines.slice(-40).map(printLine).join("\n")
    throw new Error(`${broken.promise}: ${broken.what}\n${tail}`)
  }
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
        if (world.now() > until) throw new Error(`no rest: ${missing.join("; ")}`)
        quiet = missing.length === 0 && writers.acknowledged() > heard ? quiet + 1 : 0
      }
      if (first === "") first = primary()
    },
    told() {
      const lines = world.trace.lines.slice(seen)
      seen = world.trace.lines.length
      return lines.flatMap(({ who: name, what, fields }) => {
        const who = sim.hosts.has(name) ? (name === first ? "first" : "other") : name
        if ([...codes].some((code) => code === what)) return [`${who} ${what}`]
        const step = String(fields["step"])
        return what === "step.started" && [...steps].some((kind) => kind === step)
          ? [`${who} step ${step}`]
          : []
      })
    },
    kill: (name) => keep(node(name), false, () => killNode(sim, node(name))),
    end: (name) => keep(node(name), false, () => endNode(sim, node(name))),
    start: (name) => keep(node(name), true, () => startNode(sim, node(name))),
    powerOff(name) {
      const { processes } = machine(name)
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
