/**
 * `stolon proxy`: wires the proxy's loops to the store and the TCP relay. Start-up checks are those
 * of the reference (1.6); an address that cannot be listened on is not one of them, it is tried
 * again for as long as the proxy runs.
 */
import { millis } from "#base/brand.ts"
import { runProxy } from "#agent/proxy.ts"
import type { ProxyState } from "#agent/proxy-state.ts"
import type { Dialect, Values } from "#cli/flag.ts"
import type { Invocation } from "#cli/invocation.ts"
import { proxyCommand, type proxyFlags } from "#cli/proxy.ts"
import { checkStore, inPod } from "#cli/store.ts"
import { proxyUID } from "#model/ids.ts"
import { peers } from "#peer/ask.ts"
import { openStore } from "#store/open.ts"
import { realChance } from "#system/chance.ts"
import { realClock } from "#system/clock.ts"
import { isShutdown, onShutdown } from "#system/signals.ts"
import { begin } from "./front.ts"
import { type Metric, counting, identifier } from "./metrics.ts"
import { type Data, openData } from "./proxy-data.ts"
import { readsRule } from "./proxy-reads.ts"
import { type Shown, isStuck, pagesOf, proxyMetrics } from "./proxy-show.ts"
import { beginTrouble, refuse, serveMetrics, serviceLog } from "./service.ts"
import { supervised } from "./supervised.ts"

export async function main(invocation: Invocation): Promise<number> {
  const begun = await begin(proxyCommand, invocation)
  if (begun.kind === "exit") return begun.code
  const { values, changed } = begun
  const checked = checkStore(values, invocation.dialect)
  if (checked.kind === "refused") return refuse(invocation, checked.message)
  const broken = keepaliveRule(values) ?? readsRule(values)
  if (broken !== null) return refuse(invocation, broken)

  const log = serviceLog("proxy", values, changed, invocation)
  await using stack = new AsyncDisposableStack()
  stack.defer(() => log.flush(500))
  const uid = proxyUID(realChance.uid())
  log.line("info", "proxy uid", { uid })
  const shutdown = stack.use(onShutdown())
  try {
    const events = counting(log)
    const data = openData(stack, values, invocation.dialect)
    const { relay, reads } = data
    const show = showing(data, invocation.dialect)
    const metrics = (): readonly Metric[] => [
      identifier(values.clusterName, "proxy"),
      ...proxyMetrics(show.look()),
      events.metric(),
    ]
    const unhealthy = (): readonly string[] => isStuck(show.look())
    serveMetrics(stack, values.metricsListenAddress, metrics, unhealthy, pagesOf(show.look))
    supervised(stack, unhealthy)
    const store = stack.use(await openStore(inPod(checked.store, invocation.env), shutdown.signal))
    // a question about a lease is signed by nobody
    const asking = peers({ password: "" })
    const ports = { store, relay, peers: asking, clock: realClock, chance: realChance }
    await runProxy(
      { ...ports, log: events, ...(reads === null ? {} : { readers: reads.port }) },
      {
        ...{ uid, stopListening: values.stopListening, listenAddress: address(values) },
        // Go's proxy dies of the signal
        shutdownTimeout: invocation.dialect === "go" ? millis(0) : values.shutdownTimeout,
        hurry: shutdown.hurry,
        report: show.report,
      },
      shutdown.signal,
    )
    return 0
  } catch (error) {
    await log.flush(500)
    if (isShutdown(error)) return 0
    return await refuse(invocation, beginTrouble(invocation, "cluster checker", error))
  }
}

/** What the pages look at. */
function showing(data: Data, dialect: Dialect) {
  let state: ProxyState | null = null
  const since = realClock.now().mono
  return {
    report: (next: ProxyState): void => void (state = next),
    look: (): Shown => ({ state, data, since, now: realClock.now().mono, holds: dialect !== "go" }),
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

const address = ({ listenAddress, port }: ProxyValues): string =>
  listenAddress.includes(":") ? `[${listenAddress}]:${port}` : `${listenAddress}:${port}`
