/**
 * The bench of proxies, as far as it computes: what it reads from pgbench and the kernel, and the
 * tables that people quote.
 */
import { expect, test } from "bun:test"
import { isReady } from "#test/bench/proxy/crowd.ts"
import { rollup, together } from "#test/bench/proxy/family.ts"
import { goals } from "#test/bench/proxy/goals.ts"
import { latencies, summaryOf } from "#test/bench/proxy/pgbench.ts"
import { markers, refreshed } from "#test/bench/proxy/report.ts"
import { type Results, medianOf, ratioOf } from "#test/bench/proxy/results.ts"
import type { RowId } from "#test/bench/proxy/table.ts"
import { quantile } from "#test/bench/failover/tools.ts"

const summary = (...rates: readonly string[]): string =>
  [
    "pgbench (15.18 (Debian 15.18-0+deb12u1))",
    "transaction type: <builtin: select only>",
    "number of clients: 8",
    "number of transactions actually processed: 41234",
    "number of failed transactions: 0 (0.000%)",
    "latency average = 0.190 ms",
    ...rates,
  ].join("\n")

test("summaryOf() takes the rate without the first connections", () => {
  const own = [
    "initial connection time = 5.1 ms",
    "tps = 42011.5 (without initial connection time)",
  ]
  expect(summaryOf(summary(...own), false)).toEqual({ tps: 42_011.5, transactions: 41_234 })
})

test("summaryOf() takes the rate with connecting where every transaction connects", () => {
  const own = ["average connection time = 2.0 ms", "tps = 391.2 (including reconnection times)"]
  expect(summaryOf(summary(...own), true).tps).toBe(391.2)
})

test("summaryOf() tells the two rates of version 13 apart", () => {
  const both = [
    "tps = 380.1 (including connections establishing)",
    "tps = 900.2 (excluding connections establishing)",
  ]
  const rates = [true, false].map((connects) => summaryOf(summary(...both), connects).tps)
  expect(rates).toEqual([380.1, 900.2])
})

test("summaryOf() refuses a run with failed transactions, and what is no summary", () => {
  const failed = summary("tps = 1.0 (without initial connection time)").replace(": 0 (", ": 3 (")
  expect(() => summaryOf(failed, false)).toThrow("3 transactions of pgbench failed")
  expect(() => summaryOf("pgbench: error", false)).toThrow("not pgbench's summary")
})

test("latencies() gives the milliseconds of each line of a log", () => {
  const log = "0 199 2241 0 1175850568 995598\n7 200 513 0 1175850568 998079\n"
  expect(latencies(log)).toEqual([2.241, 0.513])
})

test("latencies() refuses a transaction that failed or was skipped", () => {
  expect(() => latencies("0 1 skipped 0 1175850568 995598\n")).toThrow("without a time")
})

test("quantile() gives the middle, the hundredth and the greatest", () => {
  const numbers = Array.from({ length: 1000 }, (_, i) => 1000 - i)
  expect([0.5, 0.99, 1].map((share) => quantile(numbers, share))).toEqual([501, 991, 1000])
})

test("together() counts what processes of one proxy share once", () => {
  const text = (own: number, shared: number, pss: number): string =>
    [
      "00400000-7ffc [rollup]",
      ...["Rss:            9999 kB", `Pss:            ${pss} kB`, "Pss_Dirty:      77 kB"],
      ...[`Shared_Clean:   ${shared} kB`, "Shared_Dirty:   1024 kB"],
      ...["Private_Clean:  0 kB", `Private_Dirty:  ${own} kB`, ""],
    ].join("\n")
  const all = [text(10_240, 30_720, 20_480), text(5_120, 29_696, 15_360)].map(rollup)
  expect(together(all)).toEqual({ alone: 10 + 5 + 31, pss: 20 + 15 })
  expect(() => rollup("Rss: 1 kB\n")).toThrow("no Private_Clean")
})

test("isReady() knows ReadyForQuery by its last six bytes", () => {
  const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1")
  expect(isReady(bytes("Z\0\0\0\x05I"))).toBe(true)
  expect(isReady(bytes("\0Z\0\0\0\x05T").subarray(1))).toBe(true)
  expect(isReady(bytes("Z\0\0\0\x05"))).toBe(false)
  expect(isReady(bytes("K\0\0\0\x0cI"))).toBe(false)
})

const sample = (
  row: RowId,
  lane: string,
  run: number,
  numbers: Readonly<Record<string, number>>,
): Results["samples"][number] => ({ row, lane, run, load: 0.5, numbers: { ...numbers } })

const resultsOf = (...samples: Results["samples"]): Results => ({
  ...{ date: "2026-01-02T03:04:05.000Z", seed: 1, command: "make bench-proxy RUNS=3" },
  machine: ["2 cores", "PgBouncer 1.18.0"],
  scale: {
    ...{ seconds: 10, copyMegabytes: 2000, idle: 8000, idlePostgres: 1000, readers: 20 },
    connections: 1_000_000,
  },
  lanes: [
    { id: "direct", title: "direct", settings: "no proxy" },
    { id: "haproxy-1", title: "HAProxy", settings: "`nbthread 1`" },
    { id: "pgbouncer", title: "PgBouncer", settings: "session" },
    { id: "ours-1", title: "ours", settings: "defaults" },
  ],
  samples,
  failures: [{ lane: "pgbouncer", row: "copy-in", run: 2, why: "it did\nnot start" }],
})

const results = resultsOf(
  sample("select-8", "direct", 1, { tps: 30_000, p50: 0.2, p99: 1 }),
  sample("select-8", "haproxy-1", 1, { tps: 20_000, p50: 0.4, p99: 2, cpu: 15 }),
  sample("select-8", "haproxy-1", 2, { tps: 10_000, p50: 0.8, p99: 4, cpu: 16 }),
  sample("select-8", "haproxy-1", 3, { tps: 22_000, p50: 0.4, p99: 2, cpu: 15 }),
  sample("select-8", "ours-1", 1, { tps: 22_000, p50: 0.3, p99: 1, cpu: 14 }),
  sample("select-8", "ours-1", 2, { tps: 11_500, p50: 0.7, p99: 3, cpu: 14 }),
  sample("select-8", "ours-1", 4, { tps: 90_000, p50: 0.1, p99: 1, cpu: 14 }),
  sample("slow-reader", "haproxy-1", 1, { peak: 15, grown: 0.1, late: 0 }),
  sample("slow-reader", "ours-1", 1, { peak: 60, grown: 10, late: 0.2 }),
)

test("ratioOf() compares within rounds, and only where both were measured", () => {
  const cell = { row: "select-8", metric: "tps" }
  expect(ratioOf(results, "ours-1", "haproxy-1", cell)).toBeCloseTo((1.1 + 1.15) / 2, 10)
  expect(ratioOf(results, "pgbouncer", "haproxy-1", cell)).toBeNull()
  expect(medianOf(results, "ours-1", cell)).toBe(22_000)
  expect(medianOf(results, "pgbouncer", cell)).toBeNull()
})

const page = ["# Title", markers.begin, "previous table", markers.end, "rest", ""].join("\n")

test("refreshed() gives median, spread and ratio of every number, lane by lane", () => {
  const lines = refreshed(page, results).split("\n")
  expect(lines.filter((line) => /^\| .*[↑↓] \|/.test(line))).toEqual([
    "| select-only, prepared, 8 clients | transactions/s ↑ | 30,000 ×1.50 | " +
      "20,000 (10,000–22,000) | – | 22,000 (11,500–90,000) ×1.13 |",
    "|  | p50, ms ↓ | 0.200 ×0.50 | 0.400 (0.400–0.800) | – | 0.300 (0.100–0.700) ×0.81 |",
    "|  | p99, ms ↓ | 1.000 ×0.50 | 2.000 (2.000–4.000) | – | 1.000 (1.000–3.000) ×0.63 |",
    "|  | CPU s per million ↓ | – | 15.0 (15.0–16.0) | – | 14.0 (14.0–14.0) ×0.90 |",
    "| 20 slow readers | memory at its peak, MB ↓ | – | 15.0 | – | 60.0 ×4.00 |",
    "|  | grown by, MB ↓ | – | 0.1 | – | 10.0 |",
    "|  | of it in the second half, MB ↓ | – | 0.0 | – | 0.2 |",
  ])
  expect(lines).toContain("- No number: pgbouncer, copy-in, round 2: it did not start")
})

test("refreshed() replaces what stands between the markers, and nothing else", () => {
  const text = refreshed(page, results)
  expect(text.startsWith(`# Title\n${markers.begin}\n`)).toBe(true)
  expect(text.endsWith(`\n${markers.end}\nrest\n`)).toBe(true)
  expect(text).not.toContain("previous")
  expect(refreshed(text, results)).toBe(text)
})

test("the page of the proxy has the place for its table", async () => {
  const own = await Bun.file(new URL("../../../docs/proxy.md", import.meta.url)).text()
  expect(refreshed(own, results)).toContain("select-only, prepared, 8 clients")
})

const textsOf = (all: Results): readonly string[] =>
  goals(all).map(({ text, measured, reached }) => `${text}: ${measured} ${reached ? "yes" : "no"}`)

test("goals() asks for the better of two, and leaves out what a number is missing for", () => {
  expect(textsOf(results)).toEqual([
    "p99, 8 clients: no worse than HAProxy: 0.63 yes",
    "CPU per query, 8 clients: below HAProxy: 0.90 yes",
  ])
  const better = sample("select-8", "pgbouncer", 1, { tps: 25_000 })
  expect(textsOf(resultsOf(...results.samples, better))).toContain(
    "select-only, 8 clients: at least the better of HAProxy and PgBouncer: 0.88 no",
  )
})

test("goals() reckons idle sessions that the machine did not allow", () => {
  const idle = sample("idle", "ours-1", 1, { memory: 100, pss: 50, each: 10.24, cpu: 1 })
  expect(textsOf(resultsOf(idle))).toEqual(["10,000 idle sessions, MB: at most 120: 120.0 yes"])
})
