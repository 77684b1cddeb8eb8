/**
 * Leadership that changes between a Go sentinel and one of ours, again and again. Each Go leader
 * drops every word of ours (L6, G2); nothing may hang on them: no spec may move, so no generation
 * (G5, G14), no DB and no route changes, and clients notice nothing.
 */
import { describe, expect, test, setDefaultTimeout } from "bun:test"
import { decodeClusterData, encodeClusterData } from "#model/cluster.ts"
import { generator } from "#base/random.ts"
import { keeperUID } from "#model/ids.ts"
import { throughGo, writeGo } from "#test/peers/documents.ts"
import { check, newGoMemory } from "#test/peers/leader.ts"
import * as goCtl from "#test/peers/ctl.ts"
import { failKeeper, failover, removeKeeper, update } from "#test/sim/operator.ts"
import { type Mixed, mixed } from "./mixed.ts"

setDefaultTimeout(60_000) // a busy machine; each takes a second

/** What every component obeys, without times and positions. */
const orders = (m: Mixed): unknown => {
  const { cluster, dbs, proxy } = m.go()
  return {
    spec: cluster.spec,
    status: cluster.status,
    dbs: [...dbs.values()].map(({ uid, generation, spec }) => ({ uid, generation, spec })),
    sync: [...dbs.values()].map(({ status }) => status.synchronousStandbys),
    proxy: { generation: proxy.generation, spec: proxy.spec },
  }
}
const ledByGo = (m: Mixed): boolean => m.writes.at(-1)?.by === "go"
const isNamed = (m: Mixed): boolean => m.data().cluster.status.primaryEpoch !== ""

describe("leadership that changes hands", () => {
  const mixes: readonly (readonly [string, readonly string[]])[] = [
    ["over our keepers", []],
    ["over Go keepers and proxies", ["k1", "k2", "k3", "p1"]],
    ["over one of each", ["k1", "p1"]],
  ]
  for (const [what, keepers] of mixes)
    for (const synchronousReplication of [false, true])
      test(`${what} moves nothing${synchronousReplication ? ", synchronously" : ""}`, () => {
        const spec = { synchronousReplication, maxSynchronousStandbys: 2 }
        using m = mixed({ go: [...keepers, "s2"], keepers: 3, sentinels: 2, spec })
        m.rest()
        m.run(20) // until nothing is left to do
        const before = orders(m)
        for (let turn = 0; turn < 3; turn++) {
          m.kill("s1")
          m.until("Go to lead", () => ledByGo(m), 60)
          m.run(15)
          expect(isNamed(m)).toBe(false)
          expect(orders(m)).toEqual(before)
          m.start("s1")
          m.run(2)
          m.kill("s2")
          m.until("ours to lead", () => isNamed(m), 60)
          m.run(15)
          expect(orders(m)).toEqual(before)
          m.start("s2")
          m.run(2)
        }
        const last = m.writers.acknowledged()
        m.run(5)
        expect(m.writers.acknowledged()).toBeGreaterThan(last)
      })

  test("keeps an operator's request until ours leads, or drops it, and nobody waits for it for ever", () => {
    using m = mixed({ go: ["s2"], keepers: 3, sentinels: 2 })
    m.kill("s2")
    m.until("a gate", m.gateOpen, 60)
    m.rest()
    m.start("s2")
    m.run(2)
    m.kill("s1")
    m.operator.change("failover", failover(m.sim, keeperUID("")))
    m.until("Go to lead", () => ledByGo(m), 60)
    m.run(5)
    expect(m.data().cluster.status.failoverRequest).toBe(undefined)
    m.start("s1")
    m.kill("s2")
    m.until("ours to lead", () => isNamed(m), 60)
    m.rest()
  })
})

describe("our ctl on a Go cluster", () => {
  const go = ["k1", "k2", "k3", "s1", "p1"]
  test("G14 changes no DB and no generation, only what was asked for", () => {
    using m = mixed({ go, keepers: 3 })
    m.rest()
    m.run(10)
    m.kill("s1")
    m.run(30)
    const before = m.go()
    const [standby = ""] = m.standbys()
    const after = (): ReturnType<typeof m.go> => {
      m.run(2)
      return m.go()
    }
    m.operator.change("update", update({ pgParameters: new Map([["work_mem", "9MB"]]) }))
    const updated = after()
    expect(updated.cluster.spec.pgParameters).toEqual(new Map([["work_mem", "9MB"]]))
    expect(updated.dbs).toEqual(before.dbs)
    expect({ ...updated, cluster: null }).toEqual({ ...before, cluster: null })
    m.operator.change("failkeeper", failKeeper(keeperUID(standby)))
    const failed = after()
    expect(failed.dbs).toEqual(before.dbs)
    expect(failed.keepers.get(standby)?.status.forceFail).toBe(true)
    m.operator.change("removekeeper", removeKeeper(keeperUID(standby)))
    const removed = after()
    expect([...removed.dbs.values()]).toEqual(
      [...before.dbs.values()].filter(({ spec }) => spec.keeperUID !== standby),
    )
    m.start("s1")
    m.rest()
  })

  test("refuses a failover that a Go leader would not understand, and names what it would", () => {
    using m = mixed({ go, keepers: 3 })
    m.rest()
    m.operator.change("failover", failover(m.sim, keeperUID("")))
    m.run(5)
    const told = m.sim.world.trace.lines.findLast(
      ({ who, what }) => who === "ctl" && what === "refused",
    )
    expect(String(told?.fields["message"])).toContain("failkeeper")
    expect(m.data().cluster.status.failoverRequest).toBe(undefined)
  })
})

describe("a Go ctl on our cluster", () => {
  test("L6 drops our words in the middle of a revocation, and the revocation is made again", () => {
    using m = mixed({ go: [], keepers: 3, spec: { synchronousReplication: true } })
    m.rest()
    const old = m.primary()
    m.crash(old)
    m.until("the primary to be revoked", () => m.data().cluster.status.primaryRevoked)
    m.goCtl(goCtl.update({ pgParameters: new Map([["work_mem", "7MB"]]) }))
    m.until("another primary", () => m.primary() !== old, 60)
    m.start(old)
    m.rest()
    expect(m.data().cluster.spec.pgParameters).toEqual(new Map([["work_mem", "7MB"]]))
  })

  test("reads what ours wrote at every moment of a life, and leaves us what we understand", () => {
    using m = mixed({ go: [], keepers: 3 })
    m.rest()
    m.crash(m.primary())
    m.run(20)
    expect(m.writes.length).toBeGreaterThan(20)
    for (const { data } of m.writes) {
      const text = throughGo(encodeClusterData(data))
      const again = decodeClusterData(text)
      expect(again === null ? "" : encodeClusterData(again)).toBe(text)
    }
  })
})

test("G14 a Go leader panics when a generation is moved behind its back, which is why nobody of ours does", () => {
  using m = mixed({ go: ["s1"], keepers: 2 })
  m.rest()
  m.run(10)
  const data = m.go()
  for (const db of data.dbs.values()) if (db.spec.role === "standby") db.generation++
  const memory = newGoMemory()
  memory.firstRun = false
  const now = { mono: 1_000, wall: data.changeTime }
  const infos = { keepers: new Map(), proxies: new Map() }
  expect(() => check(writeGo(data), infos, memory, now, generator(1))).toThrow(
    "no db convergence info",
  )
})
