/** Settings that a Go leader dropped (protocol L6). */
import { expect, test } from "bun:test"
import { fenced, world } from "./world.ts"

test("selfFencing comes back when a keeper fences itself and the specification does not say (L6)", () => {
  const w = world().keeper("k1", "k2").settled()
  w.ticks(2)
  expect(w.data.cluster.spec.selfFencing).toBeUndefined()
  w.set("k1", { says: fenced(2_500) })
  expect(w.tick()).toContain("spec.restored")
  expect(w.data.cluster.spec.selfFencing).toBe(true)
  expect(w.ticks(3)).not.toContain("spec.restored")
})

test("an explicit false is an operator's word and stays", () => {
  const w = world({ selfFencing: false }).keeper("k1", "k2").settled()
  w.set("k1", { says: fenced(2_500) }).ticks(3)
  expect(w.data.cluster.spec.selfFencing).toBe(false)
})

test("what a dead keeper once claimed restores nothing", () => {
  const w = world().keeper("k1", "k2").settled()
  w.set("k2", { says: fenced(2_500) }).tick(100, false)
  w.set("k2", { mute: true }).ticks(1, 100)
  const { selfFencing: _, ...spec } = w.data.cluster.spec
  w.ticks(6)
  w.data = { ...w.data, cluster: { ...w.data.cluster, spec } }
  w.ticks(2)
  expect(w.data.cluster.spec.selfFencing).toBeUndefined()
})
