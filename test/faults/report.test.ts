/**
 * What counts as a surprise: a finding in a valid row, and silence in an invalid one.
 */
import { expect, test } from "bun:test"
import type { Finding } from "./judge.ts"
import { type Row, rows } from "./matrix.ts"
import { nemeses } from "./nemeses.ts"
import { report, surprise } from "./report.ts"
import type { Outcome } from "./run.ts"

const outcome = (findings: readonly Finding[], error: string | null = null): Outcome => ({
  row: "r",
  seed: 7,
  operations: 1,
  seconds: 60,
  verdict: {
    findings,
    gaps: [],
    durability: { acknowledged: 1, unsent: 0, recovered: 0 },
    epochs: { count: 1, thawed: 0 },
  },
  error,
})
const rowWith = (invalid: Row["invalid"]): Row => {
  const [first] = rows
  if (first === undefined) throw new Error("there are no rows")
  return { ...first, invalid }
}
const lost: Finding = { rule: "lost", text: "7 is gone" }

test("surprise() is none for a valid row without findings, and one with any", () => {
  expect(surprise(rowWith(null), outcome([]))).toBe(null)
  expect(surprise(rowWith(null), outcome([lost]))).toBe("1 findings in a valid row")
})

test("surprise() is one for an invalid row that shows nothing of what it has to", () => {
  expect(surprise(rowWith(["lost"]), outcome([lost]))).toBe(null)
  expect(surprise(rowWith(["lost"]), outcome([]))).toContain("blind")
  expect(surprise(rowWith(["two writers"]), outcome([lost]))).toContain("blind")
})

test("surprise() is one for a run that broke off, valid or invalid", () => {
  expect(surprise(rowWith(null), outcome([], "no etcd"))).toBe("the run broke off: no etcd")
  expect(surprise(rowWith(["lost"]), outcome([lost], "no etcd"))).toContain("broke off")
})

test("report() names the seed, and the findings of a valid row", () => {
  const text = report(rowWith(null), outcome([lost]))
  expect(text).toContain("seed 7")
  expect(text).toContain("- lost: 7 is gone")
})

test("every row that names faults names ones that exist, and every name is there once", () => {
  const names = nemeses.map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
  expect(rows.flatMap((row) => row.nemeses ?? []).filter((name) => !names.includes(name))).toEqual(
    [],
  )
})
