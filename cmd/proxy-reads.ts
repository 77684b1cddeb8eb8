/**
 * The part of `stolon proxy` that leads reads to standbys: its listener, its rules, its metrics.
 * Without `--read-only-port` there is none of it.
 */
import type { ReadsPort } from "#agent/proxy-reads.ts"
import type { Values } from "#cli/flag.ts"
import { type proxyFlags, sizeOf } from "#cli/proxy.ts"
import type { ReadRules, Target } from "#proxy/readers.ts"
import type { TcpReaders } from "#relay/readers.ts"
import { type Metric, counter, gauge } from "./metrics.ts"

type ProxyValues = Values<typeof proxyFlags>

export interface ReadsPart {
  readonly port: ReadsPort
  /** The primary takes whoever finds no standby. */
  readonly fallback: boolean
  /** As last judged. */
  readonly targets: () => readonly Target[]
  readonly metrics: () => readonly Metric[]
}

/** What is wrong with the flags; null: nothing. */
export const readsRule = ({ port, readOnlyPort }: ProxyValues): string | null =>
  readOnlyPort !== "" && Number(readOnlyPort) === Number(port)
    ? "--read-only-port and --port cannot be the same: one leads to standbys, one to the primary"
    : null

export function readsPart(values: ProxyValues, relay: TcpReaders): ReadsPart {
  let targets: readonly Target[] = []
  const report = (judged: readonly Target[]): void => void (targets = judged)
  return {
    port: { relay, rules: rulesOf(values), report },
    fallback: values.fallbackPrimary,
    targets: () => targets,
    metrics: () => readsMetrics(relay, targets),
  }
}

const rulesOf = ({ readOnlyPolicy: policy, maxLag, zone }: ProxyValues): ReadRules => ({
  policy,
  lagMax: sizeOf(maxLag) ?? 0n,
  zone,
})

const readsMetrics = (relay: TcpReaders, targets: readonly Target[]): readonly Metric[] => {
  const { sessions, accepted, drained, cut, dialErrors } = relay.stats()
  const led = targets.filter(({ why }) => why === "")
  return [
    gauge("stolon_proxy_reads_sessions", "Sessions on standbys now open", sessions),
    gauge("stolon_proxy_reads_standbys", "Standbys that reads are led to", led.length),
    counter("stolon_proxy_reads_sessions_total", "Sessions for standbys accepted", accepted),
    counter(
      "stolon_proxy_reads_passed_total",
      "Clients led to the primary, because there was no standby for them",
      relay.passed,
    ),
    counter(
      "stolon_proxy_reads_dial_errors_total",
      "Connections to standbys that failed",
      dialErrors,
    ),
    counter("stolon_proxy_reads_drained_total", "Sessions on standbys ended while idle", drained),
    counter("stolon_proxy_reads_cut_total", "Sessions on standbys ended by force", cut),
    {
      name: "stolon_proxy_reads_lag_bytes",
      type: "gauge",
      help: "WAL that readers of a standby do not see yet",
      samples: targets.flatMap(({ keeper, lag }) =>
        lag === null ? [] : [{ labels: { keeper }, value: Number(lag) }],
      ),
    },
  ]
}
