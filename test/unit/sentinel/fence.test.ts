/** When the old primary counts as fenced (protocol L3), and what nobody waits for behind it. */
import { describe, expect, test } from "bun:test"
import type { KeeperInfo } from "#model/info.ts"
import { emptyMemory, interrupt } from "#sentinel/memory.ts"
import { duration } from "#base/duration.ts"
import { type World, certify, fenced, world } from "./world.ts"

/** k1 is the primary under a lease of 2.5 s, and speaks every 100 ms. */
function leased(lease = 2_500): World {
  const w = world().keeper("k1", "k2", "k3").proxy("p1").settled()
  w.set("k1", { says: fenced(lease) }).ticks(10, 100)
  return w
}
const silent = (w: World): World => w.set("k1", { mute: true })
const deposed = (w: World): World => silent(w).until(() => w.revoked(), 60, 100)
/** How long after a moment the next primary was named, in steps of `step`. */
function passed(w: World, step: number): number {
  const from = w.mono
  w.until(() => w.primary() !== "k1", 400, step)
  return w.mono - from
}

describe("without leases", () => {
  test("a key that is gone ends nobody before a new leader has watched for failInterval (W2, W6)", () => {
    const w = world().keeper("k1", "k2", "k3").proxy("p1").settled()
    silent(w).until(() => w.revoked(), 60, 100)
    // every key expires, every sentinel begins anew, and the primary comes back at once
    w.set("k1", { alive: false }).proxies.get("p1")!.alive = false
    w.memory = emptyMemory
    w.ticks(3, 100)
    w.set("k1", { alive: true, mute: false }).ticks(20, 100)
    expect(w.primary()).toBe("k1")
    const word = certify(w, "k1")
    w.set("k1", { postgres: false, certificate: word }).until(() => w.primary() !== "k1", 20, 100)
  })
  test("and one that stays away is waited for no longer than that", () => {
    const w = world().keeper("k1", "k2", "k3").proxy("p1").settled()
    silent(w).until(() => w.revoked(), 60, 100)
    w.set("k1", { alive: false }).proxies.get("p1")!.alive = false
    w.memory = emptyMemory
    const t = passed(w, 50)
    expect(t).toBeGreaterThanOrEqual(3_000)
    expect(t).toBeLessThanOrEqual(3_500)
  })
})

describe("a lease fences", () => {
  test("1.05 times its length after the last word was first seen, whatever proxies do (L3)", () => {
    const w = silent(leased())
    w.proxies.get("p1")!.acknowledges = false
    w.until(() => w.revoked(), 60, 100)
    // failInterval is longer than the lease, so it has ended; two words of the standbys follow
    expect(passed(w, 50)).toBeLessThanOrEqual(200)
    expect(w.state.fencedBy).toBe("lease")
    w.set(w.primary(), { inRecovery: false }).ticks(3, 50)
    expect(w.gate()).toBe(w.primary())
  })
  test("counted by what the info says, not by the specification", () => {
    const w = silent(leased(10_000).spec({ fencingLease: duration(500), selfFencing: true }))
    const last = w.mono
    w.until(() => w.revoked(), 60, 100)
    w.until(() => w.primary() !== "k1", 400, 50)
    expect(w.mono - last).toBeGreaterThanOrEqual(10_500)
    expect(w.mono - last).toBeLessThanOrEqual(11_000)
  })
  test("from the moment at which a new leader first looked", () => {
    const w = deposed(leased(5_000))
    w.memory = emptyMemory
    const t = passed(w, 50)
    expect(t).toBeGreaterThanOrEqual(5_250)
    expect(t).toBeLessThanOrEqual(5_600)
  })
  test("counted anew after a gap in which the leader saw nothing (W6)", () => {
    const w = deposed(leased(5_000))
    w.ticks(15, 100)
    w.memory = interrupt(w.memory)
    expect(passed(w, 50)).toBeGreaterThanOrEqual(5_250)
  })
  test("is not shortened by a keeper that comes back and claims none", () => {
    const w = deposed(leased(8_000))
    const last = w.mono - 3_100
    w.set("k1", { mute: false, boot: "boot-again", postgres: false, says: {} })
    w.until(() => w.primary() !== "k1", 400, 50)
    expect(w.mono - last).toBeGreaterThanOrEqual(8_400)
    expect(w.state.fencedBy).toBe("lease")
  })
  test("that only began after the last word without a claim is no lease: proxies decide, as in Go", () => {
    const w = world().keeper("k1", "k2").proxy("p1").settled()
    w.proxies.get("p1")!.acknowledges = false
    silent(w).until(() => w.revoked(), 60, 100)
    w.ticks(30, 100)
    expect(w.primary()).toBe("k1")
    w.proxies.get("p1")!.acknowledges = true
    w.until(() => w.primary() === "k2", 10, 100)
    expect(w.state.fencedBy).toBe("proxies")
  })
  test("is that of the run that the view knows, whoever spoke last in its name", () => {
    const w = leased(9_000)
    const last = w.mono
    w.set("k1", { boot: "boot-copy", says: fenced(500), stranger: true }).tick(100)
    silent(w).until(() => w.revoked(), 60, 100)
    w.until(() => w.primary() !== "k1", 400, 50)
    expect(w.mono - last).toBeGreaterThanOrEqual(9_450)
  })
  test("wakes the leader when it ends", () => {
    const w = silent(leased(6_000))
    const last = w.mono
    w.until(() => w.revoked(), 60, 100).tick(10)
    expect(w.last?.wake).toBeLessThanOrEqual(w.mono + 1_001) // standbys shall let go, or be heard
    w.ticks(20, 100)
    expect(w.last?.wake).toBe(Math.ceil(last + 1.05 * 6_000 + 1) as never)
  })
})

describe("a certificate fences", () => {
  const stopped = (w: World, change: Partial<KeeperInfo["certificate"]> = {}): World => {
    w.proxies.get("p1")!.acknowledges = false
    w.forceFail("k1").until(() => w.revoked(), 3, 20)
    return w.set("k1", { postgres: false, certificate: { ...certify(w, "k1"), ...change } })
  }
  test("at once, before the lease has ended and before any proxy acknowledged", () => {
    const w = stopped(leased())
    expect(passed(w, 20)).toBeLessThanOrEqual(60)
    expect(w.state.fencedBy).toBe("certificate")
    w.set(w.primary(), { inRecovery: false }).ticks(3, 50)
    expect(w.gate()).toBe(w.primary())
  })
  test("only with the epoch of the view, and of this DB", () => {
    const old = stopped(leased(), { epoch: "0ld" as never })
    old.ticks(10, 20)
    expect(old.primary()).toBe("k1")
    const other = stopped(leased())
    other.set("k1", { certificate: { ...certify(other, "k1"), dbuid: other.uid("k2") } })
    other.ticks(10, 20)
    expect(other.primary()).toBe("k1")
  })
  test("and a standby that has all of it is not asked again, nor are the others awaited", () => {
    const w = leased()
    for (const k of ["k2", "k3"]) w.set(k, { position: 2_000n, mute: true })
    w.tick(20)
    w.set("k2", { mute: false }).tick(20)
    stopped(w)
    w.ticks(2, 20)
    expect(w.primary()).toBe("k2")
  })
  test("and who lacks some of it is waited for until its next word", () => {
    const w = leased()
    w.set("k2", { position: 900n }).set("k3", { mute: true }).ticks(2, 20)
    stopped(w).ticks(4, 20)
    expect(w.primary()).toBe("k1")
    expect(w.last?.awaited).toContain("k3" as never)
  })
})
