/**
 * A sentinel's eyes past the store, on doors that a test opens and closes: what is found when a
 * keeper or the leading sentinel ends, and who is told.
 */
import { expect, test } from "bun:test"
import { type Eyes, eyes } from "#agent/sentinel-doors.ts"
import { decodeJson } from "#model/codec.ts"
import { sentinelUID } from "#model/ids.ts"
import { type Infos, SentinelInfo, capabilities } from "#model/info.ts"
import type { Door, Peers } from "#port/peer.ts"
import type { Store } from "#port/store.ts"
import { handClock } from "#test/unit/proxy/world.ts"
import { type World, world } from "./world.ts"

const postgres = "10.0.0.1:5432"

/** Doors by address; closed ones refuse. */
class Street implements Peers {
  readonly signs = false
  readonly doors = new Map<string, Door>()
  readonly nudged: string[] = []
  private readonly listening = new Map<string, (() => void)[]>()
  set(address: string, door: Door): void {
    this.doors.set(address, door)
    if (door !== "open") for (const end of this.listening.get(address)?.splice(0) ?? []) end()
  }
  private at = (address: string): Door => this.doors.get(address) ?? "silent"
  promise = (): Promise<never> => Promise.reject(new Error("sentinels ask for no promises"))
  lease = (): Promise<never> => Promise.reject(new Error("sentinels ask for no leases"))
  nudge = async (address: string): Promise<void> => void this.nudged.push(address)
  knock = async (address: string): Promise<Door> => this.at(address)
  listen = (address: string, signal: AbortSignal): Promise<Door> =>
    new Promise((resolve, reject) => {
      if (this.at(address) !== "open") return resolve(this.at(address))
      signal.addEventListener("abort", () => reject(signal.reason), { once: true })
      const ends = this.listening.get(address) ?? []
      ends.push(() => resolve(this.at(address)))
      this.listening.set(address, ends)
    })
}

const unused = (): never => {
  throw new Error("eyes do not do this")
}

function watching(leads = false) {
  const w: World = world({ failureDetection: "evidence" }).keeper("k1", "k2", "k3").settled()
  for (const k of ["k1", "k2", "k3"]) w.set(k, { says: { peerAddress: `${k}:9` } })
  w.tick()
  const street = new Street()
  for (const door of ["k1:9", postgres, "s0:9"]) street.set(door, "open")
  const hand = handClock()
  const stop = new AbortController()
  const seen = { told: 0, unseated: [] as string[], events: [] as string[] }
  const store: Store = {
    read: unused,
    publish: unused,
    write: unused,
    infos: unused,
    watch: unused,
    campaign: unused,
    withdraw: unused,
    leader: async () => sentinelUID("s0"),
    unseat: async (uid) => seen.unseated.push(uid) > 0,
    [Symbol.asyncDispose]: async () => {},
  }
  const one: Eyes = eyes(
    {
      store,
      clock: hand.clock,
      log: { event: ({ code }) => seen.events.push(code) },
      peers: street,
    },
    { uid: sentinelUID("s1"), leads: () => leads, tell: () => seen.told++ },
  )
  const leader = { ...decodeJson(SentinelInfo, {}), UID: sentinelUID("s0"), peerAddress: "s0:9" }
  const able = { ...leader, capabilities: [capabilities.evidence] }
  const look = (infos: Infos = w.infos()): Promise<void> => {
    one.note(w.data, { ...infos, sentinels: new Map([[able.UID, able]]) })
    return hand.advance(20)
  }
  const running = one.run(stop.signal)
  return {
    w,
    one,
    street,
    seen,
    look,
    advance: hand.advance,
    doors: () => one.found().map((found) => [found.peer, found.postgres]),
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await hand.advance(1)
      await running
    },
  }
}

test("both doors of a primary that ended are found closed at once, others are told and asked", async () => {
  await using it = watching()
  await it.look()
  await it.advance(5_000)
  expect([it.doors(), it.seen.told]).toEqual([[], 0])
  it.w.set("k1", { mute: true })
  await it.look()
  it.street.set(postgres, "refused")
  it.street.set("k1:9", "refused")
  await it.advance(30)
  expect([it.doors(), it.seen.told]).toEqual([[["refused", "refused"]], 1])
  expect(it.seen.events).toContain("primary.evidence")
  expect(it.street.nudged).toEqual(["k2:9", "k3:9"])
})

test("while PostgreSQL outlives its keeper that is said, and looked at again until it has ended", async () => {
  await using it = watching()
  it.w.set("k1", { mute: true })
  await it.look()
  it.street.set("k1:9", "refused")
  await it.advance(30)
  expect(it.doors()).toEqual([["refused", "open"]])
  it.street.set(postgres, "refused")
  await it.advance(300)
  expect([it.doors(), it.seen.told]).toEqual([[["refused", "refused"]], 2])
})

test("a keeper that speaks again voids what was found, and is watched anew", async () => {
  await using it = watching()
  it.w.set("k1", { mute: true })
  await it.look()
  it.street.set(postgres, "refused")
  it.street.set("k1:9", "refused")
  await it.advance(30)
  it.street.set("k1:9", "open")
  it.w.set("k1", { mute: false, boot: "again" })
  await it.look()
  expect(it.doors()).toEqual([])
  it.w.set("k1", { mute: true })
  await it.look()
  it.street.set("k1:9", "refused")
  await it.advance(300)
  expect(it.doors()).toEqual([["refused", "refused"]])
})

test("a standby that loses its stream makes it knock, though the connection still stands", async () => {
  await using it = watching()
  await it.look()
  it.street.doors.set("k1:9", "refused").set(postgres, "refused")
  it.w.set("k1", { mute: true }).set("k3", { streaming: false })
  await it.look()
  await it.advance(30)
  expect(it.doors()).toEqual([["refused", "refused"]])
})

test("a machine that does not answer is found silent, which proves nothing", async () => {
  await using it = watching()
  it.w.set("k1", { mute: true })
  await it.look()
  it.street.set(postgres, "silent")
  it.street.set("k1:9", "silent")
  await it.advance(2_000)
  expect(it.doors()).toEqual([["silent", "silent"]])
  expect(it.seen.events).not.toContain("primary.evidence")
})

test("D-27 a follower takes the office of a leader that has ended, and only of such a one (D4)", async () => {
  await using it = watching()
  await it.look()
  await it.advance(20_000)
  expect(it.seen.unseated).toEqual([])
  it.street.set("s0:9", "silent")
  await it.advance(5_000)
  expect(it.seen.unseated).toEqual([])
  it.street.set("s0:9", "open")
  await it.advance(2_000)
  it.street.set("s0:9", "refused")
  await it.advance(20)
  expect(it.seen.unseated).toEqual(["s0"])
  await it.advance(4_000) // where somebody refuses in its name it may lead again meanwhile
  expect(it.seen.unseated).toEqual(["s0"])
})

test("who leads takes nobody's office", async () => {
  await using it = watching(true)
  await it.look()
  it.street.set("s0:9", "refused")
  await it.advance(20_000)
  expect(it.seen.unseated).toEqual([])
})
