/** What a proxy says to load balancers, supervisors and Prometheus. */
import { expect, test } from "bun:test"

import type { ProxyState } from "#agent/proxy-state.ts"
import { millis } from "#base/brand.ts"
import { noHistogram, observed } from "#base/histogram.ts"
import { renderMetrics } from "#cmd/metrics.ts"
import type { Data } from "#cmd/proxy-data.ts"
import { type Shown, isStuck, pagesOf, proxyMetrics, unready } from "#cmd/proxy-show.ts"
import { type Generation, dbUID, keeperUID } from "#model/ids.ts"
import type { Target } from "#proxy/readers.ts"
import { noStats } from "#relay/stats.ts"

const open: ProxyState = {
  lookedAt: millis(10_000),
  gate: "open",
  why: "",
  destination: { host: "10.0.0.11", port: 5432 },
  primary: { keeper: keeperUID("pg1"), db: dbUID("db1") },
  generation: 7 as Generation,
  goodAt: millis(9_500),
  validUntil: millis(12_500),
  retiring: false,
}
const leaderless = { ...open, gate: "closed", why: "no primary is set", destination: null } as const
const standby: Target = {
  ...{ uid: dbUID("db2"), keeper: keeperUID("pg2"), host: "10.0.0.12", port: 5432 },
  ...{ zone: "east", lag: 512n, why: "" },
}

/** Only what is shown of a data plane is looked at. */
function shown(state: ProxyState | null, change: Partial<Shown> = {}, reads?: Partial<Reads>) {
  const { fallback = true, listening = true, targets = [standby] } = reads ?? {}
  const stats = {
    ...noStats,
    sessions: 3,
    cut: 3,
    cutBy: { ...noStats.cutBy, bound: 2, worker: 1 },
    holds: observed(noHistogram, 1_500),
  }
  const part = {
    ...{ port: { relay: { listening } }, fallback },
    targets: () => targets,
    metrics: () => [],
  }
  const data = {
    relay: { listening: true, stats: () => stats },
    reads: reads === undefined ? null : part,
    workers: null,
  } as unknown as Data
  const times = { now: millis(10_000), since: millis(0) }
  return { state, data, ...times, holds: true, ...change } satisfies Shown
}
interface Reads {
  readonly fallback: boolean
  readonly listening: boolean
  readonly targets: readonly Target[]
}

const page = (name: string, look: Shown) => pagesOf(() => look)[name]?.()
const reasons = (name: string, look: Shown): readonly string[] => {
  const found = page(name, look)
  return found?.kind === "check" ? found.reasons : [`no such page: ${name}`]
}

test("/healthz is about the loops alone: neither store nor primary is a reason to start it again", () => {
  expect(isStuck(shown(leaderless))).toEqual([])
  expect(isStuck(shown(null))).toEqual([])
  expect(isStuck(shown(open, { now: millis(71_000) }))).toEqual([
    "the proxy's loop has not come round for 61 s",
  ])
  expect(isStuck(shown(null, { now: millis(61_000) })).length).toBe(1)
})

test("/readyz is ready while a client is led, or waits for a primary that is heard of", () => {
  expect(unready(shown(open))).toEqual([])
  expect(unready(shown(leaderless))).toEqual([])
  expect(unready(shown(leaderless, { holds: false }))).toEqual([
    "no client is led to a primary: no primary is set",
  ])
  const notEnabled = { ...leaderless, why: "this proxy is not enabled" }
  expect(unready(shown(notEnabled)).length).toBe(1)
  expect(unready(shown(null))).toEqual(["the store has not been read yet"])
  expect(unready(shown(open, { now: millis(12_500) }))).toEqual([
    "no good check of the store for too long",
  ])
  expect(unready(shown({ ...open, retiring: true }))).toEqual(["it was asked to end"])
})

test("/readyz/primary wants one at once, /readyz/reads a standby or whoever stands in", () => {
  expect(reasons("/readyz/primary", shown(open))).toEqual([])
  expect(reasons("/readyz/primary", shown(leaderless)).length).toBe(1)
  expect(reasons("/readyz/reads", shown(open))).toEqual(["there is no port for reads"])
  expect(reasons("/readyz/reads", shown(leaderless, {}, {}))).toEqual([])
  const unfit = [{ ...standby, why: "PostgreSQL is down" }]
  expect(reasons("/readyz/reads", shown(open, {}, { targets: unfit }))).toEqual([])
  expect(reasons("/readyz/reads", shown(open, {}, { targets: unfit, fallback: false }))).toEqual([
    "no standby is fit for reads",
  ])
  expect(reasons("/readyz/reads", shown(leaderless, {}, { targets: unfit }))).toEqual([
    "no standby is fit for reads; no client is led to a primary: no primary is set",
  ])
  expect(reasons("/readyz/reads", shown(open, {}, { listening: false })).length).toBe(1)
})

test("/targets says where clients are led, and why a standby is left out", () => {
  expect(page("/targets", shown(open, {}, {}))).toEqual({
    kind: "json",
    value: {
      primary: {
        ...{ gate: "open", why: "", keeper: "pg1", db: "db1", host: "10.0.0.11", port: 5432 },
        ...{ sessions: 3, held: 0 },
      },
      generation: 7,
      viewAge: 0.5,
      standbys: [
        {
          ...{ keeper: "pg2", db: "db2", host: "10.0.0.12", port: 5432, zone: "east" },
          ...{ lag: 512, led: true, why: "" },
        },
      ],
    },
  })
  expect(page("/targets", shown(null))).toMatchObject({
    value: { primary: { gate: "closed", host: null }, viewAge: null, standbys: null },
  })
})

test("metrics tell the gate, the age of the view, cuts by cause and how long clients waited", () => {
  const lines = renderMetrics(proxyMetrics(shown(leaderless))).split("\n")
  for (const line of [
    'stolon_proxy_gate{state="closed"} 1',
    'stolon_proxy_gate{state="open"} 0',
    "stolon_proxy_view_age_seconds 0.5",
    'stolon_proxy_cut_total{cause="bound"} 2',
    'stolon_proxy_cut_total{cause="worker"} 1',
    "# TYPE stolon_proxy_hold_seconds histogram",
    'stolon_proxy_hold_seconds_bucket{le="1"} 0',
    'stolon_proxy_hold_seconds_bucket{le="2"} 1',
    'stolon_proxy_hold_seconds_bucket{le="+Inf"} 1',
    "stolon_proxy_hold_seconds_sum 1.5",
    "stolon_proxy_hold_seconds_count 1",
  ])
    expect(lines).toContain(line)
  const workers = { data: { ...shown(open).data, workers: () => ({ alive: 2, replaced: 1 }) } }
  const more = renderMetrics(proxyMetrics(shown(open, workers))).split("\n")
  expect(more).toContain("stolon_proxy_workers 2")
  expect(more).toContain("stolon_proxy_workers_replaced_total 1")
})
