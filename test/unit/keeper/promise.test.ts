/** The arithmetic and the reasons behind promises (protocol part 4). */
import { describe, expect, test } from "bun:test"
import { millis } from "#base/brand.ts"
import { epoch, dbUID, keeperUID } from "#model/ids.ts"
import type { Lease, Rule } from "#keeper/lease.ts"
import {
  appealAt,
  appealBound,
  appealOf,
  bound,
  electableOf,
  probeBound,
  refusal,
  toKeep,
} from "#keeper/promise.ts"
import { boot, me } from "./build.ts"
import { emptyMachine, observe } from "./model.ts"
import { outageView } from "./outage-world.ts"

const L = 2_500
const mode = { on: true, lease: millis(L) }
const rule: Rule = { used: mode, wanted: mode, said: null }
const self = { uid: me, boot, certificate: null }
const lease: Lease = { db: dbUID("db1"), epoch: epoch("e1"), until: millis(10_000) }
const seen = outageView(["db3", "db2"])

describe("appealOf()", () => {
  const keepers = (view: typeof seen | null, of = lease, by = rule) =>
    appealOf(view, self, of, by, millis(9_000))?.keepers ?? null

  test("O1 names everybody who could be elected, and a width of one lease", () => {
    expect(keepers(seen)).toEqual([keeperUID("k2"), keeperUID("k3")])
    expect(keepers(outageView([]))).toEqual([])
    expect(appealOf(seen, self, lease, rule, millis(9_000))?.width).toBe(millis(L))
  })

  test("O1 is nothing without a running lease of this DB in this epoch", () => {
    expect(appealOf(seen, self, null, rule, millis(9_000))).toBeNull()
    expect(appealOf(seen, self, lease, rule, millis(10_000))).toBeNull()
    expect(keepers(seen, { ...lease, epoch: epoch("e0") })).toBeNull()
    expect(keepers(seen, { ...lease, db: dbUID("db2") })).toBeNull()
  })

  test("O1 is nothing for a primary that the last view revokes or replaces, or without fencing", () => {
    expect(keepers(outageView(["db2"], { revoked: true }))).toBeNull()
    expect(keepers(outageView(["db3"], { master: "db2" }))).toBeNull()
    expect(keepers(outageView(["db2"], { epoch: "" }))).toBeNull()
    expect(keepers(null)).toBeNull()
    const off = { on: false, lease: millis(L) }
    expect(keepers(seen, lease, { used: off, wanted: off, said: null })).toBeNull()
  })

  test("O5 is nothing without an electable set, or with a DB in it that the view does not know", () => {
    expect(keepers(outageView(null))).toBeNull()
    expect(keepers(outageView(["db2", "db9"]))).toBeNull()
  })
})

test("O3 electableOf() is the set of the newest view, for the primary's keeper only", () => {
  expect(electableOf(seen, self)?.word).toBe("w1" as never)
  expect(electableOf(seen, { ...self, uid: keeperUID("k2") })).toBeNull()
  expect(electableOf(outageView(["db2"], { revoked: true }), self)).toBeNull()
  expect(electableOf(null, self)).toBeNull()
})

test("O1 there is time for two tries between a failed renewal and the end of the lease", () => {
  const due = appealAt(rule, millis(0), null)
  expect(due).toBeGreaterThan(L / 2)
  expect(due + 2 * appealBound(millis(L))).toBeLessThan(L)
  expect(probeBound(millis(L))).toBeLessThan(appealBound(millis(L)))
  expect(appealAt(rule, millis(0), due)).toBeCloseTo(due + L / 3)
})

describe("bound()", () => {
  const made = { epoch: epoch("e1"), keeper: me, width: millis(1_000) }

  test("O2 is 1.05 widths from now, and never shorter than what binds already", () => {
    const first = bound(null, made, millis(5_000))
    expect(first).toEqual({ epoch: epoch("e1"), keeper: me, until: millis(6_050) })
    const other = { epoch: epoch("e2"), keeper: keeperUID("k2"), width: millis(10) }
    expect(bound(first, other, millis(5_100))).toEqual({
      ...first,
      ...other,
      until: first.until,
      width: undefined,
    } as never)
    expect(bound(first, made, millis(5_500)).until).toBe(millis(6_550))
  })

  test("O2 what is written covers an older promise that binds longer", () => {
    const long = { epoch: epoch("e1"), keeper: me, until: millis(20_000) }
    const kept = toKeep(long, made, millis(5_000))
    expect(5_000 + 1.05 * kept.width).toBeGreaterThanOrEqual(20_000)
    expect(toKeep(null, made, millis(5_000))).toEqual(made)
    expect(toKeep({ ...long, until: millis(5_010) }, made, millis(5_000))).toEqual(made)
  })
})

describe("refusal()", () => {
  const k2 = keeperUID("k2")
  const question = {
    cluster: seen.cluster.uid,
    epoch: "e1",
    db: "db1",
    asker: "k1",
    asked: "k2",
    width: millis(L),
  }
  const local = observe(emptyMachine)
  const knows = { uid: k2, view: seen, local, promoting: false }

  test("O2 there is none for the keeper of the primary that its last view names", () => {
    expect(refusal(question, knows)).toBeNull()
    // outside the electable set it may promise too: that harms nobody
    expect(refusal(question, { ...knows, view: outageView(["db3"]) })).toBeNull()
  })

  test("O2 whoever is asked by mistake, by a replayed question or too late declines", () => {
    const reasons: readonly (string | null)[] = [
      refusal({ ...question, asked: "k3" }, knows),
      refusal({ ...question, cluster: "c2" }, knows),
      refusal({ ...question, epoch: "e0" }, knows),
      refusal({ ...question, db: "db3" }, knows),
      refusal({ ...question, asker: "k3" }, knows),
      refusal(question, { ...knows, view: outageView(["db2"], { revoked: true }) }),
      refusal(question, { ...knows, view: outageView([], { master: "db2", epoch: "e2" }) }),
      refusal({ ...question, epoch: "" }, { ...knows, view: outageView(["db2"], { epoch: "" }) }),
      refusal(question, { ...knows, view: null }),
      refusal(question, { ...knows, local: null }),
      refusal({ ...question, asked: "k1" }, { ...knows, uid: me }),
    ]
    expect(reasons).not.toContain(null)
  })

  test("O2 a keeper that is promoting promises nothing, whatever its view says by now", () => {
    expect(refusal(question, { ...knows, promoting: true })).toBe("it is being promoted")
  })
})
