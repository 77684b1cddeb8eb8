/**
 * The scenarios of the reference's own unit tests (11.1), synchronous part. Where the outcome
 * differs from Go's, a comment names the rule that wants it so.
 */
import { describe, expect, test } from "bun:test"
import { fakeStandby } from "#model/ids.ts"
import type { Spec } from "#model/spec.ts"
import { type World, cluster, names, run, world } from "./world.ts"

const alone = { wanted: [], confirmed: [], external: [fakeStandby] }
const nobody = { wanted: [], confirmed: [], external: [] }
/** Both k2 and k3 are listed, and `confirmed` of them are confirmed. */
function merging(confirmed: "old" | "both", spec: Partial<Spec> = {}): World {
  const w = cluster(spec)
  const [k2, k3] = [w.uid("k2"), w.uid("k3")]
  w.set("k2", { postgres: false })
  w.until(() => names(w, "k1").wanted?.includes(k3) === true, 10)
  expect(names(w, "k1").wanted).toEqual([k2, k3].toSorted())
  if (confirmed === "old") w.set("k1", { syncStandbys: [] })
  return w
}

describe("synchronous replication was just asked for while the primary is down", () => {
  test("11.1/15 the asynchronous rule elects, and the new primary waits for the name that never answers", () => {
    const w = world().keeper("k1", "k2").proxy("p1").settled()
    w.set("k1", { postgres: false }).ticks(2)
    w.spec({ synchronousReplication: true }).until(() => w.primary() === "k2", 20)
    expect(w.db("k2").spec.synchronousReplication).toBe(true)
    expect(names(w, "k2")).toEqual(alone)
  })
  test("11.1/16 the asynchronous rule elects with a second standby there, too", () => {
    const w = world().keeper("k1", "k2", "k3").proxy("p1").settled()
    w.set("k1", { alive: false }).ticks(3)
    w.spec({ synchronousReplication: true })
    w.until(() => w.primary() === "k2", 20)
    expect(w.db("k2").spec.synchronousReplication).toBe(true)
    // D-03, D-38: Go lists nobody; here the new primary begins with who follows it, unconfirmed
    expect(names(w, "k2")).toEqual({ wanted: [w.uid("k3")], confirmed: [], external: [] })
  })
})

describe("an election", () => {
  test("11.1/17 goes to the standby that is listed and reported", () => {
    const w = cluster({}, "k1", "k2")
    w.set("k1", { alive: false }).until(() => w.primary() === "k2", 12)
    // T2, D-03: Go lists the dead old primary's DB, which nobody can confirm; here it is the name
    // that never answers until another standby is there
    expect(names(w, "k2")).toEqual(alone)
  })
  test("11.1/20 in the middle of an exchange goes to nobody while the confirmed one is unhealthy", () => {
    const w = merging("old").set("k1", { alive: false })
    w.ticks(15)
    expect([w.primary(), w.revoked(), w.gate()]).toEqual(["k1", false, "k1"])
  })
  test("11.1/24 after the exchange goes to the new one", () => {
    const w = merging("both")
    run(w, 3).set("k1", { alive: false })
    w.until(() => w.primary() === "k3", 12)
  })
})

describe("the list", () => {
  test("11.1/18 keeps an unhealthy standby while there is no other", () => {
    const w = cluster({}, "k1", "k2")
    const k2 = w.uid("k2")
    run(w.set("k2", { postgres: false }), 10)
    expect(names(w, "k1")).toEqual({ wanted: [k2], confirmed: [k2], external: [] })
  })
  test("11.1/19 holds the old and the new one while one is exchanged for the other", () => {
    const w = merging("old")
    expect(names(w, "k1").confirmed).toEqual([w.uid("k2")])
  })
  test("11.1/21 waits while the new one is not in sync", () => {
    const w = merging("old")
    const both = names(w, "k1").wanted
    w.ticks(15)
    expect(names(w, "k1")).toEqual({ wanted: both, confirmed: [w.uid("k2")], external: [] })
  })
  test("11.1/22 shrinks to the confirmed one when the new one fails, too", () => {
    const w = merging("old").set("k3", { postgres: false })
    const k2 = w.uid("k2")
    w.until(() => names(w, "k1").wanted?.length === 1, 10)
    expect(names(w, "k1")).toEqual({ wanted: [k2], confirmed: [k2], external: [] })
  })
  test("11.1/23 loses the old one when both are in sync", () => {
    const w = run(merging("both"), 3)
    const k3 = w.uid("k3")
    expect(names(w, "k1")).toEqual({ wanted: [k3], confirmed: [k3], external: [] })
  })
  test("11.1/25 is sorted, whoever came first", () => {
    const w = cluster(
      { maxSynchronousStandbys: 3, maxStandbysPerSender: 3 },
      "k1",
      "k2",
      "k3",
      "k4",
    )
    for (const list of [names(w, "k1").wanted, w.db("k1").spec.followers]) {
      expect(list?.length).toBe(3)
      expect(list).toEqual([...(list ?? [])].toSorted())
    }
  })
  for (const [scenario, min, expected] of [
    ["26", 1, alone],
    ["31", 0, nobody],
  ] as const)
    test(`11.1/${scenario} never holds a keeper that may not be synchronous, with a minimum of ${min}`, () => {
      const w = world({ synchronousReplication: true, minSynchronousStandbys: min })
      w.keeper("k1", "k2").set("k2", { canSync: false }).settled()
      expect(names(run(w, 5), "k1")).toEqual(expected)
    })
  test("11.1/28 holds nobody at all while there is no standby and none is demanded", () => {
    expect(names(cluster({ minSynchronousStandbys: 0 }, "k1"), "k1")).toEqual(nobody)
  })
  test("11.1/29 drops an unhealthy one when none is demanded", () => {
    const w = cluster({ minSynchronousStandbys: 0 }, "k1", "k2")
    run(w.set("k2", { postgres: false }), 10)
    expect(names(w, "k1")).toEqual(nobody)
  })
  test("11.1/30 exchanges an unhealthy one when none is demanded, never waiting for it", () => {
    const w = cluster({ minSynchronousStandbys: 0 })
    const k3 = w.uid("k3")
    run(w.set("k2", { postgres: false }), 10)
    expect(names(w, "k1")).toEqual({ wanted: [k3], confirmed: [k3], external: [] })
  })
})
