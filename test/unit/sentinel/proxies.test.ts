/** Which proxies count as active (reference 5.4, P1 and P2; the proxy scenarios of 11.1). */
import { describe, expect, test } from "bun:test"
import { emptyMemory, interrupt } from "#sentinel/memory.ts"
import { type World, world } from "./world.ts"

const one = (): World => world().keeper("k1", "k2").proxy("p1").settled()
const enabled = (w: World): readonly string[] => w.data.proxy.spec.enabledProxies
/** It speaks once more, as Go's or as ours, and hangs: its last word stays in the store. */
function freeze(w: World, bounded: boolean): World {
  const proxy = w.proxies.get("p1")!
  proxy.bounded = bounded
  w.tick()
  proxy.frozen = true
  return w
}

describe("a proxy", () => {
  test("11.1/proxy that is new is active at once", () => {
    const w = one().proxy("p2")
    w.tick()
    expect(enabled(w)).toEqual(["p1", "p2"])
  })
  test("11.1/proxy of Go that publishes nothing new is inactive after twice its timeout", () => {
    const w = freeze(one(), false)
    w.ticks(6)
    expect(enabled(w)).toEqual(["p1"])
    w.tick()
    expect(enabled(w)).toEqual([])
  })
  test("that is ours is inactive soon after its timeout, by which it goes itself", () => {
    const w = freeze(one(), true)
    w.ticks(3)
    expect(enabled(w)).toEqual(["p1"])
    w.tick()
    expect(enabled(w)).toEqual([])
  })
  test("11.1/proxy whose key is gone is forgotten, and active again when it is back", () => {
    const w = one()
    w.proxies.get("p1")!.alive = false
    w.tick()
    expect(enabled(w)).toEqual([])
    w.proxies.get("p1")!.alive = true
    w.tick()
    expect(enabled(w)).toEqual(["p1"])
  })
  test("counts as active for a leader that has just come, until it is proven stale (P2)", () => {
    const w = freeze(one(), false)
    w.ticks(5)
    w.memory = emptyMemory
    w.ticks(6)
    expect(enabled(w)).toEqual(["p1"])
    w.ticks(2)
    expect(enabled(w)).toEqual([])
  })
  test("P6 whose key expired in an outage of the store keeps its sessions for its timeout", () => {
    const w = one()
    const proxy = w.proxies.get("p1")!
    proxy.bounded = true
    w.ticks(2)
    w.memory = interrupt(w.memory)
    proxy.alive = false
    w.ticks(3)
    expect(enabled(w)).toEqual(["p1"])
    w.ticks(2)
    expect(enabled(w)).toEqual([])
  })
  test("P6 keeps them, too, when the first look after the outage finds words from before it", () => {
    const w = one()
    const proxy = w.proxies.get("p1")!
    proxy.bounded = true
    w.ticks(2)
    w.memory = interrupt(w.memory)
    w.tick() // something new, that may have been said while nobody could read it
    proxy.alive = false
    w.ticks(3)
    expect(enabled(w)).toEqual(["p1"])
    w.ticks(2)
    expect(enabled(w)).toEqual([])
  })
})
