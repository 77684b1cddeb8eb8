/**
 * Store outages (protocol part 4), with the keepers' real loops on a virtual clock: what goes on
 * while the store is gone for all, what stops while it is gone for one, and that no crash, freeze,
 * lost answer or drift in between lets two of them take writes.
 */
import { describe, expect, test } from "bun:test"
import { type Name, World, failInterval, lease, names, outageView } from "./outage-world.ts"

const codes = (world: World, name: Name): readonly string[] =>
  world.node(name).events.map(({ code }) => code)
const count = (world: World, name: Name, code: string): number =>
  codes(world, name).filter((one) => one === code).length

/** All up, k1 writing under a lease, the electable set acknowledged. */
async function settled(electable: readonly string[] | null = ["db2", "db3"]): Promise<World> {
  const world = new World(electable)
  for (const name of names) world.start(name)
  await world.until(() => world.takesWrites("k1"), "k1 takes writes")
  await world.until(
    () => ["k2", "k3"].every((name) => world.node(name as Name).machine.server?.ready === true),
    "the standbys are up",
  )
  // and knows where the others are
  await world.advance(4_000)
  expect(world.node("k1").published.at(-1)?.electable?.word).toBe(
    (electable === null ? undefined : "w1") as never,
  )
  return world
}

function cut(world: World, who: readonly Name[] = names): void {
  for (const name of who) world.node(name).store = false
}
function heal(world: World): void {
  for (const name of names) world.node(name).store = true
}
const promoteK2 = () => outageView(["db3"], { master: "db2", epoch: "e2", word: "w2" })

async function whole(world: World): Promise<void> {
  expect(world.broken).toEqual([])
  await world.end()
}

describe("a store outage", () => {
  test("D-80 the store gone for all: the primary goes on taking writes, for as long as it lasts", async () => {
    const world = await settled()
    cut(world)
    for (let i = 0; i < 60; i++) {
      await world.advance(500)
      expect([i, world.takesWrites("k1")]).toEqual([i, true])
    }
    expect(count(world, "k1", "promise.received")).toBe(1)
    heal(world)
    await world.advance(lease + 1_500)
    // by renewals again, and nobody is asked any more
    expect(world.node("k2").machine.promise).toBeNull()
    await world.advance(10_000)
    expect(world.takesWrites("k1")).toBe(true)
    expect(count(world, "k2", "promise.given")).toBe(1)
    await whole(world)
  })

  test("O2 the store gone for the primary only: the others decline, and it ends with its lease", async () => {
    const world = await settled()
    cut(world, ["k1"])
    const began = world.time
    await world.until(() => !world.takesWrites("k1"), "it has ended")
    expect(world.time - began).toBeLessThanOrEqual(lease + 50)
    expect(codes(world, "k1")).toContain("promise.missing")
    expect(codes(world, "k2")).not.toContain("promise.given")
    await whole(world)
  })

  test("O1 all have to promise: one that reaches the store is enough to end the primary", async () => {
    const world = await settled()
    cut(world, ["k1", "k2"])
    await world.until(() => !world.takesWrites("k1"), "it has ended")
    expect(codes(world, "k3")).not.toContain("promise.given")
    await whole(world)
  })

  test("O3 a standby that died in the same outage fences the primary, one outside the set does not", async () => {
    const world = await settled()
    world.kill("k3")
    cut(world)
    await world.until(() => !world.takesWrites("k1"), "it has ended")
    await whole(world)
    const other = await settled(["db2"])
    other.kill("k3")
    cut(other)
    await other.advance(20_000)
    expect(other.takesWrites("k1")).toBe(true)
    expect(codes(other, "k3")).not.toContain("promise.given")
    await whole(other)
  })

  test("O1 with nobody electable the lease goes on by itself", async () => {
    const world = await settled([])
    cut(world)
    await world.advance(20_000)
    expect(world.takesWrites("k1")).toBe(true)
    await whole(world)
  })

  test("O5 without a word on who is electable nobody is asked", async () => {
    const world = await settled(null)
    cut(world)
    await world.until(() => !world.takesWrites("k1"), "it has ended")
    expect(codes(world, "k2")).not.toContain("promise.given")
    await whole(world)
  })

  test("O2 a store that answers reads and takes no writes is out for all, and nothing is cut", async () => {
    const world = await settled()
    for (const name of names) world.node(name).readOnly = true
    await world.advance(20_000)
    expect(world.takesWrites("k1")).toBe(true)
    await whole(world)
  })

  test("W1 a primary that the store revokes when it is back ends at once", async () => {
    const world = await settled()
    cut(world)
    await world.advance(5_000)
    expect(world.takesWrites("k1")).toBe(true)
    heal(world)
    world.decide(outageView(["db2", "db3"], { revoked: true }))
    await world.until(() => !world.takesWrites("k1"), "it has ended", 1_500)
    await whole(world)
  })
})

describe("a promise", () => {
  /**
   * The store comes back for k2 only, with a leader that elects it as soon as it may: when the
   * lease that it knows of has ended (L3). Of promises it knows nothing.
   */
  async function electK2(world: World): Promise<number> {
    await world.advance(Math.max(0, world.node("k1").heard + 1.05 * lease - world.time))
    world.node("k2").store = true
    const at = world.time
    world.decide(promoteK2())
    await world.until(() => world.takesWrites("k2"), "k2 takes writes")
    return world.time - at
  }

  test("O2 binds whoever is elected until the old primary's lease is over", async () => {
    const world = await settled()
    cut(world)
    await world.advance(10_000)
    expect(world.takesWrites("k1")).toBe(true)
    const waited = await electK2(world)
    expect(waited).toBeGreaterThan(lease / 2)
    expect(waited).toBeLessThan(1.05 * lease + 1_500)
    expect(world.takesWrites("k1")).toBe(false)
    await whole(world)
  })

  test("O2 is published while it binds, and not after", async () => {
    const world = await settled()
    cut(world)
    await world.advance(5_000)
    heal(world)
    await world.advance(1_000)
    const published = world.node("k2").published
    expect(published.at(-1)?.promise).toEqual({ epoch: "e1", keeper: "k1" } as never)
    await world.advance(4_000)
    expect(world.node("k2").published.at(-1)?.promise).toBeUndefined()
    expect(world.node("k2").machine.promise).toBeNull()
    await whole(world)
  })

  test("O2 counts its full length again after a restart, however short ago it was made", async () => {
    const world = await settled()
    cut(world)
    await world.until(() => codes(world, "k2").includes("promise.given"), "a promise")
    world.kill("k2")
    world.start("k2")
    const waited = await electK2(world)
    expect(codes(world, "k2")).toContain("promise.recalled")
    expect(waited).toBeGreaterThanOrEqual(1.05 * lease)
    await whole(world)
  })

  test("O2 is on disk before it is answered: killed at any moment, the keeper keeps it", async () => {
    for (let moment = 0; moment < 40; moment += 4) {
      const world = await settled(["db2"])
      world.node("k2").disk = 20
      cut(world)
      await world.until(() => world.node("k2").process?.handlers !== null, "k2 answers")
      await world.until(() => world.questions > 0, "k1 asks")
      await world.advance(240 + moment)
      world.kill("k2")
      world.start("k2")
      await electK2(world)
      await whole(world)
    }
  })

  test("O1 an answer that is lost prolongs nothing, and binds all the same", async () => {
    const world = await settled(["db2"])
    world.node("k2").mute = true
    cut(world)
    await world.until(() => codes(world, "k2").includes("promise.given"), "a promise")
    await world.until(() => !world.takesWrites("k1"), "k1 has ended")
    expect(codes(world, "k1")).not.toContain("promise.received")
    await electK2(world)
    await whole(world)
  })

  test("O2 a keeper frozen before its answer binds from when it answers, and the asker has not waited", async () => {
    for (let moment = 0; moment < 60; moment += 12) {
      const world = await settled(["db2"])
      world.node("k2").disk = 20
      cut(world)
      await world.until(() => world.questions > 0, "k1 asks")
      await world.advance(230 + moment)
      world.freeze("k2")
      await world.advance(2 * lease)
      world.thaw("k2")
      await electK2(world)
      await whole(world)
    }
  })

  test("O1 an asker frozen between the answers and its act counts from before it sent", async () => {
    // the answer leaves k2 some 310 ms after the question was sent, and k1 waits for 500 ms
    for (let moment = 240; moment < 360; moment += 20) {
      const world = await settled(["db2"])
      world.latency = 60
      cut(world)
      await world.until(() => world.questions > 0, "k1 asks")
      await world.advance(moment)
      world.freeze("k1")
      world.node("k2").deaf = true // from now on
      await world.advance(150)
      world.thaw("k1")
      await electK2(world)
      await whole(world)
    }
  })

  test("O2 clocks whose rates differ by 5 % let nobody overlap", async () => {
    for (const [asker, promiser] of [
      [1, 1.049],
      [0.976, 1.024],
      [0.953, 1],
      [1.049, 1],
    ] as const) {
      const world = new World(["db2"])
      world.node("k1").rate = asker
      world.node("k2").rate = promiser
      for (const name of names) world.start(name)
      await world.until(() => world.takesWrites("k1"), "k1 takes writes")
      await world.advance(6_000)
      cut(world)
      await world.advance(7_000)
      expect(world.takesWrites("k1")).toBe(true)
      await electK2(world)
      await whole(world)
    }
  })

  test("O2 clocks that differ by 20 % do overlap: the bound is needed", async () => {
    const world = new World(["db2"])
    world.node("k1").rate = 0.85
    world.node("k2").rate = 1.15
    for (const name of names) world.start(name)
    await world.until(() => world.takesWrites("k1"), "k1 takes writes")
    await world.advance(6_000)
    cut(world)
    await world.advance(7_000)
    await electK2(world)
    expect(world.broken).not.toEqual([])
    await world.end()
  })

  test("O2 is not given by a keeper that is promoted, whatever it can reach", async () => {
    const world = await settled(["db2"])
    cut(world, ["k1"])
    await world.until(() => !world.takesWrites("k1"), "k1 has ended")
    await electK2(world)
    world.node("k2").store = false
    const { promise } = world.node("k2").process?.handlers ?? {}
    const question = {
      cluster: world.view.cluster.uid,
      epoch: "e1",
      db: "db1",
      asker: "k1",
      asked: "k2",
      width: lease,
    } as never
    const answered = promise?.(question)
    await world.advance(1_000)
    expect(await answered).toMatchObject({ kind: "declined" })
    await whole(world)
  })

  test("O2 the store back for one side in the middle: whoever is elected waits for the lapse", async () => {
    for (let moment = 0; moment < lease; moment += 330) {
      const world = await settled(["db2"])
      cut(world)
      await world.advance(failInterval + moment)
      await electK2(world)
      await world.advance(3_000)
      await whole(world)
    }
  })
})
