/** What the page about fault runs says of results, and that it flatters nothing. */
import { expect, test } from "bun:test"
import type { Fault } from "./history.ts"
import type { Finding } from "./judge.ts"
import type { Outcome } from "./run.ts"
import { type Run, recorded, refreshed, runOf, summary } from "./summary.ts"

const fault = (more: Partial<Fault> = {}): Fault => ({
  name: "isolate primary",
  primary: "10.99.0.1",
  nodes: [1],
  ledStore: false,
  proxiesOut: [1],
  mayLose: [],
  smooth: false,
  thaws: false,
  struck: 1_000,
  healed: 9_000,
  whole: 10_000,
  bound: 3_000,
  note: "",
  ...more,
})
const outcome = (
  row: string,
  ms: number,
  more: Partial<Fault> = {},
  findings: readonly Finding[] = [],
): Run => {
  const it: Outcome = {
    row,
    seed: 7,
    operations: 100,
    seconds: 120,
    verdict: {
      findings,
      gaps: [{ fault: fault(more), ms, node: 2 }],
      durability: { acknowledged: 50, unsent: 4, recovered: 0 },
      epochs: { count: 1, thawed: 0 },
    },
    error: null,
  }
  return runOf(it, "c0ffee0")
}

test("summary() shows the longest gap of each kind by row, with how often it struck", () => {
  const text = summary([outcome("async", 1_234), outcome("async", 2_345), outcome("sync1", 900)])
  expect(text).toContain("| fault | async | sync1 |")
  expect(text).toContain("| isolate primary | 2.3 (2) | 0.9 (1) |")
  expect(text).toContain("| async | 2 | 4.0 | 2 | 200 | 100 | 0, and 8 not sent | valid |")
})

test("summary() counts faults that took the leading etcd member along by themselves", () => {
  const text = summary([
    outcome("async", 100),
    outcome("async", 5_000, { ledStore: true, bound: null }),
  ])
  expect(text).toContain("| isolate primary | 0.1 (1) |")
  expect(text).toContain("| isolate primary, with the leading etcd member | 5.0 (1) |")
})

test("summary() marks a gap beyond its bound, a cluster that stayed broken, and findings", () => {
  const text = summary([
    outcome("sync1", 4_000, { whole: null }, [{ rule: "lost", text: "7 is gone" }]),
  ])
  expect(text).toContain("4.0 (1) **late** **not whole**")
  expect(text).toContain("| 1 | 1 findings in a valid row (seed 7) |")
})

test("summary() leaves gaps of rows that must come out invalid out, and says how those came out", () => {
  const text = summary([
    outcome("async", 100),
    outcome("invalid-isolated", 60_000, {}, [{ rule: "two writers", text: "two" }]),
  ])
  expect(text).not.toContain("60.0")
  expect(text).toContain("invalid, as it must: two writers")
})

test("refreshed() replaces what was measured before and nothing else", () => {
  const page = refreshed("# Faults\n", "first")
  expect(page).toContain("# Faults\n\n<!-- measured")
  const next = refreshed(`${page}after\n`, "second")
  expect(next).not.toContain("first")
  expect(next).toContain("second")
  expect(next.startsWith("# Faults\n")).toBe(true)
  expect(next.endsWith("after\n")).toBe(true)
})

test("recorded() adds what is new by row and seed, and never touches what was recorded", () => {
  const old = outcome("async", 100)
  const again = { ...outcome("async", 5_000), commit: "another" }
  const other = outcome("sync1", 100)
  expect(recorded([old], [again, other])).toEqual([old, other])
  const [line] = recorded([], [outcome("async", 1_234, { whole: null })])
  expect(line).toMatchObject({
    ...{ commit: "c0ffee0", faults: 1, acknowledged: 50, unsent: 4, wrong: null },
    gaps: [{ kind: "isolate primary", times: 1, worstMs: 1_234, late: 0, broken: 1 }],
  })
})
