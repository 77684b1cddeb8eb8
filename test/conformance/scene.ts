/**
 * One test's cluster in a store: its own name, as many clients as it wants, processes, all closed
 * at the end.
 */
import { type Millis, millis, type Time } from "#base/brand.ts"
import { type ClusterData, newClusterData } from "#model/cluster.ts"
import {
  type KeeperUID,
  type SentinelUID,
  generation,
  infoUID,
  keeperUID,
  newNonce,
  proxyUID,
  sentinelUID,
} from "#model/ids.ts"
import { KeeperInfo, ProxyInfo, SentinelInfo } from "#model/info.ts"
import { decode } from "#model/codec.ts"
import { emptySpec } from "#model/spec.ts"
import { generator } from "#base/random.ts"
import type { Published, Store, StoreSettings } from "#port/store.ts"
import type { KeyValue } from "#store/keyvalue.ts"
import { openKeyValue, openStore } from "#store/open.ts"
import { type Child, startHolder } from "./child.ts"
import type { Role } from "./holder.ts"

/** A signal that never aborts. */
export const never = new AbortController().signal

export interface Scene extends AsyncDisposable {
  readonly settings: StoreSettings
  readonly base: string
  store(changes?: Partial<StoreSettings>): Promise<Store>
  /** The same place without the words of a cluster. */
  raw(changes?: Partial<StoreSettings>): Promise<KeyValue>
  child(role: Role): Child
  /** Watches until the scene ends, and counts. */
  watch(store: Store, what: "clusterdata" | "everything"): Promise<{ readonly wakes: number }>
}

let scenes = 0

/** How stores are opened where a test's process is not what a user's would be. */
export interface Opening {
  open(settings: StoreSettings): Promise<Store>
  forChild(settings: StoreSettings, role: Role): StoreSettings
}
const plain: Opening = { open: (it) => openStore(it), forChild: (it) => it }

export function scene(
  settings: (clusterName: string) => StoreSettings,
  opening: Opening = plain,
): Scene {
  const mine = settings(`c${process.pid}-${++scenes}`)
  const stack = new AsyncDisposableStack()
  const over = new AbortController()
  return {
    settings: mine,
    base: `${mine.prefix}/${mine.clusterName}`,
    store: async (changes) => stack.use(await opening.open({ ...mine, ...changes })),
    raw: async (changes) => stack.use(await openKeyValue({ ...mine, ...changes }, never)),
    child: (role) => stack.use(startHolder(opening.forChild(mine, role), role)),
    async watch(store, what) {
      const counter = { wakes: 0 }
      const standing = Promise.withResolvers<void>()
      const watching = store.watch(
        what,
        () => {
          counter.wakes++
          standing.resolve()
        },
        over.signal,
      )
      stack.defer(async () => {
        over.abort()
        await watching
      })
      await standing.promise
      return counter
    },
    async [Symbol.asyncDispose]() {
      over.abort()
      await stack.disposeAsync()
    },
  }
}

export const settingsOf = (
  backend: StoreSettings["backend"],
  endpoints: readonly string[],
  clusterName: string,
  timeout: Millis = millis(5000),
): StoreSettings => ({
  clusterName,
  backend,
  endpoints,
  prefix: "stolon/cluster",
  timeout,
  tls: { certFile: "", keyFile: "", caFile: "", skipVerify: false },
  user: "",
  password: "",
})

const at = "2026-01-02T03:04:05.678901234Z" as Time
const random = generator(Math.floor(Math.random() * 2 ** 32))

/** Cluster data that is told apart from any other by its nonce. */
export function document(): ClusterData {
  const fresh = newClusterData(
    decode(KeeperInfo, `{"clusterUID":"c0ffee00"}`).clusterUID,
    emptySpec,
    at,
  )
  const status = { ...fresh.cluster.status, writer: newNonce(random) }
  return { ...fresh, cluster: { ...fresh.cluster, status } }
}
export const nonceOf = (data: ClusterData): string => data.cluster.status.writer

export const keeper = (uid: string, count = 1): Published & { readonly kind: "keeper" } => ({
  kind: "keeper",
  info: { ...decode(KeeperInfo, "{}"), uid: keeperUID(uid), infoUID: infoUID(`${uid}-${count}`) },
})
export const proxy = (uid: string): Published => ({
  kind: "proxy",
  info: {
    ...decode(ProxyInfo, "{}"),
    UID: proxyUID(uid),
    Generation: generation(7),
    ProxyTimeout: 15e9,
  },
})
export const sentinel = (uid: string): Published => ({
  kind: "sentinel",
  info: { ...decode(SentinelInfo, "{}"), UID: sentinelUID(uid) },
})
export const s = (uid: string): SentinelUID => sentinelUID(uid)
export const k = (uid: string): KeeperUID => keeperUID(uid)
