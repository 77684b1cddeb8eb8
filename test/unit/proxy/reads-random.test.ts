/**
 * The proxy's loops with a listener for reads, under whatever a store, a clock and a leader may do
 * to them: reads and publishes that hang or fail, sleeps at every await, roles that change all the
 * time. Keepers' words are no help here: each says all the time that it is a standby.
 */
import { expect, test } from "bun:test"

import { generator } from "#base/random.ts"
import type { ClusterData } from "#model/cluster.ts"
import { dbUID } from "#model/ids.ts"
import type { Infos } from "#model/info.ts"
import { type Reading, StoreError, type Version } from "#port/store.ts"
import { permitted } from "#proxy/standbys.ts"

import { primary, self, timing } from "./builder.ts"
import { cluster, infosOf, well } from "./reads.ts"
import { world } from "./world.ts"

const timeout = 3_000
/** Timers sleep with the machine: the watcher looks at least this often. */
const watcherPause = 500
const timed = { spec: timing(1_000, timeout) } as const

const c = cluster({ pg2: {}, pg3: {} }, timed)
c.says.set("pg1", well("pg1", { uid: primary, inRecovery: true }))

interface Bend {
  readonly leased: boolean
  readonly open?: boolean
  readonly enabled?: boolean
}

/** Somebody is primary, the gate is open to it or closed, and the others are standbys. */
function viewOf(master: string, generation: number, how: Bend): ClusterData {
  const { leased, open = true, enabled = true } = how
  const spec = { ...timed.spec, ...(leased ? { selfFencing: true } : {}) }
  const gate = { master: open ? master : "", enabled, generation }
  const bend = { spec, ...gate, epoch: leased ? `e${generation}` : "" }
  const { data } = cluster({ pg2: {}, pg3: {} }, bend)
  const follow = { type: "internal", dbuid: dbUID(master) } as const
  const dbs = [...data.dbs.values()].map((db) =>
    db.uid === master
      ? { ...db, spec: { ...db.spec, role: "master" as const } }
      : { ...db, spec: { ...db.spec, role: "standby" as const, followConfig: follow } },
  )
  const status = { ...data.cluster.status, master: dbUID(master) }
  return {
    ...data,
    cluster: { ...data.cluster, status },
    dbs: new Map(dbs.map((db) => [db.uid, db])),
  }
}

const hostsOf = (data: ClusterData): readonly string[] =>
  permitted(data, self).map(({ host }) => host)

/** What reads were doing in a run, so that a run in which nothing happens is seen. */
async function run(seed: number): Promise<{ readonly led: number; readonly ended: number }> {
  const random = generator(seed)
  const below = (n: number): number => random.below(n)
  let generation = 3
  const leased = seed % 2 === 0
  let view = viewOf(primary, generation, { leased })
  let readBy: ClusterData = view
  let readAt = 0
  let publishes = 0
  let [led, ended] = [0, 0]
  const wrong: string[] = []
  const found = (data: ClusterData): Reading => ({ kind: "found", data, version: "1" as Version })
  const w = world({ first: found(view), reads: infosOf(c, "0") })
  const hung: (() => void)[] = []
  const hangs = (signal: AbortSignal | null): Promise<void> =>
    new Promise((resolve, reject) => {
      hung.push(resolve)
      signal?.addEventListener("abort", () => reject(new Error("given up")))
    })
  let [store, sleepy, infosHang] = ["well", false, false]
  const await_ = async (signal: AbortSignal | null): Promise<void> => {
    if (store === "hangs") await hangs(signal)
    if (store === "gone") throw new StoreError("unavailable", "gone")
    if (sleepy && below(3) === 0) w.jump(below(2 * timeout))
  }
  w.answers.read = async (signal) => {
    const at = w.now()
    const seen = view
    await await_(signal)
    ;[readBy, readAt] = [seen, at]
    return found(seen)
  }
  w.answers.publish = async (signal) => {
    // what is published now is believed as soon as the store has it, whatever becomes of the answer
    const may = hostsOf(readBy)
    wrong.push(...w.reading().filter((host) => !may.includes(host)))
    await await_(signal)
  }
  w.answers.infos = async (): Promise<Infos> => {
    const seen = infosOf(c, `${++publishes}`)
    if (infosHang) await hangs(null)
    return seen
  }
  await w.advance(1_500)
  for (let step = 0; step < 40; step++) {
    const before = w.reading().length
    const act = below(8)
    if (act === 0) store = ["well", "well", "hangs", "gone"][below(4)] ?? "well"
    else if (act === 1) sleepy = below(2) === 0
    else if (act === 2) infosHang = below(2) === 0
    else if (act === 3) for (const release of hung.splice(0)) release()
    else if (act === 4) w.jump(below(2 * timeout))
    else if (act < 7) {
      const master = [primary, "db2", "db3"][below(3)] ?? primary
      const [open, enabled] = [below(3) > 0, below(5) > 0]
      view = viewOf(master, ++generation, { leased, open, enabled })
      w.ring()
    }
    await w.advance(below(3) * 400 + watcherPause)
    expect([seed, step, wrong]).toEqual([seed, step, []])
    const old = w.now() - readAt
    if (old >= timeout + watcherPause) expect([seed, step, w.reading()]).toEqual([seed, step, []])
    if (w.reading().length > before) led++
    if (w.reading().length < before) ended++
  }
  store = "well"
  infosHang = sleepy = false
  view = viewOf(primary, ++generation, { leased })
  for (const release of hung.splice(0)) release()
  await w.advance(15_000)
  expect([seed, w.reading()]).toEqual([seed, ["10.0.0.12", "10.0.0.13"]])
  await w.end()
  expect([seed, w.reading()]).toEqual([seed, []])
  return { led, ended }
}

test("runProxy() never says a generation while reads are where its view permits none, nor reads by a view that ran out", async () => {
  let [led, ended] = [0, 0]
  for (let seed = 1; seed <= 150; seed++) {
    const seen = await run(seed)
    led += seen.led
    ended += seen.ended
  }
  expect([led > 150, ended > 150]).toEqual([true, true])
})
