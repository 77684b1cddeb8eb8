/**
 * The store as agents see it: domain words, no keys and no bytes. One conformance suite
 * (`test/conformance`) runs against every backend; what it says is the contract.
 *
 * Every method ends: each request is bounded by the store's timeout. A store that cannot be reached
 * throws `StoreError`; a document that cannot be used throws too, with code `malformed`, and must
 * never lead to an action on PostgreSQL.
 */
import type { Brand, Millis } from "#base/brand.ts"
import type { ClusterData } from "#model/cluster.ts"
import type { KeeperUID, ProxyUID, SentinelUID } from "#model/ids.ts"
import type { Infos, KeeperInfo, ProxyInfo, SentinelInfo } from "#model/info.ts"

/** What a compare-and-swap compares: the version of the value that was read. Opaque. */
export type Version = Brand<string, "Version">

/** The cluster data as one linearizable read found it. */
export type Reading =
  | { readonly kind: "found"; readonly data: ClusterData; readonly version: Version }
  /** No key, or JSON null (then there is a version to replace it by). */
  | { readonly kind: "absent"; readonly version: Version | null }

/**
 * How a write ended (W5). `unknown`: no answer came in time, it may or may not have been applied,
 * now or later: read again and look for the nonce before memory moves or is dropped.
 */
export type Written =
  | { readonly kind: "written"; readonly version: Version }
  | { readonly kind: "conflict" }
  | { readonly kind: "unknown"; readonly why: string }

/** What a write may replace. */
export type Expected =
  | { readonly kind: "version"; readonly version: Version }
  | { readonly kind: "absent" } // create only
  | { readonly kind: "anything" } // `ctl init`, `clusterdata write`

/** Being the leader, as long as `signal` has not aborted. */
export interface Leadership {
  readonly signal: AbortSignal
  /**
   * Hands to `write`: where the backend can, the transaction also compares that this leadership
   * still stands (W4).
   */
  readonly token: string
  /** Gives the office back so that the next candidate need not wait for its expiry. */
  resign(signal: AbortSignal): Promise<void>
}

export type Published =
  | { readonly kind: "keeper"; readonly info: KeeperInfo }
  | { readonly kind: "sentinel"; readonly info: SentinelInfo }
  | { readonly kind: "proxy"; readonly info: ProxyInfo }
export type Publisher =
  | { readonly kind: "keeper"; readonly uid: KeeperUID }
  | { readonly kind: "sentinel"; readonly uid: SentinelUID }
  | { readonly kind: "proxy"; readonly uid: ProxyUID }

/** What a keeper is to clients. */
export type Role = "primary" | "standby"

export interface Store extends AsyncDisposable {
  /** Linearizable. */
  read(signal: AbortSignal): Promise<Reading>
  write(
    data: ClusterData,
    expected: Expected,
    leadership: Leadership | null,
    signal: AbortSignal,
  ): Promise<Written>
  /** Publishes an info; the key disappears when it is not published again within `ttl`. */
  publish(what: Published, ttl: Millis, signal: AbortSignal): Promise<void>
  /** Removes an info at a graceful stop. Missing is fine. */
  withdraw(who: Publisher, signal: AbortSignal): Promise<void>
  infos(signal: AbortSignal): Promise<Infos>
  /** The UID of the present leader, null when there is none. */
  leader(signal: AbortSignal): Promise<SentinelUID | null>
  /**
   * D4: takes the office from `uid` if it is the leader at this moment; a leader that comes later,
   * also of the same name, is never hit (compared by what made the office, as etcd's create
   * revision). False when it was not the leader, or had gone meanwhile.
   */
  unseat(uid: SentinelUID, signal: AbortSignal): Promise<boolean>
  /**
   * Stands for election and resolves when elected. Throws `StoreError` when the campaign cannot go
   * on; the caller waits and stands again.
   */
  campaign(uid: SentinelUID, signal: AbortSignal): Promise<Leadership>
  /**
   * Calls `changed` after each change of the cluster data (and, with `infos`, of any info), and
   * once after every reconnect, until `signal` aborts; then it resolves. It survives reconnects and
   * compaction by itself; a wake-up only, the truth is what `read` says.
   */
  watch(what: "clusterdata" | "everything", changed: () => void, signal: AbortSignal): Promise<void>
  /**
   * Tells the platform who is what, where it has a place for that (labels of pods); called by the
   * leader, before the gate opens. Whoever is primary no longer is told of first. A courtesy for
   * clients: nobody may ever decide by it who is allowed to write.
   */
  announce?(
    roles: ReadonlyMap<KeeperUID, Role>,
    leadership: Leadership,
    signal: AbortSignal,
  ): Promise<void>
}

export type StoreErrorCode =
  | "unavailable" // no answer: unreachable, hung, no quorum
  | "denied" // credentials or rights
  | "malformed" // an answer that cannot be used
  | "format" // another format version (G4)
  | "invalid" // settings that cannot work

export interface StoredText {
  readonly text: string
  readonly version: Version
}
interface StoreErrorOptions extends ErrorOptions {
  readonly document?: StoredText
}

/** Store trouble. All but `denied` and `invalid` are worth another try. */
export class StoreError extends Error {
  override readonly name = "StoreError"
  constructor(code: StoreErrorCode, message: string, options: StoreErrorOptions = {}) {
    super(message, options)
    this.code = code
    this.document = options.document ?? null
  }
  readonly code: StoreErrorCode
  /** What stands where cluster data should, when that is the trouble. */
  readonly document: StoredText | null
  get retryable(): boolean {
    return this.code !== "denied" && this.code !== "invalid"
  }
}

/** What every command's store flags say, parsed. */
export interface StoreSettings {
  readonly clusterName: string
  readonly backend: "sqlite" | "etcdv3" | "etcdv2" | "consul" | "kubernetes"
  /** As typed: URLs or host:port for etcd and Consul, a file for sqlite. */
  readonly endpoints: readonly string[]
  readonly prefix: string
  readonly timeout: Millis
  readonly tls: {
    readonly certFile: string
    readonly keyFile: string
    readonly caFile: string
    readonly skipVerify: boolean
  }
  /** etcd's user; empty without authentication. */
  readonly user: string
  readonly password: string
  readonly kubernetes?: KubernetesSettings
}

/** Empty: not said, the environment decides. */
export interface KubernetesSettings {
  readonly kubeconfig: string
  readonly context: string
  readonly namespace: string
  /** The pod that this component publishes in; null for who publishes nothing. */
  readonly podName: string | null
}
