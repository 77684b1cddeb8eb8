/** The way from one primary to the next, asynchronous replication. */
import { describe, expect, test } from "bun:test"
import type { Certificate } from "#model/info.ts"
import { type World, certify, fenced, world } from "./world.ts"
import type { KeeperUID, Nonce } from "#model/ids.ts"

const three = (): World => world().keeper("k1", "k2", "k3").proxy("p1").settled()

describe("initialisation", () => {
  test("decide() makes the first keeper by uid the primary and the others standbys of it", () => {
    const w = three()
    expect(w.primary()).toBe("k1")
    expect(w.gate()).toBe("k1")
    expect(w.db("k2").spec.followConfig).toMatchObject({ type: "internal", dbuid: w.uid("k1") })
    expect(w.db("k1").spec.followers).toEqual([w.uid("k2"), w.uid("k3")].toSorted())
    expect(w.data.cluster.status.primaryEpoch).not.toBe("")
  })
  test("decide() waits while no keeper has published", () => {
    const w = world()
    expect(w.ticks(3)).toEqual(["cluster.waiting"])
    expect(w.data.dbs.size).toBe(0)
  })
  test("D-28 decide() never starts a cluster on a keeper that may not be master", () => {
    const w = world().keeper("k1", "k2").set("k1", { canBeMaster: false })
    w.until(() => w.data.cluster.status.phase === "normal")
    expect(w.primary()).toBe("k2")
  })
  test("decide() gives a failed initialisation up after initTimeout and takes another keeper", () => {
    const w = world().keeper("k1", "k2").set("k1", { stuckAt: 0, postgres: false })
    w.until(() => w.primary() === "k1")
    w.until(() => w.primary() === "k2", 40)
    expect(w.events.map((e) => e.code)).toContain("cluster.failed")
  })
})

test("decide() merges the instance's parameters into the specs in the write that ends the initialisation", () => {
  const w = world().keeper("k1")
  w.set("k1", { parameters: new Map([["shared_buffers", "128MB"]]) })
  w.until(() => w.data.cluster.status.phase === "normal")
  expect(w.data.cluster.spec.pgParameters).toEqual(new Map([["shared_buffers", "128MB"]]))
  expect(w.db("k1").spec.pgParameters).toEqual(w.data.cluster.spec.pgParameters)
  expect(w.db("k1").spec).toMatchObject({ initMode: "none", includePreviousConfig: false })
  const unmerged = world({ mergePgParameters: false }).keeper("k1")
  unmerged.set("k1", { parameters: new Map([["shared_buffers", "128MB"]]) })
  unmerged.until(() => unmerged.data.cluster.status.phase === "normal")
  expect(unmerged.data.cluster.spec.pgParameters?.size ?? 0).toBe(0)
})

describe("failover", () => {
  test("decide() keeps a primary whose keeper is silent for less than failInterval", () => {
    const w = three().set("k1", { alive: false })
    w.ticks(3)
    expect([w.primary(), w.gate(), w.revoked()]).toEqual(["k1", "k1", false])
  })
  test("D-78 decide() closes the gate and revokes in one write, and promotes in a later one (W1, W2)", () => {
    const w = three().set("k1", { alive: false })
    w.until(() => w.revoked())
    expect([w.primary(), w.gate()]).toEqual(["k1", ""])
    w.until(() => w.primary() !== "k1")
    expect([w.gate(), w.revoked()]).toEqual(["", false])
  })
  test("D-01 decide() elects the most advanced standby", () => {
    const w = three()
      .set("k1", { alive: false })
      .set("k2", { position: 900n })
      .set("k3", { position: 950n })
    w.until(() => w.gate() !== "" && w.gate() !== "k1")
    expect(w.primary()).toBe("k3")
  })
  test("D-02 decide() chooses by positions published after the fence, not by older ones (W2)", () => {
    const w = three()
      .set("k1", { alive: false })
      .set("k2", { position: 990n })
      .set("k3", { position: 950n })
    w.until(() => w.revoked())
    w.set("k3", { position: 1000n }) // it had more on the way
    w.until(() => !w.revoked())
    expect(w.primary()).toBe("k3")
  })
  test("decide() does not promote while a proxy has not acknowledged the closed gate", () => {
    const w = three().set("k1", { alive: false })
    w.proxies.get("p1")!.acknowledges = false
    w.until(() => w.revoked())
    w.ticks(20)
    expect([w.primary(), w.revoked()]).toEqual(["k1", true])
    w.proxies.get("p1")!.acknowledges = true
    w.until(() => w.gate() === "k2")
  })
  test("decide() stops waiting for a proxy that has been silent for longer than its timeout", () => {
    const w = three().set("k1", { alive: false })
    w.until(() => w.revoked())
    w.proxies.get("p1")!.alive = false
    w.until(() => w.gate() === "k2", 10)
    expect(w.data.proxy.spec.enabledProxies).toEqual([])
  })
  test("decide() waits for a living old primary to certify that it stopped", () => {
    const w = three()
    w.forceFail("k1")
    w.until(() => w.revoked(), 2)
    w.ticks(4)
    expect(w.primary()).toBe("k1")
    w.set("k1", { postgres: false, certificate: certify(w, "k1") })
    w.until(() => w.gate() === "k2", 6)
  })
  test("decide() does not take a certificate of another epoch", () => {
    const w = three()
    const old = { ...certify(w, "k1"), epoch: "deadbeef" as Certificate["epoch"] }
    w.set("k1", { certificate: old }).forceFail("k1")
    w.until(() => w.revoked(), 2)
    w.ticks(5)
    expect(w.primary()).toBe("k1")
  })
  test("D-04 decide() opens the gate only after the new primary has left recovery and applied its spec", () => {
    const w = three().set("k1", { alive: false }).set("k2", { inRecovery: true })
    w.until(() => w.primary() === "k2")
    w.ticks(3)
    expect(w.gate()).toBe("")
    w.set("k2", { inRecovery: false, timeline: 2 })
    w.until(() => w.gate() === "k2", 3)
  })
  test("decide() removes the old primary's DB only when the new one serves, and gives its keeper a new one", () => {
    const w = three()
    const before = w.uid("k1")
    w.set("k1", { alive: false }).until(() => w.primary() === "k2")
    expect(w.data.dbs.has(before)).toBe(true)
    w.set("k2", { timeline: 2 }).until(() => !w.data.dbs.has(before))
    w.set("k1", { alive: true }).until(() => w.hasDB("k1"))
    expect(w.db("k1").spec).toMatchObject({ initMode: "resync", role: "standby" })
    expect(w.uid("k1")).not.toBe(before)
  })
  test("decide() keeps the gate open when nobody can take over", () => {
    const w = three().set("k2", { alive: false }).set("k3", { alive: false })
    w.ticks(6)
    w.set("k1", { alive: false }).ticks(8)
    expect([w.primary(), w.gate(), w.revoked()]).toEqual(["k1", "k1", false])
    expect(w.events.map((e) => e.code)).toContain("primary.stuck")
  })
  test("decide() refuses a standby that lags more than maxStandbyLag", () => {
    const w = world({ maxStandbyLag: 10 }).keeper("k1", "k2").settled()
    w.set("k2", { position: 900n }).tick()
    w.set("k1", { alive: false }).ticks(10)
    expect([w.primary(), w.revoked()]).toEqual(["k1", false])
  })
  test("decide() refuses keepers that may not be master", () => {
    const w = world().keeper("k1", "k2").settled()
    w.set("k2", { canBeMaster: false }).ticks(2)
    w.set("k1", { alive: false }).ticks(10)
    expect(w.primary()).toBe("k1")
  })
  test("D-10 decide() elects a standby whose newest spec is not applied yet", () => {
    const w = world().keeper("k1", "k2").settled()
    w.set("k2", { stuckAt: w.db("k2").generation })
    w.spec({ pgParameters: new Map([["work_mem", "8MB"]]) }).set("k1", { alive: false })
    w.until(() => w.primary() === "k2", 12)
  })
  test("decide() reinstates the old primary in a new epoch when nobody can be promoted after all (W7)", () => {
    const w = world().keeper("k1", "k2").proxy("p1").settled()
    const { primaryEpoch } = w.data.cluster.status
    w.forceFail("k1").until(() => w.revoked(), 2)
    w.set("k1", { postgres: false, certificate: certify(w, "k1") }).set("k2", { alive: false })
    w.until(() => !w.revoked(), 20)
    expect(w.primary()).toBe("k1")
    expect(w.data.cluster.status.primaryEpoch).not.toBe(primaryEpoch)
    w.set("k1", { postgres: true }).until(() => w.gate() === "k1", 4)
  })
  test("decide() does not send the role round for a spec that nobody can apply", () => {
    const w = three()
    for (const k of ["k1", "k2", "k3"]) w.set(k, { stuckAt: w.db(k).generation })
    w.spec({ pgParameters: new Map([["work_mem", "nonsense"]]) }).ticks(30)
    expect([w.primary(), w.gate()]).toEqual(["k1", "k1"])
  })
  test("decide() elects a good standby when the primary alone cannot apply its spec", () => {
    const w = three()
    w.set("k1", { stuckAt: w.db("k1").generation, certificate: certify(w, "k1") })
    w.spec({ pgParameters: new Map([["work_mem", "8MB"]]) }).until(() => w.gate() === "k2", 30)
  })
  test("decide() never promotes towards a Go keeper before its gate is closed and acknowledged", () => {
    const w = three().set("k1", { obeys: false }).forceFail("k1")
    w.proxies.get("p1")!.acknowledges = false
    w.until(() => w.revoked(), 2).ticks(3)
    expect(w.primary()).toBe("k1")
    w.proxies.get("p1")!.acknowledges = true
    w.until(() => w.gate() === "k2", 5)
  })
})

describe("a failover that an operator asks for", () => {
  const request = (keeper: string) => ({
    failoverRequest: { nonce: "n1" as Nonce, keeper: keeper as KeeperUID },
  })
  test("decide() goes to the keeper that was named when it is as advanced as the others", () => {
    const w = three().status(request("k3"))
    w.until(() => w.revoked(), 2)
    w.set("k1", { postgres: false, certificate: certify(w, "k1") }).until(
      () => w.gate() === "k3",
      6,
    )
    expect(w.data.cluster.status.failoverRequest).toBeUndefined()
  })
  test("decide() refuses a keeper that cannot take over, says why, and touches nothing", () => {
    const w = three().set("k3", { canBeMaster: false })
    w.ticks(2)
    w.status(request("k3")).tick()
    expect(w.events.at(-1)).toMatchObject({ code: "failover.refused", fields: { keeper: "k3" } })
    expect([w.primary(), w.gate(), w.revoked()]).toEqual(["k1", "k1", false])
    expect(w.data.cluster.status.failoverRequest).toBeUndefined()
  })
  test("reinstate() names the way out when the primary had to be stopped by force", () => {
    const w = three().status(request(""))
    w.until(() => w.revoked(), 2)
    const forced = { ...certify(w, "k1"), finalLSN: 0n as never }
    w.set("k1", { postgres: false, certificate: forced }).until(() => !w.revoked(), 20)
    expect(w.primary()).toBe("k1")
    expect(String(w.state.answered?.why)).toMatch(/stopped by force.* stolon ctl failkeeper k1/)
  })
  test("promote() does not go back to a primary that froze and let its lease run out (L3)", () => {
    const w = three().set("k1", { says: fenced(2_500) })
    w.ticks(10, 100)
    w.set("k1", { mute: true }).status(request("k2"))
    w.until(() => w.revoked(), 5, 100)
    // before failInterval is over it counts as alive still
    const gates = new Set<string>()
    w.until(
      () => {
        gates.add(w.gate())
        return w.primary() !== "k1"
      },
      60,
      50,
    )
    expect([w.primary(), w.state.fencedBy, [...gates]]).toEqual(["k2", "lease", [""]])
    expect(w.state.answered).toMatchObject({ nonce: "n1", why: "" })
  })
})

describe("memory", () => {
  test("N4 nobody who was down is well again because timers begin anew", () => {
    const w = three()
    const ids = [w.uid("k1"), w.uid("k3")]
    w.set("k1", { alive: false }).set("k3", { alive: false }).set("k2", { canBeMaster: false })
    w.ticks(6)
    const isWell = () => [
      ...["k1", "k3"].map((uid) => w.data.keepers.get(uid as KeeperUID)?.status.healthy),
      ...ids.map((uid) => w.data.dbs.get(uid)?.status.healthy),
    ]
    expect(isWell()).toEqual([false, false, false, false])
    w.tick(30_000) // the store was away
    w.tick()
    expect(isWell()).toEqual([false, false, false, false])
    w.memory = { ...w.memory, keepers: new Map(), readAt: null } // another leader
    w.ticks(2)
    expect(isWell()).toEqual([false, false, false, false])
    w.set("k3", { alive: true }).ticks(3)
    expect(isWell()).toEqual([false, true, false, true])
  })
  test("watch() starts every timer again after a gap in which the store was not read (W6)", () => {
    const w = three()
    w.set("k1", { alive: false }).tick()
    w.tick(30_000) // the store, or this sentinel, was away
    expect(w.revoked()).toBe(false)
    w.ticks(3)
    expect(w.revoked()).toBe(false)
    w.until(() => w.revoked(), 3)
  })
  test("D-89 decide() does not count what lay in the store when this sentinel came", () => {
    const w = world().keeper("k1", "k2").settled()
    w.memory = { ...w.memory, keepers: new Map(), readAt: null }
    w.set("k2", { alive: false })
    w.forceFail("k1").tick()
    expect(w.revoked()).toBe(false)
  })
})
