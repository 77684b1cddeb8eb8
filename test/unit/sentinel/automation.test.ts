/** What automation relies on of the leader (reference 9), as far as it is a rule and no timing. */
import { expect, test } from "bun:test"
import { World } from "./world.ts"

const cluster = (...keepers: readonly string[]): World =>
  new World()
    .keeper(...keepers)
    .proxy("p1")
    .settled()

test("T12 a dead standby's higher position excludes nobody who is there", () => {
  const w = cluster("k1", "k2", "k3")
  w.set("k1", { position: 5_000n }).set("k2", { position: 4_900n }).set("k3", { position: 5_000n })
  w.tick()
  w.set("k3", { alive: false }).ticks(6)
  w.set("k1", { alive: false }).until(() => w.gate() !== "" && w.gate() !== "k1")
  expect(w.primary()).toBe("k2")
})

test("T7 forceFail is honoured by the very next check, and is gone after it", () => {
  const w = cluster("k1", "k2")
  w.forceFail("k1").tick()
  expect([w.primary(), w.gate(), w.revoked()]).toEqual(["k1", "", true])
  expect(w.data.keepers.get("k1" as never)?.status.forceFail).toBe(false)
})

test("T11 a primary's keeper that is back within failInterval under another boot stays primary", () => {
  const w = cluster("k1", "k2")
  const uid = w.uid("k1")
  w.set("k1", { alive: false }).ticks(2)
  w.set("k1", { alive: true, boot: "another" }).ticks(5)
  expect([w.primary(), w.uid("k1"), w.gate()]).toEqual(["k1", uid, "k1"])
})

test("T2 an old primary that is dead is nobody's follower", () => {
  const w = cluster("k1", "k2", "k3")
  const old = w.uid("k1")
  w.set("k1", { alive: false }).until(() => w.gate() !== "" && w.gate() !== "k1")
  w.set(w.primary(), { timeline: 2 }).ticks(10)
  for (const db of w.data.dbs.values()) expect(db.spec.followers ?? []).not.toContain(old)
})
