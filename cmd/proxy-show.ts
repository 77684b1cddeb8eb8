/**
 * What `stolon proxy` shows over HTTP: metrics, whether it is alive, whether clients may be sent to
 * it, and where it leads them. Only looks at what the loops said last; no page waits for anything.
 *
 * Alive and ready are two questions. A proxy without a store, or without a primary, is alive: to
 * start it again would help nobody, and cut clients. It is ready while a client that comes is led,
 * or waits for a primary that this proxy will hear of.
 */
import type { ProxyState } from "#agent/proxy-state.ts"
import type { Millis } from "#base/brand.ts"
import { cutCauses, type RelayStats } from "#port/relay.ts"
import type { HttpOptions } from "#system/http.ts"
import type { Data } from "./proxy-data.ts"
import { type Metric, counter, gauge, histogram } from "./metrics.ts"

/** How the proxy stood when it was last asked; null: its loops have not come round yet. */
export interface Shown {
  readonly state: ProxyState | null
  readonly data: Data
  /** By the monotonic clock. */
  readonly now: Millis
  /** When it was started. */
  readonly since: Millis
  /** A client that finds no primary waits for one. */
  readonly holds: boolean
}

/** No check takes so long, whatever hangs. */
const stuckAfter = 60_000

export function isStuck({ state, now, since }: Shown): readonly string[] {
  const silent = now - (state?.lookedAt ?? since)
  return silent > stuckAfter
    ? [`the proxy's loop has not come round for ${Math.round(silent / 1000)} s`]
    : []
}

/** Why no client should be sent here; empty: it should. */
export function unready(shown: Shown): readonly string[] {
  const { state, data, now, holds } = shown
  if (state === null || state.goodAt === null) return ["the store has not been read yet"]
  if (state.retiring) return ["it was asked to end"]
  if (!data.relay.listening) return ["it does not listen: no good check of the store for too long"]
  if (now >= state.validUntil) return ["no good check of the store for too long"]
  if (state.destination === null && !holds) return leadsNobody(state)
  // somebody else's clients are none of ours: to wait here would be in vain
  return state.why === "this proxy is not enabled" ? leadsNobody(state) : []
}

const leadsNobody = ({ why }: ProxyState): readonly string[] => [
  `no client is led to a primary: ${why}`,
]

/** Why a client would not be led to the primary at once. */
const primaryUnready = (shown: Shown): readonly string[] => {
  const reasons = unready(shown)
  if (reasons.length > 0 || shown.state === null) return reasons
  return shown.state.gate === "open" ? [] : leadsNobody(shown.state)
}

/** Why a client that reads would not be led to a standby, nor to the primary in its stead. */
function readsUnready(shown: Shown): readonly string[] {
  const { reads } = shown.data
  if (reads === null) return ["there is no port for reads"]
  const reasons = unready(shown)
  if (reasons.length > 0) return reasons
  if (!reads.port.relay.listening) return ["the port for reads is not open yet"]
  if (reads.targets().some(({ why }) => why === "")) return []
  const none = "no standby is fit for reads"
  return reads.fallback ? primaryUnready(shown).map((why) => `${none}; ${why}`) : [none]
}

export const pagesOf = (look: () => Shown): NonNullable<HttpOptions["pages"]> => ({
  "/readyz": () => ({ kind: "check", reasons: unready(look()) }),
  "/readyz/primary": () => ({ kind: "check", reasons: primaryUnready(look()) }),
  "/readyz/reads": () => ({ kind: "check", reasons: readsUnready(look()) }),
  "/targets": () => ({ kind: "json", value: targetsOf(look()) }),
})

const seconds = (span: number): number => Math.round(span) / 1000

/** For programs: where clients are led. Names are those of `stolon ctl status --format json`. */
function targetsOf({ state, data, now }: Shown): unknown {
  const { reads } = data
  return {
    primary: {
      gate: state?.gate ?? "closed",
      why: state?.why ?? "the store has not been read yet",
      keeper: state?.primary?.keeper ?? null,
      db: state?.primary?.db ?? null,
      host: state?.destination?.host ?? null,
      port: state?.destination?.port ?? null,
      sessions: data.relay.stats().sessions,
      held: data.relay.stats().held,
    },
    generation: state?.generation ?? null,
    viewAge:
      state?.goodAt === undefined || state.goodAt === null ? null : seconds(now - state.goodAt),
    standbys:
      reads?.targets().map(({ keeper, uid, host, port, zone, lag, why }) => ({
        ...{ keeper, db: uid, host, port, zone },
        lag: lag === null ? null : Number(lag),
        led: why === "",
        why,
      })) ?? null,
  }
}

export function proxyMetrics({ state, data, now, since }: Shown): readonly Metric[] {
  const { relay, workers, reads } = data
  const gates = ["open", "draining", "closed"] as const
  const present = state?.gate ?? "closed"
  return [
    gauge("stolon_proxy_listening", "1 while clients can connect", relay.listening ? 1 : 0),
    {
      name: "stolon_proxy_gate",
      type: "gauge",
      help: "1 for what the gate to the primary is",
      samples: gates.map((one) => ({ labels: { state: one }, value: one === present ? 1 : 0 })),
    },
    gauge(
      "stolon_proxy_view_age_seconds",
      "Since the beginning of the last good check of the store, or since the start without any",
      seconds(now - (state?.goodAt ?? since)),
    ),
    ...relayMetrics(relay.stats()),
    ...(workers === null ? [] : workerMetrics(workers())),
    ...(reads?.metrics() ?? []),
  ]
}

const workerMetrics = ({
  alive,
  replaced,
}: ReturnType<NonNullable<Data["workers"]>>): readonly Metric[] => [
  gauge("stolon_proxy_workers", "Processes that forward", alive),
  counter("stolon_proxy_workers_replaced_total", "Processes that forwarded and ended", replaced),
]

const relayMetrics = (stats: RelayStats): readonly Metric[] => [
  gauge("stolon_proxy_sessions", "Client sessions now open", stats.sessions),
  gauge("stolon_proxy_held", "Clients now waiting for a primary", stats.held),
  counter("stolon_proxy_sessions_total", "Client sessions accepted", stats.accepted),
  counter(
    "stolon_proxy_refused_total",
    "Clients closed at once: no primary to lead them to",
    stats.refused,
  ),
  counter(
    "stolon_proxy_dial_errors_total",
    "Connections to the primary that failed",
    stats.dialErrors,
  ),
  histogram("stolon_proxy_dial_seconds", "Connects to the primary that succeeded", stats.dials),
  counter("stolon_proxy_held_total", "Clients that had to wait for a primary", stats.heldTotal),
  counter("stolon_proxy_hold_timeouts_total", "Clients that waited in vain", stats.holdTimeouts),
  histogram("stolon_proxy_hold_seconds", "How long clients waited for a primary", stats.holds),
  counter("stolon_proxy_drained_total", "Sessions ended while idle", stats.drained),
  {
    name: "stolon_proxy_cut_total",
    type: "counter",
    help: "Sessions ended by force",
    samples: cutCauses.map((cause) => ({ labels: { cause }, value: stats.cutBy[cause] })),
  },
  counter("stolon_proxy_received_bytes_total", "Bytes from clients", stats.bytesIn),
  counter("stolon_proxy_sent_bytes_total", "Bytes to clients", stats.bytesOut),
]
