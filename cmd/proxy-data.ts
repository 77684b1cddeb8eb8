/**
 * The data plane of `stolon proxy` as its flags want it: in this process or in several, with a
 * listener for reads or without. Whoever uses it sees no difference.
 */
import { millis } from "#base/brand.ts"
import type { Dialect, Values } from "#cli/flag.ts"
import type { proxyFlags } from "#cli/proxy.ts"
import type { Relay, RelayOptions } from "#port/relay.ts"
import { newKeys } from "#relay/keys.ts"
import { type Pool, pool } from "#relay/pool.ts"
import { type TcpReaders, readers } from "#relay/readers.ts"
import { relay } from "#relay/relay.ts"
import { startWorker } from "#relay/worker.ts"
import { type ReadsPart, readsPart } from "./proxy-reads.ts"

type ProxyValues = Values<typeof proxyFlags>

export interface Data {
  readonly relay: Relay
  /** Null: not asked for. */
  readonly reads: ReadsPart | null
  /** Null: all is done in this process. */
  readonly workers: Pool["workers"] | null
}

/** A destination that answers neither yes nor no; a live one takes microseconds. */
const dialTimeout = millis(5_000)
/** Another standby, or the primary, is at hand: shorter than where nobody else could be asked. */
const readsDialTimeout = millis(2_000)

export function openData(stack: AsyncDisposableStack, values: ProxyValues, dialect: Dialect): Data {
  const { workers, readOnlyPort, fallbackPrimary: fallback } = values
  const options = relayOptions(values, dialect)
  const ofReads = { ...options, port: Number(readOnlyPort), dialTimeout: readsDialTimeout }
  const reads = readOnlyPort === "" ? null : { options: ofReads, fallback }
  const part = (those: TcpReaders | null): ReadsPart | null =>
    those === null ? null : readsPart(values, those)
  if (workers > 1) {
    const setup = { primary: options, reads }
    const all = stack.use(pool(setup, workers, startWorker))
    return { relay: all.relay, reads: part(all.readers), workers: all.workers }
  }
  const keys = newKeys()
  const one = stack.use(relay(options, { keys }))
  const beside =
    reads === null ? null : stack.use(readers(reads.options, fallback ? one : null, { keys }))
  return { relay: one, reads: part(beside), workers: null }
}

/** Workers share the clients that may wait, as they share all others. */
const relayOptions = (values: ProxyValues, dialect: Dialect): RelayOptions => ({
  host: values.listenAddress,
  port: Number(values.port),
  dialTimeout,
  keepalive: {
    idle: values.tcpKeepaliveIdle,
    count: values.tcpKeepaliveCount,
    interval: values.tcpKeepaliveInterval,
  },
  userTimeout: values.tcpUserTimeout,
  // Under a Go name nobody waits and nobody is told why.
  hold:
    dialect === "go"
      ? { timeout: millis(0), max: 0 }
      : { timeout: values.holdTimeout, max: Math.ceil(values.holdMax / values.workers) },
  max: Math.ceil(values.maxConnections / values.workers),
  prefaced: values.acceptProxyProtocol,
})
