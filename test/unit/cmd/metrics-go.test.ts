/**
 * `/metrics` of each component before it has done anything, against Go's
 * (`test/golden/cli/metrics.tsv`): names, types, labels and values. What is ours comes on top.
 */
import { describe, expect, test } from "bun:test"
import type { KeeperState } from "#agent/keeper-state.ts"
import { type Time, millis } from "#base/brand.ts"
import { keeperMetrics } from "#cmd/keeper-metrics.ts"
import { type Metric, counting, identifier, renderMetrics } from "#cmd/metrics.ts"
import { sentinelMetrics } from "#cmd/sentinel.ts"
import { table } from "#test/unit/ctl/golden.ts"

const events = counting({ event: () => {} }).metric()
const atStart: Readonly<Record<string, readonly Metric[]>> = {
  keeper: keeperMetrics("demo", null, 0, events),
  sentinel: [
    identifier("demo", "sentinel"),
    ...sentinelMetrics({ leader: false, elections: 0, lastCheck: null }),
  ],
  proxy: [identifier("demo", "proxy")],
}
const rows = table("metrics.tsv").map(
  ([component = "", metric = "", type = "", labels = "", value = ""]) =>
    ({ component, metric, type, labels, value }) as const,
)

test("every recorded metric is compared", () => expect(rows).toHaveLength(18))

describe.each(Object.keys(atStart))("the %s", (component) => {
  const text = renderMetrics(atStart[component] ?? []).split("\n")
  test.each(
    rows
      .filter((row) => row.component === component)
      .map((row) => [`${row.metric} ${row.labels}`, row] as const),
  )("shows %s as Go's", (_, { metric, type, labels, value }) => {
    const pairs = labels
      .replace("<cluster name>", "demo")
      .split(",")
      .filter((pair) => pair !== "")
      .map((pair) => `${pair.replace("=", '="')}"`)
    const sample = pairs.length === 0 ? metric : `${metric}{${pairs.join(",")}}`
    expect(text).toContain(`# TYPE ${metric} ${type}`)
    expect(text).toContain(`${sample} ${value}`)
  })

  test("shows no metric under Go's names that Go has not", () => {
    const known = new Set(rows.map((row) => row.metric))
    const ours = /^# TYPE (stolon_(?:keeper|sentinel|cluster)_\S+)/
    const shown = text.flatMap((line) => ours.exec(line)?.[1] ?? [])
    expect(shown.filter((name) => !known.has(name))).toEqual([])
  })
})

test("the gauges follow what keeper and sentinel report, times in seconds", () => {
  const time = (ms: number): Time => new Date(ms).toISOString() as Time // a test's clock
  const state: KeeperState = {
    lastView: time(1_500),
    targetRole: "master",
    localRole: "standby",
    needsReload: true,
    needsRestart: true,
    lastSync: time(2_500),
    sleepInterval: millis(7_900),
  }
  const shown = renderMetrics([
    ...keeperMetrics("demo", state, 3.25, events),
    ...sentinelMetrics({ leader: true, elections: 2, lastCheck: time(4_000) }),
  ]).split("\n")
  for (const line of [
    "stolon_keeper_clusterdata_last_valid_update_seconds 1.5",
    'stolon_keeper_target_role{role="master"} 1',
    'stolon_keeper_target_role{role="standby"} 0',
    'stolon_keeper_local_role{role="standby"} 1',
    'stolon_keeper_local_role{role="undefined"} 0',
    "stolon_keeper_needs_reload 1",
    "stolon_keeper_needs_restart 1",
    "stolon_keeper_last_sync_success_seconds 2.5",
    "stolon_keeper_sleep_interval 7",
    "stolon_keeper_shutdown_seconds 3.25",
    "stolon_sentinel_is_leader 1",
    "stolon_sentinel_leader_count 2",
    "stolon_sentinel_last_cluster_check_success_seconds 4",
  ])
    expect(shown).toContain(line)
})
