/**
 * `stolon proxy`: wires the proxy's loops to the store and the TCP relay. Start-up checks are those
 * of the reference (1.6); an address that cannot be listened on is not one of them, it is tried
 * again for as long as the proxy runs.
 */
import { millis } from "#base/brand.ts"
import { runProxy } from "#agent/proxy.ts"
import type { Dialect, Values } from "#cli/flag.ts"
import type { Invocation } from "#cli/invocation.ts"
import { proxyCommand, type proxyFlags } from "#cli/proxy.ts"
import { checkStore } from "#cli/store.ts"
import { proxyUID } from "#model/ids.ts"
import type { RelayOptions, RelayStats } from "#port/relay.ts"
import { peers } from "#peer/ask.ts"
import { relay } from "#relay/relay.ts"
import { openStore } from "#store/open.ts"
import { realChance } from "#system/chance.ts"
import { realClock } from "#system/clock.ts"
import { isShutdown, onShutdown } from "#system/signals.ts"
import { begin } from "./front.ts"
import { type Metric, counter, counting, gauge, identifier } from "./metrics.ts"
import { beginTrouble, refuse, serveMetrics, serviceLog } from "./service.ts"

/** A destination that answers neither yes nor no; a live one takes microseconds. */
const dialTimeout = millis(5_000)

export async function main(invocation: Invocation): Promise<number> {
  const begun = await begin(proxyCommand, invocation)
  if (begun.kind === "exit") return begun.code
  const { values, changed } = begun
  const checked = checkStore(values, invocation.dialect)
  if (checked.kind === "refused") return refuse(invocation, checked.message)
  const broken = keepaliveRule(values)
  if (broken !== null) return refuse(invocation, broken)

  const log = serviceLog("proxy", values, changed, invocation)
  await using stack = new AsyncDisposableStack()
  stack.defer(() => log.flush(500))
  const uid = proxyUID(realChance.uid())
  log.line("info", "proxy uid", { uid })
  const shutdown = stack.use(onShutdown())
  try {
    const events = counting(log)
    const data = stack.use(relay(relayOptions(values, invocation.dialect)))
    const metrics = (): readonly Metric[] => [
      identifier(values.clusterName, "proxy"),
      ...relayMetrics(data.stats(), data.listening),
      events.metric(),
    ]
    const unhealthy = (): readonly string[] =>
      data.listening ? [] : ["not listening: no good check of the store for proxyTimeout"]
    serveMetrics(stack, values.metricsListenAddress, metrics, unhealthy)
    const store = stack.use(await openStore(checked.store, shutdown.signal))
    // a question about a lease is signed by nobody
    const asking = peers({ password: "" })
    await runProxy(
      { store, relay: data, peers: asking, clock: realClock, chance: realChance, log: events },
      { uid, stopListening: values.stopListening, listenAddress: address(values) },
      shutdown.signal,
    )
    return 0
  } catch (error) {
    await log.flush(500)
    if (isShutdown(error)) return 0
    return await refuse(invocation, beginTrouble(invocation, "cluster checker", error))
  }
}

type ProxyValues = Values<typeof proxyFlags>

/** Go's programs take a negative number as far as this; ours refuse it as they parse. */
function keepaliveRule(values: ProxyValues): string | null {
  for (const [name, value] of [
    ["idle", values.tcpKeepaliveIdle],
    ["count", values.tcpKeepaliveCount],
    ["interval", values.tcpKeepaliveInterval],
  ] as const)
    if (value < 0) return `tcp keepalive ${name} value must be greater or equal to 0`
  return null
}

const relayOptions = (values: ProxyValues, dialect: Dialect): RelayOptions => ({
  host: values.listenAddress,
  port: Number(values.port),
  dialTimeout,
  keepalive: {
    idle: values.tcpKeepaliveIdle,
    count: values.tcpKeepaliveCount,
    interval: values.tcpKeepaliveInterval,
  },
  // Under a Go name nobody waits and nobody is told why.
  hold:
    dialect === "go"
      ? { timeout: millis(0), max: 0 }
      : { timeout: values.holdTimeout, max: values.holdMax },
})

const address = ({ listenAddress, port }: ProxyValues): string =>
  listenAddress.includes(":") ? `[${listenAddress}]:${port}` : `${listenAddress}:${port}`

const relayMetrics = (stats: RelayStats, listening: boolean): readonly Metric[] => [
  gauge("stolon_proxy_listening", "1 while clients can connect", listening ? 1 : 0),
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
  counter("stolon_proxy_held_total", "Clients that had to wait for a primary", stats.heldTotal),
  counter("stolon_proxy_hold_timeouts_total", "Clients that waited in vain", stats.holdTimeouts),
  counter("stolon_proxy_drained_total", "Sessions ended while idle", stats.drained),
  counter("stolon_proxy_cut_total", "Sessions ended by force", stats.cut),
  counter("stolon_proxy_received_bytes_total", "Bytes from clients", stats.bytesIn),
  counter("stolon_proxy_sent_bytes_total", "Bytes to clients", stats.bytesOut),
]
