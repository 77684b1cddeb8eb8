/**
 * `ctl pause` and `ctl reclone` as the leader carries them out: what it leaves alone, what it still
 * does, and how it picks up afterwards.
 */
import { expect, test } from "bun:test"
import type { Time } from "#base/brand.ts"
import { lsn } from "#base/lsn.ts"
import type { KeeperStatus } from "#model/cluster.ts"
import { type KeeperUID, noDB, nonce } from "#model/ids.ts"
import type { Pause } from "#model/wish.ts"
import { type World, certify, world } from "./world.ts"

const pause: Pause = {
  since: "2026-01-01T00:00:00Z" as Time,
  by: "ann@db1",
  reason: "kernel update",
}
const pauseAll = (w: World): World => w.status({ paused: pause })
function resumeAll(w: World): World {
  const { paused: _, ...status } = w.data.cluster.status
  w.data = { ...w.data, cluster: { ...w.data.cluster, status } }
  return w
}
function keeperStatus(w: World, uid: string, change: Partial<KeeperStatus>): World {
  const keeper = w.data.keepers.get(uid as KeeperUID)
  if (keeper === undefined) throw new Error(`no keeper ${uid}`)
  const changed = { ...keeper, status: { ...keeper.status, ...change } }
  w.data = { ...w.data, keepers: new Map(w.data.keepers).set(keeper.uid, changed) }
  return w
}
function resumeKeeper(w: World, uid: string): World {
  const { paused: _, ...status } = w.data.keepers.get(uid as KeeperUID)!.status
  const keeper = { ...w.data.keepers.get(uid as KeeperUID)!, status }
  w.data = { ...w.data, keepers: new Map(w.data.keepers).set(keeper.uid, keeper) }
  return w
}
const three = (): World => world().keeper("k1", "k2", "k3").proxy("p1").settled()
const other = (w: World, ...not: string[]): string =>
  ["k1", "k2", "k3"].find((uid) => !not.includes(uid) && uid !== w.primary())!

test("judge() keeps a dead primary of a paused cluster, keeps its gate open, and says so once", () => {
  const w = pauseAll(three())
  const old = w.primary()
  w.set(old, { alive: false })
  const codes = w.ticks(30)
  expect([w.primary(), w.gate(), w.revoked()]).toEqual([old, old, false])
  expect(codes.filter((code) => code === "failover.paused")).toHaveLength(1)
  expect(codes).not.toContain("primary.deposed")
})

test("a pause survives the leader's own writes, with who and why", () => {
  const w = pauseAll(three())
  w.ticks(5)
  expect(w.data.cluster.status.paused).toEqual(pause)
})

test("watch() starts timers anew at the end of a pause: silence before it fails nobody", () => {
  const w = pauseAll(three())
  const old = w.primary()
  w.set(old, { alive: false }).ticks(30)
  resumeAll(w)
  w.tick()
  expect(w.revoked()).toBe(false)
  w.ticks(2)
  expect(w.revoked()).toBe(false)
  // who is still away after failInterval is replaced as ever
  w.until(() => w.gate() !== old && w.gate() !== "", 30)
})

test("watch() counts silence from the end of a pause, also of whoever it has never heard", () => {
  const w = pauseAll(three())
  const old = w.primary()
  w.set(old, { alive: false }).ticks(3)
  w.memory = { ...w.memory, keepers: new Map() } // a sentinel that began in the pause
  w.ticks(20)
  resumeAll(w)
  w.ticks(3)
  expect(w.revoked()).toBe(false)
  w.until(() => w.gate() !== old && w.gate() !== "", 30)
})

test("a primary that is back in time after a pause stays primary", () => {
  const w = pauseAll(three())
  const old = w.primary()
  w.set(old, { postgres: false }).ticks(30)
  resumeAll(w).tick()
  w.set(old, { postgres: true }).ticks(20)
  expect([w.primary(), w.gate()]).toEqual([old, old])
})

test("a sentinel that begins to lead in a pause deposes nobody either", () => {
  const w = pauseAll(three())
  const old = w.primary()
  w.set(old, { alive: false }).ticks(5)
  w.memory = { ...w.memory, keepers: new Map(), readAt: null, paused: new Set() }
  w.ticks(20)
  expect(w.primary()).toBe(old)
})

const move = {
  nonce: nonce("m1"),
  end: "to",
  other: "etcdv2 http://a:2379",
  by: "ann@db1",
  since: pause.since,
} as const
function arrived(w: World): World {
  const { move: _, ...status } = w.data.cluster.status
  w.data = { ...w.data, cluster: { ...w.data.cluster, status } }
  return w
}

test("a leader of a cluster that moves deposes nobody, places nobody, and lets proxies in (M1)", () => {
  const w = three().status({ move })
  const before = w.data
  const old = w.primary()
  w.set(old, { alive: false })
  w.set(other(w), { alive: false })
  w.keeper("k4").proxy("p2")
  const codes = w.ticks(60)
  expect([w.primary(), w.gate(), w.revoked()]).toEqual([old, old, false])
  expect(codes.filter((code) => code === "cluster.moving")).toHaveLength(1)
  expect(w.data.cluster.status.move).toEqual(move)
  expect([...w.data.dbs.keys()]).toEqual([...before.dbs.keys()])
  for (const [uid, { spec, generation }] of before.dbs)
    expect(w.data.dbs.get(uid)).toMatchObject({ spec, generation })
  expect(w.data.cluster.status.electable).toEqual(before.cluster.status.electable)
  expect(w.data.proxy.spec.enabledProxies.map(String)).toEqual(["p1", "p2"])
})

test("a primary that was stopped in good order to move gets the epoch to start in (M1, W7)", () => {
  const w = three().status({ move })
  const old = w.primary()
  const epoch = w.data.cluster.status.primaryEpoch
  w.set(old, { postgres: false, certificate: certify(w, old) }).ticks(3)
  expect(w.data.cluster.status.primaryEpoch).not.toBe(epoch)
  expect([w.primary(), w.gate(), w.revoked()]).toEqual([old, old, false])
})

test("nothing is decided in a store that was left, and silence counts from the arrival in the other (M1)", () => {
  const left = three()
  left.status({ move: { ...move, end: "from" }, primaryRevoked: true })
  const { proxy } = left.data
  left.data = { ...left.data, proxy: { ...proxy, spec: { ...proxy.spec, masterDbUid: noDB } } }
  const old = left.primary()
  left.ticks(40)
  expect([left.primary(), left.revoked()]).toEqual([old, true])

  const w = three().status({ move })
  const primary = w.primary()
  w.set(primary, { alive: false }).ticks(30)
  arrived(w).ticks(2)
  expect(w.revoked()).toBe(false)
  w.until(() => w.gate() !== primary && w.gate() !== "", 30)
})

test("a requested failover works in a paused cluster, and the old primary follows again", () => {
  const w = pauseAll(three())
  const old = w.primary()
  const target = other(w)
  w.status({ failoverRequest: { nonce: nonce("n1"), keeper: target as KeeperUID } })
  w.until(() => w.revoked(), 3)
  w.set(old, { postgres: false, certificate: certify(w, old) })
  w.until(() => w.gate() === target, 30)
  w.until(() => w.hasDB(old) && w.db(old).spec.role === "standby", 30)
  expect(w.data.cluster.status.paused).toEqual(pause)
})

test("a standby that the failover in a pause left ahead of the new primary is replaced, too", () => {
  const w = pauseAll(three())
  const old = w.primary()
  const target = other(w)
  const third = other(w, target)
  const before = w.uid(third)
  w.status({ failoverRequest: { nonce: nonce("n1"), keeper: target as KeeperUID } })
  w.until(() => w.revoked(), 3)
  w.set(old, { postgres: false, certificate: certify(w, old) })
  w.until(() => w.primary() === target, 30)
  const ended = { timelineID: 1, switchPoint: lsn(1000n), reason: "" }
  w.set(target, { timeline: 2, history: [ended] }).set(third, { position: 1500n })
  w.until(() => w.uid(third) !== before, 30)
  // another system in its place is an operator's doing: hands off
  const fresh = w.uid(third)
  w.set(third, { position: 1000n, timeline: 2, history: [ended] }).ticks(5)
  w.set(third, { systemID: "7000000000000000009" }).ticks(10)
  expect(w.uid(third)).toBe(fresh)
})

test("a failover to a paused keeper is refused with the reason", () => {
  const w = three()
  const old = w.primary()
  const target = other(w)
  keeperStatus(w, target, { paused: pause })
  w.status({ failoverRequest: { nonce: nonce("n1"), keeper: target as KeeperUID } })
  w.ticks(3)
  expect(w.primary()).toBe(old)
  const refused = w.events.find((event) => event.code === "failover.refused")
  expect(refused?.fields["why"]).toContain("paused")
})

test("failkeeper is an operator's wish and moves the primary in a paused cluster, too", () => {
  const w = pauseAll(three())
  const old = w.primary()
  w.forceFail(old)
  w.until(() => w.gate() !== old && w.gate() !== "", 30)
})

test("a revocation that is in hand when the pause comes is finished", () => {
  const w = three()
  const old = w.primary()
  w.set(old, { alive: false }).until(() => w.revoked(), 20)
  pauseAll(w)
  w.until(() => w.gate() !== "" && w.gate() !== old, 60)
})

test("a paused keeper's primary is not deposed, and that keeper is no candidate", () => {
  const w = three()
  const old = w.primary()
  keeperStatus(w, old, { paused: pause })
  w.set(old, { alive: false }).ticks(20)
  expect(w.primary()).toBe(old)
  resumeKeeper(w, old)
  const apart = other(w)
  keeperStatus(w, apart, { paused: pause })
  const rest = other(w, apart)
  w.set(apart, { position: 9_000n }).until(() => w.gate() !== old && w.gate() !== "", 40)
  expect(w.gate()).toBe(rest)
})

test("no standby is taken away or made in a paused cluster, and both are after it", () => {
  const w = world({ maxStandbysPerSender: 1 }).keeper("k1", "k2").proxy("p1").settled()
  const standby = w.primary() === "k1" ? "k2" : "k1"
  const db = w.uid(standby)
  pauseAll(w)
  w.keeper("k3").set(standby, { alive: false }).ticks(30)
  expect(w.uid(standby)).toBe(db)
  expect(w.hasDB("k3")).toBe(false)
  resumeAll(w)
  w.until(() => w.hasDB("k3"), 40)
})

test("a wish that its keeper has fulfilled is taken out of the document, others stay", () => {
  const w = three()
  const wish = (name: string) => ({ nonce: nonce(name), by: "ann@db1", since: pause.since })
  keeperStatus(w, "k2", { wishes: { restart: wish("n1"), reload: wish("n2") } }).tick()
  expect(w.data.keepers.get("k2" as KeeperUID)?.status.wishes?.restart?.nonce).toBe(nonce("n1"))
  w.set("k2", { handled: [nonce("n0"), nonce("n1")] }).tick()
  expect(w.data.keepers.get("k2" as KeeperUID)?.status.wishes).toEqual({ reload: wish("n2") })
  w.set("k2", { handled: [nonce("n1"), nonce("n2")] }).tick()
  expect(w.data.keepers.get("k2" as KeeperUID)?.status).not.toHaveProperty("wishes")
})

const reclone = (w: World, uid: string, discardOld = false): World =>
  keeperStatus(w, uid, {
    wishes: { reclone: { nonce: nonce("n1"), by: "ann@db1", since: pause.since, discardOld } },
  })

test("reclone() gives a standby a new DB that is copied afresh, once", () => {
  const w = three()
  const standby = other(w)
  const before = w.uid(standby)
  reclone(w, standby, true).set(standby, { stuckAt: 0 }).tick()
  const after = w.db(standby)
  expect(after.uid).not.toBe(before)
  expect(after.spec).toMatchObject({ initMode: "resync", freshCopy: "discard", role: "standby" })
  expect(w.data.keepers.get(standby as KeeperUID)?.status).not.toHaveProperty("wishes")
  w.ticks(5)
  expect(w.uid(standby)).toBe(after.uid)
  w.set(standby, { stuckAt: null }).ticks(5)
  expect(w.db(standby).spec).toMatchObject({ initMode: "none", freshCopy: "" })
})

test("reclone() is refused for the primary, and while the primary is ill it waits", () => {
  const w = three()
  const primary = w.primary()
  reclone(w, primary).tick()
  const refused = w.events.find((event) => event.code === "reclone.refused")
  expect(refused?.fields["why"]).toBe("it has no standby")
  const standby = other(w)
  const before = w.uid(standby)
  w.set(primary, { postgres: false })
  reclone(w, standby).ticks(2)
  expect(w.uid(standby)).toBe(before)
})

test("reclone() of two standbys makes one copy after the other", () => {
  const w = three()
  const both = ["k1", "k2", "k3"].filter((uid) => uid !== w.primary())
  const [first = "", second = ""] = both
  const before = both.map((uid) => w.uid(uid))
  for (const uid of both) reclone(w, uid, true).set(uid, { stuckAt: 0 })
  w.ticks(5)
  expect([w.uid(first) === before[0], w.uid(second) === before[1]]).toEqual([false, true])
  w.set(first, { stuckAt: null }).ticks(5)
  expect(w.uid(second)).not.toBe(before[1] as never)
})

test("reclone() never takes the copy that commits wait for: another gets its place first", () => {
  const w = world({ synchronousReplication: true }).keeper("k1", "k2", "k3").proxy("p1").settled()
  const sync = (): readonly string[] =>
    w.data.dbs.get(w.data.cluster.status.master)?.spec.synchronousStandbys ?? []
  const follow = (): void => {
    w.set(w.primary(), { syncStandbys: [...sync()] as never })
    w.tick()
  }
  for (let i = 0; i < 10; i++) follow()
  const [named = ""] = sync()
  const keeper = ["k1", "k2", "k3"].find((uid) => w.uid(uid) === named)!
  reclone(w, keeper)
  for (let i = 0; i < 10 && w.hasDB(keeper) && w.uid(keeper) === named; i++) {
    follow()
    const listed = w.data.dbs.get(w.data.cluster.status.master)
    const needed = [
      ...(listed?.spec.synchronousStandbys ?? []),
      ...(listed?.status.synchronousStandbys ?? []),
    ]
    // never gone while it is on a list
    for (const uid of needed) expect(w.data.dbs.has(uid)).toBe(true)
  }
  expect(w.uid(keeper)).not.toBe(named as never)
  expect(sync()).toHaveLength(1)
})
