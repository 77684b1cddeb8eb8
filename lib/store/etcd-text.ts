/** Requests and answers of etcd in the words of `keyvalue.ts`. */
import type { ICompare, IKeyValue, IRequestOp, ITxnResponse } from "etcd3"
import { never } from "#base/brand.ts"
import type { Expected, Version } from "#port/store.ts"
import { parseToken } from "./election.ts"
import type { Entry } from "./keyvalue.ts"

/** Keys from `prefix` up to, not including, the first text that does not begin with it. */
export function rangeOf(prefix: string): { readonly key: Buffer; readonly range_end: Buffer } {
  const end = Buffer.from(prefix)
  let last = end.length - 1
  while (last >= 0 && end[last] === 0xff) last--
  if (last < 0) return { key: Buffer.from([0]), range_end: Buffer.from([0]) } // every key
  end[last] = (end[last] ?? 0) + 1
  return { key: Buffer.from(prefix), range_end: end.subarray(0, last + 1) }
}

export const getOp = (key: string): IRequestOp => ({ request_range: { key: Buffer.from(key) } })
export const listOp = (prefix: string): IRequestOp => ({ request_range: rangeOf(prefix) })
/** What is below the prefix and younger than `revision`; the answer's count is of all below it. */
export const younger = (prefix: string, revision: bigint): IRequestOp => ({
  request_range: { ...rangeOf(prefix), min_mod_revision: String(revision + 1n) },
})
export const putOp = (key: string, value: string, lease: string | null): IRequestOp => ({
  request_put: {
    key: Buffer.from(key),
    value: Buffer.from(value),
    ...(lease === null ? {} : { lease }),
  },
})
export const deleteOp = (key: string): IRequestOp => ({
  request_delete_range: { key: Buffer.from(key) },
})

/** What a write compares before it is applied. */
export function comparesOf(key: string, expected: Expected): ICompare[] {
  switch (expected.kind) {
    case "version":
      return [modified(key, expected.version)]
    case "absent":
      return [created(key, "0")]
    case "anything":
      return []
    default:
      return never(expected)
  }
}
export const created = (key: string, revision: string): ICompare => ({
  key: Buffer.from(key),
  target: "Create",
  result: "Equal",
  create_revision: revision,
})
/** Version "0": there is no such key. */
export const modified = (key: string, version: string): ICompare => ({
  key: Buffer.from(key),
  target: "Mod",
  result: "Equal",
  mod_revision: version,
})
/** The leadership that `token` names still stands (W4). */
export function standing(token: string): ICompare {
  const { key, created: revision } = parseToken(token)
  return created(key, revision)
}

/** The entries that the `index`th operation of a transaction read. */
export const entriesAt = (answer: ITxnResponse, index: number): readonly Entry[] =>
  (answer.responses[index]?.response_range?.kvs ?? []).map(entryOf)

export const entryOf = (kv: IKeyValue): Entry => ({
  key: kv.key.toString(),
  value: kv.value.toString(),
  version: kv.mod_revision as Version, // minted by the backends
  created: BigInt(kv.create_revision),
})
