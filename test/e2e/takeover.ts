/**
 * The upgrade from Go stolon, as an operator does it: a running Go cluster, one component after the
 * other exchanged for ours while a client writes through the proxy, and the way back. No
 * acknowledged row is lost, the DBs stay who they are, and every PostgreSQL is restarted at most
 * once per exchange of its keeper.
 *
 * The Go side is scripted (test/peers), on a real store and PostgreSQL.
 */
import { expect } from "bun:test"
import { readFileSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { postgresPrograms } from "#cmd/dev-place.ts"
import { duration } from "#base/duration.ts"
import { freePorts } from "#test/conformance/ports.ts"
import { until } from "#test/conformance/wait.ts"
import { marshal, unmarshal } from "#test/peers/codec.ts"
import { GoDBState, GoKeeperState } from "#test/peers/documents.ts"
import { type Node, type Part, type Platform, clusterName, newNode, newPart } from "./cluster.ts"
import { type GoPart, bootOf, goSide, lastWriter, settled } from "./go-cluster.ts"
import { type RealMachine, realMachine } from "./go-machine.ts"
import { newPlace } from "./place.ts"
import { rowsAt, startWriter } from "./writer.ts"

const spec = {
  initMode: "new",
  sleepInterval: duration(500),
  failInterval: duration(20_000), // Go's default: a restart of PostgreSQL is no failure
  proxyCheckInterval: duration(500),
  proxyTimeout: duration(5_000),
}

/** Every postmaster that was ever seen in a directory. */
function watchPostmasters(machines: readonly RealMachine[]) {
  const seen = machines.map(() => new Set<number>())
  const look = (): void =>
    machines.forEach((machine, i) => {
      const pid = machine.postmasterPid()
      if (pid !== null) seen[i]?.add(pid)
    })
  const timer = setInterval(look, 15)
  return {
    /** How many there were since the last call. */
    counts: (): readonly number[] => seen.map(({ size }) => size),
    [Symbol.dispose]: () => clearInterval(timer),
  }
}

const names = ["keeper1", "keeper2"] as const

/** There and back; `open` starts the store, which ends with the stack. */
export async function takeover(
  open: (stack: AsyncDisposableStack) => Promise<Platform>,
): Promise<void> {
  await using building = new AsyncDisposableStack()
  const place = building.use(await newPlace("stolon-takeover-"))
  const platform = await open(building)
  const go = building.use(await goSide(platform))
  const logs: string[] = []
  try {
    const [proxyPort = 0, ...ports] = await freePorts(3)
    const machines = await Promise.all(
      names.map((uid, i) => realMachine(place, uid, ports[i] ?? 0)),
    )
    const machine = (uid: string): RealMachine => {
      const found = machines[names.findIndex((name) => name === uid)]
      if (found === undefined) throw new Error(`there is no machine ${uid}`)
      return found
    }
    await go.init(spec)
    const goKeepers = new Map<string, GoPart>(
      names.map((uid) => [uid, go.keeper(uid, machine(uid))]),
    )
    let goSentinel = go.sentinel()
    let goProxy = go.proxy(proxyPort)
    const begun = await settled(go, names)
    const uids = [...begun.dbs.keys()].toSorted()
    const master = begun.cluster.status.master
    const primary = begun.dbs.get(master)?.spec.keeperUID ?? ""
    const standby = names.find((uid) => uid !== primary) ?? ""

    const common = [`--cluster-name=${clusterName}`, ...platform.inside]
    const programs = postgresPrograms("")
    const ours = new Map<string, Node>()
    for (const uid of names) {
      const node = await newNode(
        ...([place, common, programs, uid, machine(uid).port] as const),
        await platform.prepare(uid, "keeper"),
      )
      ours.set(uid, node)
      building.defer(async () => {
        await node.stop()
        await node.killAll()
      })
      logs.push(node.log)
    }
    const keeper = (uid: string): Node => {
      const node = ours.get(uid)
      if (node === undefined) throw new Error(`there is no keeper ${uid}`)
      return node
    }
    const part = async (kind: "sentinel" | "proxy", flags: readonly string[]): Promise<Part> =>
      newPart(place, kind, [kind, ...common, ...flags], await platform.prepare(kind, kind))
    const sentinel = await part("sentinel", [])
    const proxy = await part("proxy", [`--port=${proxyPort}`])
    for (const each of [sentinel, proxy]) {
      building.defer(each.kill)
      logs.push(each.log)
    }
    using postmasters = watchPostmasters(machines)
    const writer = building.use(await startWriter(proxyPort))
    const gone: string[] = []
    const ending = async (uid: string): Promise<void> => void gone.push(await bootOf(go, uid))
    const same = async (): Promise<void> => {
      const now = await settled(go, names, gone)
      expect([...now.dbs.keys()].toSorted()).toEqual(uids)
      expect(now.cluster.status.master).toBe(master)
      await writer.resumes()
    }
    await same()
    expect(postmasters.counts()).toEqual([1, 1])

    // there: the leader, a standby, the primary, the proxy
    await goSentinel.stop()
    sentinel.start()
    await until("our sentinel to lead", async () => (await lastWriter(go)) === "ours", 30_000)
    await same()
    await ending(standby)
    await goKeepers.get(standby)?.stop()
    keeper(standby).start()
    await same()
    await ending(primary)
    await goKeepers.get(primary)?.kill() // its PostgreSQL runs on, and is not ours to adopt
    keeper(primary).start()
    await same()
    await goProxy.stop()
    proxy.start()
    await same()
    expect(postmasters.counts()).toEqual([2, 2])

    // what a Go keeper will find
    for (const uid of names) acceptable(machine(uid))

    // and back, the other way round
    await proxy.stop()
    goProxy = go.proxy(proxyPort)
    await same()
    for (const uid of [primary, standby]) {
      await ending(uid)
      await keeper(uid).stop()
      goKeepers.set(uid, go.keeper(uid, machine(uid)))
      await same()
    }
    await sentinel.stop()
    goSentinel = go.sentinel()
    await until("Go to lead", async () => (await lastWriter(go)) === "go", 30_000)
    await same()
    expect(postmasters.counts()).toEqual([3, 3])

    await writer.stop()
    const there = await rowsAt(proxyPort)
    expect([...writer.acknowledged].filter((id) => !there.has(id))).toEqual([])
    expect(writer.acknowledged.size).toBeGreaterThan(100)
  } catch (error) {
    console.error(go.lines.slice(-40).join("\n"))
    for (const log of logs)
      try {
        console.error(`--- ${log}\n${readFileSync(log, "utf8").split("\n").slice(-40).join("\n")}`)
      } catch {}
    throw error
  }
}

/**
 * The directory as a strict Go keeper reads it: state files byte for byte, PGDATA where it was, and
 * beside them only what Go never looks at.
 */
function acceptable(machine: RealMachine): void {
  const read = (name: string): string => readFileSync(join(machine.dataDir, name), "utf8")
  const keeper = unmarshal(GoKeeperState, read("keeperstate"))
  const db = unmarshal(GoDBState, read("dbstate"))
  expect(marshal(GoKeeperState, keeper)).toBe(read("keeperstate"))
  expect(marshal(GoDBState, db)).toBe(read("dbstate"))
  expect(db.Initializing).toBe(false)
  expect(db.Generation).toBeGreaterThan(0)
  const entries = readdirSync(machine.dataDir)
  expect(entries).toContain("postgres")
  for (const name of entries)
    expect(name).toMatch(/^(dbstate|keeperstate|lock|postgres|guardian.*|stolon-.*)$/)
}
