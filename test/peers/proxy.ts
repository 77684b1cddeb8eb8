/**
 * A Go proxy, scripted from reference section 7: X1 to X10 and the timeout watcher. The bytes are
 * carried by whatever relay it is given; when it is told to cut and when it says so is Go's way.
 */
import type { Relay } from "#port/relay.ts"
import { readGo } from "./documents.ts"
import { filled, invalid } from "./spec.ts"
import { type GoPorts, every } from "./store.ts"

export async function runGoProxy(
  ports: GoPorts & { readonly relay: Relay },
  uid: string,
  signal: AbortSignal,
): Promise<void> {
  const { store, relay, clock, chance } = ports
  let interval = 5_000
  let timeout = 15_000
  let good = clock.now().mono
  const cut = async (): Promise<void> => {
    await relay.apply({ kind: "wait", drain: null })
  }
  const publish = async (Generation: number, publishTimeout: number): Promise<void> => {
    const info = { infoUID: chance.uid(), UID: uid, Generation, ProxyTimeout: publishTimeout * 1e6 }
    await store.publishProxy(info, publishTimeout, signal)
  }
  const check = async (): Promise<void> => {
    const { text } = await store.read(signal) // X1
    const data = readGo(text)
    if (!relay.listening) await relay.listen() // X2
    if (data === null) return cut() // X3
    if (data.formatVersion !== 1 || invalid(data) !== null) {
      await cut() // X4
      throw new Error("unsupported cluster data")
    }
    const spec = filled(data.cluster.spec)
    const publishTimeout = Math.max(timeout, spec.proxyTimeout) // X5
    const { generation } = data.proxy
    const db = data.dbs.get(data.proxy.spec.masterDbUid)
    if (db === undefined) {
      await cut() // X7: the acknowledgement
      await publish(generation, publishTimeout).catch(() => {})
    } else {
      await publish(generation, publishTimeout) // X9
      const enabled = data.proxy.spec.enabledProxies?.includes(uid) === true
      const { listenAddress: host, port } = db.status
      if (enabled) await relay.apply({ kind: "forward", host, port: Number(port) }) // X10
      else await cut()
    }
    interval = spec.proxyCheck
    timeout = spec.proxyTimeout
  }
  const watcher = async (): Promise<void> => {
    if (clock.now().mono - good < timeout) return
    await cut() // 7.2
    await relay.unlisten()
  }
  await Promise.all([
    every(
      ports,
      () => interval,
      async () => {
        await check()
        good = clock.now().mono
      },
      signal,
    ),
    every(ports, () => 200, watcher, signal),
  ])
  await relay.apply({ kind: "wait", drain: null })
  await relay.unlisten()
}
