/**
 * One simulated cluster of which some components are ours and some are Go's, as scripted in
 * `test/peers`. Any of them can be exchanged for the other kind while the cluster runs, as an
 * operator does who replaces binaries one at a time.
 *
 * What is promised depends on who leads. Under our leader all promises hold, whoever the keepers
 * and proxies are. Under a Go leader only what Go promises does; there the checkers see to it that
 * nothing of ours makes it worse or makes the leader fail.
 */
import { duration } from "#base/duration.ts"
import { type ClusterData, encodeClusterData } from "#model/cluster.ts"
import { type Spec, emptySpec, recommended } from "#model/spec.ts"
import type { GoData } from "#test/peers/documents.ts"
import { readGo } from "#test/peers/documents.ts"
import { type GoChange, goCtl } from "#test/peers/ctl.ts"
import { runGoKeeper } from "#test/peers/keeper.ts"
import { runGoProxy } from "#test/peers/proxy.ts"
import { runGoSentinel } from "#test/peers/sentinel.ts"
import { type GoPorts, goStore } from "#test/peers/store.ts"
import { waitsFor } from "#test/sim/checkers/convergence.ts"
import { type Writers, startWriters } from "#test/sim/clients.ts"
import { createChance, createClock } from "#test/sim/clock.ts"
import { users } from "#test/sim/conf.ts"
import { type Node, endNode, killNode, startNode } from "#test/sim/nodes.ts"
import { type Operator, createOperator } from "#test/sim/operator.ts"
import { createRelay } from "#test/sim/relay.ts"
import { type Sim, close, createSim } from "#test/sim/sim.ts"
import { printLine } from "#test/sim/trace.ts"
import type { Process } from "#test/sim/world.ts"
import { watchMixed } from "./checkers.ts"
import { simMachine } from "./machine.ts"

export type Maker = "go" | "ours"

export interface Setting {
  /** Names of those that are Go's: k1…, s1…, p1…. All others are ours. */
  readonly go: readonly string[]
  /** Names of those that are not started until a story does. */
  readonly late?: readonly string[]
  readonly seed?: number
  readonly keepers?: number
  readonly sentinels?: number
  readonly proxies?: number
  readonly spec?: Partial<Spec>
  /** Mean time between two rows of the writer. */
  readonly pause?: number
}

/** A write of the cluster data. */
export interface Write {
  readonly at: number
  readonly by: "ours" | "go"
  readonly data: ClusterData
}

export interface Mixed extends Disposable {
  readonly sim: Sim
  readonly operator: Operator
  readonly writers: Writers
  readonly writes: readonly Write[]
  run(seconds: number): void
  until(what: string, met: () => boolean, seconds?: number): void
  /** Until nothing is missing and clients are served. */
  rest(seconds?: number): void
  data(): ClusterData
  /** As a Go component reads it. */
  go(): GoData
  primary(): string
  gateOpen(): boolean
  standbys(): readonly string[]
  /** SIGKILL to the component. */
  kill(name: string): void
  /** SIGKILL to everything on its machine, PostgreSQL included. */
  crash(name: string): void
  start(name: string): void
  /** Ends the component as its supervisor does, and starts the other kind in its place. */
  exchange(name: string, maker: Maker): void
  /** Like that, with a SIGKILL. */
  seize(name: string, maker: Maker): void
  goCtl(change: GoChange): void
  said(name: string, what: string): boolean
}

export function mixed({ go, late = [], seed = 1, spec = {}, ...rest }: Setting): Mixed {
  const { keepers = 2, sentinels = 1, proxies = 1, pause = 200 } = rest
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
    outside: false,
  })
  const makers = new Map<string, Maker>()
  for (const name of sim.nodes.keys()) makers.set(name, go.includes(name) ? "go" : "ours")
  const writes: Write[] = []
  sim.store.core.listeners.written.push(
    (_, data) => void writes.push({ at: sim.world.now(), by: writer(data), data }),
  )
  watchMixed(sim, (keeper) => makers.get(keeper) ?? "ours")
  const operator = createOperator(sim)
  operator.init(sim.shape.spec)
  for (const node of sim.nodes.values()) node.wanted = !late.includes(node.name)
  for (const node of sim.nodes.values())
    sim.world.at(sim.world.between(0, 1_500), null, () => begin(sim, node, makers))
  const writers = startWriters({
    world: sim.world,
    servers: sim.servers,
    ledger: sim.ledger,
    relays: () => [...sim.relays.values()],
    hosts: [...sim.hosts.values()],
    direct: 0,
    proxied: 1,
    pause,
    patience: 4_000,
  })
  return tell(sim, operator, writers, writes, makers)
}

/** Only ours sign what they write (W5); a Go component drops the signature. */
export const writer = ({ cluster }: ClusterData): "ours" | "go" =>
  cluster.status.writer === "" ? "go" : "ours"

function begin(sim: Sim, node: Node, makers: ReadonlyMap<string, Maker>): void {
  if (makers.get(node.name) === "go") startGo(sim, node)
  else startNode(sim, node)
}

/** A Go component as a process of the simulated world. */
function startGo(sim: Sim, node: Node): void {
  const { world } = sim
  if (node.process !== null || !node.machine.up || !node.wanted) return
  const process = world.spawn(node.name, node.machine)
  node.process = process
  node.end = new AbortController()
  sim.ends.push(node.end)
  process.onKill.push(() => void (node.process = null))
  const ports: GoPorts = {
    store: goStore(sim.store.port(process)),
    clock: createClock(world, process),
    chance: createChance(world.random.below(0x1_0000_0000)),
    log: (line) => world.trace.add(node.name, `go: ${line}`),
  }
  world.trace.add(node.name, "starts as Go")
  const ended = (error: unknown): void => {
    if (process.state === "dead") return
    world.trace.add(node.name, "go: ended", { error: String(error) })
    world.kill(process)
    if (error !== null)
      sim.fail(
        "a Go component goes on",
        `${node.name}: ${error instanceof Error ? error.stack : "ended"}`,
      )
  }
  world.at(0, process, () => void goRun(sim, node, process, ports).then(() => ended(null), ended))
}

function goRun(sim: Sim, node: Node, process: Process, ports: GoPorts): Promise<void> {
  const { signal } = node.end
  switch (node.kind) {
    case "sentinel":
      return runGoSentinel(ports, ports.chance.uid(), signal)
    case "proxy": {
      const relay = createRelay(sim.world, process)
      sim.relays.set(node.name, relay)
      return runGoProxy({ ...ports, relay: relay.port }, ports.chance.uid(), signal)
    }
    case "keeper": {
      const host = sim.hosts.get(node.name)
      if (host === undefined) throw new Error(`no host for ${node.name}`)
      const settings = {
        uid: node.name,
        address: node.name,
        port: "5432",
        superuser: { name: users.super, password: "super" },
        replication: { name: users.replication, password: "repl" },
      }
      return runGoKeeper(ports, simMachine(host, process, signal), settings, signal)
    }
  }
}

function tell(
  sim: Sim,
  operator: Operator,
  writers: Writers,
  writes: readonly Write[],
  makers: Map<string, Maker>,
): Mixed {
  const { world } = sim
  const node = (name: string): Node => {
    const found = sim.nodes.get(name)
    if (found === undefined) throw new Error(`there is no ${name}`)
    return found
  }
  const story = (what: string): Error =>
    new Error(`${what}\n${world.trace.lines.slice(-60).map(printLine).join("\n")}`)
  const run = (seconds: number): void => {
    world.run(world.now() + seconds * 1_000)
    const [broken] = sim.violations
    if (broken !== undefined) throw story(`${broken.promise}: ${broken.what}`)
  }
  const until = (what: string, met: () => boolean, seconds = 120): void => {
    const end = world.now() + seconds * 1_000
    while (!met()) {
      if (world.now() > end) throw story(`waited ${seconds} s for ${what}`)
      run(0.05)
    }
  }
  const data = (): ClusterData => {
    const reading = sim.store.core.read()
    if (reading.kind === "absent") throw new Error("there is no cluster data")
    return reading.data
  }
  const primary = (): string => {
    const reading = sim.store.core.read()
    if (reading.kind === "absent") return ""
    return reading.data.dbs.get(reading.data.cluster.status.master)?.spec.keeperUID ?? ""
  }
  const replace = (name: string, maker: Maker, end: () => void): void => {
    node(name).wanted = false
    end()
    until(`${name} to end`, () => node(name).process === null)
    node(name).wanted = true
    makers.set(name, maker)
    begin(sim, node(name), makers)
  }
  const ctl = world.spawn("go-ctl", world.machine("go-ctl", 7_000, 1))
  return {
    sim,
    operator,
    writers,
    writes,
    run,
    until,
    data,
    primary,
    rest(seconds = 300) {
      const end = world.now() + seconds * 1_000
      for (let quiet = 0; quiet < 3;) {
        const heard = writers.acknowledged()
        run(2)
        const kept = [...sim.nodes.values()].filter(({ wanted }) => !wanted)
        const missing = waitsFor(sim).filter(
          (what) => !kept.some(({ name }) => what === `${name} does not run`),
        )
        if (world.now() > end) throw story(`no rest: ${missing.join("; ") || "no client served"}`)
        quiet = missing.length === 0 && writers.acknowledged() > heard ? quiet + 1 : 0
      }
    },
    go() {
      const read = readGo(encodeClusterData(data()))
      if (read === null) throw new Error("there is no cluster data")
      return read
    },
    gateOpen: () => primary() !== "" && data().proxy.spec.masterDbUid !== "",
    standbys: () =>
      [...data().dbs.values()]
        .map((db): string => db.spec.keeperUID)
        .filter((uid) => uid !== primary())
        .toSorted(),
    kill(name) {
      node(name).wanted = false
      killNode(sim, node(name))
    },
    crash(name) {
      sim.troubles.begin(name, "crash", world.now())
      world.trace.add(name, "crashes")
      node(name).wanted = false
      for (const process of [...node(name).machine.processes]) world.kill(process)
    },
    start(name) {
      node(name).wanted = true
      begin(sim, node(name), makers)
    },
    exchange: (name, maker) => replace(name, maker, () => endNode(sim, node(name))),
    seize: (name, maker) => replace(name, maker, () => killNode(sim, node(name))),
    goCtl(change) {
      let done = false
      const { signal } = new AbortController()
      const store = goStore(sim.store.port(ctl))
      const again = (): void =>
        void world.at(
          100,
          ctl,
          () =>
            void goCtl(store, change, signal).then((written) => {
              done = written
              if (!written) again()
            }),
        )
      again()
      until("stolonctl to write", () => done)
    },
    said: (name, what) =>
      world.trace.lines.some((line) => line.who === name && line.what.includes(what)),
    [Symbol.dispose]: () => close(sim),
  }
}
