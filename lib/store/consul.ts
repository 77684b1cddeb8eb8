/**
 * The Consul backend, over plain HTTP: Go stolon's keys, flags, sessions and lock (reference
 * 3.1-3.3), without what its client does to a cluster (D-64, D-65, D-82 to D-85).
 *
 * Every write is one transaction that compares what it must: the version, the session of whoever
 * leads, the session that holds an info.
 */
import { StoreError, type StoreSettings, type Version, type Written } from "#port/store.ts"
import type { Clock } from "#port/clock.ts"
import type { HttpPool } from "./http-pool.ts"
import { campaign, holder, unseat } from "./consul-election.ts"
import { consistent, ok, publisherOf } from "./consul-publish.ts"
import {
  type Op,
  applied,
  bare,
  byKey,
  kvPath,
  pairIn,
  transaction,
  written,
} from "./consul-text.ts"
import { watch } from "./consul-watch.ts"
import { parseToken } from "./election.ts"
import { type Environment, consulPool } from "./consul-access.ts"
import { consulPlace, parseEndpoints } from "./endpoints.ts"
import type { KeyValue } from "./keyvalue.ts"

export function openConsul(
  settings: StoreSettings,
  clock: Clock,
  env: Environment = process.env,
): KeyValue {
  const { scheme, addresses } = parseEndpoints(settings.endpoints, consulPlace)
  const closing = new AbortController()
  const { timeout, tls } = settings
  const closed = closing.signal
  const consul = consulPool({ scheme, addresses, clock, timeout, closed, tls }, env)
  return {
    ...publisherOf(consul),
    async get(key, signal) {
      const request = { method: "GET", path: kvPath(key), query: consistent } as const
      return pairIn(request, ok(request, await consul.ask(request, signal)))
    },
    list: (prefixes, signal) => list(consul, prefixes, signal),
    swap: (key, value, expected, guard, signal) => {
      const base = { Key: bare(key), ...written(value) }
      const cas = (index: Version | "0"): Op => ({ Verb: "cas", ...base, Index: Number(index) })
      const write: Op =
        expected.kind === "version"
          ? cas(expected.version)
          : expected.kind === "absent"
            ? cas("0")
            : { Verb: "set", ...base }
      return swap(consul, [...guarded(guard), write], signal)
    },
    watch: (prefixes, changed, signal) => watch(consul, prefixes, changed, signal),
    leader: (prefix, signal) => holder(consul, prefix, signal),
    unseat: (prefix, value, signal) => unseat(consul, prefix, value, signal),
    campaign: (prefix, value, signal) => campaign(consul, prefix, value, signal),
    async [Symbol.asyncDispose]() {
      closing.abort(new StoreError("unavailable", "the store is closed"))
    },
  }
}

async function list(
  consul: HttpPool,
  prefixes: readonly string[],
  signal: AbortSignal,
): ReturnType<KeyValue["list"]> {
  const ops = prefixes.map((prefix): Op => ({ Verb: "get-tree", Key: bare(prefix) }))
  const request = transaction(ops, consistent)
  const end = applied(request, await consul.ask(request, signal))
  const pairs = (end.kind === "done" ? end.pairs : [])
    // what Go puts before the value, with the session (D-85)
    .filter(({ value, session }) => value !== "" || session === "")
    .toSorted(byKey)
  return prefixes.map((prefix) => {
    const below = pairs.filter(({ key }) => key.startsWith(bare(prefix)))
    return below.filter(({ key }, i) => below[i - 1]?.key !== key) // asked for by two prefixes
  })
}

/** The leadership that writes still stands. */
function guarded(guard: string | null): readonly Op[] {
  if (guard === null) return []
  const { key, created: session } = parseToken(guard)
  return [{ Verb: "check-session", Key: bare(key), Session: session }]
}

async function swap(consul: HttpPool, ops: readonly Op[], signal: AbortSignal): Promise<Written> {
  const request = transaction(ops)
  const reply = await consul.once(request, signal)
  if (reply.kind === "unknown") return reply
  const end = applied(request, reply)
  if (end.kind === "refused") return { kind: "conflict" }
  const pair = end.pairs.at(-1)
  if (pair === undefined) return { kind: "unknown", why: "consul answered without a result" }
  return { kind: "written", version: pair.version }
}
