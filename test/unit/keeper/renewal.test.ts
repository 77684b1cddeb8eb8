/**
 * The loops behind a lease: what comes before what, and what happens when the store or the guardian
 * does not answer, a view changes in between, or a keeper begins in the middle of it.
 */
import { describe, expect, test } from "bun:test"
import { millis } from "#base/brand.ts"
import { duration } from "#base/duration.ts"
import type { ClusterData } from "#model/cluster.ts"
import { dbUID, generation, keeperUID, nonce } from "#model/ids.ts"
import type { KeeperInfo } from "#model/info.ts"
import type { Step } from "#model/step.ts"
import { StoreError } from "#port/store.ts"
import { realClock } from "#system/clock.ts"
import { db, followsOther, other, view } from "./build.ts"
import { type Machine, apply, dir, emptyMachine } from "./model.ts"
import { type World, keeper } from "./world.ts"

const old = {
  uid: dbUID("db1"),
  generation: generation(1),
  initializing: false,
  initPGParameters: null,
}
const stoppedPrimary: Machine = { ...emptyMachine, db: old, data: dir("old") }
const lease = 400
const spec = {
  sleepInterval: duration(50),
  failInterval: duration(3_000),
  fencingLease: duration(lease),
  selfFencing: true,
  failureDetection: "evidence",
} as const
const follower = db(
  "db2",
  {
    keeperUID: keeperUID("k2"),
    role: "standby",
    followConfig: { ...followsOther.followConfig, dbuid: dbUID("db1") },
  },
  { healthy: true },
)
const asked = (change: Parameters<typeof view>[0] = {}): ClusterData =>
  view({ spec, dbs: [db("db1"), follower], epoch: "e1", ...change })
const last = ({ published }: World): KeeperInfo | undefined => published.at(-1)
const now = (): number => realClock.now().mono

describe("a primary under self-fencing", () => {
  test("L5 starts only after a renewal, and after its guardian has taken the lease", async () => {
    await using world = keeper(stoppedPrimary, asked())
    await world.until(() => world.steps.includes("start"), "a start")
    const { order } = world
    const start = order.indexOf("start")
    const held = order.indexOf("lease")
    const read = order.lastIndexOf("read", held)
    expect(held).toBeLessThan(start)
    expect(order.lastIndexOf("publish", read)).toBeGreaterThanOrEqual(0)
  })
  test("L5 does not start while the store takes no info, though it can be read", async () => {
    await using world = keeper(
      { ...stoppedPrimary, fencing: { on: true, lease: millis(lease) } },
      asked(),
    )
    world.mute = true
    await world.until(() => world.reads > 10, "some rounds")
    expect(world.steps).not.toContain("start")
    world.mute = false
    await world.until(() => world.steps.includes("start"), "the start")
  })
  test("L5 does not start while its guardian does not answer", async () => {
    await using world = keeper(stoppedPrimary, asked())
    world.deaf = true
    await world.until(() => world.reads > 10, "some rounds")
    expect(world.steps).not.toContain("start")
    world.deaf = false
    await world.until(() => world.steps.includes("start"), "the start")
  })
  test("L3 claims its lease, and only once the mode is on its disk", async () => {
    await using world = keeper(stoppedPrimary, asked())
    await world.until(() => last(world)?.fencing !== undefined, "the claim")
    expect(world.machine.fencing).toEqual({ on: true, lease: millis(lease) })
    await world.until(() => last(world)?.postgresState?.healthy === true, "healthy")
    expect(last(world)?.fencing?.lease).toBe(duration(lease))
    expect(last(world)?.capabilities).toContain("lease")
  })
  test("L1 the guardian never hears of more than a lease from before the publish", async () => {
    await using world = keeper(stoppedPrimary, asked())
    const begun = now()
    await world.until(() => world.leases.length > 5, "renewals")
    expect(Math.max(...world.leases)).toBeLessThanOrEqual(now() + lease)
    expect(world.leases.toSorted((a, b) => a - b)).toEqual([...world.leases])
    expect(now() - begun).toBeLessThan(world.leases.length * lease)
  })
  test("D-13 without a store the guardian hears nothing any more, not even that a keeper lives", async () => {
    await using world = keeper(stoppedPrimary, asked())
    await world.until(() => last(world)?.postgresState?.acceptsClients === true, "a primary")
    world.trouble = new StoreError("unavailable", "gone")
    world.mute = true
    await world.until(() => now() > (world.leases.at(-1) ?? 0), "the lease to end")
    const [leases, holds] = [world.leases.length, world.holds.length]
    const end = now() + 2 * lease
    await world.until(() => now() > end, "a while")
    expect([world.leases.length, world.holds.length]).toEqual([leases, holds])
    expect(world.events.map(({ code }) => code)).toContain("lease.lapsed")
  })
  test("L1 a view that revokes, or names another, prolongs nothing", async () => {
    await using world = keeper(stoppedPrimary, asked())
    await world.until(() => last(world)?.postgresState?.acceptsClients === true, "a primary")
    world.slow = "stop" // it takes its time to end
    world.view = asked({ revoked: true })
    const reads = world.reads
    await world.until(() => world.reads > reads + 3, "the new view was read")
    const { length } = world.leases
    const longest = Math.max(...world.leases)
    await world.until(() => now() > longest + 100, "the lease to end")
    expect(Math.max(...world.leases.slice(length), 0)).toBeLessThanOrEqual(longest)
  })
  test("a crash of PostgreSQL is no reason to wait: it is started again under the same lease", async () => {
    await using world = keeper(stoppedPrimary, asked())
    await world.until(() => last(world)?.postgresState?.acceptsClients === true, "a primary")
    const before = world.steps.length
    world.machine = { ...world.machine, server: null }
    const begun = now()
    world.changed()
    await world.until(() => world.steps.slice(before).includes("start"), "the start")
    // PostgreSQL that ends right after its start would be given a pause; this one ran a while
    expect(now() - begun).toBeLessThan(1_500)
  })
  test("L6 stays fenced when a Go leader drops the words, also as another process", async () => {
    const dropped = view({
      spec: { sleepInterval: duration(50), failInterval: duration(3_000) },
      dbs: [db("db1")],
    })
    const kept = { ...stoppedPrimary, fencing: { on: true, lease: millis(lease) } }
    await using world = keeper(kept, dropped)
    await world.until(() => last(world)?.fencing !== undefined, "the claim")
    await world.until(() => world.leases.length > 2, "leases")
    expect(world.testaments).not.toContainEqual(expect.anything()) // no epoch, no certificate
  })
  test("its guardian knows what to certify, where a leader acts on it and somebody could take over", async () => {
    await using world = keeper(stoppedPrimary, asked())
    await world.until(() => world.testaments.length > 2, "leases")
    const named = { epoch: "e1", db: "db1", info: { uid: "k1" } }
    expect(world.testaments.at(-1)).toMatchObject({ ...named, certify: true })
    world.view = asked({ spec: { ...spec, failureDetection: "silence" } })
    world.changed()
    await world.until(() => world.testaments.at(-1)?.certify === false, "nothing to certify")
    // what was certified before is over all the same: no start goes without the epoch
    expect(world.testaments.at(-1)).toMatchObject(named)
  })
})

describe("a keeper that finds its primary running", () => {
  const running = (): Machine => {
    const steps: readonly Step[] = [
      { kind: "write-config", files: { conf: "", hba: "", signal: "none" } },
      { kind: "start", temporary: null },
      { kind: "wait-ready", timeout: millis(1_000) },
    ]
    const fenced = { ...stoppedPrimary, fencing: { on: true, lease: millis(lease) } }
    return steps.reduce<Machine>(apply, fenced)
  }
  test("D-41 gives its guardian no time before the first renewal", async () => {
    const found = { adopted: true, leased: millis(now() + lease) }
    await using world = keeper(running(), asked(), realClock, found)
    await world.until(() => world.leases.length > 0, "a lease")
    expect(world.holds).toEqual([])
    expect(world.steps).not.toContain("start")
    expect(world.order.indexOf("publish")).toBeLessThan(world.order.indexOf("lease"))
  })
  test("L3 keeps the claim of its predecessor, whose lease may still run", async () => {
    const found = { adopted: true, leased: millis(now() + lease) }
    await using world = keeper(running(), asked(), realClock, found)
    await world.until(() => world.published.length > 0, "a first word")
    expect(world.published[0]?.fencing).toBeDefined()
  })
  test("claims nothing of a PostgreSQL that its guardian holds without a lease, until it has one", async () => {
    const found = { adopted: true, leased: null }
    await using world = keeper(running(), asked(), realClock, found)
    world.deaf = true
    await world.until(() => world.published.length > 3, "some words")
    expect(world.published.map(({ fencing }) => fencing)).toEqual(
      world.published.map(() => undefined),
    )
    world.deaf = false
    await world.until(() => last(world)?.fencing !== undefined, "the claim")
  })
})

describe("a promotion", () => {
  const standby: Machine = {
    ...emptyMachine,
    db: old,
    fencing: { on: true, lease: millis(lease) },
    data: dir("old", { files: { conf: "", hba: "", signal: "standby" } }),
  }
  const following = asked({ master: "db2", dbs: [db("db1", followsOther), other()] })
  test("L5 comes after a renewal in that role, and the hold as a standby ends before it", async () => {
    await using world = keeper(standby, following)
    await world.until(() => world.steps.includes("start"), "a standby")
    expect(world.leases).toEqual([])
    world.view = asked({ dbs: [db("db1")] })
    world.changed()
    await world.until(() => world.steps.includes("promote"), "the promotion")
    const { order } = world
    const promote = order.indexOf("promote")
    const held = order.indexOf("lease")
    expect(held).toBeGreaterThan(0)
    expect(held).toBeLessThan(promote)
    expect(order.slice(held, promote)).not.toContain("hold")
  })
  test("that failed is still under a lease: it may come yet", async () => {
    await using world = keeper(standby, following)
    await world.until(() => world.steps.includes("start"), "a standby")
    world.failing = "promote"
    world.view = asked({ dbs: [db("db1")] })
    world.changed()
    await world.until(() => world.steps.includes("promote"), "the promotion")
    const { length } = world.holds
    const reads = world.reads
    await world.until(() => world.reads > reads + 5, "some rounds")
    expect(world.holds.length).toBe(length)
  })
})

describe("the end of a keeper", () => {
  test("D2 says that a primary stops, stops it, and certifies it before it is gone", async () => {
    const world = keeper(stoppedPrimary, asked())
    await world.until(() => last(world)?.postgresState?.acceptsClients === true, "a primary")
    await world.stop()
    const words = world.published.map((info) => `${info.evidence} ${info.certificate?.epoch}`)
    expect(words.indexOf("stopping undefined")).toBeGreaterThan(0)
    expect(words.at(-1)).toBe("stopping e1")
    expect(world.order.lastIndexOf("stop")).toBeLessThan(world.order.lastIndexOf("certify"))
    expect(world.ended).toBe(true)
  })
  test("T11 certifies nothing where nobody could take over, or the leader waits for silence", async () => {
    for (const quiet of [
      asked({ dbs: [db("db1")] }),
      asked({ spec: { ...spec, failureDetection: "silence" } }),
    ]) {
      const world = keeper(stoppedPrimary, quiet)
      await world.until(() => last(world)?.postgresState?.acceptsClients === true, "a primary")
      await world.stop()
      expect(world.machine.certificate).toBeNull()
      expect(last(world)?.evidence).toBe("")
    }
  })
  test("is not held up by a store that is away", async () => {
    const world = keeper(stoppedPrimary, asked())
    await world.until(() => last(world)?.postgresState?.acceptsClients === true, "a primary")
    world.mute = true
    world.hang = true
    const begun = now()
    await world.stop()
    expect(now() - begun).toBeLessThan(4_000)
    expect(world.machine.certificate).toMatchObject({ epoch: "e1" })
  })
})

test("D-23 a specification that breaks a rule ends no lease: it is still said who is primary", async () => {
  await using world = keeper(stoppedPrimary, asked())
  await world.until(() => last(world)?.postgresState?.acceptsClients === true, "a primary")
  world.view = asked({
    spec: { ...spec, proxyTimeout: duration(1), proxyCheckInterval: duration(2) },
  })
  const end = now() + 3 * lease
  await world.until(() => now() > end, "some leases")
  expect(world.leases.at(-1)).toBeGreaterThan(now())
  expect(world.events.map(({ code }) => code)).toContain("view.invalid")
})

test("O3 of two reads that overlap, the one that ends last does not bring an older set back", async () => {
  const slow = { ...spec, fencingLease: duration(2_000) }
  const set = (word: string, dbs: string[]): ClusterData => {
    const data = asked({ spec: slow })
    const electable = { word: nonce(word), dbs: dbs.map(dbUID), joining: [], ended: false }
    return { ...data, cluster: { ...data.cluster, status: { ...data.cluster.status, electable } } }
  }
  const [before, after] = [set("w1", []), set("w2", ["db2"])]
  await using world = keeper(stoppedPrimary, before)
  await world.until(() => last(world)?.postgresState?.acceptsClients === true, "a primary")
  const answers = [Promise.withResolvers<ClusterData>(), Promise.withResolvers<ClusterData>()]
  let asking = 0
  const gone = (): Promise<never> => Promise.reject(new StoreError("unavailable", "gone"))
  world.answer = () => answers[asking++]?.promise ?? gone()
  world.changed()
  await world.until(() => asking >= 2, "a look and a renewal")
  answers[0]?.resolve(after)
  await world.until(() => last(world)?.electable?.word === "w2", "the new word")
  answers[1]?.resolve(before) // the store said this before the other, and the network kept it
  const said = world.published.length
  await world.until(() => world.published.length > said + 5, "some beats")
  expect(world.published.slice(said).map(({ electable }) => electable?.word)).not.toContain("w1")
})
