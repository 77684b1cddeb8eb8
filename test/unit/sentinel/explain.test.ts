/** What `ctl explain` is told: the rules' own words about one look at the store. */
import { expect, test } from "bun:test"
import { keeperUID, sentinelUID } from "#model/ids.ts"
import { explanation } from "#sentinel/explain.ts"
import type { Explanation } from "#model/explain.ts"
import { type World, certify, fenced, world } from "./world.ts"

const leader = sentinelUID("s1")
const explain = (w: World): Explanation => explanation(w.data, w.infos(), leader)
const three = (): World =>
  world({ failureDetection: "evidence", selfFencing: true })
    .keeper("k1", "k2", "k3")
    .sentinel("s1", "s2")
    .proxy("p1")
    .settled()
const whyOf = (it: Explanation, keeper: string): string | null | undefined =>
  it.candidates.find((one) => one.keeper === keeperUID(keeper))?.why

test("a cluster at rest waits for nothing, and every standby may be primary", () => {
  const w = three().set("k1", { says: fenced(2_500) })
  const it = explain(w)
  expect(it.primary).toMatchObject({ keeper: "k1", state: "serving", fault: null, unready: [] })
  expect(it.candidates.map((one) => [one.keeper as string, one.why])).toEqual([
    ["k2", null],
    ["k3", null],
  ])
  expect(it.fencing).toEqual({
    wanted: true,
    lease: 2_500 as never,
    dropped: false,
    certificate: null,
  })
  expect([it.waiting, it.evidence, it.detection]).toEqual([[], [], "evidence"])
  expect(it.electable).toMatchObject({ kind: "off", why: "keeper k1 gives no promises" })
})

test("why a keeper may not be primary", () => {
  const w = three().set("k2", { canBeMaster: false }).set("k3", { alive: false })
  w.ticks(6)
  expect(whyOf(explain(w), "k2")).toBe("its keeper may not be master")
  expect(whyOf(explain(w), "k3")).toBe("its keeper is silent")
})

test("what was seen, and by whom; what a keeper has said since voids it", () => {
  const w = three().set("k1", { mute: true })
  w.tick(10)
  for (const k of ["k2", "k3"]) w.set(k, { streaming: false })
  const found = { keeper: keeperUID("k1"), infoUID: w.wordOf("k1") }
  w.sentinels.get("s2")!.says = { evidence: [{ ...found, peer: "refused", postgres: "refused" }] }
  const seen = explain(w)
  expect(seen.evidence.map((one) => one.kind)).toEqual(["doors", "stream", "stream"])
  expect(seen.evidence[0]).toMatchObject({ sentinel: "s2", current: true })
  const later = explain(w.set("k1", { mute: false }))
  expect(later.evidence[0]).toMatchObject({ kind: "doors", current: false })
})

test("what is waited for between two primaries: the end of the old one, then the standbys", () => {
  const w = three().set("k1", { says: fenced(60_000) })
  w.forceFail("k1").until(() => w.revoked(), 2, 20)
  expect(explain(w).primary?.state).toBe("revoked")
  expect(explain(w).waiting).toEqual([
    "the end of k1's PostgreSQL: its word, or the end of its lease (60000 ms)",
  ])
  w.set("k1", { postgres: false, certificate: certify(w, "k1"), says: {} })
  expect(explain(w).waiting).toEqual(["the last words of the standbys"])
  expect(explain(w).fencing.certificate?.reason).toBe("revoked")
})

test("that a Go leader dropped the setting which the keepers keep to (L6)", () => {
  const w = three().set("k1", { says: fenced(2_500) })
  const { selfFencing: _, ...spec } = w.data.cluster.spec
  w.data = { ...w.data, cluster: { ...w.data.cluster, spec } }
  expect(explain(w).fencing).toMatchObject({ wanted: null, dropped: true })
})
