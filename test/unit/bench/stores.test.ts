/**
 * What the bench of stores makes of other programs' reports: a server's page of metrics, a report
 * of tests.
 */
import { expect, test } from "bun:test"
import { countsOf } from "../../bench/stores/conformance.ts"
import { counted } from "../../bench/stores/sites.ts"

test("counted() adds up the lines of one counter, whatever their labels", () => {
  const page = [
    "# TYPE requests_total counter",
    'requests_total{code="200",path="/a b"} 7',
    'requests_total{code="404"} 1.5e+03',
    "requests_total_created 9",
    "requests 4",
  ].join("\n")
  expect(counted(page, "requests_total")).toBe(1507)
  expect(counted(page, "requests")).toBe(4)
  expect(counted(page, "nothing")).toBe(0)
})

test("countsOf() reads the sums of a report, and no sums are an error", () => {
  const head = '<testsuites name="bun test" tests="9" assertions="20" failures="2" skipped="3">'
  expect(countsOf(`<?xml version="1.0"?>\n${head}\n`)).toEqual({ passed: 4, failed: 2, skipped: 3 })
  expect(() => countsOf("")).toThrow("tests")
})
