/** What speaks against a primary before it has been silent for failInterval (protocol D2, L4). */
import { describe, expect, test } from "bun:test"
import type { Spec } from "#model/spec.ts"
import { type World, certify, fenced, world } from "./world.ts"

const watched = (spec: Partial<Spec> = {}): World => {
  const w = world({ failureDetection: "evidence", ...spec }).keeper("k1", "k2", "k3")
  return w.sentinel("s1", "s2", "s3").proxy("p1").settled()
}
/** Its machine's processes are gone: no word, doors closed, no stream. */
function gone(w: World, ...sentinels: string[]): World {
  w.set("k1", { mute: true }).tick(10)
  for (const k of ["k2", "k3"]) w.set(k, { streaming: false })
  return refuse(w, ...sentinels)
}
function refuse(w: World, ...sentinels: string[]): World {
  const door = { keeper: "k1" as never, infoUID: w.wordOf("k1") }
  for (const s of sentinels)
    w.sentinels.get(s)!.says = { evidence: [{ ...door, peer: "refused", postgres: "refused" }] }
  return w
}

describe("evidence deposes at once", () => {
  test("refused at both doors by more than half of the live sentinels, and no standby streams", () => {
    const w = gone(watched(), "s1", "s2")
    w.tick(10)
    expect(w.revoked()).toBe(true)
  })
  test("by the only sentinel that there is", () => {
    const w = world({ failureDetection: "evidence" }).keeper("k1", "k2", "k3").sentinel("s1")
    gone(w.settled(), "s1").tick(10)
    expect(w.revoked()).toBe(true)
  })
  test("when its keeper says that it is stopping", () => {
    const w = watched().set("k1", { says: { evidence: "stopping" } })
    w.tick(10)
    expect([w.revoked(), w.state.detach]).toEqual([true, false])
  })
  test("when it has certified its end in this epoch", () => {
    const w = watched()
    w.set("k1", { postgres: false, certificate: certify(w, "k1") }).tick(10)
    expect(w.revoked()).toBe(true)
    w.ticks(3, 10)
    expect(w.primary()).not.toBe("k1")
  })
  test("and standbys let go at once when nobody is there to stop it in good order", () => {
    const w = watched({ synchronousReplication: true, maxSynchronousStandbys: 2 })
    w.set("k1", { syncStandbys: [w.uid("k2"), w.uid("k3")] }).ticks(5)
    gone(w, "s1", "s2").tick(10)
    expect([w.revoked(), w.state.detach]).toEqual([true, true])
  })
})

describe("it is not enough", () => {
  const cases: readonly (readonly [string, (w: World) => void])[] = [
    ["with half of the sentinels", (w) => gone(w.sentinel("s4"), "s1", "s2")],
    [
      "with one door",
      (w) =>
        gone(w, "s1", "s2")
          .sentinels.get("s2")!
          .says.evidence?.map(() => 0),
    ],
    ["while a standby streams", (w) => gone(w, "s1", "s2", "s3").set("k3", { streaming: true })],
    ["beside a Go standby", (w) => gone(w, "s1", "s2", "s3").set("k3", { obeys: false })],
    [
      "when the keeper has spoken since",
      (w) => gone(w, "s1", "s2", "s3").set("k1", { mute: false }),
    ],
    ["of another run", (w) => gone(w, "s1", "s2", "s3").set("k1", { mute: false, boot: "again" })],
    ["in silence mode", (w) => gone(w.spec({ failureDetection: "silence" }), "s1", "s2", "s3")],
    ["when nobody asked for it", (w) => gone(w.spec({ failureDetection: "" }), "s1", "s2", "s3")],
  ]
  for (const [name, make] of cases)
    test(name, () => {
      const w = watched()
      make(w)
      if (name === "with one door") w.sentinels.get("s2")!.says = {}
      w.ticks(4, 10)
      expect(w.revoked()).toBe(false)
    })
  test("from sentinels that are silent themselves", () => {
    const w = watched()
    gone(w, "s1", "s2").tick(10, false)
    for (const s of ["s1", "s2"]) w.sentinels.get(s)!.mute = true
    w.memory = { ...w.memory, sentinels: new Map() }
    const sentinel = w.sentinels.get("s3")!
    sentinel.mute = false
    // the two fell silent before the keeper did: what they say is old by now
    w.set("k1", { mute: false })
    w.ticks(3, 1_000)
    expect(w.revoked()).toBe(false)
  })
  test("to fence: without a word of it the lease runs to its end (L4)", () => {
    const w = watched().set("k1", { says: fenced(2_500) })
    const last = w.ticks(3, 100) && w.mono
    gone(w, "s1", "s2", "s3").until(() => w.primary() !== "k1", 100, 50)
    expect(w.mono - last).toBeGreaterThanOrEqual(2_600)
    expect(w.mono - last).toBeLessThanOrEqual(3_000)
  })
  test("to end the next epoch of who was reinstated after it", () => {
    const w = watched().set("k1", { says: { evidence: "stopping" } })
    w.tick(10)
    for (const k of ["k2", "k3"]) w.set(k, { postgres: false })
    w.set("k1", { mute: false, postgres: false, certificate: certify(w, "k1") }).tick(10)
    w.set("k1", { mute: true }).ticks(5, 100)
    expect([w.primary(), w.revoked()]).toEqual(["k1", false])
    for (const k of ["k2", "k3"]) w.set(k, { postgres: true })
    w.ticks(5, 100)
    expect(w.revoked()).toBe(false)
    w.until(() => w.primary() !== "k1", 100, 100) // silence ends it all the same
  })
  test("in a paused cluster, which says so", () => {
    const w = watched().status({
      paused: { since: "2026-01-01T00:00:00Z" as never, by: "", reason: "" },
    })
    gone(w, "s1", "s2", "s3").ticks(3, 10)
    expect(w.revoked()).toBe(false)
    expect(w.events.map((e) => e.code)).toContain("failover.paused")
  })
})

describe("a primary that has certified its end while nobody may follow", () => {
  const ended = (w: World): World => {
    w.set("k1", { postgres: false, certificate: certify(w, "k1") }).tick(50)
    return w
  }
  for (const [name, make] of [
    ["no standby is well", (w: World) => w.set("k2", { alive: false }).set("k3", { alive: false })],
    [
      "the cluster is paused",
      (w: World) =>
        w.status({ paused: { since: "2026-01-01T00:00:00Z" as never, by: "", reason: "" } }),
    ],
  ] as const)
    test(`gets another epoch to run in: ${name} (W7)`, () => {
      const w = make(watched())
      w.ticks(6)
      const { primaryEpoch } = w.state
      ended(w)
      expect(w.state.primaryEpoch).not.toBe(primaryEpoch)
      expect([w.primary(), w.revoked()]).toEqual(["k1", false])
      const { primaryEpoch: second } = w.state
      w.ticks(3, 50)
      expect(w.state.primaryEpoch).toBe(second)
    })
})

test("D-27 a new leader knows: what others found out before it was elected counts at its first round", () => {
  const w = watched()
  gone(w, "s2", "s3").tick(10, false) // the leader died with the primary, and wrote nothing
  w.sentinels.get("s1")!.mute = true
  w.tick(10)
  expect(w.revoked()).toBe(true)
})
