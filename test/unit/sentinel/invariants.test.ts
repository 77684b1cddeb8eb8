/** Steps that a leader must never write, whatever it decided (protocol parts 3 and 6). */
import { expect, test } from "bun:test"
import { duration } from "#base/duration.ts"
import type { ClusterData } from "#model/cluster.ts"
import { epoch, keeperUID, noDB, nonce } from "#model/ids.ts"
import { brokenRules } from "#sentinel/invariants.ts"
import { withGate, withStatus } from "#sentinel/round.ts"
import { world } from "./world.ts"

const w = world().keeper("k1", "k2", "k3").settled()
const { data } = w
const [first, second] = [w.uid("k1"), w.uid("k2")]
const closed = withGate(data, { ...data.proxy.spec, masterDbUid: noDB })
const revoked = withStatus(closed, { primaryRevoked: true })
const promoted = (change: Partial<ClusterData["cluster"]["status"]> = {}): ClusterData =>
  withStatus(revoked, {
    master: second,
    primaryRevoked: false,
    primaryEpoch: epoch("next"),
    fencedBy: "lease",
    ...change,
  })
const moving = (phase: "asked" | "hold" | "stop") => ({
  switchover: { nonce: nonce("n"), keeper: keeperUID("k2"), drain: duration(1), phase },
})
const set = (word: string, ...dbs: readonly (typeof first)[]) => ({
  electable: { word: nonce(word), dbs, joining: [], ended: false },
})

test("the steps of a failover and of a switchover break nothing", () => {
  expect(brokenRules(data, revoked)).toEqual([])
  expect(brokenRules(revoked, promoted())).toEqual([])
  expect(brokenRules(data, withStatus(closed, moving("hold")))).toEqual([])
  const held = withStatus(closed, moving("hold"))
  expect(brokenRules(held, withStatus(revoked, moving("stop")))).toEqual([])
})

const steps: readonly (readonly [string, ClusterData, ClusterData, string])[] = [
  [
    "a promotion that does not say what fenced the old primary",
    revoked,
    promoted({ fencedBy: "" }),
    "L3",
  ],
  [
    "a fence that is written without a promotion",
    data,
    withStatus(data, { fencedBy: "lease" }),
    "L3",
  ],
  ["standbys that let go of a primary in office", data, withStatus(data, { detach: true }), "L3"],
  ["a promotion that keeps `detach`", revoked, promoted({ detach: true }), "L3"],
  ["clients held with the gate open", data, withStatus(data, moving("hold")), "S2"],
  ["clients held by a revoked primary", revoked, withStatus(revoked, moving("hold")), "S2"],
  [
    "a stop while clients are not held",
    withStatus(data, moving("asked")),
    withStatus(revoked, moving("stop")),
    "S3",
  ],
  [
    "another electable set by the same word",
    withStatus(data, set("a", first)),
    withStatus(data, set("a", second)),
    "O3",
  ],
  [
    "a promotion from outside of the set",
    withStatus(revoked, set("a", w.uid("k3"))),
    promoted(set("b")),
    "O3",
  ],
  ["a promotion without a revocation", closed, promoted(), "W2"],
]
for (const [name, before, after, rule] of steps)
  test(`${name} is not written (${rule})`, () => {
    expect(brokenRules(before, after).some((broken) => broken.startsWith(rule))).toBe(true)
  })
