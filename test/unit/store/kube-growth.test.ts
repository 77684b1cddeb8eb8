/** How large cluster data becomes, and the record beside it. */
import { expect, test } from "bun:test"
import { grown, refuseGrowth } from "#store/kube-growth.ts"
import { annotationsMax } from "#store/kube-objects.ts"
import { goLease, leaseOf, parseRecord, recordText, termOf } from "#store/kube-record.ts"

const view = (wanted: number, applied: number, dbs = 2): string => {
  const spec = (length: number) => ({ pgHBA: ["x".repeat(length)] })
  const list = Array.from({ length: dbs }, (_, i) => [
    `db${i}`,
    { spec: spec(applied), status: {} },
  ])
  return JSON.stringify({ cluster: { spec: spec(wanted) }, dbs: Object.fromEntries(list) })
}

test("D-90 grown() counts what a leader will copy into every DB, and into one more", () => {
  const size = view(10_000, 0).length
  expect(grown(view(10_000, 0)) - size).toBeGreaterThanOrEqual(30_000)
  expect(grown(view(10_000, 0)) - size).toBeLessThan(31_000)
  // where it has been copied already, room for another DB is left
  const done = view(10_000, 10_000)
  expect(grown(done) - done.length).toBeGreaterThanOrEqual(10_000)
  expect(grown(done) - done.length).toBeLessThan(11_000)
})

test("grown() of what has no DBs, or is no cluster data, is what it is", () => {
  expect(grown(view(10_000, 0, 0))).toBe(view(10_000, 0, 0).length)
  for (const text of ["null", "not JSON", "7"]) expect(grown(text)).toBe(text.length)
  expect(grown('"é"')).toBe(4) // bytes
})

test("D-90 refuseGrowth() refuses what fits today and not tomorrow, and says so", () => {
  const text = view(100_000, 0)
  expect(text.length).toBeLessThan(annotationsMax)
  expect(() => refuseGrowth(text)).toThrow(/would grow to about \d+ bytes/)
  expect(() => refuseGrowth(view(40_000, 0))).not.toThrow()
})

test("a record survives reading and writing in the bytes that client-go writes", async () => {
  const file = new URL("../../golden/kubernetes/leader-record.txt", import.meta.url)
  const text = await Bun.file(file).text()
  const record = parseRecord(text)
  if (record === null) throw new Error("expected a record")
  expect(recordText(record)).toBe(text)
  expect(termOf({ ...record, renewed: "later" })).toBe(termOf(record))
  expect(termOf({ ...record, transitions: 1 })).not.toBe(termOf(record))
})

test("leaseOf() believes a shorter time than Go's, and never a longer one", () => {
  const of = (seconds: number) => leaseOf(parseRecord(`{"leaseDurationSeconds":${seconds}}`))
  expect([of(5), of(15), of(60), of(0), of(-1), leaseOf(null)].map(Number)).toEqual([
    5000,
    15_000,
    15_000,
    15_000,
    15_000,
    goLease,
  ])
})
