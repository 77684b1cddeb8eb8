/**
 * The bench of failovers, as far as it computes: tables that people quote must not mix up a cell.
 */
import { expect, test } from "bun:test"
import { entriesOf } from "#test/bench/failover/journal.ts"
import { type Results, markers, refreshed } from "#test/bench/failover/report.ts"
import { medians } from "#test/bench/failover/timeline.ts"

const run = (lane: string, fault: string, gapMs: number, lost = 0): Results["runs"][number] => ({
  ...{ lane, fault, run: 1, gapMs, lost, acknowledged: 100, failed: 1, told: 2, refused: 3 },
  ...{ troubles: {}, wholeAgainMs: 1, load: 0.5 },
})
const results: Results = {
  date: "2026-01-02T03:04:05.000Z",
  seed: 1,
  command: "make bench-failover RUNS=3",
  machine: ["2 cores"],
  lanes: [
    { id: "p", title: "Patroni", family: "patroni", settings: "ttl 30", notes: [] },
    { id: "o", title: "ours", family: "ours", settings: "defaults", notes: ["Made by hand"] },
  ],
  runs: [
    run("p", "node-killed", 30_000),
    run("p", "node-killed", 34_000, 1),
    run("p", "node-killed", 31_000),
    run("o", "node-killed", 400),
    run("o", "leader-killed", 2_500),
  ],
  failures: [{ lane: "o", fault: "switchover", run: 2, why: "it did\nnot settle" }],
}
const { table, steps } = markers
const page = [
  ...["# Title", table.begin, "previous table", table.end],
  ...["between", steps.begin, "previous steps", steps.end, "rest", ""],
].join("\n")

test("refreshed() replaces what stands between the markers, and nothing else", () => {
  const text = refreshed(page, results)
  expect(text.startsWith(`# Title\n${table.begin}\n`)).toBe(true)
  expect(text).toContain(`\n${table.end}\nbetween\n${steps.begin}\n`)
  expect(text.endsWith(`\n${steps.end}\nrest\n`)).toBe(true)
  expect(text).not.toContain("previous")
  expect(refreshed(text, results)).toBe(text)
})

test("refreshed() refuses a page without markers", () => {
  expect(() => refreshed("# Title\n", results)).toThrow("no <!-- bench-failover: begin -->")
})

test("refreshed() gives median and worst, in parentheses what was measured for another row", () => {
  const lines = refreshed(page, results).split("\n")
  const rows = lines.filter((line) => line.startsWith("| node") || line.startsWith("| the same"))
  expect(rows).toEqual([
    "| node killed: keeper and PostgreSQL, guardian alive | 31.00 / 34.00 | 0.40 / 0.40 |",
    "| node killed, guardian too, host alive | (31.00 / 34.00) | – |",
    "| the same with the leader sentinel on it | (31.00 / 34.00) | 2.50 / 2.50 |",
    "| node killed: keeper and PostgreSQL, guardian alive | 3 / 6 / 9 / 1 | 1 / 2 / 3 / 0 |",
    "| node killed, guardian too, host alive | (3 / 6 / 9 / 1) | – |",
    "| the same with the leader sentinel on it | (3 / 6 / 9 / 1) | 1 / 2 / 3 / 0 |",
  ])
  expect(lines).toContain("- Made by hand.")
  expect(lines).toContain("- No number from o, switchover, run 2: it did not settle")
})

test("entriesOf() reads events and passes over what is none", () => {
  const line = JSON.stringify({
    ...{ time: "2026-01-02T03:04:05.678Z", level: "warn", component: "sentinel/primary.deposed" },
    ...{ message: "told", db: "d1" },
  })
  const [entry, ...others] = entriesOf(`LOG: from PostgreSQL\n${line}\n{"half": `)
  expect(others).toEqual([])
  expect(entry).toMatchObject({ component: "sentinel", code: "primary.deposed", message: "told" })
  expect(entry?.fields["db"]).toBe("d1")
  expect(entry?.time).toBe(Date.parse("2026-01-02T03:04:05.678Z"))
})

test("medians() lists steps as they happened, and says which not every run took", () => {
  const timed = (timeline: Readonly<Record<string, number>>) => ({
    lane: "o",
    fault: "f",
    timeline,
  })
  const text = medians([
    timed({ "leader: fenced": 30, "leader: deposed (W1 written)": 10 }),
    timed({ "leader: deposed (W1 written)": 20 }),
  ])
  expect(text.split("\n")).toEqual([
    "o, f",
    "     15 ms  +     15 ms  leader: deposed (W1 written)",
    "     30 ms  +     15 ms  leader: fenced  in 1 of 2",
    "",
  ])
})

test("refreshed() shows of each step the median of the runs that took it, if half of them did", () => {
  const timed = (timeline: Readonly<Record<string, number>>) => ({
    ...run("o", "node-killed", 400),
    timeline,
  })
  const runs = [
    timed({ "leader: deposed (W1 written)": 10, "leader: fenced": 70 }),
    timed({ "leader: deposed (W1 written)": 20, "proxy forwards": 80 }),
    timed({ "leader: deposed (W1 written)": 40, "proxy forwards": 90 }),
  ]
  const lines = refreshed(page, { ...results, runs }).split("\n")
  expect(lines.slice(lines.indexOf(steps.begin) + 1, lines.indexOf(steps.end))).toEqual([
    "| o, ms since the fault | node-killed |",
    "|---|---|",
    "| leader: deposed (W1 written) | 20 |",
    "| proxy forwards | 85 |",
  ])
})
