/**
 * Random mixes under random trouble: makers are drawn, then components are exchanged for the other
 * kind, leaders change hands, primaries crash, operators of both kinds command. Afterwards the
 * cluster must heal, nobody may have crashed, and under our leader no promise may have been broken.
 * MIXED_SEED repeats one.
 */
import { expect, test, setDefaultTimeout } from "bun:test"
import { duration } from "#base/duration.ts"
import { type Random, generator } from "#base/random.ts"
import { keeperUID } from "#model/ids.ts"
import * as goCtl from "#test/peers/ctl.ts"
import { failKeeper, update } from "#test/sim/operator.ts"
import { type Maker, type Mixed, mixed } from "./mixed.ts"

setDefaultTimeout(60_000) // a busy machine; each takes a second

const names = ["k1", "k2", "k3", "s1", "s2", "p1"]
const sentinels = ["s1", "s2"]
const pick = <T>(random: Random, items: readonly T[]): T => {
  const item = items[random.below(items.length)]
  if (item === undefined) throw new Error("nothing to pick from")
  return item
}
const maker = (random: Random): Maker => (random.next() < 0.5 ? "go" : "ours")

const keepers = ["k1", "k2", "k3"]
type Deed = (m: Mixed, random: Random) => void
const deeds: readonly Deed[] = [
  (m, random) => m.exchange(pick(random, names), maker(random)),
  (m, random) => m.exchange(pick(random, sentinels), maker(random)),
  (m, random) => m.seize(pick(random, sentinels), maker(random)),
  (m) => m.crash(m.primary()),
  (m, random) => m.crash(pick(random, keepers)),
  (m, random) => m.kill(pick(random, names)),
  (m, random) => {
    const name = pick(random, [...keepers, "s1", "p1"])
    m.sim.troubles.begin(name, "cut off from the store", m.sim.world.now())
    m.sim.world.cut(name, "store")
    if (random.next() < 0.5) m.sim.world.cut("store", name)
  },
  (m) => m.goCtl(goCtl.failKeeper(m.primary())),
  (m) => {
    const uid = keeperUID(m.primary())
    m.sim.troubles.begin(uid, "failkeeper", m.sim.world.now())()
    m.operator.change(`failkeeper ${uid}`, failKeeper(uid))
  },
  (m, random) => {
    const pgParameters = new Map([["work_mem", `${4 + random.below(60)}MB`]])
    m.goCtl(goCtl.update({ pgParameters }))
  },
  (m, random) => {
    const pgParameters = new Map([["work_mem", `${4 + random.below(60)}MB`]])
    m.operator.change("update", update({ pgParameters }))
  },
]

function story(seed: number): void {
  const random = generator(seed)
  const clean = random.next() < 0.3 // then commits are safe whoever leads
  const go = names.filter((name) => maker(random) === "go" && !(clean && keepers.includes(name)))
  const synchronousReplication = random.next() < 0.5
  const usePgrewind = random.next() < 0.5
  using m = mixed({
    go,
    seed,
    keepers: 3,
    sentinels: 2,
    spec: { synchronousReplication, usePgrewind, failInterval: duration(4_000) },
  })
  m.rest()
  for (let i = 0; i < 5; i++) {
    pick(random, deeds)(m, random)
    m.run(random.next() * 12)
    if (random.next() < 0.6) for (const name of names) m.start(name)
    if (random.next() < 0.6) m.sim.world.mendAll()
  }
  m.sim.world.mendAll()
  for (const name of names) m.start(name)
  m.rest(600)
  expect(m.writers.acknowledged()).toBeGreaterThan(0)
}

const given = process.env["MIXED_SEED"]
const seeds =
  given === undefined
    ? Array.from({ length: Number(process.env["MIXED_SEEDS"] ?? 25) }, (_, i) => i + 1)
    : [Number(given)]
for (const seed of seeds)
  test(`a random mix heals and keeps its promises (seed ${seed})`, () => story(seed))
