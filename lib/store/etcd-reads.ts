/**
 * Linearizable reads that transfer only what is not known yet. Every read asks etcd; but one of a
 * key asks for it only if it is not the one that was read last, and one of a range for what is
 * younger than the last listing, and for the number of keys, which tells what is gone.
 *
 * It must never answer from memory alone: without an answer from etcd there is no reading. What is
 * remembered is dropped whenever the store may be another one with the same revisions, restored or
 * begun anew: after every loss of a watch, and once a minute.
 */
import type { IKeyValue, IRangeResponse, IResponseHeader, ITxnResponse } from "etcd3"
import type { Millis } from "#base/brand.ts"
import { by, byText } from "#base/order.ts"
import { StoreError } from "#port/store.ts"
import { type Etcd, ask } from "./etcd-requests.ts"
import { created, entryOf, getOp, listOp, modified, younger } from "./etcd-text.ts"
import type { Entry, KeyValue } from "./keyvalue.ts"

export interface Reads extends Pick<KeyValue, "get" | "list"> {
  /** A watch has brought a key's value: the next read need not. */
  noticed(kv: IKeyValue): void
  /** A watch was lost, and perhaps the store with it. */
  forget(): void
}

const trusted = 60_000

interface Known<T> {
  readonly value: T
  readonly cluster: string
  /** Of the answer that brought it. */
  readonly revision: bigint
  /** When it was asked for as a whole. */
  readonly at: Millis
}
type Listing = ReadonlyMap<string, Entry>

export function readsOf(etcd: Etcd): Reads {
  const keys = new Map<string, Known<Entry>>()
  const listings = new Map<string, Known<readonly Listing[]>>()
  const valid = <T>(known: Known<T> | undefined): Known<T> | null =>
    known === undefined || etcd.clock.now().mono - known.at > trusted ? null : known

  async function wholeKey(key: string, signal: AbortSignal): Promise<Entry | null> {
    const at = etcd.clock.now().mono
    return took(key, await ask(etcd, `get ${key}`, { success: [getOp(key)] }, signal), at)
  }
  /** What an answer brought of a key, which is now the one that is known. */
  function took(key: string, answer: ITxnResponse, at: Millis): Entry | null {
    const kv = rangeAt(answer, 0).kvs[0]
    if (kv === undefined) {
      keys.delete(key)
      return null
    }
    const value = entryOf(kv)
    keep(keys, key, { value, at, ...placeOf(answer.header) })
    return value
  }
  async function wholeList(
    prefixes: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly Listing[]> {
    const at = etcd.clock.now().mono
    const request = { success: prefixes.map(listOp) }
    const answer = await ask(etcd, `list ${prefixes.join(", ")}`, request, signal)
    const value = prefixes.map((_, i) => listing(rangeAt(answer, i).kvs))
    keep(listings, prefixes.join("\n"), { value, at, ...placeOf(answer.header) })
    return value
  }
  /** Null: what is known does not lead to what there is. */
  async function changedList(
    prefixes: readonly string[],
    known: Known<readonly Listing[]>,
    signal: AbortSignal,
  ): Promise<readonly Listing[] | null> {
    const request = { success: prefixes.map((prefix) => younger(prefix, known.revision)) }
    const answer = await ask(etcd, `list ${prefixes.join(", ")}`, request, signal)
    if (!isLater(answer.header, known)) return null
    const value: Listing[] = []
    for (const [i, before] of known.value.entries()) {
      const { kvs, count } = rangeAt(answer, i)
      const now = kvs.length === 0 ? before : new Map([...before, ...listing(kvs)])
      if (now.size !== Number(count)) return null // a key is gone, and nobody says which
      value.push(now)
    }
    keep(listings, prefixes.join("\n"), { ...known, value, ...placeOf(answer.header) })
    return value
  }
  return {
    async get(key, signal) {
      const known = valid(keys.get(key))
      if (known === null) return wholeKey(key, signal)
      const { version, created: since } = known.value
      const request = {
        compare: [modified(key, version), created(key, String(since))],
        failure: [getOp(key)],
      }
      const answer = await ask(etcd, `get ${key}`, request, signal)
      if (!isLater(answer.header, known)) return wholeKey(key, signal)
      return answer.succeeded ? known.value : took(key, answer, known.at)
    },
    async list(prefixes, signal) {
      const known = valid(listings.get(prefixes.join("\n")))
      const changed = known === null ? null : await changedList(prefixes, known, signal)
      const now = changed ?? (await wholeList(prefixes, signal))
      return now.map((entries) => [...entries.values()].toSorted(byKey))
    },
    forget() {
      keys.clear()
      listings.clear()
    },
    noticed(kv) {
      const known = keys.get(kv.key.toString())
      if (known === undefined || kv.value.length === 0) return
      const revision = BigInt(kv.mod_revision)
      keep(keys, kv.key.toString(), { ...known, value: entryOf(kv), revision })
    },
  }
}

const byKey = by(({ key }: Entry) => key, byText)
const listing = (kvs: readonly IKeyValue[]): Listing =>
  new Map(kvs.map(entryOf).map((entry) => [entry.key, entry]))

/** Answers may come in another order than their questions: the younger one stays. */
function keep<T>(all: Map<string, Known<T>>, name: string, next: Known<T>): void {
  const last = all.get(name)
  const older = last !== undefined && last.cluster === next.cluster && last.at >= next.at
  if (older && last.revision > next.revision) return
  all.set(name, next)
}

const placeOf = ({ cluster_id, revision }: IResponseHeader) => ({
  cluster: cluster_id,
  revision: BigInt(revision),
})
const isLater = ({ cluster_id, revision }: IResponseHeader, known: Known<unknown>): boolean =>
  cluster_id === known.cluster && BigInt(revision) >= known.revision

function rangeAt(answer: ITxnResponse, index: number): IRangeResponse {
  const range = answer.responses[index]?.response_range
  if (range === undefined)
    throw new StoreError("malformed", "etcd did not answer what it was asked for")
  return range
}
