/**
 * The checker against histories made by hand: what it must find, and what it may not complain
 * about. And against a search: in small histories of a correct store, whatever the order of events,
 * nothing is found; and losing, repeating or moving any one acknowledged append always is.
 */
import { describe, expect, test } from "bun:test"
import { byNumber } from "#base/order.ts"
import { generator } from "#base/random.ts"
import { check } from "./checker.ts"
import { findCycles } from "./cycles.ts"
import type { Action, Fault, Lists, Operation } from "./history.ts"
import type { Evidence, Promises, Rule } from "./judge.ts"

const strict: Promises = { synchronous: true, writers: "any" }
const loose: Promises = { synchronous: false, writers: "any" }

/** An operation that took from `at` to `at + 2` and sent its COMMIT in between. */
function op(at: number, actions: readonly Action[], more: Partial<Operation> = {}): Operation {
  return {
    client: "1pr",
    node: 1,
    via: "proxy",
    level: "read committed",
    start: at,
    begun: true,
    sent: at + 1,
    end: at + 2,
    outcome: "ok",
    cancelled: false,
    server: "A",
    system: "s",
    timeline: 1,
    recovery: false,
    actions,
    ...more,
  }
}
const append = (key: number, value: number, position: number | null = null): Action => ({
  kind: "append",
  key,
  value,
  position,
})
const read = (key: number, ...values: readonly number[]): Action => ({
  kind: "read",
  key,
  values: [...values],
})

function fault(more: Partial<Fault> = {}): Fault {
  return {
    name: "isolate primary",
    primary: "A",
    nodes: [1],
    ledStore: false,
    proxiesOut: [],
    mayLose: ["A"],
    smooth: false,
    thaws: false,
    struck: 5_000,
    healed: 6_000,
    whole: 7_000,
    bound: null,
    note: "",
    ...more,
  }
}

interface Case extends Partial<Omit<Evidence, "history" | "final">> {
  readonly history: readonly Operation[]
  readonly final: Readonly<Record<number, readonly number[]>>
}

const verdictOf = ({ history, final, promises = strict, faults = [] }: Case) => {
  const lists: Lists = new Map(Object.entries(final).map(([key, values]) => [Number(key), values]))
  return check({ promises, history, final: lists, faults })
}
const rulesOf = (it: Case): readonly Rule[] => verdictOf(it).findings.map(({ rule }) => rule)

describe("durability() finds", () => {
  test("nothing when everything acknowledged is there in the order it was told", () => {
    const history = [op(1, [append(1, 10, 1)]), op(4, [read(1, 10), append(1, 11, 2)])]
    expect(rulesOf({ history, final: { 1: [10, 11] } })).toEqual([])
  })

  test("an acknowledged append that is gone", () => {
    expect(rulesOf({ history: [op(1, [append(1, 10, 1)])], final: {} })).toEqual(["lost"])
  })

  test("nothing when an append is gone whose wait was cancelled, or whose answer never came", () => {
    const history = [
      op(1, [append(1, 10, 1)], { cancelled: true }),
      op(2, [append(1, 11, 2)], { outcome: "unknown" }),
      op(3, [append(1, 12, 3)], { outcome: "fail" }),
    ]
    expect(rulesOf({ history, final: {} })).toEqual([])
  })

  test("an append that is there twice, in one list or in two", () => {
    const history = [op(1, [append(1, 10, 1)])]
    expect(rulesOf({ history, final: { 1: [10, 10] } })).toContain("duplicate")
    expect(rulesOf({ history, final: { 1: [10], 2: [10] } })).toContain("duplicate")
  })

  test("a failed transaction's append that is there, and one that nobody made", () => {
    const failed = [op(1, [append(1, 10, 1)], { outcome: "fail", sent: null })]
    expect(rulesOf({ history: failed, final: { 1: [10] } })).toEqual(["phantom"])
    expect(rulesOf({ history: [], final: { 1: [10] } })).toEqual(["phantom"])
  })

  test("nothing when an unknown append is there, and counts it", () => {
    const history = [op(1, [append(1, 10)], { outcome: "unknown" })]
    const verdict = verdictOf({ history, final: { 1: [10] } })
    expect(verdict.findings).toEqual([])
    expect(verdict.durability).toEqual({ acknowledged: 0, unsent: 0, recovered: 1 })
  })

  test("an append at another place than it was told", () => {
    const history = [op(1, [append(1, 10, 1)]), op(2, [append(1, 11, 2)])]
    expect(rulesOf({ history, final: { 1: [11, 10] } })).toEqual(["order", "order"])
  })

  test("a read that is no prefix of the end", () => {
    const appends = [op(1, [append(1, 10)]), op(2, [append(1, 11)])]
    const final = { 1: [10, 11] }
    expect(rulesOf({ history: [...appends, op(4, [read(1, 11)])], final })).toEqual(["order"])
    expect(rulesOf({ history: [...appends, op(4, [read(1, 10)])], final })).toEqual([])
  })

  test("a read of an append that then vanished, on a synchronous primary and nowhere else", () => {
    const history = (recovery: boolean): readonly Operation[] => [
      op(1, [append(1, 10)], { outcome: "unknown" }),
      op(4, [read(1, 10)], { recovery }),
    ]
    expect(rulesOf({ history: history(false), final: {} })).toEqual(["order"])
    expect(rulesOf({ history: history(true), final: {} })).toEqual([])
    expect(rulesOf({ history: history(false), final: {}, promises: loose })).toEqual([])
  })

  test("nothing when a commit was read whose wait had been cancelled, and then vanished", () => {
    const history = [op(1, [append(1, 10, 1)], { cancelled: true }), op(4, [read(1, 10)])]
    expect(rulesOf({ history, final: {} })).toEqual([])
    const both = [...history, op(6, [append(1, 11, 2)])]
    expect(rulesOf({ history: both, final: { 1: [11] } })).toEqual(["order"])
  })

  test("in an asynchronous row a lost value that comes back later than one that stayed", () => {
    const history = [
      op(1, [append(1, 10)], { outcome: "unknown" }),
      op(2, [append(1, 11)], { outcome: "unknown" }),
      op(4, [read(1, 10, 11)]),
    ]
    expect(rulesOf({ history, final: { 1: [11] }, promises: loose })).toEqual(["order"])
  })

  test("asynchronous loss around a fault of that primary is counted, any other is a finding", () => {
    const at = (end: number, server: string): Case => ({
      history: [op(end - 2, [append(1, 10, 1)], { server })],
      final: {},
      promises: loose,
      faults: [fault()],
    })
    expect(verdictOf(at(4_900, "A")).durability.unsent).toBe(1)
    expect(rulesOf(at(4_900, "A"))).toEqual([])
    expect(rulesOf(at(4_900, "B"))).toEqual(["lost"])
    expect(rulesOf(at(1_000, "A"))).toEqual(["lost"])
    expect(rulesOf(at(7_500, "A"))).toEqual(["lost"])
    expect(rulesOf({ ...at(4_900, "A"), faults: [fault({ mayLose: [] })] })).toEqual(["lost"])
    expect(rulesOf({ ...at(4_900, "A"), promises: strict })).toEqual(["lost"])
  })
})

test("check() takes a final state that nobody could read as a finding, and judges the rest", () => {
  const b = { server: "B", timeline: 2 }
  const history = [op(1, [append(1, 1)]), op(10, [append(1, 2)], b), op(20, [append(1, 3)])]
  const { findings } = check({ promises: strict, history, final: null, faults: [] })
  expect(findings.map(({ rule }) => rule)).toEqual(["not whole", "two writers"])
})

describe("epochs() finds", () => {
  const one = (at: number, more: Partial<Operation> = {}): Operation =>
    op(at, [append(1, at)], { outcome: "ok", ...more })
  const rules = (history: readonly Operation[], more: Partial<Case> = {}): readonly Rule[] => {
    const final = {
      1: history.flatMap(({ actions }) => actions.map((it) => ("value" in it ? it.value : 0))),
    }
    return rulesOf({ history, final, ...more })
  }
  const b = { server: "B", timeline: 2 }

  test("nothing when one ends before the next begins", () => {
    expect(rules([one(1), one(5), one(10, b), one(15, b)])).toEqual([])
  })

  test("an old primary that was asked after the new one had answered, and answered", () => {
    expect(rules([one(1), one(10, b), one(20)])).toEqual(["two writers"])
  })

  test("nothing when the old one's answer came late but was asked for before", () => {
    expect(rules([one(1), one(10, b), one(9, { end: 500 })])).toEqual([])
  })

  test("two that take turns on the same timeline, not one after the other", () => {
    const same = { server: "B", timeline: 1 }
    expect(rules([one(1), one(10, same), one(20), one(30, same)])).toEqual(["two writers"])
    expect(rules([one(1), one(5), one(10, same), one(20, same)])).toEqual([])
  })

  test("another database altogether", () => {
    expect(rules([one(1), one(5, { system: "t" })])).toEqual(["two writers"])
  })

  test("direct clients of an old primary only where everybody counts", () => {
    const history = [one(1), one(10, b), one(20, { via: "direct" })]
    expect(rules(history)).toEqual(["two writers"])
    expect(rules(history, { promises: { synchronous: true, writers: "proxied" } })).toEqual([])
  })

  test("the limit of N1 counted for direct clients at a thaw, and for nobody else", () => {
    const faults = [fault({ thaws: true, mayLose: [] })]
    const late = (more: Partial<Operation>): readonly Operation[] => [
      one(1),
      one(10, b),
      one(6_100, more),
    ]
    const thawed = { promises: loose, faults }
    expect(rules(late({ via: "direct" }), thawed)).toEqual([])
    expect(rules(late({ via: "proxy" }), thawed)).toEqual(["two writers"])
    expect(rules(late({ via: "direct" }), { promises: strict, faults })).toEqual(["two writers"])
    expect(rules([one(1), one(10, b), one(6_900, { via: "direct" })], thawed)).toEqual([
      "two writers",
    ])
  })
})

describe("cycles() finds", () => {
  test("two transactions that read each other's appends", () => {
    const history = [op(1, [read(2, 20), append(1, 10, 1)]), op(1, [read(1, 10), append(2, 20, 1)])]
    expect(rulesOf({ history, final: { 1: [10], 2: [20] } })).toEqual(["cycle"])
  })

  test("write skew of serializable transactions, and allows it at read committed", () => {
    const history = (level: Operation["level"]): readonly Operation[] => [
      op(1, [read(2), append(1, 10, 1)], { level }),
      op(1, [read(1), append(2, 20, 1)], { level }),
    ]
    const final = { 1: [10], 2: [20] }
    expect(rulesOf({ history: history("serializable"), final })).toEqual(["cycle"])
    expect(rulesOf({ history: history("read committed"), final })).toEqual([])
  })

  test("exactly the members that reachability says, on every graph of four", () => {
    const pairs = [0, 1, 2, 3].flatMap((a) =>
      [0, 1, 2, 3].flatMap((c) => (a === c ? [] : [[a, c] as const])),
    )
    for (let bits = 0; bits < 1 << pairs.length; bits++) {
      const chosen = pairs.filter((_, i) => (bits & (1 << i)) !== 0)
      const edges = new Map(
        [0, 1, 2, 3].map(
          (a) => [a, new Set(chosen.filter(([from]) => from === a).map(([, to]) => to))] as const,
        ),
      )
      const reach = (a: number): ReadonlySet<number> => {
        const seen = new Set<number>()
        const visit = (at: number): void => {
          for (const next of edges.get(at) ?? []) if (!seen.has(next)) visit((seen.add(next), next))
        }
        visit(a)
        return seen
      }
      const cyclic = [0, 1, 2, 3].filter((a) => reach(a).has(a))
      if (findCycles(edges).flat().toSorted(byNumber).join() !== cyclic.join())
        throw new Error(`edges ${chosen.join(" ")}`)
    }
  })
})

describe("gaps() finds", () => {
  const writes = (node: number, ...ends: readonly number[]): readonly Operation[] =>
    ends.map((end) =>
      op(end - 2, [append(1, end * 10 + node)], { node, outcome: "ok", cancelled: false }),
    )
  const judged = (history: readonly Operation[], faults: readonly Fault[]) => {
    const final = {
      1: history.flatMap(({ actions }) => actions.map((it) => ("value" in it ? it.value : 0))),
    }
    return verdictOf({ history, final, faults })
  }
  const steady = Array.from({ length: 40 }, (_, i) => 4_000 + i * 100)

  test("the longest time without a write between a fault and the whole cluster", () => {
    const history = writes(1, ...steady.filter((at) => at < 5_050 || at > 6_200))
    const { gaps } = judged(history, [fault({ bound: 2_000 })])
    expect(gaps.map(({ ms, node }) => ({ ms, node }))).toEqual([{ ms: 1_300, node: 1 }])
  })

  test("one proxy's silence behind the others' writes, unless it may be silent", () => {
    const history = [...writes(1, ...steady), ...writes(2, 4_000, 7_900)]
    const bound = { bound: 500 }
    expect(judged(history, [fault(bound)]).findings.map(({ rule }) => rule)).toEqual(["gap"])
    expect(judged(history, [fault({ ...bound, proxiesOut: [2] })]).findings).toEqual([])
  })

  test("a begun transaction that failed for a planned switchover, and no other failure", () => {
    const failed = (more: Partial<Operation>): readonly Operation[] => [
      ...writes(1, ...steady),
      op(5_500, [], { outcome: "fail", sent: null, error: "57P01", ...more }),
    ]
    const rules = (more: Partial<Operation>, smooth = true): readonly Rule[] =>
      judged(failed(more), [fault({ smooth })]).findings.map(({ rule }) => rule)
    expect(rules({})).toEqual(["aborted"])
    expect(rules({}, false)).toEqual([])
    expect(rules({ begun: false })).toEqual([])
    expect(rules({ error: "40001" })).toEqual([])
    expect(rules({ via: "direct" })).toEqual([])
    expect(rules({ end: 8_000 })).toEqual([])
  })

  test("a cluster that was never whole again", () => {
    const rules = judged(writes(1, ...steady), [fault({ whole: null })]).findings.map(
      ({ rule }) => rule,
    )
    expect(rules).toEqual(["not whole"])
  })
})

describe("check() on random histories of one correct server", () => {
  /** Transactions one after the other, with answers that are late or lost. */
  function correct(seed: number): Case & { readonly acknowledged: readonly number[] } {
    const random = generator(seed)
    const lists = new Map<number, number[]>()
    const history: Operation[] = []
    const acknowledged: number[] = []
    for (let i = 1; i <= 30; i++) {
      const key = random.below(3)
      const list = lists.get(key) ?? []
      const level = random.below(2) === 0 ? "serializable" : "read committed"
      const outcome = (["ok", "ok", "unknown", "fail"] as const)[random.below(4)] ?? "ok"
      const happens = outcome === "ok" || (outcome === "unknown" && random.below(2) === 0)
      const actions = [
        read(key, ...list),
        append(key, i, outcome === "ok" ? list.length + 1 : null),
      ]
      if (happens) lists.set(key, [...list, i])
      if (outcome === "ok") acknowledged.push(i)
      history.push(op(i * 10, actions, { level, outcome, end: i * 10 + 2 + random.below(50) }))
    }
    return { history, final: Object.fromEntries(lists), acknowledged }
  }
  const changed = (it: Case, change: (list: readonly number[]) => readonly number[]): Case => ({
    ...it,
    final: Object.fromEntries(Object.entries(it.final).map(([key, list]) => [key, change(list)])),
  })

  test("finds nothing, and finds every loss, repetition and exchange of an acknowledged append", () => {
    for (let seed = 1; seed <= 60; seed++) {
      const it = correct(seed)
      expect({ seed, rules: rulesOf(it) }).toEqual({ seed, rules: [] })
      for (const value of it.acknowledged) {
        const without = changed(it, (list) => list.filter((each) => each !== value))
        const twice = changed(it, (list) => (list.includes(value) ? [...list, value] : list))
        const first = changed(it, (list) =>
          list.indexOf(value) > 0 ? [value, ...list.filter((each) => each !== value)] : list,
        )
        expect(rulesOf(without)).toContain("lost")
        expect(rulesOf(twice)).toContain("duplicate")
        if (JSON.stringify(first.final) !== JSON.stringify(it.final))
          expect(rulesOf(first)).toContain("order")
      }
    }
  })
})
