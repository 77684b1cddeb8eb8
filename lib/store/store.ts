/**
 * The port's `Store` over any key-value backend: key layout, documents to text and back, nothing
 * else.
 *
 * A document that cannot be decoded is an error of the read and never a default; one broken info is
 * reported beside the good ones (Go loses the whole listing, reference 3.1). What has the same text
 * as last time is not decoded again: every info wakes the sentinels, and most are as they were.
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
  const views = remembering(decodeClusterData)
  const infos = listing()
  return {
    async read(signal) {
      return reading(await kv.get(keys.clusterData, signal), keys.clusterData, views)
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
      return infos(listed)
    },
    async leader(signal) {
      const value = await kv.leader(keys.election, signal)
      return value === null ? null : sentinelUID(value)
    },
    unseat: (uid, signal) => kv.unseat(keys.election, uid, signal),
    campaign: (uid, signal) => kv.campaign(keys.election, uid, signal),
    watch: (what, changed, signal) => kv.watch(watched(keys, what), changed, signal),
    ...announcing(kv),
    [Symbol.asyncDispose]: () => kv[Symbol.asyncDispose](),
  }
}

/** Only where the backend has a place for it. */
const announcing = (kv: KeyValue): Pick<Store, "announce"> =>
  kv.announce === undefined
    ? {}
    : {
        async announce(roles, leadership, signal) {
          if (!leadership.signal.aborted) await kv.announce?.(roles, leadership.token, signal)
        },
      }

const watched = (keys: Keys, what: "clusterdata" | "everything"): readonly string[] =>
  what === "clusterdata"
    ? [keys.clusterData]
    : [keys.clusterData, keys.keepers, keys.sentinels, keys.proxies]

type Views = Remembering<ClusterData | null>

function reading(entry: Entry | null, key: string, views: Views): Reading {
  if (entry === null) return { kind: "absent", version: null }
  const data = decodeOrThrow(entry, key, views)
  return data === null
    ? { kind: "absent", version: entry.version }
    : { kind: "found", data, version: entry.version }
}

function decodeOrThrow({ value, version }: Entry, key: string, views: Views): ClusterData | null {
  try {
    return views.round((decoded) => decoded(key, value))
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

/** What was decoded last, by key: documents are values, nobody changes them. */
interface Remembering<T> {
  /** What this round does not ask for is forgotten. */
  round<R>(work: (decode: (key: string, text: string) => T) => R): R
}
interface Decoded<T> {
  readonly text: string
  readonly value: T
}
function remembering<T>(decoded: (text: string) => T): Remembering<T> {
  let last: ReadonlyMap<string, Decoded<T>> = new Map()
  return {
    round(work) {
      const next = new Map<string, Decoded<T>>()
      const result = work((key, text) => {
        const before = last.get(key)
        const now = before?.text === text ? before : { text, value: decoded(text) }
        next.set(key, now)
        return now.value
      })
      last = next
      return result
    },
  }
}

/**
 * Keyed by the UID inside the value; of two values with one UID the one under the later key wins,
 * as with Go.
 */
function listing(): (listed: readonly (readonly Entry[])[]) => Infos {
  const keepers = collector(KeeperInfo, (info) => info.uid)
  const sentinels = collector(SentinelInfo, (info) => info.UID)
  const proxies = collector(ProxyInfo, (info) => info.UID)
  return ([ofKeepers = [], ofSentinels = [], ofProxies = []]) => {
    const broken: Broken[] = []
    return {
      keepers: keepers(ofKeepers, broken),
      sentinels: sentinels(ofSentinels, broken),
      proxies: proxies(ofProxies, broken),
      broken,
    }
  }
}
type Broken = Infos["broken"][number]

function collector<UID extends string, Info>(kind: Kind<Info>, uidOf: (info: Info) => UID) {
  const infos = remembering((text) => decode(kind, text))
  return (entries: readonly Entry[], broken: Broken[]): ReadonlyMap<UID, Info> =>
    infos.round((decoded) => {
      const found = new Map<UID, Info>()
      for (const { key, value } of entries) {
        try {
          const info = decoded(key, value)
          if (uidOf(info) === "") broken.push({ key, error: "the value names no uid" })
          else found.set(uidOf(info), info)
        } catch (error) {
          broken.push({ key, error: message(error) })
        }
      }
      return found
    })
}
