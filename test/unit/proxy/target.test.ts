/**
 * Whether the primary that the view means is where the view says (D-15): what its keeper says, and
 * what becomes of clients when that is something else.
 */
import { expect, test } from "bun:test"

import { type ClusterUID, dbUID, keeperUID } from "#model/ids.ts"
import type { LeaseAnswer } from "#port/peer.ts"
import { type Standing, type Target, contradiction, target } from "#proxy/target.ts"
import { keeper, primary, view } from "./builder.ts"
import { world } from "./world.ts"

const cluster = "5d8a1c0e" as ClusterUID
const wanted: Target = {
  cluster,
  keeper,
  address: "10.0.0.11:7001",
  db: primary,
  systemID: "7000000000000000001",
  recovering: false,
}
const serves = { db: primary, systemID: wanted.systemID, recovering: false }
const answer = (change: Partial<Standing> = {}): Standing => ({
  cluster,
  keeper,
  serves,
  ...change,
})

test("D-15 target() is the keeper, the DB and the system identifier that the view leads clients to", () => {
  expect(target(view())).toEqual({ ...wanted, systemID: "" })
  expect(target(view({ master: "" }))).toBeNull()
  expect(target(view({ spec: { role: "standby" } }))?.recovering).toBe(true)
})

test("D-15 contradiction() finds another cluster, keeper, DB or system, and a server that takes no writes", () => {
  expect(contradiction(wanted, answer())).toBeNull()
  const others: readonly (readonly [Partial<Standing>, RegExp])[] = [
    [{ cluster: "0ther" as ClusterUID }, /another cluster/],
    [{ keeper: keeperUID("pg2") }, /another keeper \(pg2\)/],
    [{ serves: null }, /not up/],
    [{ serves: { ...serves, db: dbUID("0ther") } }, /is DB 0ther/],
    [{ serves: { ...serves, systemID: "2" } }, /system identifier 2/],
    [{ serves: { ...serves, recovering: true } }, /in recovery/],
  ]
  for (const [change, why] of others) expect(contradiction(wanted, answer(change))).toMatch(why)
})

test("contradiction() believes the view where the keeper cannot say, or the view does not know", () => {
  expect(contradiction(wanted, answer({ serves: undefined }))).toBeNull()
  const unknown = { ...wanted, systemID: "" }
  expect(contradiction(unknown, answer({ serves: { ...serves, systemID: "2" } }))).toBeNull()
  const follower = { ...wanted, recovering: true }
  expect(contradiction(follower, answer({ serves: { ...serves, recovering: true } }))).toBeNull()
})

const said = (change: Partial<LeaseAnswer> = {}): LeaseAnswer => ({
  cluster,
  keeper,
  lease: null,
  serves,
  ...change,
})
const told = "publish 3 15s ttl 30s"

test("D-15 runProxy() leads nobody to an address whose keeper is somebody else, and opens when it is right", async () => {
  const w = world()
  w.answers.lease = async () => said({ serves: { ...serves, recovering: true } })
  await w.advance(0)
  expect(w.journal()).toEqual([told, "listen"])
  expect(w.words()).toEqual(["ask 10.0.0.11:7001"])
  expect(w.events()).toEqual(["proxy.listening", "proxy.refused"])
  w.answers.lease = async () => said()
  await w.advance(1_000) // it looks again soon, not only after the interval
  expect(w.journal()).toEqual([told, "forward 10.0.0.11:5432"])
  await w.end()
})

test("runProxy() waits for the keeper's answer, and believes the view when there is none", async () => {
  const w = world()
  const asked = Promise.withResolvers<LeaseAnswer>()
  w.answers.lease = () => asked.promise
  await w.advance(0)
  expect(w.journal()).toEqual([told, "listen"])
  asked.reject(new Error("it took too long"))
  await w.advance(0)
  expect(w.journal()).toEqual(["forward 10.0.0.11:5432"])
  await w.end()
})

test("D-14 runProxy() tells the data plane until when clients may be led before it leads any", async () => {
  const w = world()
  await w.advance(0)
  expect(w.journal()).toContain("forward 10.0.0.11:5432")
  const first = w.allowed()
  expect(first).toBe(1_015_000) // proxyTimeout from the start of the read, by the hand's clock
  await w.advance(5_000)
  expect(w.allowed()).toBe(first + 5_000)
  await w.end()
})
