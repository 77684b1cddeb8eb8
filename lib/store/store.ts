/**
 * The port's `Store` over any key-value backend: key layout, documents to text and back, nothing
 * else.
 *
 * A document that cannot be decoded is an error of the read and never a default; one broken info is
 * reported beside the good ones (Go loses the whole listing, reference 3.1).
 */
import {
  type ClusterData,
  FormatError,
  decodeClusterData,
  encodeClusterData,
} from "#model/cluster.ts"
import { type Kind, decode, encode } from "#model/codec.ts"
import { sentinelUID } from "#model/ids.ts"
import { type Infos, KeeperInfo, ProxyInfo, SentinelInfo } from "#model/info.ts"
import { never } from "#base/brand.ts"
import {
  type Published,
  type Publisher,
  type Reading,
  type Store,
  StoreError,
} from "#port/store.ts"
import type { Entry, KeyValue } from "./keyvalue.ts"
import { type Keys, keysOf } from "./keys.ts"
import { message } from "./scope.ts"

export function storeOver(
  kv: KeyValue,
  place: { readonly prefix: string; readonly clusterName: string },
): Store {
  const keys = keysOf(place.prefix, place.clusterName)
  return {
    async read(signal) {
      return reading(await kv.get(keys.clusterData, signal), keys.clusterData)
    },
    async write(data, expected, leadership, signal) {
      // Spares a leader that knows of its end the question; the backend compares the token for one
      // that does not
      if (leadership?.signal.aborted) return { kind: "conflict" }
      const token = leadership?.token ?? null
      return kv.swap(keys.clusterData, encodeClusterData(data), expected, token, signal)
    },
    publish: (what, ttl, signal) =>
      kv.put(keys.info(publisher(what)), encodeInfo(what), ttl, signal),
    withdraw: (who, signal) => kv.remove(keys.info(who), signal),
    async infos(signal) {
      const listed = await kv.list([keys.keepers, keys.sentinels, keys.proxies], signal)
      return infosOf(listed)
    },
    async leader(signal) {
      const value = await kv.leader(keys.election, signal)
      return value === null ? null : sentinelUID(value)
    },
    unseat: (uid, signal) => kv.unseat(keys.election, uid, signal),
    campaign: (uid, signal) => kv.campaign(keys.election, uid, signal),
    watch: (what, changed, signal) => kv.watch(watched(keys, what), changed, signal),
    [Symbol.asyncDispose]: () => kv[Symbol.asyncDispose](),
  }
}

const watched = (keys: Keys, what: "clusterdata" | "everything"): readonly string[] =>
  what === "clusterdata"
    ? [keys.clusterData]
    : [keys.clusterData, keys.keepers, keys.sentinels, keys.proxies]

function reading(entry: Entry | null, key: string): Reading {
  if (entry === null) return { kind: "absent", version: null }
  const data = decodeOrThrow(entry, key)
  return data === null
    ? { kind: "absent", version: entry.version }
    : { kind: "found", data, version: entry.version }
}

function decodeOrThrow({ value, version }: Entry, key: string): ClusterData | null {
  try {
    return decodeClusterData(value)
  } catch (cause) {
    const code = cause instanceof FormatError ? "format" : "malformed"
    const document = { text: value, version }
    throw new StoreError(code, `cluster data under ${key}: ${message(cause)}`, { cause, document })
  }
}

function publisher(what: Published): Publisher {
  switch (what.kind) {
    case "keeper":
      return { kind: "keeper", uid: what.info.uid }
    case "sentinel":
      return { kind: "sentinel", uid: what.info.UID }
    case "proxy":
      return { kind: "proxy", uid: what.info.UID }
    default:
      return never(what)
  }
}

function encodeInfo(what: Published): string {
  switch (what.kind) {
    case "keeper":
      return encode(KeeperInfo, what.info)
    case "sentinel":
      return encode(SentinelInfo, what.info)
    case "proxy":
      return encode(ProxyInfo, what.info)
    default:
      return never(what)
  }
}

/**
 * Keyed by the UID inside the value; of two values with one UID the one under the later key wins,
 * as with Go.
 */
function infosOf(listed: readonly (readonly Entry[])[]): Infos {
  const [keepers = [], sentinels = [], proxies = []] = listed
  const broken: { readonly key: string; readonly error: string }[] = []
  const collect = <UID extends string, Info>(
    entries: readonly Entry[],
    kind: Kind<Info>,
    uidOf: (info: Info) => UID,
  ): ReadonlyMap<UID, Info> => {
    const found = new Map<UID, Info>()
    for (const { key, value } of entries) {
      try {
        const info = decode(kind, value)
        if (uidOf(info) === "") broken.push({ key, error: "the value names no uid" })
        else found.set(uidOf(info), info)
      } catch (error) {
        broken.push({ key, error: message(error) })
      }
    }
    return found
  }
  return {
    keepers: collect(keepers, KeeperInfo, (info) => info.uid),
    sentinels: collect(sentinels, SentinelInfo, (info) => info.UID),
    proxies: collect(proxies, ProxyInfo, (info) => info.UID),
    broken,
  }
}
