/** What `stolon proxy` makes of the flags for reads. */
import { afterAll, beforeAll, expect, test } from "bun:test"

import { parse } from "#cli/parse.ts"
import { proxyCommand } from "#cli/proxy.ts"
import { openData } from "#cmd/proxy-data.ts"
import { readsRule } from "#cmd/proxy-reads.ts"

// workers are the real command here, whatever other tests have put in its place
const before = process.env["STOLON_SELF"]
beforeAll(() => void delete process.env["STOLON_SELF"])
afterAll(() => {
  if (before !== undefined) process.env["STOLON_SELF"] = before
})

function valuesOf(...argv: readonly string[]) {
  const parsed = parse(proxyCommand, argv, {}, "stolon")
  if (parsed.kind !== "ok") throw new Error(JSON.stringify(parsed))
  return parsed.values
}
test("readsRule() refuses one port for both", () => {
  expect(readsRule(valuesOf("--port=5433", "--read-only-port=5433"))).toContain(
    "cannot be the same",
  )
  expect(readsRule(valuesOf("--port=5433", "--read-only-port=5434"))).toBeNull()
  expect(readsRule(valuesOf("--port=5433"))).toBeNull()
})

test("openData() has no part for reads without a port, and one with the rules of the flags", async () => {
  await using stack = new AsyncDisposableStack()
  const readsOf = (...argv: readonly string[]) => openData(stack, valuesOf(...argv), "stolon").reads
  expect(readsOf()).toBeNull()
  for (const workers of ["--workers=1", "--workers=2"]) {
    const flags = ["--read-only-port=5433", "--read-only-policy=round-robin", "--zone=east"]
    const reads = readsOf(workers, ...flags)
    expect(reads?.port.rules).toEqual({ policy: "round-robin", lagMax: 64n << 20n, zone: "east" })
    expect(reads?.targets()).toEqual([])
  }
  const all = readsOf("--read-only-port=5433", "--max-lag=0")
  expect(all?.port.rules).toEqual({ policy: "least-lag", lagMax: 0n, zone: "" })
})
