/** Metrics in the text format that Prometheus reads. */
import { expect, test } from "bun:test"
import { counter, counting, identifier, renderMetrics } from "#cmd/metrics.ts"
import { type Event, event } from "#model/events.ts"

test("renderMetrics() prints help, type and samples, labels escaped", () => {
  const metrics = [identifier('a"b\\c', "proxy"), counter("x_total", "All\nof it", 3)]
  expect(renderMetrics(metrics)).toBe(
    [
      "# HELP stolon_cluster_identifier Set to 1, is labelled with the cluster_name",
      "# TYPE stolon_cluster_identifier gauge",
      'stolon_cluster_identifier{cluster_name="a\\"b\\\\c",component="proxy"} 1',
      "# HELP x_total All\\nof it",
      "# TYPE x_total counter",
      "x_total 3",
      "",
    ].join("\n"),
  )
})

test("counting() passes events on and counts them by code and level", () => {
  const passed: Event[] = []
  const log = counting({ event: (one) => passed.push(one) })
  for (const code of ["proxy.cut", "store.failed", "proxy.cut"] as const) log.event(event(code))
  expect(passed.map(({ code }) => code)).toEqual(["proxy.cut", "store.failed", "proxy.cut"])
  expect(log.metric().samples).toEqual([
    { labels: { code: "proxy.cut", level: "info" }, value: 2 },
    { labels: { code: "store.failed", level: "warn" }, value: 1 },
  ])
})
