/**
 * The store as a Go component uses it: text under keys, a compare-and-swap that looks at nothing
 * but the document (no leader key, W4 is ours alone), infos by the UID inside. It stands on our
 * port `Store`, whose codec is byte exact; one value that cannot be decoded spoils a whole listing
 * (3.1).
 */
import { decodeClusterData, encodeClusterData } from "#model/cluster.ts"
import { decode, encode } from "#model/codec.ts"
import { millis } from "#base/brand.ts"
import { sentinelUID } from "#model/ids.ts"
import { KeeperInfo, ProxyInfo, SentinelInfo } from "#model/info.ts"
import type { Clock, Chance } from "#port/clock.ts"
import type { Leadership, Store, Version } from "#port/store.ts"
import { GoDecodeError, marshal, unmarshal } from "./codec.ts"
import { GoKeeperInfo, GoProxyInfo, GoSentinelInfo } from "./documents.ts"
import type { GoInfos } from "./leader.ts"

export interface GoReading {
  readonly text: string | null
  readonly version: Version | null
}

export interface GoStore {
  read(signal: AbortSignal): Promise<GoReading>
  /** False: the key was modified. */
  swap(text: string, from: GoReading, signal: AbortSignal): Promise<boolean>
  infos(signal: AbortSignal): Promise<GoInfos>
  publishKeeper(info: GoKeeperInfo, sleep: number, signal: AbortSignal): Promise<void>
  publishProxy(info: GoProxyInfo, timeout: number, signal: AbortSignal): Promise<void>
  publishSentinel(uid: string, sleep: number, signal: AbortSignal): Promise<void>
  campaign(uid: string, signal: AbortSignal): Promise<Leadership>
}

/** What every scripted component gets. */
export interface GoPorts {
  readonly store: GoStore
  readonly clock: Clock
  readonly chance: Chance
  readonly log: (line: string) => void
}

export function goStore(store: Store): GoStore {
  const ttl = (ms: number) => millis(Math.max(20_000, ms))
  return {
    async read(signal) {
      const reading = await store.read(signal)
      return reading.kind === "absent"
        ? { text: null, version: reading.version }
        : { text: encodeClusterData(reading.data), version: reading.version }
    },
    async swap(text, { version }, signal) {
      const data = decodeClusterData(text)
      if (data === null) throw new Error("a Go component never writes null")
      const expected =
        version === null ? ({ kind: "absent" } as const) : ({ kind: "version", version } as const)
      return (await store.write(data, expected, null, signal)).kind === "written"
    },
    async infos(signal) {
      const { keepers, proxies, broken } = await store.infos(signal)
      const [first] = broken
      if (first !== undefined) throw new GoDecodeError(`${first.key}: ${first.error}`)
      return {
        keepers: new Map(
          [...keepers].map(([uid, info]) => [
            uid,
            unmarshal(GoKeeperInfo, encode(KeeperInfo, info)),
          ]),
        ),
        proxies: new Map(
          [...proxies].map(([uid, info]) => [uid, unmarshal(GoProxyInfo, encode(ProxyInfo, info))]),
        ),
      }
    },
    publishKeeper: (info, sleep, signal) =>
      store.publish(
        { kind: "keeper", info: decode(KeeperInfo, marshal(GoKeeperInfo, info)) },
        ttl(sleep),
        signal,
      ),
    publishProxy: (info, timeout, signal) =>
      store.publish(
        { kind: "proxy", info: decode(ProxyInfo, marshal(GoProxyInfo, info)) },
        ttl(2 * timeout),
        signal,
      ),
    publishSentinel: (uid, sleep, signal) =>
      store.publish(
        { kind: "sentinel", info: decode(SentinelInfo, marshal(GoSentinelInfo, { UID: uid })) },
        ttl(2 * sleep),
        signal,
      ),
    campaign: (uid, signal) => store.campaign(sentinelUID(uid), signal),
  }
}

/** Runs `work` again and again, `pause` after each; an error is a line of the log. */
export async function every(
  { clock, log }: GoPorts,
  pause: () => number,
  work: () => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await work()
    } catch (error) {
      if (signal.aborted) return
      // A panic ends the process: whoever runs it sees it end.
      if (error instanceof Error && error.name === "GoPanic") throw error
      log(error instanceof Error ? error.message : String(error))
    }
    await clock.sleep(millis(pause()), signal).catch(() => {})
  }
}
