/** `/readyz` of a keeper: whether an update may go on to the next one. */
import { expect, test } from "bun:test"
import type { KeeperState } from "#agent/keeper-state.ts"
import { type Time, millis } from "#base/brand.ts"
import { keeperPages, notReady } from "#cmd/keeper-metrics.ts"

const now = Date.parse("2026-01-01T00:01:00Z")
// oxlint-disable-next-line no-unsafe-type-assertion -- a time as the clock writes it
const time = (text: string): Time => text as Time
const state = (change: Partial<KeeperState>): KeeperState => ({
  lastView: time("2026-01-01T00:00:59Z"),
  targetRole: "standby",
  localRole: "standby",
  needsReload: false,
  needsRestart: false,
  lastSync: time("2026-01-01T00:00:59Z"),
  sleepInterval: millis(2_000),
  ...change,
})

test("notReady() waits for cluster data, then for PostgreSQL as the cluster wants it", () => {
  expect(notReady(null, now)).toEqual(["the keeper has not read the cluster data yet"])
  expect(notReady(state({ targetRole: null }), now)).toHaveLength(1)
  expect(notReady(state({ lastSync: null }), now)).toEqual([
    "PostgreSQL is not yet the standby that it shall be",
  ])
  expect(notReady(state({}), now)).toEqual([])
})

test("notReady() says since when PostgreSQL is not as wanted, once that is longer than a change takes", () => {
  expect(notReady(state({ lastSync: time("2026-01-01T00:00:50Z") }), now)).toEqual([])
  expect(notReady(state({ lastSync: time("2026-01-01T00:00:10Z") }), now)).toEqual([
    "PostgreSQL has not been as the cluster wants it for 50 s",
  ])
})

test("notReady() has nothing to say of a keeper from which nothing is wanted", () => {
  expect(notReady(state({ targetRole: "undefined", lastSync: null }), now)).toEqual([])
})

test("keeperPages() answers by the state of the moment", () => {
  let seen: KeeperState | null = null
  const page = keeperPages(
    () => seen,
    () => now,
  )["/readyz"]
  expect(page()).toMatchObject({ kind: "check", reasons: [expect.any(String)] })
  seen = state({})
  expect(page()).toEqual({ kind: "check", reasons: [] })
})
