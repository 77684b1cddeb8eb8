/**
 * The proxy's loops while a switchover holds the clients (S2): the drain runs beside the checks,
 * nothing is acknowledged before it is over, and whatever a later view says overtakes it.
 */
import { expect, test } from "bun:test"

import type { Applied } from "#port/relay.ts"
import { type Reading, StoreError } from "#port/store.ts"

import { self, timing } from "./builder.ts"
import { reading, settle, world } from "./world.ts"

const timed = { spec: timing(1_000, 3_000) } as const
const hold = { ...timed, master: "", generation: 4, phase: "hold" } as const
const told = (of: number): string => `publish ${of} 3s ttl 20s`

/** A proxy that forwards, with timeouts of 3 s in force. */
async function forwarding() {
  const w = world({ first: reading(timed) })
  await w.advance(1_000)
  expect(w.journal()).toContain("forward 10.0.0.11:5432")
  return w
}

/** The same, with a drain under way that ends when the test says so. */
async function draining() {
  const w = await forwarding()
  const rest = Promise.withResolvers<Applied>()
  w.answers.drain = () => rest.promise
  w.answers.read = async () => reading(hold)
  w.ring()
  await w.advance(0)
  expect(w.journal()).toEqual(["drain 5000", told(3)])
  return { ...w, rested: () => rest.resolve("done") }
}

test("S2 runProxy() is heard of with the old generation while it drains, and acknowledges at once when that is done", async () => {
  const w = await draining()
  await w.advance(2_000)
  expect(w.journal()).toEqual([told(3), told(3)])
  w.rested()
  await w.advance(0) // the end of the drain, not the interval, wakes the check
  expect(w.journal()).toEqual([told(4)])
  await w.end()
  expect(w.events()).toContain("proxy.drained")
})

test("S2 runProxy() acts upon a gate that closes for a fence in the middle of a drain", async () => {
  const w = await draining()
  w.answers.read = async () => reading({ ...timed, master: "", generation: 5, revoked: true })
  w.ring()
  await w.advance(0)
  expect(w.journal()).toEqual(["cut", told(5)])
  w.rested()
  await w.advance(0)
  expect(w.journal()).toEqual([])
  expect(w.events()).not.toContain("proxy.drained")
  await w.end()
})

test("S2 runProxy() leads its sessions on when the switchover is given up while it drains", async () => {
  const w = await draining()
  w.answers.read = async () => reading({ ...timed, generation: 5 })
  w.ring()
  await w.advance(0)
  expect(w.journal()).toEqual([told(5), "forward 10.0.0.11:5432"])
  w.rested()
  await w.advance(1_000)
  expect(w.journal()).toEqual([told(5)])
  await w.end()
})

test("S2 runProxy() cuts a drain when it has not been able to look for proxyTimeout", async () => {
  const w = await draining()
  w.answers.read = async () => Promise.reject(new StoreError("unavailable", "gone"))
  await w.advance(2_999)
  expect(w.journal()).toEqual([])
  await w.advance(1)
  expect(w.journal()).toEqual(["cut", "unlisten"])
  await w.end()
})

test("S2 runProxy() cuts a drain when it cannot make itself heard for proxyTimeout", async () => {
  const w = await draining()
  w.answers.publish = async () => Promise.reject(new StoreError("unavailable", "gone"))
  await w.advance(3_000)
  expect(w.journal().slice(0, 2)).toEqual(["cut", "unlisten"])
  await w.end()
})

test("D-14 runProxy() begins no drain by a view that a suspended machine read long ago, but cuts", async () => {
  const w = await forwarding()
  const old = Promise.withResolvers<Reading>()
  w.answers.read = () => old.promise
  w.ring()
  await settle()
  w.jump(60_000)
  old.resolve(reading(hold))
  w.answers.read = async () => Promise.reject(new StoreError("unavailable", "gone"))
  await settle()
  await settle()
  expect(w.journal()).toEqual(["cut", "unlisten"])
  await w.end()
})

test("D-14 runProxy() acknowledges no drain that ended while it was suspended before it has looked again", async () => {
  const w = await draining()
  w.jump(60_000)
  w.answers.read = async () => reading({ ...timed, host: "10.0.0.12", generation: 6 })
  w.rested()
  await w.advance(0)
  // silent for a minute: it counts as gone, so only the second look, after it was heard, may open
  const again = [told(6), "listen", "forward 10.0.0.12:5432"]
  expect(w.journal()).toEqual([told(6), "unlisten", ...again])
  await w.end()
})

test("S2 runProxy() ends in the middle of a drain with a cut", async () => {
  const w = await draining()
  expect(await w.end()).toEqual(["cut", "unlisten", `withdraw proxy ${self}`])
})

test("S2 runProxy() drains anew when the data plane failed to", async () => {
  const w = await forwarding()
  w.answers.drain = async () => Promise.reject(new Error("out of descriptors"))
  w.answers.read = async () => reading(hold)
  w.ring()
  await w.advance(0)
  expect(w.journal()).toEqual(["drain 5000", told(3)])
  w.answers.drain = async () => "done"
  await w.advance(1_000)
  expect(w.journal()).toEqual(["drain 5000", told(3), told(4)])
  expect(w.events()).toContain("agent.failed")
  await w.end()
})

test("P6 runProxy() is heard of again soon after a store that failed is back, however seldom it checks", async () => {
  const w = world({ first: reading({ spec: timing(5_000, 9_000) }) })
  await w.advance(5_000)
  const read = w.answers.read
  w.answers.read = () => Promise.reject(new StoreError("unavailable", "gone"))
  await w.advance(5_000)
  w.journal()
  w.answers.read = read
  await w.advance(500)
  expect(w.journal()).toEqual(["publish 3 9s ttl 20s"])
  await w.advance(4_000) // and checks no more often than before
  expect(w.journal()).toEqual([])
  await w.end()
})
