/**
 * What a backend must be able to do: raw text under keys, nothing about clusters. `store.ts` turns
 * it into the port's domain words, so a new backend is only this.
 *
 * Every method ends within the store's timeout (`watch` and `campaign` end with their signal) and
 * throws `StoreError` when the store gave no usable answer. Nothing here may send a write twice
 * unless a second application is provably harmless.
 */
import type { Millis } from "#base/brand.ts"
import type { Expected, Leadership, Role, Version, Written } from "#port/store.ts"

/** One key as a read found it. */
export interface Entry {
  readonly key: string
  readonly value: string
  /** Changes with every write of the key. */
  readonly version: Version
  /** The revision that created the key; compares as a number. */
  readonly created: bigint
}

export interface KeyValue extends AsyncDisposable {
  /** Linearizable. */
  get(key: string, signal: AbortSignal): Promise<Entry | null>
  /**
   * All keys below each prefix (compared as text, as they are), in key order, all of one moment.
   */
  list(prefixes: readonly string[], signal: AbortSignal): Promise<readonly (readonly Entry[])[]>
  /**
   * Compare and swap. `guard` is a leadership's token: its key must still stand. Throws only when
   * the write was certainly not applied; without an answer it is `unknown`.
   */
  swap(
    key: string,
    value: string,
    expected: Expected,
    guard: string | null,
    signal: AbortSignal,
  ): Promise<Written>
  /**
   * Writes a key of which this process is the only writer; it vanishes when it is not put again
   * within `ttl`.
   */
  put(key: string, value: string, ttl: Millis, signal: AbortSignal): Promise<void>
  /** Removes such a key. Missing is fine. */
  remove(key: string, signal: AbortSignal): Promise<void>
  /**
   * Calls `changed` once when the watch stands (also after each reconnect) and after every change
   * below one of the prefixes; resolves when `signal` aborts.
   */
  watch(prefixes: readonly string[], changed: () => void, signal: AbortSignal): Promise<void>
  /** The value of the first candidate below `prefix`. */
  leader(prefix: string, signal: AbortSignal): Promise<string | null>
  /**
   * Removes the first candidate's key if its value is `value`, compared by its create revision.
   * False when another leads, or the key has gone meanwhile.
   */
  unseat(prefix: string, value: string, signal: AbortSignal): Promise<boolean>
  /** Stands for election below `prefix` and resolves when first. */
  campaign(prefix: string, value: string, signal: AbortSignal): Promise<Leadership>
  /** Shows the platform the role of each keeper; `guard` is a leadership's token. */
  announce?(roles: ReadonlyMap<string, Role>, guard: string, signal: AbortSignal): Promise<void>
}
