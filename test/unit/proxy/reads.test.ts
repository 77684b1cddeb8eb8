/**
 * The proxy's loops with a listener for reads: sessions end before the generation is published that
 * would make writers of them, all reads end with the view, and nothing of it delays the gate.
 */
import { expect, test } from "bun:test"

import { byText } from "#base/order.ts"
import type { ClusterData } from "#model/cluster.ts"
import { dbUID, epoch } from "#model/ids.ts"
import type { Infos } from "#model/info.ts"
import { type Reading, StoreError, type Version } from "#port/store.ts"

import { self, timing } from "./builder.ts"
import { cluster, infosOf } from "./reads.ts"
import { lease, settle, world } from "./world.ts"

const timed = { spec: timing(1_000, 3_000) } as const
const underLease = { spec: { ...timed.spec, selfFencing: true }, epoch: "e1" } as const
const c = cluster({ pg2: {}, pg3: {} }, timed)
const of = (bend: Parameters<typeof cluster>[1]): ClusterData =>
  cluster({ pg2: {}, pg3: {} }, { ...timed, ...bend }).data
const told = (of: number): string => `publish ${of} 3s ttl 20s`
const found = (data: ClusterData): Reading => ({ kind: "found", data, version: "1" as Version })
const gone = (): Promise<never> => Promise.reject(new StoreError("unavailable", "gone"))
const both = "reads [10.0.0.12,10.0.0.13] leaving []"
const none = "reads [] leaving []"

/** The same cluster, and in it somebody else is primary, or nobody. */
const after = (bend: Parameters<typeof cluster>[1], master: string): ClusterData => {
  const data = of({ ...underLease, ...bend })
  const status = { ...data.cluster.status, master: dbUID(master), primaryEpoch: epoch("e2") }
  return { ...data, cluster: { ...data.cluster, status } }
}

/** A proxy that leads reads to both standbys. */
async function leading(first: ClusterData = c.data) {
  const w = world({ first: found(first), reads: infosOf(c, "1") })
  await w.advance(1_000)
  const journal = w.journal()
  expect(journal).toContain("forward 10.0.0.11:5432")
  expect(journal).toContain(both)
  expect(journal).toContain("listen reads")
  // what keepers publish is new each time
  let publishes = 1
  w.answers.infos = async () => infosOf(c, `${++publishes}`)
  return w
}

test("runProxy() ends the reads of a standby that becomes primary before it says the generation", async () => {
  const w = await leading()
  w.answers.read = async () => found(after({ master: "", generation: 4 }, "db2"))
  w.ring()
  await w.advance(0)
  const journal = w.journal()
  expect(journal.slice(0, 3)).toEqual(["cut", "reads [10.0.0.13] leaving []", told(4)])
  await w.advance(5_000)
  expect(w.journal().filter((line) => !line.startsWith("publish"))).toEqual([])
  await w.end()
})

test("runProxy() leaves reads where they are while there is no primary, where primaries run under leases", async () => {
  const w = await leading(of(underLease))
  w.answers.read = async () => found(of({ ...underLease, master: "" }))
  w.ring()
  await w.advance(2_000)
  expect(w.journal()).toEqual(["cut", told(3), told(3), told(3)])
  await w.end()
})

test("runProxy() ends all reads before it says the generation of a closed gate, where it is all that fences", async () => {
  const w = await leading()
  w.answers.read = async () => found(of({ master: "", generation: 4 }))
  w.ring()
  await w.advance(0)
  expect(w.journal()).toEqual(["cut", none, told(4)])
  w.answers.read = async () => found(of({ generation: 5 }))
  w.ring()
  await w.advance(0) // not the beat, but the view wakes
  expect(w.journal().toSorted(byText)).toEqual(["forward 10.0.0.11:5432", told(5), both])
  await w.end()
})

test("runProxy() ends all reads when the view does not list it any more, and says so after that", async () => {
  const w = await leading()
  w.answers.read = async () => found(of({ enabled: false, generation: 4 }))
  w.ring()
  await w.advance(0)
  expect(w.journal()).toEqual(["cut", none, told(4)])
  await w.end()
})

test("runProxy() ends all reads with the view that ran out, also while there is no primary", async () => {
  const w = await leading(of(underLease))
  w.answers.read = async () => found(of({ ...underLease, master: "" }))
  w.ring()
  await w.advance(0)
  w.journal()
  w.answers.read = gone
  await w.advance(2_999)
  expect(w.journal()).toEqual([])
  await w.advance(1)
  expect(w.journal()).toEqual([none, "unlisten", "unlisten reads"])
  w.answers.read = async () => found(c.data)
  await w.advance(2_000)
  expect(w.journal()).toContain(both)
  await w.end()
})

test("O4 runProxy() leaves reads alone for as long as the primary's keeper vouches", async () => {
  const data = of(underLease)
  const peer = { ...c, says: new Map(c.says) }
  peer.says.set("pg1", { ...c.says.get("pg1"), peerAddress: "10.0.0.11:7001" })
  const w = world({ first: found(data), reads: infosOf(peer, "1") })
  await w.advance(1_000)
  expect(w.journal()).toContain(both)
  w.answers.lease = async () => lease(2_500)
  w.answers.read = gone
  w.answers.infos = gone
  await w.advance(20_000)
  expect(w.journal()).toEqual([])
  w.answers.lease = gone
  await w.advance(6_000)
  expect(w.journal()).toEqual(["cut", none, "unlisten", "unlisten reads"])
  await w.end()
})

test("D-14 runProxy() leads no reads by what a suspended machine read long ago", async () => {
  const w = world({ first: found(c.data), reads: infosOf(c, "1") })
  const late = Promise.withResolvers<Infos>()
  w.answers.infos = () => late.promise
  await w.advance(1_000)
  w.answers.read = gone
  w.jump(60_000)
  late.resolve(infosOf(c, "2"))
  await settle()
  await settle()
  expect(w.journal()).not.toContain(both)
  await w.advance(1_000)
  expect(w.journal()).not.toContain(both)
  await w.end()
})

test("runProxy() brings back no standby by infos that were asked for before the view that took it out", async () => {
  const w = await leading()
  const late = Promise.withResolvers<Infos>()
  w.answers.infos = () => late.promise
  await w.advance(1_000)
  w.answers.read = async () => found(after({ master: "", generation: 4 }, "db2"))
  w.ring()
  await w.advance(0)
  expect(w.journal()).toContain("reads [10.0.0.13] leaving []")
  late.resolve(infosOf(c, "9"))
  await w.advance(1_000)
  expect(w.journal().filter((line) => line.startsWith("reads"))).toEqual([])
  await w.end()
})

test("runProxy() checks, cuts and acknowledges while the infos hang and the port for reads is taken", async () => {
  const w = world({ first: found(c.data), reads: infosOf(c, "1") })
  w.answers.listenReads = async () => Promise.reject(new Error("the port is taken"))
  await w.advance(1_000)
  expect(w.journal()).toContain("forward 10.0.0.11:5432")
  expect(w.events()).toContain("agent.failed")
  w.answers.infos = () => new Promise(() => {})
  await w.advance(3_000)
  expect(w.journal()).toEqual([told(3), told(3), told(3)])
  w.answers.read = async () => found(after({ master: "", generation: 4 }, "db2"))
  w.ring()
  await w.advance(0)
  expect(w.journal()).toEqual(["cut", "reads [10.0.0.13] leaving []", told(4)])
  w.answers.infos = async () => infosOf(c, "2")
  await w.end()
})

test("runProxy() asks for the infos on its beat only with a listener for reads, and ends it with a cut", async () => {
  const w = await leading()
  w.words()
  await w.advance(20_000) // sleepInterval is 5 s
  expect(w.words()).toEqual(["read", "read", "read", "read"])
  expect(await w.end()).toEqual([
    "cut",
    none,
    "unlisten",
    "unlisten reads",
    `withdraw proxy ${self}`,
  ])
  const without = world({ first: found(c.data) })
  await without.advance(0)
  without.words() // who is there is asked before it opens
  await without.advance(20_000)
  expect(without.words()).toEqual([])
  await without.end()
})
