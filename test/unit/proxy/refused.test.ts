/**
 * A proxy that is told by the keeper that it would lead clients astray: it asks again, at no cost
 * to the store, and is otherwise a proxy in good health.
 */
import { expect, test } from "bun:test"

import type { LeaseAnswer } from "#port/peer.ts"
import type { ClusterUID } from "#model/ids.ts"
import { keeper, timing } from "../proxy/builder.ts"
import { reading, world } from "../proxy/world.ts"

const timed = { spec: timing(1_000, 3_000) } as const
const down = async (): Promise<LeaseAnswer> => ({
  cluster: "5d8a1c0e" as ClusterUID,
  keeper,
  lease: null,
  serves: null,
})

test("the data plane knows a time from the start, and while a primary is refused", async () => {
  const first = world({ first: reading(timed) })
  first.answers.lease = down
  await first.advance(2_000)
  const unbounded = first.allowed()
  const w = world({ first: reading(timed) })
  await w.advance(1_000)
  w.answers.lease = down
  w.answers.read = async () => reading({ ...timed, host: "10.0.0.12", generation: 4 })
  await w.advance(10_000)
  expect(w.events()).toContain("proxy.refused")
  expect(unbounded).toBeLessThan(Number.POSITIVE_INFINITY)
  expect(w.allowed()).toBeGreaterThan(w.now()) // the data plane of reads is told the same time
})

test("a primary that is refused is no reason to write to the store three times a second", async () => {
  const w = world({ first: reading(timed) })
  w.answers.lease = down
  await w.advance(1_000)
  w.journal()
  await w.advance(10_000)
  const published = w.journal().filter((line) => line.startsWith("publish")).length
  expect(published).toBeLessThan(15)
})

test("a proxy that refuses an address has read the store", async () => {
  const w = world({ first: reading(timed) })
  w.answers.lease = down
  await w.advance(2_000)
  expect(w.state().goodAt).not.toBeNull()
})

test("a proxy that is asked to end leads nobody to a destination that it was just asking about", async () => {
  const w = world({ first: reading(timed), shutdownTimeout: 10_000 })
  const asked = Promise.withResolvers<LeaseAnswer>()
  w.answers.lease = () => asked.promise
  w.answers.sessions = 1 // one reads, say
  await w.advance(0)
  w.ask()
  await w.advance(0)
  w.journal()
  asked.reject(new Error("no answer"))
  await w.advance(100)
  expect(w.journal().filter((line) => line.startsWith("forward"))).toEqual([])
})
