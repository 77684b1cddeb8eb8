/**
 * The two choices that promises hang on, against something dumber: who is elected, against a plain
 * reading of the rule over random clusters; who is confirmed in sync, against a model that knows
 * which standby has which acknowledged commit.
 */
import { expect, test } from "bun:test"
import { type Random, generator } from "#base/random.ts"
import type { DBUID } from "#model/ids.ts"
import { type World, world } from "./world.ts"

const standbys = ["k2", "k3", "k4"] as const
const chance = (random: Random, odds: number): boolean => random.next() < odds

test("D-01 D-02 D-10 D-28 of any standbys the furthest that may is elected, and nobody else", () => {
  const limit = 500
  for (let seed = 0; seed < 40; seed++) {
    const random = generator(seed)
    const w = world({ maxStandbyLag: limit, maxStandbysPerSender: 3 })
    w.keeper("k1", ...standbys).settled()
    w.set("k1", { position: 5000n }).tick()
    const fit: { uid: DBUID; keeper: string; position: bigint }[] = []
    for (const keeper of standbys) {
      const position = 4400n + BigInt(random.below(60) * 10)
      const [alive, canBeMaster] = [chance(random, 0.8), chance(random, 0.8)]
      const pending = chance(random, 0.3)
      w.set(keeper, { position, alive, canBeMaster })
      if (pending) w.set(keeper, { stuckAt: w.db(keeper).generation })
      const near = 5000n - position <= BigInt(limit)
      if (alive && canBeMaster && near) fit.push({ uid: w.uid(keeper), keeper, position })
    }
    w.spec({ pgParameters: new Map([["work_mem", "8MB"]]) })
    w.ticks(5) // the dead are known to be dead, before the primary is
    w.set("k1", { alive: false }).ticks(20)
    const [best] = fit.toSorted((a, b) =>
      a.position === b.position ? (a.uid < b.uid ? -1 : 1) : a.position > b.position ? -1 : 1,
    )
    expect([seed, w.primary()]).toEqual([seed, best?.keeper ?? "k1"])
  }
}, 60_000)

/** PostgreSQL as far as commits go: a commit is acknowledged when every name in force has it. */
class Commits {
  acknowledged = 0
  private written = 0
  private readonly has = new Map<DBUID, number>()
  private names: readonly string[] = []
  private generation = 0

  private readonly w: World
  private readonly random: Random

  constructor(w: World, random: Random) {
    this.w = w
    this.random = random
  }

  /** The keeper applies what the view asks for, now or in a later round, and reports (W8). */
  report(): void {
    const db = this.w.db("k1")
    if (chance(this.random, 0.7)) {
      const { synchronousStandbys, externalSynchronousStandbys } = db.spec
      this.names = [...(synchronousStandbys ?? []), ...(externalSynchronousStandbys ?? [])]
      this.generation = db.generation
    }
    const inSync = [...this.w.data.dbs.values()]
      .map(({ uid }) => uid)
      .filter((uid) => this.names.includes(uid) && this.streams(uid))
      .filter((uid) => (this.has.get(uid) ?? 0) === this.written)
    this.w.set("k1", { syncStandbys: inSync, stuckAt: this.generation })
  }
  /** Somebody commits; who streams receives, sooner or later. */
  commit(): void {
    this.written++
    for (const { uid } of this.w.data.dbs.values())
      if (this.streams(uid) && chance(this.random, 0.8)) this.has.set(uid, this.written)
    const all = this.names.every((name) => this.has.get(name as DBUID) === this.written)
    if (all) this.acknowledged = this.written
  }
  lacks = (uid: DBUID): boolean => (this.has.get(uid) ?? 0) < this.acknowledged

  private streams(uid: DBUID): boolean {
    const keeper = this.w.data.dbs.get(uid)?.spec.keeperUID ?? ""
    const machine = this.w.machine(keeper)
    return keeper !== "k1" && machine.alive && machine.postgres && machine.streaming
  }
}

test("a confirmed standby has every acknowledged commit, whatever fails and however the limits change", () => {
  let acknowledged = 0
  for (let seed = 0; seed < 25; seed++) {
    const random = generator(seed)
    const min = random.below(3)
    const w = world({
      synchronousReplication: true,
      minSynchronousStandbys: min,
      maxSynchronousStandbys: Math.max(1, min) + random.below(2),
      maxStandbysPerSender: 3,
    })
    w.keeper("k1", ...standbys).settled()
    const commits = new Commits(w, random)
    for (let round = 0; round < 60; round++) {
      const keeper = standbys[random.below(3)] ?? "k2"
      const { alive, streaming } = w.machine(keeper)
      if (chance(random, 0.15)) w.set(keeper, { alive: !alive })
      if (chance(random, 0.15)) w.set(keeper, { streaming: !streaming })
      if (chance(random, 0.05))
        w.spec({ maxSynchronousStandbys: Math.max(1, min) + random.below(3) })
      for (let i = random.below(3); i > 0; i--) commits.commit()
      commits.report()
      w.tick()
      const { spec, status } = w.db("k1")
      const confirmed = (status.synchronousStandbys ?? []).filter((uid) =>
        spec.synchronousStandbys?.includes(uid),
      )
      for (const uid of confirmed)
        expect([seed, round, commits.lacks(uid)]).toEqual([seed, round, false])
    }
    acknowledged += commits.acknowledged
  }
  expect(acknowledged).toBeGreaterThan(500)
}, 60_000)
