/** `ctl switchover` (protocol part 6), phase by phase, and whatever may happen in each. */
import { describe, expect, test } from "bun:test"
import { duration } from "#base/duration.ts"
import { type DBUID, keeperUID, nonce } from "#model/ids.ts"
import { capabilities } from "#model/info.ts"
import type { Spec } from "#model/spec.ts"
import { foresee } from "#sentinel/foresee.ts"
import { emptyMemory } from "#sentinel/memory.ts"
import { type World, certify, cluster, names, run, world } from "./world.ts"

const asked = nonce("n1")
function ready(spec: Partial<Spec> = {}): World {
  const w = world(spec).keeper("k1", "k2", "k3").proxy("p1").settled()
  return able(w)
}
function able(w: World): World {
  for (const k of w.machines.keys()) w.set(k, { able: [capabilities.switchover], position: 1_000n })
  w.ticks(3)
  return w
}
const ask = (w: World, keeper = ""): World =>
  w.status({
    switchover: { nonce: asked, keeper: keeperUID(keeper), drain: duration(5_000), phase: "asked" },
  })
const phase = (w: World): string => w.state.switchover?.phase ?? ""
const answer = (w: World): string => {
  const { answered } = w.state
  return answered?.nonce === asked ? (answered.done ? "done" : answered.why) : "none"
}
const checkpointed = (w: World): World => {
  for (const k of ["k1", "k2", "k3"]) w.set(k, { handled: [asked] })
  w.tick(50)
  return w
}
const held = (w: World, keeper = "k2"): World => {
  w.proxies.get("p1")!.acknowledges = false
  ask(w, keeper).tick(50)
  return checkpointed(w)
}
const stopping = (w: World, keeper = "k2"): World => {
  held(w, keeper).proxies.get("p1")!.acknowledges = true
  w.tick(50)
  return w
}
/** PostgreSQL of k1 ended in good order, and its standbys have all of it. */
const stopped = (w: World, behind = 0n): World => {
  w.set("k1", { postgres: false, certificate: certify(w, "k1") })
  for (const k of ["k2", "k3"]) w.set(k, { position: 1_001n - behind })
  return w
}

describe("a planned switchover", () => {
  test("G9 that is given up opens the gate in a write of its own, whichever proxy is gone by then", () => {
    const w = ready().proxy("p2")
    w.ticks(2)
    held(w)
    expect(phase(w)).toBe("hold")
    w.proxies.get("p2")!.alive = false
    for (let i = 0; i < 30 && phase(w) === "hold"; i++) w.tick()
    expect([phase(w), w.gate(), w.revoked()]).toEqual(["", "k1", false])
  })
  test("D-34 checks, checkpoints, holds, stops, promotes and opens; each phase stands in the view", () => {
    const w = ready()
    ask(w, "k2").tick(50)
    expect([phase(w), w.gate()]).toEqual(["checkpoint", "k1"])
    w.tick(50)
    expect(phase(w)).toBe("checkpoint")
    w.proxies.get("p1")!.acknowledges = false
    checkpointed(w)
    expect([phase(w), w.gate(), w.revoked()]).toEqual(["hold", "", false])
    w.ticks(5, 50)
    expect([phase(w), w.revoked()]).toEqual(["hold", false])
    w.proxies.get("p1")!.acknowledges = true
    w.tick(50)
    expect([phase(w), w.revoked(), w.state.detach]).toEqual(["stop", true, false])
    w.ticks(3, 50)
    expect(w.primary()).toBe("k1")
    w.set("k2", { inRecovery: true })
    stopped(w).ticks(2, 50)
    expect([phase(w), w.primary(), w.state.fencedBy]).toEqual(["promote", "k2", "certificate"])
    w.set("k2", { inRecovery: false }).until(() => w.gate() === "k2", 5, 50)
    expect([answer(w), w.state.switchover]).toEqual(["done", undefined])
    expect(w.events.map((e) => e.code)).not.toContain("primary.failed")
  })
  test("waits for the one that was asked for, though another standby has everything already", () => {
    const w = stopping(ready())
    stopped(w).set("k2", { position: 900n }).ticks(6, 50)
    expect([w.revoked(), w.primary(), answer(w)]).toEqual([true, "k1", "none"])
    w.set("k2", { position: 1_001n }).until(() => answer(w) === "done", 10, 50)
    expect(w.primary()).toBe("k2")
  })
  test("goes to another that has everything when the one that was asked for stays behind", () => {
    const w = stopping(ready())
    stopped(w).set("k2", { position: 900n })
    w.until(() => w.primary() === "k3", 10, 1_000)
    expect(answer(w)).toContain("k2 had not received everything")
  })
  test("without a keeper goes to the most advanced", () => {
    const w = ready().set("k3", { position: 1_500n })
    ask(w).tick(50)
    expect(w.state.switchover?.keeper).toBe(keeperUID("k3"))
  })
  test("works in a paused cluster, and without checkpoints where keepers do not know of them", () => {
    const w = ready().status({
      paused: { since: "2026-01-01T00:00:00Z" as never, by: "", reason: "" },
    })
    for (const k of ["k1", "k2"]) w.set(k, { able: [] })
    ask(w, "k2").ticks(3, 50)
    expect(phase(w)).toBe("stop")
  })
  test("says which proxies cut their clients, and goes on", () => {
    const w = ready()
    ask(w, "k2").tick(50)
    checkpointed(w)
    expect(w.events.find((e) => e.code === "switchover.cuts")?.fields["proxies"]).toBe("p1")
  })
})

describe("a switchover of a synchronous cluster to a standby that no commit waits for", () => {
  /** k2 is the synchronous standby, k3 the other. */
  const begun = (): World => {
    const w = able(cluster({}, "k1", "k2", "k3").proxy("p1"))
    expect(names(w, "k1").confirmed).toEqual([w.uid("k2")])
    w.set("k1", { syncStandbys: [w.uid("k2")] })
    ask(w, "k3").tick(50)
    return w
  }
  const both = (w: World): DBUID[] => [w.uid("k2"), w.uid("k3")].toSorted()

  test("names it besides the other, and goes on when it is confirmed; it is elected, and is the only one", () => {
    const w = begun()
    expect(names(w, "k1")).toEqual({ wanted: both(w), confirmed: [w.uid("k2")], external: [] })
    w.ticks(3, 500)
    expect([phase(w), w.state.switchover?.waiting]).toEqual([
      "asked",
      "k3: it is not confirmed in sync",
    ])
    run(w, 3)
    expect([phase(w), w.state.switchover?.waiting]).toEqual([
      "checkpoint",
      "the checkpoint of k1, k3",
    ])
    checkpointed(w).until(() => w.revoked(), 5, 50)
    expect(names(w, "k1").confirmed?.toSorted()).toEqual(both(w))
    expect(w.state.switchover?.waiting).toBeUndefined()
    stopped(w).until(() => answer(w) === "done", 10, 50)
    expect(w.primary()).toBe("k3")
    run(w, 3)
    expect(names(w, "k3").wanted).toHaveLength(1)
  })
  test("gives it up when the primary never reports it in sync, and waits for the other alone again", () => {
    const w = begun()
    w.until(() => answer(w) !== "none", 15)
    expect(answer(w)).toBe("k3: it is not confirmed in sync")
    w.ticks(2)
    expect(names(w, "k1")).toEqual({
      wanted: [w.uid("k2")],
      confirmed: [w.uid("k2")],
      external: [],
    })
    expect([w.primary(), w.gate()]).toEqual(["k1", "k1"])
  })
  test("keeps to maxSynchronousStandbys again when it was given up after that", () => {
    const w = begun()
    run(w, 2)
    expect(phase(w)).toBe("checkpoint")
    for (let i = 0; i < 13; i++) run(w, 1)
    expect(answer(w)).toContain("takes too long")
    expect(names(w, "k1").wanted).toHaveLength(1)
    expect(names(w, "k1").confirmed).toEqual(names(w, "k1").wanted)
  })
  test("a primary that dies before it is confirmed is followed by the other", () => {
    const w = begun()
    w.set("k3", { position: 9_000n }).set("k1", { alive: false })
    w.until(() => w.primary() !== "k1", 15)
    expect(w.primary()).toBe("k2")
  })
  test("is refused when its keeper may not be synchronous", () => {
    const w = able(cluster({}, "k1", "k2", "k3").proxy("p1"))
    w.set("k3", { canSync: false }).tick(50)
    ask(w, "k3").tick(50)
    expect(answer(w)).toBe("k3: its keeper may not be a synchronous standby")
    expect(names(w, "k1").wanted).toEqual([w.uid("k2")])
  })
})

describe("foresee() says of a switchover", () => {
  const of = (w: World, keeper: string) => foresee(w.data, w.infos(), keeperUID(keeper))
  test("whom it would go to, and who would be named as a synchronous standby first", () => {
    const w = able(cluster({}, "k1", "k2", "k3").proxy("p1"))
    const target = { kind: "target", instead: "k1" } as const
    expect(of(w, "k2")).toMatchObject({ ...target, keeper: "k2", named: false })
    expect(of(w, "k3")).toMatchObject({ ...target, keeper: "k3", named: true })
  })
  test("that a primary whose keeper publishes nothing is not running, not that it is Go's", () => {
    const w = ready().set("k1", { alive: false })
    expect(of(w, "k2")).toEqual({ kind: "refused", why: "keeper k1 is not running" })
  })
})

describe("a switchover waits for what passes, and says for what", () => {
  const waits = (w: World, keeper: string, why: string): void => {
    ask(w, keeper).ticks(3, 500)
    expect([phase(w), w.state.switchover?.waiting]).toEqual(["asked", why])
  }
  test("a primary that is applying its specification", () => {
    const w = ready()
    w.set("k1", { stuckAt: w.db("k1").generation - 1 })
    waits(w, "k2", "the primary lacks its specification applied")
    w.set("k1", { stuckAt: null }).tick(50)
    expect([phase(w), w.state.switchover?.waiting]).toEqual(["checkpoint", undefined])
  })
  test("a target that has lost its connection, for as long as convergenceTimeout", () => {
    const w = ready().set("k2", { streaming: false })
    const why = "k2: it is not connected to the primary"
    waits(w, "k2", why)
    w.ticks(8)
    expect(answer(w)).toBe("none")
    w.ticks(3)
    expect([answer(w), phase(w), w.gate()]).toEqual([why, "", "k1"])
  })
  test("also in the phase of the checkpoint, and with the specification of the primary while clients are held", () => {
    const w = ask(ready(), "k2")
    w.tick(50)
    w.set("k2", { streaming: false })
    checkpointed(w).ticks(3, 500)
    expect(w.state.switchover?.waiting).toBe("k2: it is not connected to the primary")
    w.proxies.get("p1")!.acknowledges = false
    w.set("k2", { streaming: true }).tick(50)
    expect(phase(w)).toBe("hold")
    w.set("k1", { stuckAt: w.db("k1").generation - 1 })
    w.proxies.get("p1")!.acknowledges = true
    w.ticks(3, 50)
    expect([phase(w), w.revoked()]).toEqual(["hold", false])
    w.set("k1", { stuckAt: null }).tick(50)
    expect(phase(w)).toBe("stop")
  })
})

describe("a switchover is refused", () => {
  const cases: readonly (readonly [string, (w: World) => World, string, string])[] = [
    ["to the primary's keeper", (w) => w, "k1", "it is the primary's keeper"],
    ["to a keeper without a standby", (w) => w, "k9", "keeper k9 has no standby"],
    ["from a Go keeper", (w) => w.set("k1", { obeys: false }), "k2", "is Go stolon's"],
    ["to a keeper that is paused by name", pausedByName, "k2", "its keeper is paused"],
    [
      "to one that may not be master",
      (w) => w.set("k2", { canBeMaster: false }),
      "k2",
      "may not be",
    ],
  ]
  for (const [name, make, keeper, why] of cases)
    test(name, () => {
      const w = make(ready())
      if (!w.machine("k2").canBeMaster) w.tick(50)
      ask(w, keeper).tick(50)
      expect(answer(w)).toContain(why)
      expect([phase(w), w.gate(), w.revoked()]).toEqual(["", "k1", false])
    })
  test("when the target stays too far behind, after a while in which it may catch up", () => {
    const w = ready({ maxStandbyLag: 100 }).set("k1", { position: 5_000n })
    ask(w, "k2").ticks(5)
    expect(phase(w)).toBe("asked")
    w.ticks(8)
    expect(answer(w)).toContain("lags")
    const good = ready({ maxStandbyLag: 100 }).set("k1", { position: 5_000n })
    ask(good, "k2").ticks(3)
    good.set("k2", { position: 4_990n }).ticks(2)
    expect(phase(good)).toBe("checkpoint")
  })
})
function pausedByName(w: World): World {
  const keeper = w.data.keepers.get(keeperUID("k2"))!
  const paused = { since: "2026-01-01T00:00:00Z" as never, by: "", reason: "" }
  const keepers = new Map(w.data.keepers).set(keeper.uid, {
    ...keeper,
    status: { ...keeper.status, paused },
  })
  w.data = { ...w.data, keepers }
  return w
}

describe("a switchover is given up and the gate opened again", () => {
  const back = (w: World, why: string): void => {
    expect(answer(w)).toContain(why)
    expect([phase(w), w.primary(), w.gate(), w.revoked()]).toEqual(["", "k1", "k1", false])
  }
  test("when a checkpoint takes too long", () => {
    const w = ask(ready(), "k2")
    w.ticks(13)
    back(w, "the checkpoint of k1, k2 takes too long")
  })
  test("when the target dies while clients are held", () => {
    const w = held(ready()).set("k2", { streaming: false })
    w.tick(50)
    back(w, "k2: it is not connected")
  })
  test("when a proxy does not let its clients go in time", () => {
    const w = held(ready())
    w.ticks(13, 1_000)
    back(w, "p1")
  })
  test("but a proxy that fell silent is waited for only as long as its timeout", () => {
    const w = held(ready())
    w.proxies.get("p1")!.frozen = true
    w.ticks(4, 1_000)
    expect(phase(w)).toBe("stop")
  })
  test("by reinstating the old primary when the target lacks what it certified", () => {
    const w = stopping(ready()).set("k3", { postgres: false })
    stopped(w, 500n).ticks(2, 50)
    expect(w.revoked()).toBe(true)
    w.until(() => !w.revoked(), 10, 1_000)
    expect(answer(w)).toContain("k2 lacks what k1 had acknowledged")
    expect(w.primary()).toBe("k1")
  })
  test("by reinstating it when it was stopped by force: nobody knows where its log ended", () => {
    const w = stopping(ready())
    w.set("k1", { postgres: false, certificate: { ...certify(w, "k1"), finalLSN: 0n as never } })
    w.ticks(6, 50)
    expect([w.primary(), w.revoked(), answer(w)]).toEqual([
      "k1",
      false,
      "k1 had to be stopped by force, so nobody knows what k2 lacks of what it had acknowledged",
    ])
  })
  test("by reinstating it when the target died after the stop", () => {
    const w = stopping(ready()).set("k2", { postgres: false }).set("k3", { postgres: false })
    stopped(w).until(() => !w.revoked(), 10, 1_000)
    expect(w.primary()).toBe("k1")
    expect(answer(w)).toContain("k2: its PostgreSQL is not healthy")
  })
})

describe("a switchover whose primary dies becomes a failover, and says so", () => {
  for (const name of ["checkpoint", "hold"] as const)
    test(`in phase ${name}`, () => {
      const w = ready()
      if (name === "hold") held(w)
      else ask(w, "k2").tick(50)
      w.proxies.get("p1")!.acknowledges = true
      w.set("k1", { mute: true }).until(() => w.primary() !== "k1", 60, 200)
      expect(answer(w)).toContain("k1")
      expect(w.state.switchover).toBeUndefined()
    })
  test("in phase stop", () => {
    const w = stopping(ready()).set("k1", { mute: true })
    w.until(() => w.primary() !== "k1", 60, 200)
    expect(answer(w)).toContain("k1, the primary, fell silent meanwhile")
  })
  test("in phase promote: the new one dies before it serves", () => {
    const w = stopped(stopping(ready())).set("k2", { inRecovery: true })
    w.ticks(2, 50)
    expect(w.primary()).toBe("k2")
    w.set("k2", { alive: false }).until(() => w.primary() !== "k2", 60, 200)
    expect(answer(w)).toContain("k2, the primary, failed meanwhile")
  })
})

test("another leader goes on from every phase, by the view alone (D-27)", () => {
  const w = ready()
  const anew = (): void => {
    w.memory = emptyMemory
    w.ticks(3, 50)
  }
  ask(w, "k2").tick(50)
  anew()
  expect(phase(w)).toBe("checkpoint")
  w.proxies.get("p1")!.acknowledges = false
  checkpointed(w)
  anew()
  expect(phase(w)).toBe("hold")
  w.proxies.get("p1")!.acknowledges = true
  w.tick(50)
  anew()
  expect(phase(w)).toBe("stop")
  stopped(w).set("k2", { inRecovery: true })
  anew()
  expect([phase(w), w.primary()]).toEqual(["promote", "k2"])
  w.set("k2", { inRecovery: false })
  anew()
  expect([answer(w), w.gate()]).toEqual(["done", "k2"])
})

test("a Go leader that drops the switchover leaves a gate that opens again", () => {
  const w = held(ready())
  w.proxies.get("p1")!.acknowledges = true
  const { switchover: _, ...status } = w.state
  w.data = { ...w.data, cluster: { ...w.data.cluster, status } }
  w.ticks(2, 50)
  expect([w.gate(), w.primary()]).toEqual(["k1", "k1"])
})

describe("a wish for a failover is answered in the view", () => {
  const wish = (w: World, keeper = ""): World =>
    w.status({ failoverRequest: { nonce: asked, keeper: keeperUID(keeper) } })
  test("when it was fulfilled", () => {
    const w = wish(ready(), "k2")
    w.until(() => w.revoked(), 2, 50)
    stopped(w).until(() => w.primary() === "k2", 10, 50)
    expect(answer(w)).toBe("done")
  })
  test("when it is refused", () => {
    const w = wish(ready(), "k9")
    w.tick(50)
    expect(answer(w)).toBe("keeper k9 has no standby")
  })
  test("when a switchover is under way", () => {
    const w = wish(held(ready()), "k3")
    w.tick(50)
    expect([answer(w), phase(w)]).toEqual(["a switchover is under way", "hold"])
  })
  test("when the old primary had to be reinstated", () => {
    const w = wish(ready(), "k2")
    w.until(() => w.revoked(), 2, 50)
    for (const k of ["k2", "k3"]) w.set(k, { postgres: false })
    w.set("k1", { postgres: false, certificate: certify(w, "k1") })
    w.until(() => !w.revoked(), 10, 200)
    expect(answer(w)).toContain("its PostgreSQL is not healthy")
  })
})
