/** The electable set (protocol O3, O5): agreed on with the primary, one change at a time. */
import { describe, expect, test } from "bun:test"
import { capabilities } from "#model/info.ts"
import { nonce } from "#model/ids.ts"
import { emptyMemory } from "#sentinel/memory.ts"
import { type World, fenced, world } from "./world.ts"

const { promise } = capabilities
function promising(): World {
  const w = world({ selfFencing: true }).keeper("k1", "k2", "k3").sentinel("s1")
  for (const k of w.machines.keys()) ours(w, k)
  w.sentinels.get("s1")!.says = { capabilities: [promise] }
  return w.settled()
}
const ours = (w: World, k: string): World =>
  w.set(k, { able: [promise], says: { ...w.machine(k).says, peerAddress: `${k}:1` } })
/** The primary publishes the view's set as its own. */
function acknowledge(w: World): World {
  const { electable } = w.state
  const { electable: _, ...says } = w.machine(w.primary()).says
  return w.set(w.primary(), { says: electable === undefined ? says : { ...says, electable } })
}
const set = (w: World): string[] | undefined =>
  w.state.electable?.dbs.map((uid) => w.data.dbs.get(uid)?.spec.keeperUID ?? "?").toSorted()
const rounds = (w: World, n: number): World => {
  w.ticks(n)
  return w
}
/** A set that both sides know. */
function settled(): World {
  const w = promising()
  for (let i = 0; i < 3; i++) rounds(acknowledge(w), 1)
  return w
}
const dead = (w: World): World => {
  const old = w.primary()
  w.set(old, { mute: true, says: { ...w.machine(old).says, ...fenced(2_500) } })
  return w.until(() => w.primary() !== old, 60, 200)
}

describe("the electable set", () => {
  test("holds the standbys that are well", () => {
    expect(set(settled())).toEqual(["k2", "k3"])
  })
  for (const [name, make] of [
    ["a Go sentinel", (w: World) => w.sentinel("go")],
    ["a keeper that gives none", (w: World) => w.set("k3", { able: [] })],
    ["a keeper that nobody can reach", (w: World) => w.set("k3", { says: {} })],
    ["a cluster that does not fence itself", (w: World) => w.spec({ selfFencing: false })],
  ] as const)
    test(`does not exist beside ${name} (O5)`, () => {
      const w = settled()
      make(w)
      for (let i = 0; i < 3; i++) rounds(acknowledge(w), 1)
      expect(w.state.electable).toBeUndefined()
    })
  test("goes in two steps: a primary that lives on by promises may not have heard of it (O3)", () => {
    const w = settled()
    w.sentinel("go").ticks(5)
    // what it was told before stands until it says that it asks nobody
    expect([set(w), w.state.electable!.ended]).toEqual([["k2", "k3"], true])
    w.keeper("k4").ticks(5)
    dead(w)
    expect(["k2", "k3"]).toContain(w.primary())
  })
  test("ends at once with a keeper that could ask nobody, and begins again with one that can", () => {
    const w = settled()
    w.set("k1", { able: [] }).ticks(2)
    expect(w.state.electable).toBeUndefined()
    ours(acknowledge(w), "k1")
    for (let i = 0; i < 3; i++) rounds(acknowledge(w), 1)
    expect([set(w), w.state.electable?.ended]).toEqual([["k2", "k3"], false])
  })
  test("begins again though its end was written already", () => {
    const w = settled()
    w.set("k3", { able: [] }).ticks(2)
    expect(w.state.electable!.ended).toBeTrue()
    ours(w, "k3")
    for (let i = 0; i < 3; i++) rounds(acknowledge(w), 1)
    expect([set(w), w.state.electable?.ended]).toEqual([["k2", "k3"], false])
  })
  test("changes one word at a time: the next one when the primary has taken in the last", () => {
    const w = settled()
    const { word } = w.state.electable!
    w.set("k3", { mute: true }).ticks(5)
    expect(set(w)).toEqual(["k2"])
    const second = w.state.electable!.word
    expect(second).not.toBe(word)
    w.set("k3", { mute: false }).ticks(5)
    expect([set(w), w.state.electable!.word]).toEqual([["k2"], second])
    acknowledge(w).ticks(1)
    expect(set(w)).toEqual(["k2", "k3"])
    expect(w.state.electable!.joining).toEqual([w.uid("k3")])
    acknowledge(w).ticks(1)
    expect(w.state.electable!.joining).toEqual([])
  })
  test("keeps who fell silent together with the primary, so that whoever is back can be elected", () => {
    const w = settled()
    w.set("k2", { mute: true }).set("k3", { mute: true }).tick(500)
    w.set("k1", { mute: true, says: { ...w.machine("k1").says, ...fenced(2_500) } })
    w.ticks(20, 200) // the others have failed before the primary has
    w.set("k2", { mute: false }).set("k3", { mute: false })
    w.until(() => w.primary() !== "k1", 60, 200)
    expect(w.primary()).not.toBe("k1")
  })
  test("is left by who may not be elected, and by who is paused by name", () => {
    const w = rounds(settled().set("k2", { canBeMaster: false }), 2)
    expect(set(w)).toEqual(["k3"])
  })
  test("has a new word with every promotion, which binds the new primary to nobody else", () => {
    const w = settled()
    const { word } = w.state.electable!
    dead(w)
    expect(w.state.electable!.word).not.toBe(word)
    expect(w.state.electable!.joining).toEqual([])
  })
})

describe("who is elected", () => {
  test("is in the view's set", () => {
    const w = settled().set("k3", { position: 9_000n })
    w.status({ electable: { word: nonce("newer"), dbs: [w.uid("k2")], joining: [], ended: false } })
    expect(dead(w).primary()).toBe("k2")
  })
  test("and in the one that the primary published last", () => {
    const w = rounds(settled().set("k3", { mute: true }), 5)
    acknowledge(w).tick()
    expect(set(w)).toEqual(["k2"])
    w.set("k3", { mute: false, position: 9_000n }).until(() => set(w)?.length === 2, 9)
    // the primary prolongs its lease by the promise of k2 alone, as far as anybody knows
    expect(dead(w).primary()).toBe("k2")
  })
  test("and not one who came in last, though an older info of the primary arrives late and names it", () => {
    const w = settled()
    const late = w.state.electable!
    rounds(w.set("k3", { mute: true }), 5)
    acknowledge(w).tick()
    w.set("k3", { mute: false, position: 9_000n }).until(() => set(w)?.length === 2, 9)
    w.set("k1", { says: { ...w.machine("k1").says, electable: late } }).tick()
    expect(late.dbs).toContain(w.uid("k3"))
    expect(dead(w).primary()).toBe("k2")
  })
  test("and not one who came in last, when nobody knows what the primary published", () => {
    const w = rounds(settled().set("k3", { mute: true }), 5)
    acknowledge(w).tick()
    w.set("k3", { mute: false, position: 9_000n }).until(() => set(w)?.length === 2, 9)
    w.set("k1", { alive: false }) // its info has expired
    w.memory = emptyMemory
    w.until(() => w.primary() !== "k1", 60, 500)
    expect(w.primary()).toBe("k2")
  })
  test("and when a Go leader dropped the set, in what the primary still publishes", () => {
    const w = rounds(settled().set("k3", { mute: true }), 5)
    acknowledge(w).tick()
    const { electable: _, ...status } = w.state
    w.data = { ...w.data, cluster: { ...w.data.cluster, status } }
    w.set("k3", { mute: false, position: 9_000n }).set("k1", { mute: true })
    w.until(() => w.primary() !== "k1", 60, 200)
    expect(w.primary()).toBe("k2")
  })
})

test("the first set of all binds a primary that knows of none, so whoever is in it may be elected", () => {
  const w = promising()
  const { electable: _, ...status } = w.state
  w.data = { ...w.data, cluster: { ...w.data.cluster, status } }
  w.tick(50)
  expect([set(w), w.state.electable?.joining]).toEqual([["k2", "k3"], []])
  expect(dead(w).primary()).not.toBe("k1")
})

test("a standby cluster has no set: its first takes no writes", () => {
  const w = settled()
  w.spec({ role: "standby" }).tick()
  expect(w.state.electable).toBeUndefined()
})
