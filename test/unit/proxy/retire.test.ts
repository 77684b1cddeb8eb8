/**
 * A proxy that was asked to end: sessions come to their end, under every promise that holds before,
 * and nobody new is let in.
 */
import { expect, test } from "bun:test"

import type { Applied } from "#port/relay.ts"

import { infosOf, cluster } from "./reads.ts"
import { self, timing } from "./builder.ts"
import { reading, settle, world } from "./world.ts"

const timed = { spec: timing(1_000, 3_000) } as const
const told = (of: number): string => `publish ${of} 3s ttl 20s`
const gone = ["cut", "unlisten", `withdraw proxy ${self}`]

/** A proxy with sessions that was asked to end, and a drain that ends when the test says so. */
async function retiring() {
  const w = world({ first: reading(timed), shutdownTimeout: 10_000 })
  await w.advance(1_000)
  const rest = Promise.withResolvers<Applied>()
  w.answers.drain = () => rest.promise
  w.answers.sessions = 2
  w.journal()
  w.ask()
  await w.advance(0)
  expect(w.journal()).toEqual(["unlisten", "drain 10000"])
  const rested = (): void => {
    w.answers.sessions = 0
    rest.resolve("done")
  }
  return { ...w, rested }
}

test("D-60 runProxy() lets nobody in when it is asked to end, is heard of on, and ends when the last session does", async () => {
  const w = await retiring()
  await w.advance(2_000)
  expect(w.journal()).toEqual([told(3), told(3)])
  w.rested()
  await w.advance(50)
  await w.ended
  expect(w.journal()).toEqual([told(3), ...gone])
  expect(w.events()).toContain("proxy.retiring")
  expect(w.events()).not.toContain("proxy.drained")
})

test("D-60 runProxy() ends by force what is still there when the time is over, or the patience", async () => {
  const late = await retiring()
  await late.advance(9_900)
  late.journal()
  await late.advance(100)
  await late.ended
  expect(late.journal().slice(-gone.length)).toEqual(gone)
  const hurried = await retiring()
  hurried.hurry()
  await settle()
  await hurried.ended
  expect(hurried.journal()).toEqual(gone)
})

test("D-60 runProxy() ends at once without sessions, and without a time for them", async () => {
  for (const shutdownTimeout of [10_000, 0]) {
    const w = world({ first: reading(timed), shutdownTimeout })
    await w.advance(1_000)
    const journal = await w.end()
    expect(journal.filter((line) => !line.startsWith("publish")).slice(-3)).toEqual(gone)
    expect(w.events()).not.toContain("proxy.retiring")
  }
})

test("P1 runProxy() cuts while it comes to its end as at any other time: another primary, or a view that ran out", async () => {
  const deposed = await retiring()
  deposed.answers.read = async () => reading({ ...timed, master: "", generation: 4, revoked: true })
  deposed.ring()
  await deposed.advance(0)
  expect(deposed.journal()).toEqual(["cut", told(4)])
  deposed.answers.read = async () => reading({ ...timed, generation: 5 })
  deposed.ring()
  await deposed.advance(0)
  expect(deposed.journal()).toEqual([told(5)]) // it leads nobody there
  deposed.rested()
  await deposed.advance(50)
  await deposed.ended

  const blind = await retiring()
  blind.answers.read = () => new Promise(() => {})
  await blind.advance(3_500)
  expect(blind.journal()).toContain("cut")
  blind.rested()
  await blind.advance(50)
})

test("S2 runProxy() takes over the bound of a switchover that begins while it comes to its end", async () => {
  const w = await retiring()
  w.answers.read = async () => reading({ ...timed, master: "", generation: 4, phase: "hold" })
  w.ring()
  await w.advance(0)
  expect(w.journal()).toEqual(["drain 5000", told(3)])
  w.rested()
  await w.advance(50)
  await w.ended
  expect(w.journal().slice(-gone.length)).toEqual(gone)
})

test("D-60 runProxy() lets readers come to their end, too", async () => {
  const c = cluster({ pg2: {}, pg3: {} }, timed)
  const first = { kind: "found", data: c.data, version: "1" as never } as const
  const w = world({ first, reads: infosOf(c, "1"), shutdownTimeout: 10_000 })
  await w.advance(1_000)
  expect(w.reading()).toHaveLength(2)
  w.journal()
  w.ask()
  await w.advance(0)
  const both = "reads [] leaving [10.0.0.12,10.0.0.13]"
  expect(w.journal().slice(0, 4)).toEqual(["unlisten", "unlisten reads", "drain 10000", both])
  await w.advance(10_000)
  await w.ended
  expect(w.journal().at(-1)).toBe(`withdraw proxy ${self}`)
  expect(w.reading()).toEqual([])
})
