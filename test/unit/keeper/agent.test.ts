/**
 * The keeper's loops with a store and a machine in memory: what they must do in time, and what
 * nothing may keep them from.
 */
import { describe, expect, test } from "bun:test"
import type { Millis } from "#base/brand.ts"
import { duration } from "#base/duration.ts"
import type { ClusterData } from "#model/cluster.ts"
import { bootUUID, dbUID, generation, infoUID } from "#model/ids.ts"
import type { KeeperInfo } from "#model/info.ts"
import { StoreError } from "#port/store.ts"
import { realClock } from "#system/clock.ts"
import { handClock } from "#test/unit/proxy/world.ts"
import { db, followsOther, other, view } from "./build.ts"
import { type Machine, dir, emptyMachine } from "./model.ts"
import { type World, keeper } from "./world.ts"

const old = {
  uid: dbUID("db1"),
  generation: generation(1),
  initializing: false,
  initPGParameters: null,
}
const stoppedPrimary: Machine = { ...emptyMachine, db: old, data: dir("old") }
const long = { sleepInterval: duration(60_000), failInterval: duration(90_000) }
const quick = { sleepInterval: duration(20), failInterval: duration(60) }
const primary = view({ spec: long, dbs: [db("db1")] })
const resync = view({
  spec: long,
  master: "db2",
  dbs: [db("db3", { initMode: "resync", ...followsOther }), other()],
})
const last = ({ published }: World): KeeperInfo | undefined => published.at(-1)
const codes = ({ events }: World): readonly string[] => events.map(({ code }) => code)

/**
 * Wakes the keeper and waits until it has read, some times over: then it has acted on what it read
 * first.
 */
async function rounds(world: World, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const before = world.reads
    world.changed()
    await world.until(() => world.reads > before, "another round")
  }
}

describe("runKeeper()", () => {
  test("brings PostgreSQL up and publishes at once, not at the next beat", async () => {
    await using world = keeper(stoppedPrimary, primary)
    await world.until(() => last(world)?.postgresState?.healthy === true, "healthy published")
    expect(last(world)?.postgresState).toMatchObject({ uid: "db1", generation: 1 })
  })
  test("acts on a new view when the store's watch calls", async () => {
    await using world = keeper(stoppedPrimary, primary)
    await world.until(() => codes(world).includes("parameters.unchanged"), "settled")
    world.view = view({ spec: long, dbs: [db("db1")], epoch: "e1", revoked: true })
    world.changed()
    await world.until(() => last(world)?.certificate?.epoch === "e1", "certificate published")
    expect(world.machine.server).toBeNull()
  })
  test("names every publish anew", async () => {
    await using world = keeper(stoppedPrimary, view({ spec: quick, dbs: [db("db1")] }))
    await world.until(() => world.published.length > 4, "several beats")
    expect(new Set(world.published.map(({ infoUID }) => infoUID)).size).toBe(world.published.length)
  })
  test("looks and publishes once in a sleepInterval, and adopts a changed one", async () => {
    const hand = handClock()
    const every = (ms: number): ClusterData =>
      view({ spec: { sleepInterval: duration(ms) }, dbs: [db("db1")] })
    const world = keeper(stoppedPrimary, every(2_000), hand.clock)
    const during = async (ms: number): Promise<readonly [number, number]> => {
      const [reads, publishes] = [world.reads, world.published.length]
      await hand.advance(ms)
      return [world.reads - reads, world.published.length - publishes]
    }
    await during(30_000)
    expect(codes(world)).toContain("parameters.unchanged")
    expect(await during(20_000)).toEqual([10, 10])
    world.view = every(10_000)
    await during(30_000)
    expect(await during(100_000)).toEqual([10, 10])
    const ended = world.stop()
    await hand.advance(1)
    await ended
  })
  test("its info lives for 20 s, and twice as long as longer intervals", async () => {
    await using world = keeper(stoppedPrimary, view({ spec: quick, dbs: [db("db1")] }))
    await world.until(() => world.ttls.length > 1, "published")
    expect(world.ttls.at(-1)).toBe(20_000 as Millis)
    world.view = primary
    world.changed()
    await world.until(() => world.ttls.at(-1) === 180_000, "longer")
  })
  test("leaves PostgreSQL and work in progress as they are while the store fails", async () => {
    await using world = keeper(
      { ...stoppedPrimary, db: { ...old, uid: dbUID("db0") }, data: null },
      resync,
    )
    world.slow = "clone"
    await world.until(() => world.steps.includes("clone"), "clone begun")
    world.trouble = new StoreError("unavailable", "no answer")
    await rounds(world, 3)
    expect(codes(world).filter((code) => code === "store.failed")).toEqual(["store.failed"])
    expect(codes(world)).not.toContain("step.aborted")
    world.trouble = null
    world.changed()
    await world.until(() => codes(world).includes("store.recovered"), "store recovered")
    expect(codes(world)).not.toContain("step.aborted")
  })
  test("does not act on a view that it could not read again", async () => {
    const seen = view({ spec: long, dbs: [db("db1", { followers: [dbUID("db2")] }), other()] })
    await using world = keeper(stoppedPrimary, seen)
    await world.until(() => codes(world).includes("parameters.unchanged"), "settled")
    world.trouble = new StoreError("unavailable", "no answer")
    await rounds(world, 1)
    world.machine = { ...world.machine, data: dir("old", { ...world.machine.data, slots: [] }) }
    await rounds(world, 3)
    expect(world.machine.data?.slots).toEqual([])
    world.trouble = null
    world.changed()
    await world.until(() => world.machine.data?.slots.length === 1, "slot made again")
  })
  test("D-42 gives long work up when the view no longer asks for it", async () => {
    await using world = keeper(
      { ...stoppedPrimary, db: { ...old, uid: dbUID("db0") }, data: null },
      resync,
    )
    world.slow = "clone"
    await world.until(() => world.steps.includes("clone"), "clone begun")
    world.view = view({ spec: long, master: "db2", dbs: [other()] })
    world.changed()
    await world.until(() => codes(world).includes("step.aborted"), "aborted")
    expect(codes(world)).not.toContain("step.failed")
  })
  test("does not give work up for a change that means nothing to it", async () => {
    await using world = keeper(
      { ...stoppedPrimary, db: { ...old, uid: dbUID("db0") }, data: null },
      resync,
    )
    world.slow = "clone"
    await world.until(() => world.steps.includes("clone"), "clone begun")
    world.view = {
      ...resync,
      dbs: new Map(
        [...resync.dbs].map(([uid, one]) => [
          uid,
          one.spec.role === "master" ? other({}, { xLogPos: 9_999n as never }) : one,
        ]),
      ),
    }
    await rounds(world, 3)
    expect(world.steps.filter((kind) => kind === "clone")).toEqual(["clone"])
    expect(codes(world)).not.toContain("step.aborted")
  })
  test("does not give a copy up for a moment without cluster data", async () => {
    const empty = { ...stoppedPrimary, db: { ...old, uid: dbUID("db0") }, data: null }
    await using world = keeper(empty, resync)
    world.slow = "clone"
    await world.until(() => world.steps.includes("clone"), "clone begun")
    world.view = null
    await rounds(world, 3)
    expect(codes(world)).toContain("view.absent")
    expect(codes(world)).not.toContain("step.aborted")
  })
  test("does not give a copy up because its source was silent for a moment", async () => {
    const empty = { ...stoppedPrimary, db: { ...old, uid: dbUID("db0") }, data: null }
    await using world = keeper(empty, resync)
    world.slow = "clone"
    await world.until(() => world.steps.includes("clone"), "clone begun")
    const silent = { ...other({}, { healthy: false }), generation: generation(9) }
    world.view = { ...resync, dbs: new Map([...resync.dbs, [silent.uid, silent]]) }
    await rounds(world, 3)
    expect(codes(world)).not.toContain("step.aborted")
  })
  test("tells the guardian that it lives whatever hangs", async () => {
    await using world = keeper(stoppedPrimary, view({ spec: quick, dbs: [db("db1")] }))
    await world.until(() => codes(world).includes("parameters.unchanged"), "settled")
    world.hang = true
    const before = world.holds.length
    await world.until(() => world.holds.length > before + 3, "holds while the store hangs")
    expect(world.holds.at(-1)).toBeGreaterThan(realClock.now().mono - 1_000)
  })
  test("D-17 at the end gives up and awaits the step in progress, then stops PostgreSQL", async () => {
    const world = keeper(
      { ...stoppedPrimary, db: { ...old, uid: dbUID("db0") }, data: null },
      resync,
    )
    world.slow = "clone"
    await world.until(() => world.steps.includes("clone"), "clone begun")
    await world.stop()
    expect(world.ended).toBeTrue()
    expect(codes(world).slice(-2)).toEqual(["keeper.stopping", "step.aborted"])
  })
  test("D-44 tells the guardian that it lives until PostgreSQL has ended in its own time", async () => {
    const world = keeper(stoppedPrimary, view({ spec: quick, dbs: [db("db1")] }))
    await world.until(() => world.machine.server !== null, "started")
    world.slowEnd = true
    const stopping = world.stop()
    await world.until(() => codes(world).includes("keeper.stopping"), "it stops")
    const before = world.holds.length
    await world.until(() => world.holds.length > before + 3, "holds while PostgreSQL shuts down")
    world.slowEnd = false
    await stopping
    expect(world.ended).toBeTrue()
  })
  test("a failed start is said in the words that tests look for, and tried again", async () => {
    await using world = keeper(stoppedPrimary, view({ spec: quick, dbs: [db("db1")] }))
    world.failing = "start"
    await world.until(() => codes(world).includes("start.failed"), "start failed")
    world.failing = null
    await world.until(() => world.machine.server !== null, "started after all")
  })
  test("D-16 does nothing and publishes nothing while another keeper lives under its uid", async () => {
    await using first = keeper(stoppedPrimary, view({ spec: quick, dbs: [db("db1")] }))
    await first.until(() => last(first) !== undefined, "the other publishes")
    const theirs = last(first)
    if (theirs?.postgresState === undefined) throw new Error("nothing published")
    const state = { ...theirs.postgresState, uid: dbUID("db9") }
    const beat = (uid: string): readonly KeeperInfo[] => [
      { ...theirs, bootUUID: bootUUID("boot-9"), infoUID: infoUID(uid), postgresState: state },
    ]
    const second = { ...stoppedPrimary, db: { ...old, uid: dbUID("") }, data: null }
    const world = keeper(second, view({ spec: quick, dbs: [db("db1", { initMode: "new" })] }))
    world.infos = beat("b0")
    let count = 0
    await world.until(() => {
      world.infos = beat(`b${++count}`)
      return codes(world).includes("keeper.duplicate")
    }, "the duplicate is said")
    const { holds } = world
    const held = holds.length
    await world.until(() => {
      world.infos = beat(`b${++count}`)
      return world.reads > 30
    }, "many rounds")
    expect(world.steps).toEqual([])
    expect(world.published).toEqual([])
    expect(holds.length).toBeLessThanOrEqual(held + 1)
    expect(codes(world).filter((code) => code === "keeper.duplicate")).toHaveLength(1)
    // the other is gone: this keeper takes over, and not before
    world.infos = []
    await world.until(() => world.steps.includes("initdb"), "it begins")
    await world.stop()
  })
  test("D-54 needsRestart is what PostgreSQL says, also after somebody else's restart", async () => {
    await using world = keeper(stoppedPrimary, view({ spec: quick, dbs: [db("db1")] }))
    await world.until(() => world.state?.lastSync != null, "settled")
    expect(world.state?.needsRestart).toBeFalse()
    const { server } = world.machine
    if (server === null) throw new Error("it does not run")
    world.machine = { ...world.machine, server: { ...server, restartNeeded: true } }
    await world.until(() => world.state?.needsRestart === true, "1")
    world.machine = { ...world.machine, server: { ...server, restartNeeded: false } }
    await world.until(() => world.state?.needsRestart === false, "0 again")
  })
  test("goes on when there is no cluster data", async () => {
    await using world = keeper(stoppedPrimary, null)
    await world.until(() => codes(world).includes("view.absent"), "absent")
    world.view = primary
    world.changed()
    await world.until(() => world.machine.server !== null, "started")
  })
})
