/**
 * Metrics as Prometheus reads them, and the count of events: what a component logs, it also counts.
 */
import { type Event, type EventCode, events } from "#model/events.ts"
import { type Histogram, bounds } from "#base/histogram.ts"
import { sortedEntries } from "#base/order.ts"
import type { Log } from "#port/log.ts"

export interface Metric {
  readonly name: string
  readonly type: "gauge" | "counter" | "histogram"
  readonly help: string
  readonly samples: readonly Sample[]
}
export interface Sample {
  /** Of the metric's name; a histogram's samples have one. */
  readonly suffix?: "_bucket" | "_sum" | "_count"
  readonly labels?: Readonly<Record<string, string>>
  readonly value: number
}

/** A metric with one value. */
export const gauge = (name: string, help: string, value: number): Metric => ({
  name,
  type: "gauge",
  help,
  samples: [{ value }],
})
export const counter = (name: string, help: string, value: number): Metric => ({
  ...gauge(name, help, value),
  type: "counter",
})

/** In seconds, each class with all below it. */
export function histogram(name: string, help: string, { counts, sum }: Histogram): Metric {
  let below = 0
  const buckets = counts.map((count, i): Sample => {
    const bound = bounds[i]
    const le = bound === undefined ? "+Inf" : String(bound / 1000)
    return { suffix: "_bucket", labels: { le }, value: (below += count) }
  })
  const rest: readonly Sample[] = [
    { suffix: "_sum", value: sum / 1000 },
    { suffix: "_count", value: below },
  ]
  return { name, type: "histogram", help, samples: [...buckets, ...rest] }
}

/** Go stolon's join key (reference 8.1). */
export const identifier = (clusterName: string, component: string): Metric => ({
  name: "stolon_cluster_identifier",
  type: "gauge",
  help: "Set to 1, is labelled with the cluster_name",
  samples: [{ labels: { cluster_name: clusterName, component }, value: 1 }],
})

/** The text format, version 0.0.4. */
export const renderMetrics = (metrics: readonly Metric[]): string =>
  metrics
    .map(({ name, type, help, samples }) =>
      [
        `# HELP ${name} ${escape(help)}`,
        `# TYPE ${name} ${type}`,
        ...samples.map(
          ({ suffix = "", labels, value }) => `${name}${suffix}${renderLabels(labels)} ${value}`,
        ),
      ].join("\n"),
    )
    .map((text) => `${text}\n`)
    .join("")

function renderLabels(labels: Readonly<Record<string, string>> | undefined): string {
  if (labels === undefined) return ""
  const pairs = Object.entries(labels).map(
    ([name, value]) => `${name}="${escape(value).replaceAll('"', '\\"')}"`,
  )
  return `{${pairs.join(",")}}`
}
const escape = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")

/** A log that counts what passes through it. */
export interface CountingLog extends Log {
  readonly metric: () => Metric
}
export function counting(log: Log): CountingLog {
  const counts = new Map<EventCode, number>()
  return {
    event: (event: Event) => {
      counts.set(event.code, (counts.get(event.code) ?? 0) + 1)
      log.event(event)
    },
    metric: () => ({
      name: "stolon_events_total",
      type: "counter",
      help: "Events of the component since its start, by code and level",
      samples: sortedEntries(counts).map(([code, value]) => ({
        labels: { code, level: events[code].level },
        value,
      })),
    }),
  }
}
