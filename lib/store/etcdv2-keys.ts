/**
 * Single keys of etcd's second API: reading them, and keys with a time to live of which this
 * process is the only writer.
 *
 * A put names the index that we know, so that a copy that was delayed on its way does nothing
 * (G7).
 */
import type { Millis } from "#base/brand.ts"
import { type Answer, type Node, answered, codes, form, keyPath, nodeOf } from "./etcdv2-text.ts"
import { type HttpPool, type HttpRequest, together } from "./http-pool.ts"
import type { KeyValue } from "./keyvalue.ts"
import { queue } from "./scope.ts"

/** Read by a majority. */
export const quorum = { quorum: "true" } as const

export async function readKey(
  etcd: HttpPool,
  key: string,
  signal: AbortSignal,
): Promise<Node | null> {
  const request: HttpRequest = { method: "GET", path: keyPath(key), query: quorum }
  const answer = answered(request, await etcd.ask(request, signal))
  return answer.kind === "node" ? nodeOf(answer.node) : null
}

/** What a write may replace: the index that it has, nothing at all. */
export type Condition = { readonly prevIndex: string } | { readonly prevExist: "false" }

/** A write that may be sent twice, since it compares. */
export async function putKey(
  etcd: HttpPool,
  key: string,
  value: string,
  { ttl, condition }: { readonly ttl: Millis; readonly condition: Condition },
  signal: AbortSignal,
): Promise<Answer> {
  const seconds = String(Math.max(1, Math.ceil(ttl / 1_000)))
  const body = form({ value, ttl: seconds, ...condition })
  const request: HttpRequest = { method: "PUT", path: keyPath(key), body }
  return answered(request, await etcd.ask(request, signal))
}

export async function deleteKey(
  etcd: HttpPool,
  key: string,
  query: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Answer> {
  const request: HttpRequest = { method: "DELETE", path: keyPath(key), query }
  return answered(request, await etcd.ask(request, signal))
}

export function publisherOf(etcd: HttpPool): Pick<KeyValue, "put" | "remove"> {
  /** As we left it. */
  const indexes = new Map<string, number>()
  const queues = new Map<string, ReturnType<typeof queue>>()
  const inTurn = (key: string): ReturnType<typeof queue> => {
    const found = queues.get(key) ?? queue()
    queues.set(key, found)
    return found
  }
  async function put(key: string, value: string, ttl: Millis, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    for (let index = indexes.get(key) ?? 0; ;) {
      const condition: Condition =
        index === 0 ? { prevExist: "false" } : { prevIndex: String(index) }
      const answer = await putKey(etcd, key, value, { ttl, condition }, signal)
      if (answer.kind === "node") {
        indexes.set(key, answer.node.modifiedIndex ?? 0)
        return
      }
      // gone, or as an earlier life of this process left it, or an answer of ours was lost
      index = (await readKey(etcd, key, signal))?.index ?? 0
    }
  }
  return {
    put: (key, value, ttl, signal) =>
      inTurn(key)(() =>
        together(etcd, `publish ${key}`, signal, (inTime) => put(key, value, ttl, inTime)),
      ),
    remove: (key, signal) =>
      inTurn(key)(async () => {
        indexes.delete(key)
        await deleteKey(etcd, key, {}, signal)
      }),
  }
}

/** Whether an error says that a comparison failed, or that there is nothing to compare. */
export const isConflict = (answer: Answer): boolean =>
  answer.kind === "error" &&
  [codes.compareFailed, codes.exists, codes.missing].some((code) => code === answer.code)
