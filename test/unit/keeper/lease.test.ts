/** Self-fencing as values: which word counts, what is claimed, what the guardian is told. */
import { describe, expect, test } from "bun:test"
import { millis } from "#base/brand.ts"
import { duration } from "#base/duration.ts"
import type { ClusterData } from "#model/cluster.ts"
import { bootUUID, dbUID, epoch } from "#model/ids.ts"
import type { Certificate } from "#model/info.ts"
import type { FencingMode } from "#model/local.ts"
import {
  type Lease,
  type Rule,
  claimOf,
  firstRule,
  holdOf,
  lateMost,
  leasable,
  leaseOf,
  modeOf,
  modeToKeep,
  prolonged,
  renewed,
  said,
  want,
  widthOf,
} from "#keeper/lease.ts"
import { emptySpec } from "#model/spec.ts"
import { lsn } from "#base/lsn.ts"
import { boot, db, me, view } from "./build.ts"

const on = (lease: number): FencingMode => ({ on: true, lease: millis(lease) })
const off = (lease: number): FencingMode => ({ on: false, lease: millis(lease) })
const at = millis
const rule = (mode: FencingMode): Rule => want(firstRule(false), mode)
const spec = (change: ClusterData["cluster"]["spec"] | object): ClusterData =>
  view({ spec: change, dbs: [db("db1")], epoch: "e1" })

describe("the word that counts", () => {
  test("L2 a lease is half a second shorter than failInterval, unless the specification says more", () => {
    expect(leaseOf({ ...emptySpec, failInterval: duration(3_000) })).toBe(at(2_500))
    expect(leaseOf({ ...emptySpec, failInterval: duration(600) })).toBe(at(500))
    expect(leaseOf({ ...emptySpec, fencingLease: duration(7_000) })).toBe(at(7_000))
  })
  test("L6 what a Go leader drops stays in force, and only an explicit no ends it", () => {
    const asked = spec({ selfFencing: true, failInterval: duration(3_000) })
    expect(modeToKeep(asked, null)).toEqual(on(2_500))
    const dropped = spec({ failInterval: duration(3_000) })
    expect(modeOf(dropped, on(2_500))).toEqual(on(2_500))
    expect(modeToKeep(dropped, on(2_500))).toBeNull()
    expect(modeOf(spec({ selfFencing: false }), on(2_500)).on).toBe(false)
    expect(modeOf(null, on(2_500))).toEqual(on(2_500))
  })
  test("L6 where nothing was ever said nothing is kept, and Go's way holds", () => {
    expect(modeOf(spec({}), null).on).toBe(false)
    expect(modeToKeep(spec({}), null)).toBeNull()
    expect(modeToKeep(null, null)).toBeNull()
  })
  test("L6 without words of its own a lease follows a shorter failInterval, never a longer one", () => {
    const kept = on(2_500)
    expect(modeOf(spec({ failInterval: duration(2_000) }), kept)).toEqual(on(1_500))
    expect(modeOf(spec({ failInterval: duration(60_000) }), kept)).toEqual(on(2_500))
  })
})

describe("a rule that changes", () => {
  test("a shorter lease and the first one are used at once", () => {
    expect(widthOf(rule(on(2_500)))).toBe(at(2_500))
    expect(widthOf(want(rule(on(2_500)), on(1_000)))).toBe(at(1_000))
  })
  test("a longer lease is said first, and used when no older word can arrive any more", () => {
    const longer = want(rule(on(2_500)), on(9_500))
    const claimed = claimOf(longer, true, at(3_000), at(1_000))
    expect(claimed).toEqual({ lease: duration(9_500) })
    expect(widthOf(longer)).toBe(at(2_500))
    // unsaid it may be as old as it likes
    expect(widthOf(renewed(longer, at(1e9)))).toBe(at(2_500))
    const heard = said(longer, at(1_000))
    expect(widthOf(renewed(heard, at(1_000 + lateMost - 1)))).toBe(at(2_500))
    expect(widthOf(renewed(heard, at(1_000 + lateMost)))).toBe(at(9_500))
  })
  test("fencing that is switched off is unsaid first, and PostgreSQL stays under its lease meanwhile", () => {
    const going = want(rule(on(2_500)), off(2_500))
    expect(claimOf(going, true, at(3_000), at(1_000))).toBeUndefined()
    expect(going.used.on).toBe(true)
    expect(renewed(said(going, at(0)), lateMost).used.on).toBe(false)
  })
  test("who is found under a lease goes on under one, whatever the file says by now", () => {
    const found = firstRule(true)
    expect(found.used.on).toBe(true)
    const known = want(found, off(2_500))
    expect(known.used.on).toBe(true)
    expect(widthOf(known)).toBe(at(2_500))
    expect(widthOf(want(found, on(2_500)))).toBe(at(2_500))
  })
})

describe("claimOf()", () => {
  test("says nothing of a primary whose guardian has not taken a lease for a hold", () => {
    expect(claimOf(rule(on(2_500)), true, null, at(0))).toBeUndefined()
    expect(claimOf(rule(on(2_500)), true, at(2_000), at(0))).toEqual({ lease: duration(2_500) })
  })
  test("speaks for a standby, which becomes a primary under a lease only", () => {
    expect(claimOf(rule(on(2_500)), false, null, at(0))).toEqual({ lease: duration(2_500) })
  })
  test("never says less than is left of the lease in force", () => {
    const shorter = want(rule(on(9_500)), on(1_000))
    expect(claimOf(shorter, true, at(10_000), at(1_000))).toEqual({ lease: duration(9_000) })
    expect(claimOf(shorter, true, at(10_000), at(9_500))).toEqual({ lease: duration(1_000) })
  })
})

describe("leasable()", () => {
  const asker = { uid: me, boot, certificate: null }
  const primary = db("db1")
  const certificate = (word: string): Certificate => ({
    epoch: epoch(word),
    bootUUID: boot,
    dbuid: primary.uid,
    finalLSN: lsn(1n),
    reason: "",
  })
  const given = { db: primary.uid, epoch: epoch("e1") }
  test("L1 gives a lease to the primary that the view names and has not revoked", () => {
    expect(leasable(view({ dbs: [primary], epoch: "e1" }), asker)).toEqual(given)
    expect(leasable(view({ dbs: [primary], epoch: "e1", revoked: true }), asker)).toBeNull()
    expect(leasable(view({ dbs: [primary], epoch: "e1", master: "db2" }), asker)).toBeNull()
    expect(leasable(null, asker)).toBeNull()
  })
  test("gives one under a Go leader too, by its master", () => {
    expect(leasable(view({ dbs: [primary] }), asker)).toEqual({ ...given, epoch: epoch("") })
    expect(leasable(view({ dbs: [primary], master: "db2" }), asker)).toBeNull()
  })
  test("gives none to who has certified its end in this epoch, and one in the next", () => {
    const ended = { ...asker, certificate: certificate("e1") }
    expect(leasable(view({ dbs: [primary], epoch: "e1" }), ended)).toBeNull()
    expect(leasable(view({ dbs: [primary], epoch: "e2" }), ended)).not.toBeNull()
  })
  test("D-16 gives none to another run of supervision than the leader has seen", () => {
    const copy = { ...asker, boot: bootUUID("another") }
    expect(leasable(view({ dbs: [primary], epoch: "e1" }), copy)).toBeNull()
  })
})

describe("prolonged()", () => {
  const given = { db: dbUID("db1"), epoch: epoch("e1") }
  const lease = (until: number): Lease => ({ ...given, until: at(until) })
  test("L1 counts from the start of the renewal, whenever its answer came", () => {
    expect(prolonged(null, given, at(1_000), rule(on(2_500)))).toEqual(lease(3_500))
  })
  test("O1 never shortens what promises have given, and takes nothing over into another epoch", () => {
    expect(prolonged(lease(9_000), given, at(1_000), rule(on(2_500)))).toEqual(lease(9_000))
    const next = { ...given, epoch: epoch("e2") }
    expect(prolonged(lease(9_000), next, at(1_000), rule(on(2_500))).until).toBe(at(3_500))
  })
})

describe("holdOf()", () => {
  const lease: Lease = { db: dbUID("db1"), epoch: epoch("e1"), until: at(5_000) }
  const hold = (mode: FencingMode, writes: boolean, has: Lease | null, now: number) =>
    holdOf(rule(mode), writes, has, at(3_000), at(now))
  test("is the lease's end for who takes writes, and nothing after it", () => {
    expect(hold(on(2_500), true, lease, 4_000)).toEqual({ kind: "lease", until: at(5_000) })
    expect(hold(on(2_500), true, lease, 5_000)).toBeNull()
    expect(hold(on(2_500), true, null, 0)).toBeNull()
  })
  test("is failInterval from now for standbys, and for everybody where fencing is off", () => {
    expect(hold(on(2_500), false, null, 1_000)).toEqual({ kind: "free", until: at(4_000) })
    expect(hold(off(2_500), true, lease, 1_000)).toEqual({ kind: "free", until: at(4_000) })
  })
})
