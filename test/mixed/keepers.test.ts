/**
 * Keepers of one maker under a leader of the other: what becomes of an old primary, of a lost data
 * directory, of a keeper that is failed, removed or exchanged.
 */
import { describe, expect, test, setDefaultTimeout } from "bun:test"
import type { DB } from "#model/cluster.ts"
import { keeperUID } from "#model/ids.ts"
import * as goCtl from "#test/peers/ctl.ts"
import { failKeeper, removeKeeper, update } from "#test/sim/operator.ts"
import { type Maker, type Mixed, mixed } from "./mixed.ts"

setDefaultTimeout(60_000) // a busy machine; each takes a second

const keepers = ["k1", "k2", "k3"]
const leaders: readonly (readonly [Maker, string, readonly string[]])[] = [
  ["go", "our keepers under a Go leader", ["s1", "p1"]],
  ["ours", "Go keepers under our leader", [...keepers, "p1"]],
]

const dbOf = (m: Mixed, keeper: string): DB => {
  const db = [...m.data().dbs.values()].find(({ spec }) => spec.keeperUID === keeper)
  if (db === undefined) throw new Error(`${keeper} has no DB`)
  return db
}
const held = (m: Mixed, keeper: string): boolean =>
  [...m.data().dbs.values()].some(({ spec }) => spec.keeperUID === keeper)

for (const [leader, what, go] of leaders)
  describe(what, () => {
    for (const usePgrewind of [false, true])
      test(`G8 an old primary gets a new DB to copy${usePgrewind ? ", or to rewind" : ""}, never its own as a standby`, () => {
        using m = mixed({ go, keepers: 3, spec: { usePgrewind } })
        m.rest()
        const old = m.primary()
        const before = dbOf(m, old)
        m.crash(old)
        m.until("another primary", () => m.primary() !== old)
        m.until("the old DB to go", () => !m.data().dbs.has(before.uid))
        m.start(old)
        m.until("a new DB for it", () => held(m, old))
        expect(dbOf(m, old).uid).not.toBe(before.uid)
        expect(dbOf(m, old).spec.initMode).toBe("resync")
        m.rest()
        expect(
          m.writes.every(({ data }) => data.dbs.get(before.uid)?.spec.role !== "standby"),
        ).toBe(true)
      })

    test("failkeeper by either ctl moves the role, and the failed one comes back", () => {
      using m = mixed({ go, keepers: 3 })
      m.rest()
      for (const by of ["go", "ours"] as const) {
        const old = m.primary()
        m.sim.troubles.begin(old, "failkeeper", m.sim.world.now())()
        if (by === "go") m.goCtl(goCtl.failKeeper(old))
        else m.operator.change("failkeeper", failKeeper(keeperUID(old)))
        m.until("another primary", () => m.primary() !== old, 30)
        m.rest()
        expect(m.standbys()).toContain(old)
      }
    })

    test("removekeeper by either ctl removes a stopped standby, and it comes back when it runs", () => {
      using m = mixed({ go, keepers: 3 })
      m.rest()
      for (const by of ["go", "ours"] as const) {
        const [gone = ""] = m.standbys()
        const uid = dbOf(m, gone).uid
        m.kill(gone)
        m.run(8) // until its last info is nobody's news any more
        if (by === "go") m.goCtl(goCtl.removeKeeper(gone))
        else m.operator.change("removekeeper", removeKeeper(keeperUID(gone)))
        m.until("it to be removed", () => !m.data().keepers.has(keeperUID(gone)))
        m.run(5)
        expect(m.data().keepers.has(keeperUID(gone))).toBe(false)
        m.start(gone)
        m.rest()
        expect(dbOf(m, gone).uid).not.toBe(uid)
      }
    })

    test("a changed specification reaches every keeper, by either ctl", () => {
      using m = mixed({ go, keepers: 3 })
      m.rest()
      for (const by of ["go", "ours"] as const) {
        const pgParameters = new Map([["work_mem", by === "go" ? "11MB" : "12MB"]])
        if (by === "go") m.goCtl(goCtl.update({ pgParameters }))
        else m.operator.change("update", update({ pgParameters }))
        m.rest()
        for (const host of m.sim.hosts.values())
          expect(host.instance?.settings.all.get("work_mem")).toBe(
            pgParameters.get("work_mem") ?? "",
          )
      }
    })

    test("G6 a keeper that was restarted runs nothing before the leader has copied its bootUUID", () => {
      using m = mixed({ go, keepers: 2 })
      m.rest()
      m.kill("s1")
      m.run(10)
      const [standby = ""] = m.standbys()
      m.exchange(standby, leader === "go" ? "ours" : "go") // its own kind again: a restart
      m.run(10)
      expect(m.sim.hosts.get(standby)?.instance).toBe(null)
      const boot = m.data().keepers.get(keeperUID(standby))?.status.bootUUID
      m.start("s1")
      m.rest()
      expect(m.data().keepers.get(keeperUID(standby))?.status.bootUUID).not.toBe(boot)
    })
  })

describe("a data directory that is lost", () => {
  test("our keeper copies it anew, and a Go leader that sees its generation fall does not panic", () => {
    using m = mixed({ go: ["s1", "p1"], keepers: 3 })
    m.rest()
    const [standby = ""] = m.standbys()
    const { disk } = hostOf(m, standby)
    m.crash(standby)
    disk.data = null // postgres/ alone: dbstate still says what was here
    m.start(standby)
    m.rest()
  })

  test("a Go keeper's makes our leader give it a new DB", () => {
    using m = mixed({ go: [...keepers, "p1"], keepers: 3 })
    m.rest()
    const [standby = ""] = m.standbys()
    m.crash(standby)
    Object.assign(hostOf(m, standby).disk, { data: null, db: null, keeper: null })
    m.start(standby)
    m.goCtl(goCtl.removeKeeper(standby)) // what stolon's manual says to do then
    m.rest()
  })
})

function hostOf(m: Mixed, name: string) {
  const host = m.sim.hosts.get(name)
  if (host === undefined) throw new Error(`there is no host ${name}`)
  return host
}
