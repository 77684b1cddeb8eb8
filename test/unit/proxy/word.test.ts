/**
 * The keeper's word (O4): with the store silent, clients stay where they are for as long as the
 * keeper of the primary says that its lease runs, and not a moment longer.
 */
import { describe, expect, test } from "bun:test"

import { millis } from "#base/brand.ts"
import { dbUID, epoch, keeperUID } from "#model/ids.ts"
import { type Reading, StoreError } from "#port/store.ts"
import type { LeaseAnswer } from "#port/peer.ts"
import { type Word, vouchedUntil, witness, wordOf } from "#proxy/word.ts"

import { at, timing, view } from "./builder.ts"
import { lease, reading, settle, world } from "./world.ts"

const fenced = { spec: { ...timing(1_000, 3_000), selfFencing: true }, epoch: "e1" } as const
const silence = async (): Promise<never> =>
  Promise.reject(new StoreError("unavailable", "no quorum"))
const told = "publish 3 3s ttl 20s"

/** A proxy that forwards, with timeouts of 3 s in force; its last good check is just over. */
async function forwarding(bend: Parameters<typeof view>[0] = {}) {
  const w = world({ first: reading({ ...fenced, ...bend }) })
  await w.advance(1_000)
  w.journal()
  w.answers.read = silence
  return w
}

test("D-62 O4 runProxy() leaves clients alone while the store is gone and the keeper's lease runs", async () => {
  const w = await forwarding()
  w.answers.lease = async () => lease(2_500)
  await w.advance(60_000)
  expect(w.journal()).toEqual([])
  expect(w.events().filter((code) => code === "proxy.vouched")).toHaveLength(1)
  w.answers.read = async () => reading({ ...fenced, ...{ generation: 3 } })
  await w.advance(1_000)
  // silent for a minute, so looked at twice; and nobody was cut
  expect(w.journal()).toEqual([told, told])
  expect(w.events()).not.toContain("proxy.cut")
  await w.end()
})

test("O4 runProxy() cuts when the last word is over, counted from the question", async () => {
  const w = await forwarding()
  await w.advance(1_000)
  w.answers.lease = async () => {
    w.answers.lease = silence
    w.jump(400) // the answer is slow
    return lease(2_500)
  }
  await w.advance(500) // the question is sent here, at 1.0 or 1.5 s
  w.words()
  await w.advance(1_499)
  expect(w.journal()).toEqual([])
  await w.advance(1_000)
  expect(w.journal()).toEqual(["cut", "unlisten"])
  await w.end()
})

test("O4 runProxy() asks when a read hangs, before the timeout, and in time again and again", async () => {
  const w = await forwarding()
  w.answers.read = (signal) =>
    new Promise<Reading>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason))
    })
  w.words()
  w.answers.lease = async () => lease(1_000)
  await w.advance(10_000)
  expect(w.words().length).toBeGreaterThanOrEqual(10)
  expect(w.journal()).toEqual([])
  await w.end()
})

test("O4 runProxy() keeps to the timeout when the word is of another primary, epoch or cluster, or of none", async () => {
  const answers: readonly LeaseAnswer[] = [
    { ...lease(60_000), lease: null },
    lease(60_000, { db: dbUID("other") }),
    lease(60_000, { epoch: epoch("e0") }),
    { ...lease(60_000), keeper: keeperUID("pg9") },
    { ...lease(60_000), cluster: "other" as LeaseAnswer["cluster"] },
  ]
  for (const answer of answers) {
    const w = await forwarding()
    w.answers.lease = async () => answer
    await w.advance(2_999)
    expect(w.journal()).toEqual([])
    expect(w.words()).toContain("ask 10.0.0.11:7001")
    await w.advance(1)
    expect(w.journal()).toEqual(["cut", "unlisten"])
    await w.end()
  }
})

test("O4 runProxy() asks nobody without self-fencing, nor under a Go leader", async () => {
  const off = { ...fenced.spec, selfFencing: false }
  for (const bend of [{ spec: off }, { epoch: "" }, { spec: timing(1_000, 3_000) }]) {
    const w = await forwarding(bend)
    w.words() // who is there is asked before it opens
    w.answers.lease = async () => lease(60_000)
    await w.advance(3_000)
    expect(w.words()).toEqual([])
    expect(w.journal()).toEqual(["cut", "unlisten"])
    await w.end()
  }
})

test("O4 runProxy() opens nothing by a word: closed once, it waits for the store", async () => {
  const w = await forwarding()
  await w.advance(3_000)
  expect(w.journal()).toEqual(["cut", "unlisten"])
  w.answers.lease = async () => lease(60_000)
  w.words()
  await w.advance(10_000)
  expect([w.journal(), w.words()]).toEqual([[], []])
  await w.end()
})

test("O4 runProxy() that begins without a store stays closed", async () => {
  const w = world({ first: new StoreError("unavailable", "no quorum") })
  w.answers.read = silence
  w.answers.lease = async () => lease(60_000)
  await w.advance(30_000)
  expect([w.journal(), w.words()]).toEqual([[], []])
  await w.end()
})

test("D-14 O4 runProxy() takes no word that a suspended machine got too late, and cuts at once", async () => {
  const w = await forwarding()
  const late = Promise.withResolvers<LeaseAnswer>()
  w.answers.lease = () => late.promise
  await w.advance(2_000)
  w.jump(60_000)
  late.resolve(lease(2_500))
  await settle()
  await w.advance(0)
  expect(w.journal()).toEqual(["cut", "unlisten"])
  expect(w.events()).not.toContain("proxy.vouched")
  await w.end()
})

test("O4 runProxy() drops the word with the view: a new epoch is cut by its own timeout", async () => {
  const w = await forwarding()
  w.answers.lease = async () => lease(50_000)
  await w.advance(5_000)
  expect(w.events()).toContain("proxy.vouched")
  w.answers.read = async () => reading({ ...fenced, epoch: "e2" })
  await w.advance(1_000)
  w.answers.read = silence
  w.journal()
  await w.advance(4_000)
  expect(w.journal()).toEqual(["cut", "unlisten"])
  await w.end()
})

test("O4 runProxy() asks the keeper where the last good view said that it answers, and reads nothing for that", async () => {
  const w = world({ first: reading(fenced) })
  await w.advance(30_000)
  expect(w.words()).toEqual(["ask 10.0.0.11:7001"]) // who is there is asked before it opens
  w.answers.read = async () => reading({ ...fenced, peerAddress: "10.0.0.11:7002" })
  await w.advance(5_000)
  expect(w.words()).toEqual([])
  w.answers.read = silence
  w.answers.lease = async () => lease(2_500)
  await w.advance(10_000)
  const asked = w.words()
  expect(asked.length).toBeGreaterThan(1)
  expect(asked.every((word) => word === "ask 10.0.0.11:7002")).toBe(true)
  await w.end()
})

test("O4 runProxy() has nobody to ask where the view knows no address, and is cut in time", async () => {
  const w = world({ first: reading({ ...fenced, peerAddress: "" }) })
  await w.advance(30_000)
  w.journal()
  w.answers.read = silence
  await w.advance(16_000)
  expect(w.words()).toEqual([])
  expect(w.journal()).toContain("cut")
  await w.end()
})

describe("word", () => {
  const of = witness(view(fenced))
  const word = (until: number, epochNow = "e1"): Word | null =>
    of === null ? null : { of: { ...of, epoch: epoch(epochNow) }, until: millis(until) }

  test("wordOf() counts from the sending, never for longer than a minute, and is null when it is over", () => {
    if (of === null) throw new Error("a fenced view has a witness")
    expect(wordOf(lease(2_000), of, millis(1_000), at(1_500))?.until).toBe(millis(3_000))
    expect(wordOf(lease(2_000), of, millis(1_000), at(3_000))).toBe(null)
    expect(wordOf(lease(1e12), of, millis(1_000), at(1_500))?.until).toBe(millis(61_000))
    expect(wordOf(lease(Number.NaN), of, millis(1_000), at(1_500))).toBe(null)
  })
  test("vouchedUntil() is for the same primary in the same epoch, wherever its keeper answers", () => {
    expect(vouchedUntil(word(5), of)).toBe(millis(5))
    expect(vouchedUntil(word(5, "e0"), of)).toBe(millis(-Infinity))
    expect(vouchedUntil(word(5), null)).toBe(millis(-Infinity))
    const later = witness(view({ ...fenced, peerAddress: "10.0.0.11:7002" }))
    expect(vouchedUntil(word(5), later)).toBe(millis(5))
  })
  test("witness() is null for a revoked primary and for a gate that leads to another one", () => {
    expect(witness(view({ ...fenced, revoked: true }))).toBe(null)
    const data = view(fenced)
    const other = dbUID("other")
    const [db] = data.dbs.values()
    if (db === undefined) throw new Error("a view has a primary")
    const dbs = new Map(data.dbs).set(other, { ...db, uid: other })
    const proxy = { ...data.proxy, spec: { ...data.proxy.spec, masterDbUid: other } }
    expect(witness({ ...data, dbs, proxy })).toBe(null)
    expect(witness(view({ ...fenced, master: "", phase: "hold" }))).toEqual(of)
  })
})
