/**
 * Corners of the leader's rules, each a sequence that once went wrong: a leader that came in the
 * middle, a store that stood still, a standby that does not stream, a primary with another system.
 */
import { describe, expect, test } from "bun:test"
import { lsn } from "#base/lsn.ts"
import type { EventCode } from "#model/events.ts"
import type { DBUID, KeeperUID, Nonce } from "#model/ids.ts"
import type { Spec } from "#model/spec.ts"
import { emptyMemory, interrupt } from "#sentinel/memory.ts"
import { type World, certify, run, world } from "./world.ts"

const three = (): World => world().keeper("k1", "k2", "k3").proxy("p1").settled()
/** An info that lay in the store when the leader came; then a word of its own. */
const mute = (w: World, ...uids: string[]): void =>
  uids.forEach((uid) => w.set(uid, { mute: true }))

describe("a leader that came, or read nothing for a moment, between W1 and W2", () => {
  for (const [name, forget] of [
    ["restarted sentinel", () => emptyMemory],
    ["one failed read", interrupt],
  ] as const)
    test(`waits for the standby that is alive and further (${name})`, () => {
      const w = three().set("k1", { position: 1000n }).set("k2", { position: 900n })
      w.set("k3", { position: 1000n }).forceFail("k1")
      w.until(() => w.revoked(), 2)
      mute(w, "k2", "k3")
      w.set("k1", { postgres: false, certificate: certify(w, "k1") }).tick(20)
      mute(w, "k1") // its machine is lost now, or merely the next to publish
      w.memory = forget(w.memory)
      w.tick(20)
      w.set("k2", { mute: false }) // it happens to publish 20 ms before k3
      w.tick(20)
      w.set("k3", { mute: false })
      w.ticks(3, 20)
      expect(w.primary()).toBe("k3")
    })
  test("does not reinstate while no standby had time to publish", () => {
    const w = three()
    w.forceFail("k1")
    w.until(() => w.revoked(), 2)
    mute(w, "k2", "k3")
    w.set("k1", { postgres: false, certificate: certify(w, "k1") }).tick(20)
    w.memory = interrupt(w.memory)
    w.ticks(2, 20)
    w.set("k2", { mute: false }).set("k3", { mute: false })
    w.ticks(4, 20)
    expect(w.events.map((e) => e.code)).not.toContain("primary.reinstated")
  })
})

test("a reinstated primary gets the time to start", () => {
  const w = world().keeper("k1", "k2").proxy("p1").settled()
  w.set("k1", { position: 1000n }).set("k2", { position: 900n }) // k2 lags a little and does not stream
  w.tick()
  w.status({ failoverRequest: { nonce: "n" as Nonce, keeper: "" as KeeperUID } })
  w.until(() => w.revoked(), 2)
  w.set("k1", { postgres: false }).ticks(20, 250) // its disk is slow, so the certificate is late
  w.set("k1", { certificate: certify(w, "k1") })
  // PostgreSQL of a primary that is not revoked is up after 500 ms; a revoked one is stopped, and
  // says so
  let since = 0
  for (let i = 0; i < 600; i++) {
    w.tick(100)
    since = w.revoked() ? 0 : since + 100
    if (w.revoked()) w.set("k1", { postgres: false, certificate: certify(w, "k1") })
    else if (since >= 500) w.set("k1", { postgres: true })
  }
  const reinstated = w.events.filter((e) => e.code === "primary.reinstated").length
  expect({ reinstated, gate: w.gate() }).toEqual({ reinstated: 1, gate: "k1" })
})

describe("a primary that was put back", () => {
  /** It has what k2 lacks, and certifies so when it is revoked. It never comes up again. */
  const dead = (spec: Partial<Spec>): World => {
    const w = run(world(spec).keeper("k1", "k2").proxy("p1").settled(), 5)
    w.set("k1", { position: 1000n, postgres: false }).set("k2", { position: 900n })
    return w
  }
  const ticks = (w: World, n: number): void => {
    for (let i = 0; i < n; i++) {
      if (w.primary() === "k1" && w.revoked()) w.set("k1", { certificate: certify(w, "k1") })
      w.tick(100)
    }
  }
  const count = (w: World, code: EventCode): number =>
    w.events.filter((e) => e.code === code).length
  for (const synchronousReplication of [false, true])
    test(`and does not get up has no place that is kept for ever, synchronous: ${synchronousReplication} (W7, P5)`, () => {
      const w = dead({ synchronousReplication })
      ticks(w, 200)
      expect([count(w, "primary.reinstated"), w.primary()]).toEqual([1, "k2"])
    })
  test("gets twice the time with each epoch in which it did not serve", () => {
    const w = dead({})
    ticks(w, 40)
    expect(count(w, "primary.reinstated")).toBe(1)
    const from = w.mono
    w.until(() => w.revoked(), 100, 100)
    expect(w.mono - from).toBeGreaterThan(4_000)
  })
  test("and serves again is as good as any: the next time it has no more than failInterval", () => {
    const w = dead({})
    ticks(w, 40)
    w.set("k1", { postgres: true }).until(() => w.gate() === "k1")
    w.ticks(3).forEach((code) => expect(code).not.toBe("primary.deposed"))
    w.set("k1", { postgres: false })
    const from = w.mono
    w.until(() => w.revoked(), 100, 100)
    expect(w.mono - from).toBeLessThan(3_500)
  })
  test("is not deposed by what its keeper said before it had read of the new epoch", () => {
    const w = world({ failureDetection: "evidence" })
      .keeper("k1", "k2")
      .set("k1", { able: ["evidence"] })
      .settled()
    const late = certify(w, "k1")
    w.status({ primaryEpoch: "e-next" as never }).tick(100)
    // published after the leader has seen the new epoch, gathered before
    w.set("k1", { certificate: late, says: { evidence: "failed" } }).ticks(5, 100)
    expect([w.primary(), w.revoked()]).toEqual(["k1", false])
  })
})

test("a store that stood still for less than the gap, but more than failInterval, is nobody's death (W6)", () => {
  const w = three()
  mute(w, "k1", "k3")
  w.tick(3900) // one read of 3.9 s; k2's publish came through first
  expect(w.revoked()).toBe(false)
})

test("a standby that followed the new primary onto its timeline may succeed it", () => {
  const w = three().set("k1", { alive: false }).set("k3", { position: 999n })
  w.until(() => w.primary() === "k2")
  // k2 promotes, k3 streams from it; k2's keeper is killed before it says so, and the machine dies
  w.set("k2", { alive: false }).set("k3", {
    timeline: 2,
    position: 1100n,
    history: [{ timelineID: 1, switchPoint: lsn(1000n), reason: "" }],
  })
  w.ticks(30)
  const why = w.events.findLast((e) => e.code === "primary.stuck")?.fields["why"]
  expect([w.primary(), why]).toEqual(["k3", undefined])
})

test("a synchronous primary does not wait for ever for a standby that never streams", () => {
  const w = world({ synchronousReplication: true, maxStandbysPerSender: 3 })
    .keeper("k1", "k2", "k3", "k4")
    .settled()
  // the network between the primary's PostgreSQL and the first chosen standby's is cut; every
  // keeper reaches the store
  let cut = ""
  const report = (): void => {
    const wanted = w.db("k1").spec.synchronousStandbys ?? []
    w.set("k1", { syncStandbys: wanted.filter((uid) => uid !== cut) })
  }
  for (let i = 0; i < 5; i++) {
    report()
    w.tick()
  }
  const [first] = w.db("k1").status.synchronousStandbys ?? []
  cut = first ?? ""
  expect(cut).not.toBe("")
  const keeper = w.data.dbs.get(cut as DBUID)?.spec.keeperUID ?? ""
  w.set(keeper, { streaming: false })
  for (const k of ["k2", "k3", "k4"]) if (w.uid(k) === cut) w.set(k, { streaming: false })
  for (let i = 0; i < 300; i++) {
    report()
    w.tick()
  }
  const now = w.db("k1").spec.synchronousStandbys ?? []
  expect(now.filter((uid) => uid !== cut)).not.toEqual([])
})

test("a standby that may never be elected is not chosen while another can be", () => {
  const w = world({ synchronousReplication: true })
    .keeper("k1", "k2", "k3")
    .set("k2", { canBeMaster: false })
  w.settled()
  for (let i = 0; i < 5; i++) {
    w.set("k1", { syncStandbys: [...(w.db("k1").spec.synchronousStandbys ?? [])] })
    w.tick()
  }
  w.set("k1", { alive: false }).ticks(20)
  expect(w.primary()).toBe("k3")
})

test("the gate does not open to another system than the one we know (W3)", () => {
  const w = three().set("k1", { alive: false }).set("k2", { inRecovery: true })
  w.until(() => w.primary() === "k2")
  w.set("k2", { inRecovery: false, systemID: "7999999999999999999" })
  w.ticks(5)
  expect(w.gate()).toBe("")
})
test("standbys are not thrown away because the primary reports another system", () => {
  const w = three()
  const [k2, k3] = [w.uid("k2"), w.uid("k3")]
  w.set("k1", { systemID: "7999999999999999999" }).ticks(5)
  expect([w.data.dbs.has(k2), w.data.dbs.has(k3)]).toEqual([true, true])
})

test("a primary whose directory holds another system is succeeded, not measured against", () => {
  const w = three()
  w.set("k1", { systemID: "7999999999999999999", position: 90_000_000n, timeline: 3 })
  w.until(() => w.gate() === "k2" || w.gate() === "k3", 40)
})

test("D-29 a request made while the gate is closed is answered, not carried out much later", () => {
  const w = world().keeper("k1", "k2", "k3").proxy("p1").settled()
  w.set("k1", { alive: false }).set("k2", { inRecovery: true })
  w.until(() => w.primary() === "k2")
  w.status({ failoverRequest: { nonce: "n" as Nonce, keeper: "" as KeeperUID } })
  w.tick()
  expect(w.data.cluster.status.failoverRequest).toBeUndefined()
  const refused = w.events.findLast((e) => e.code === "failover.refused")
  expect(refused?.fields).toMatchObject({ nonce: "n", why: expect.stringContaining("not open") })
  w.ticks(60) // a minute later nobody waits for this any more
  w.set("k2", { inRecovery: false }).until(() => w.gate() === "k2")
  w.ticks(3)
  expect(w.revoked()).toBe(false)
})

test("a primary that serves is not given up for its spec in favour of a standby that lags behind", () => {
  const w = three()
  const behind = { position: 900n, streaming: false }
  w.set("k2", behind)
    .set("k3", behind)
    .set("k1", { stuckAt: w.db("k1").generation })
  w.spec({ pgParameters: new Map([["work_mem", "8MB"]]) })
  // when it is stopped it certifies what they lack; reinstated, it could not open its gate again
  for (let i = 0; i < 60; i++) {
    if (w.revoked()) w.set("k1", { postgres: false, certificate: certify(w, "k1") })
    else w.set("k1", { postgres: true })
    w.tick()
    expect([i, w.gate()]).toEqual([i, "k1"])
  }
})
