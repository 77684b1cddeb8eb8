/**
 * Defects of the reference that show as soon as two components play together. Each story is told
 * twice: to Go's components, which must still have the defect (or the story would prove nothing),
 * and to ours, or to our leader over Go's keepers, where it must be gone.
 */
import { expect, test, setDefaultTimeout } from "bun:test"
import { keeperUID } from "#model/ids.ts"
import { checkSyncInForce } from "#test/sim/checkers/sync-in-force.ts"
import { failKeeper } from "#test/sim/operator.ts"
import { holds } from "#test/sim/wal.ts"
import { type Mixed, type Setting, type Write, mixed } from "./mixed.ts"

setDefaultTimeout(60_000) // a busy machine; each takes a second

const all = ["k1", "k2", "k3", "s1", "p1"]
const ours: readonly string[] = []
/** Everything but the leader is Go's. */
const led = ["k1", "k2", "k3", "p1"]

const begun = (go: readonly string[], spec: Setting["spec"] = {}): Mixed => {
  const m = mixed({ go, keepers: 3, spec })
  m.rest()
  return m
}

/** Rows that a client was told to be there and that the primary does not have. */
function lost(m: Mixed): number {
  const wal = m.sim.hosts.get(m.primary())?.disk.data?.wal
  if (wal === undefined) throw new Error("the primary has no data")
  return m.sim.ledger.acks.filter(({ record }) => !holds(wal, record)).length
}

test("D-01 the most advanced standby is elected, where Go takes the last one", () => {
  const elected = (go: readonly string[]): readonly [boolean, number] => {
    using m = begun(go)
    const old = m.primary()
    const [behind = ""] = m.standbys()
    m.sim.world.cut(old, behind)
    m.sim.world.cut(behind, old)
    m.run(4)
    m.crash(old)
    m.sim.world.mendAll()
    m.until("another primary", () => m.primary() !== old)
    const isBehind = m.primary() === behind
    m.start(old)
    m.rest()
    return [isBehind, lost(m)]
  }
  const [behind, rows] = elected(all)
  expect(behind).toBe(true)
  expect(rows).toBeGreaterThan(3)
  expect(elected(ours)[0]).toBe(false)
  expect(elected(led)[0]).toBe(false)
})

test("D-04 the gate opens to a primary that is one, where Go opens it to whoever was elected", () => {
  const early = (go: readonly string[]): boolean => {
    using m = begun(go)
    const old = m.primary()
    m.crash(old)
    m.until("another primary", () => m.primary() !== old)
    m.until("an open gate", m.gateOpen)
    const { data } = m.writes.at(-1) ?? { data: m.data() }
    const db = data.dbs.get(data.proxy.spec.masterDbUid)
    return db?.status.currentGeneration !== db?.generation
  }
  expect(early(all)).toBe(true)
  expect(early(ours)).toBe(false)
  expect(early(led)).toBe(false)
})

test("D-78 a primary that lives loses no acknowledged write when it is failed, where Go's does", () => {
  const afterFailing = (go: readonly string[]): number => {
    using m = mixed({ go, keepers: 3, pause: 20 })
    m.rest()
    const old = m.primary()
    m.operator.change("failkeeper", failKeeper(keeperUID(old)))
    m.until("another primary", () => m.primary() !== old)
    m.rest()
    return lost(m)
  }
  expect(afterFailing(all)).toBeGreaterThan(0)
  expect(afterFailing(ours)).toBe(0)
  expect(afterFailing(led)).toBe(0)
})

test("D-03 what a new primary acknowledges is on a standby, where Go's has not loaded its names yet", () => {
  const alone = (go: readonly string[], seeds: readonly number[] = [1, 2]): number => {
    let count = 0
    const spec = { synchronousReplication: true }
    for (const seed of seeds) {
      using m = mixed({ go, seed, keepers: 3, pause: 20, spec })
      checkSyncInForce({ ...m.sim, fail: () => void count++ })
      m.rest()
      const old = m.primary()
      m.crash(old)
      m.until("another primary", () => m.primary() !== old)
      m.start(old)
      m.rest()
    }
    return count
  }
  expect(alone(all)).toBeGreaterThan(0)
  expect(alone(ours)).toBe(0)
  expect(alone(["s1", "p1"])).toBe(0) // nor do our keepers under a Go leader
  // our leader does not take a Go keeper's first word for it
  expect(alone(["k1", "k2", "k3"], [1, 2, 3, 4, 5, 6])).toBe(0)
})

test("D-24 no more standbys are begun than are wanted, where Go copies them all", () => {
  const most = (go: readonly string[]): number => {
    using m = mixed({ go, keepers: 3, spec: { maxStandbysPerSender: 1 } })
    m.until("a gate", m.gateOpen)
    m.run(60)
    return Math.max(...m.writes.map(({ data }: Write) => data.dbs.size - 1))
  }
  expect(most(all)).toBe(2)
  expect(most(ours)).toBe(1)
  expect(most(led)).toBe(1)
})

test("D-08 a keeper has a whole copy at every moment of a resync, where Go has deleted it first", () => {
  const without = (go: readonly string[]): boolean => {
    using m = begun(go, { usePgrewind: false })
    const old = m.primary()
    m.crash(old)
    m.until("another primary", () => m.primary() !== old)
    m.until("an open gate", m.gateOpen)
    m.start(old)
    let bare = false
    const { disk } = m.sim.hosts.get(old) ?? {}
    if (disk === undefined) throw new Error(`there is no host ${old}`)
    m.until("the old primary to follow", () => {
      bare ||= disk.data === null && disk.asides.length === 0
      return m.standbys().includes(old) && disk.data?.signal === "standby"
    })
    return bare
  }
  expect(without(all)).toBe(true)
  expect(without(ours)).toBe(false)
})

test("D-33 without proxies the gate's generation rests, where Go counts it up for ever", () => {
  const growth = (go: readonly string[]): number => {
    using m = mixed({ go, keepers: 2, proxies: 0 })
    m.until("a gate", m.gateOpen)
    m.run(10)
    const { generation } = m.data().proxy
    m.run(20)
    return m.data().proxy.generation - generation
  }
  expect(growth(["s1"])).toBeGreaterThan(10)
  expect(growth(ours)).toBe(0)
  expect(growth(["k1", "k2"])).toBe(0)
})
