/**
 * The faults of a run: what breaks, and how it is healed. Each is a row: a name, and a function
 * that does it and returns what undoes it. Which of them strike, when and for how long is drawn by
 * `vopr.ts` from the seed.
 *
 * A fault that would take the last copy of something from the cluster is not drawn: the promises
 * speak of faults that leave one.
 */
import { toMillis } from "#base/duration.ts"
import { withDefaults } from "#model/spec.ts"
import { waitsFor } from "./checkers/convergence.ts"
import { copiesOn, emptyDisk } from "./disk.ts"
import { crashAtStep } from "./harm.ts"
import type { Host } from "./host.ts"
import { type Node, endNode, killNode, startNode } from "./nodes.ts"
import {
  freezeGuardian,
  freezePostgres,
  fullDisk,
  hiccups,
  killGuardian,
  oneWay,
  peersLossy,
  returnWithPromise,
  slowDisk,
  splitStore,
} from "./apart.ts"
import { type Sim, isPrimary } from "./sim.ts"
import { calm } from "./store.ts"
import { breakSpec, meddle, otherFlags, otherPort, removeData, stepClock } from "./mishaps.ts"
import {
  type Fault,
  type Heal,
  between,
  chain,
  cut,
  hosts,
  nodesOf,
  nothing,
  pick,
  primaryOf,
  struck,
} from "./strike.ts"
import { load } from "./server.ts"
import { holds } from "./wal.ts"
import { type Machine, storeName } from "./world.ts"

/** The primary's host is the interesting one: every second time it is chosen. */
const pickHost = (sim: Sim): Host | undefined => {
  const primary = primaryOf(sim)
  return primary !== undefined && sim.world.chance(0.5) ? primary : pick(sim, hosts(sim))
}

/** Keeps the agent down until it is healed. */
function killAgent(sim: Sim, node: Node, how: "kill" | "end"): Heal {
  node.wanted = false
  if (how === "kill") killNode(sim, node)
  else endNode(sim, node)
  const host = node.kind === "keeper" ? node.name : node.machine.name
  return struck(sim, host, `${how} ${node.name}`, () => {
    node.wanted = true
    startNode(sim, node)
  })
}

function freezeAgent(sim: Sim, node: Node): Heal | null {
  const { process } = node
  if (process === null) return null
  sim.world.freeze(process)
  return struck(sim, node.machine.name, `freeze ${node.name}`, () => {
    if (node.machine.frozen === 0) sim.world.resume(process)
  })
}

function killMachine(sim: Sim, machine: Machine): Heal {
  const { world } = sim
  machine.up = false
  for (const process of [...machine.processes]) world.kill(process)
  return struck(sim, machine.name, `power off ${machine.name}`, () => {
    machine.up = true
    for (const node of sim.nodes.values()) if (node.machine === machine) startNode(sim, node)
  })
}

function freezeMachine(sim: Sim, machine: Machine): Heal {
  machine.frozen++
  for (const process of machine.processes) sim.world.freeze(process)
  return struck(sim, machine.name, `freeze machine ${machine.name}`, () => {
    machine.frozen--
    if (machine.frozen > 0) return
    sim.thawed.set(machine.name, sim.world.now())
    for (const process of [...machine.processes]) sim.world.resume(process)
    for (const node of sim.nodes.values()) if (node.machine === machine) startNode(sim, node)
  })
}

function cutMachine(sim: Sim, name: string): Heal {
  const { world } = sim
  const others = [...sim.machines.keys()].filter((other) => other !== name)
  const both = (other: string): readonly (readonly [string, string])[] => between(name, other)
  switch (world.random.below(4)) {
    case 0:
      return cut(sim, name, `cut ${name} from the store`, both(storeName))
    case 1: {
      const way: readonly [string, string] = world.chance(0.5)
        ? [name, storeName]
        : [storeName, name]
      return cut(sim, name, `cut ${way.join(" > ")}`, [way])
    }
    case 2:
      return cut(sim, name, `cut ${name} from everything`, [...others, storeName].flatMap(both))
    default: {
      const other = pick(sim, others) ?? name
      return cut(sim, name, `cut ${name} from ${other}`, both(other))
    }
  }
}

/** Not drawn like the others: it waits for the moment in which the first primary is half made. */
export const duringSetup = "killDuringSetup"

function killDuringSetup(sim: Sim): Heal {
  const heals: Heal[] = []
  let armed = true
  sim.hooks.said.push((who, { code, fields }) => {
    const setup =
      code === "step.started" &&
      (fields["step"] === "create-roles" || fields["step"] === "wait-ready")
    const host = sim.hosts.get(who)
    if (!armed || !setup || host === undefined) return
    armed = false
    sim.world.at(sim.world.between(0, 100), null, () => heals.push(killMachine(sim, host.machine)))
  })
  return () => {
    armed = false
    for (const heal of heals) heal()
  }
}

interface Lag {
  readonly primary: Host
  readonly standby: string
  readonly heal: Heal
}

/** A standby falls behind. */
function lag(sim: Sim): Lag | null {
  const primary = primaryOf(sim)
  const standby = pick(
    sim,
    hosts(sim).filter((host) => host !== primary && host.instance !== null),
  )
  if (primary === undefined || standby === undefined) return null
  const [a, b] = [primary.machine.name, standby.machine.name]
  return { primary, standby: b, heal: cut(sim, b, `cut ${b} from ${a}`, between(a, b)) }
}

/** … and then the primary is gone: whoever elects now must look closely. */
function lagThenKill(sim: Sim): Heal | null {
  const found = lag(sim)
  if (found === null) return null
  const { machine } = found.primary
  return chain(sim, found.heal, sim.world.between(3_000, 9_000), () =>
    machine.up ? killMachine(sim, machine) : null,
  )
}

/**
 * The primary is cut off from the store, and the proxies just before others give up on it: they
 * still send clients to it.
 */
function cutThenProxies(sim: Sim): Heal | null {
  const primary = primaryOf(sim)
  if (primary === undefined) return null
  const { name } = primary.machine
  const failInterval = toMillis(withDefaults(sim.shape.spec).failInterval)
  const lost = cut(sim, name, `cut ${name} from the store`, between(name, storeName))
  return chain(sim, lost, failInterval * sim.world.between(0.5, 1.1), () => {
    const proxies = nodesOf(sim, "proxy").map(({ machine }) => machine.name)
    const ways = proxies.flatMap((proxy) => between(proxy, storeName))
    return cut(sim, name, "cut the proxies from the store", ways)
  })
}

/** The store is gone for everybody, and nothing else is wrong. */
const storeGone = (sim: Sim): Heal =>
  store(sim, "the store is gone", (weather) => {
    weather.state = sim.world.chance(0.5) ? "hung" : "refusing"
  })

function killPostgres(sim: Sim, host: Host): Heal | null {
  const { instance } = host
  if (instance === null) return null
  const heal = struck(sim, host.machine.name, `kill PostgreSQL on ${host.machine.name}`, nothing)
  sim.world.kill(instance.process)
  return heal
}

/** Everything the keeper had is gone, and its machine comes back with an empty disk. */
function loseDisk(sim: Sim, host: Host): Heal | null {
  // One at a time: whoever loses two disks before the first is copied anew has lost what was on
  // both.
  if (waitsFor(sim).length > 0 || !others(sim, host)) return null
  const heal = killMachine(sim, host.machine)
  sim.world.trace.add("FAULT", `disk of ${host.machine.name} lost`)
  Object.assign(host.disk, emptyDisk())
  return heal
}

/** Its data directory is gone; the keeper's own files are not. */
function loseData(sim: Sim, host: Host): Heal | null {
  if (waitsFor(sim).length > 0 || !others(sim, host)) return null
  const { instance, machine, disk } = host
  if (instance !== null) sim.world.kill(instance.process)
  disk.data = null
  return struck(sim, machine.name, `data directory of ${machine.name} lost`, nothing)
}

/**
 * A standby is cut off, and meanwhile the primary removes the WAL that it needs: nothing but a new
 * copy brings it back.
 */
function starve(sim: Sim): Heal | null {
  const found = lag(sim)
  if (found === null) return null
  const { primary, standby, heal } = found
  return chain(sim, heal, 500, () => {
    if (primary.instance === null || !isPrimary(primary.instance)) return null
    load(primary.instance, true)
    return struck(sim, standby, `${primary.machine.name} removes its WAL`, nothing)
  })
}

/**
 * Running standbys elsewhere hold all that was acknowledged, and nothing else is broken; in
 * synchronous mode the view knows of one, or a primary that lost its disk leaves nobody who may be
 * elected.
 */
function others(sim: Sim, host: Host): boolean {
  const data = host.disk.data
  if (data === null) return true
  const primary = host.instance?.inRecovery === false
  if (sim.ledger.promise === "sync" && primary && !confirmed(sim)) return false
  const running = hosts(sim).filter(({ instance }) =>
    primary
      ? instance?.upstream?.upstream === host.instance
      : instance?.phase === "up" && instance !== host.instance,
  )
  return running.some(({ disk }) =>
    sim.ledger.acks.every(
      (ack) => ack.lost || copiesOn(disk).some((wal) => holds(wal, ack.record)),
    ),
  )
}

function confirmed(sim: Sim): boolean {
  const reading = sim.store.core.read()
  if (reading.kind === "absent") return false
  const db = reading.data.dbs.get(reading.data.cluster.status.master)
  const names = db?.status.synchronousStandbys ?? []
  return names.some((uid) => db?.spec.synchronousStandbys?.includes(uid) === true)
}

function store(sim: Sim, what: string, change: (weather: Sim["store"]["weather"]) => void): Heal {
  const { weather } = sim.store
  change(weather)
  // Of two that overlap the first to end ends both.
  return struck(sim, null, what, () => void Object.assign(weather, calm()))
}

export const faults: Readonly<Record<string, Fault>> = {
  [duringSetup]: (sim) => killDuringSetup(sim),
  killKeeper: (sim) => withNode(sim, "keeper", (node) => killAgent(sim, node, "kill")),
  endKeeper: (sim) => withNode(sim, "keeper", (node) => killAgent(sim, node, "end")),
  freezeKeeper: (sim) => withNode(sim, "keeper", (node) => freezeAgent(sim, node)),
  killSentinel: (sim) => withNode(sim, "sentinel", (node) => killAgent(sim, node, "kill")),
  endSentinel: (sim) => withNode(sim, "sentinel", (node) => killAgent(sim, node, "end")),
  freezeSentinel: (sim) => withNode(sim, "sentinel", (node) => freezeAgent(sim, node)),
  killProxy: (sim) => withNode(sim, "proxy", (node) => killAgent(sim, node, "kill")),
  endProxy: (sim) => withNode(sim, "proxy", (node) => killAgent(sim, node, "end")),
  freezeProxy: (sim) => withNode(sim, "proxy", (node) => freezeAgent(sim, node)),
  killMachine: (sim) => withHost(sim, (host) => killMachine(sim, host.machine)),
  freezeMachine: (sim) => withHost(sim, (host) => freezeMachine(sim, host.machine)),
  freezeGuardian: (sim) => withHost(sim, (host) => freezeGuardian(sim, host)),
  freezePostgres: (sim) => withHost(sim, (host) => freezePostgres(sim, host)),
  fullDisk: (sim) => withHost(sim, (host) => fullDisk(sim, host)),
  killGuardian: (sim) => withHost(sim, (host) => killGuardian(sim, host)),
  hiccups: (sim) => {
    const node = pick(sim, [...sim.nodes.values()])
    return node === undefined ? null : hiccups(sim, node)
  },
  slowDisk: (sim) => withHost(sim, (host) => slowDisk(sim, host)),
  splitStore: (sim) => splitStore(sim),
  oneWay: (sim) => oneWay(sim),
  returnWithPromise: (sim) => returnWithPromise(sim),
  peersLossy: (sim) => peersLossy(sim),
  stepClock: (sim) => stepClock(sim),
  killPostgres: (sim) => withHost(sim, (host) => killPostgres(sim, host)),
  cutHost: (sim) => withHost(sim, (host) => cutMachine(sim, host.machine.name)),
  cutMachine: (sim) => {
    const machine = pick(sim, [...sim.machines.values()])
    return machine === undefined ? null : cutMachine(sim, machine.name)
  },
  crashAtStep: (sim) =>
    withHost(sim, (host) => crashAtStep(sim, host, () => killMachine(sim, host.machine))),
  loseDisk: (sim, active) => (active() > 0 ? null : withHost(sim, (host) => loseDisk(sim, host))),
  lag: (sim) => lag(sim)?.heal ?? null,
  lagThenKill: (sim) => lagThenKill(sim),
  cutThenProxies: (sim) => cutThenProxies(sim),
  meddle: (sim) => meddle(sim),
  starve: (sim) => starve(sim),
  loseData: (sim, active) => (active() > 0 ? null : withHost(sim, (host) => loseData(sim, host))),
  otherFlags: (sim) => withNode(sim, "keeper", (node) => otherFlags(sim, node)),
  otherPort: (sim) => withNode(sim, "keeper", (node) => otherPort(sim, node)),
  removeData: (sim) => removeData(sim),
  storeGone: (sim) => storeGone(sim),
  storeRefuses: (sim) => store(sim, "the store refuses", (w) => void (w.state = "refusing")),
  storeHangs: (sim) => store(sim, "the store hangs", (w) => void (w.state = "hung")),
  storeGarbled: (sim) =>
    store(sim, "the cluster data cannot be decoded", (w) => void (w.garbled = true)),
  infoGarbled: (sim) => {
    sim.store.core.garble()
    return struck(sim, null, "an info cannot be decoded", nothing)
  },
  breakSpec: (sim) => breakSpec(sim),
  storeSlow: (sim) =>
    store(sim, "the store is slow", (w) => void (w.slowest = sim.world.between(200, 1_500))),
  storeLossy: (sim) =>
    store(sim, "the store loses answers", (w) => {
      w.loseReply = sim.world.between(0.05, 0.4)
      w.loseRequest = sim.world.between(0, 0.2)
      w.late = sim.world.between(0, 0.1)
    }),
}

function withNode(sim: Sim, kind: Node["kind"], then: (node: Node) => Heal | null): Heal | null {
  const node = pick(sim, nodesOf(sim, kind))
  return node === undefined || node.process === null ? null : then(node)
}

function withHost(sim: Sim, then: (host: Host) => Heal | null): Heal | null {
  const host = pickHost(sim)
  return host === undefined || !host.machine.up ? null : then(host)
}
