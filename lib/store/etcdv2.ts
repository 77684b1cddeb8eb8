/**
 * etcd's second API (etcd 2 and 3 up to 3.5, with `--enable-v2`), for clusters that Go stolon left
 * there: its keys and its lock (reference 3.1-3.3). New clusters belong elsewhere; `stolon ctl
 * store migrate` moves old ones.
 */
import { StoreError, type Expected, type StoreSettings, type Written } from "#port/store.ts"
import { byText, by } from "#base/order.ts"
import type { Clock } from "#port/clock.ts"
import { parseToken } from "./election.ts"
import { campaign, lockKey, unseat } from "./etcdv2-election.ts"
import { isConflict, publisherOf, quorum, readKey } from "./etcdv2-keys.ts"
import { answered, bare, form, keyPath, leaves } from "./etcdv2-text.ts"
import { watch } from "./etcdv2-watch.ts"
import { etcdPlace, parseEndpoints } from "./endpoints.ts"
import { type HttpPool, type HttpRequest, httpPool } from "./http-pool.ts"
import type { KeyValue } from "./keyvalue.ts"
import { fetchTls } from "./tls.ts"

export function openEtcdV2(settings: StoreSettings, clock: Clock): KeyValue {
  const { scheme, addresses } = parseEndpoints(settings.endpoints, etcdPlace)
  const { user, password, timeout } = settings
  const closing = new AbortController()
  const basic = Buffer.from(`${user}:${password}`).toString("base64")
  const etcd = httpPool({
    ...{ scheme, addresses, clock, timeout, closed: closing.signal },
    ...{ server: "etcd", root: "/v2/", indexHeader: "x-etcd-index", query: {} },
    // through the majority; nothing is there
    probe: { method: "GET", path: keyPath("stolon-asks-whether-anybody-leads"), query: quorum },
    headers: {
      "content-type": "application/x-www-form-urlencoded",
      ...(user === "" ? {} : { authorization: `Basic ${basic}` }),
    },
    tls: scheme === "https" ? fetchTls(settings.tls) : undefined,
  })
  return {
    ...publisherOf(etcd),
    get: (key, signal) => readKey(etcd, key, signal),
    list: (prefixes, signal) => list(etcd, prefixes, signal),
    swap: (key, value, expected, guard, signal) =>
      swap(etcd, key, value, { expected, guard }, signal),
    watch: (prefixes, changed, signal) => watch(etcd, prefixes, changed, signal),
    async leader(prefix, signal) {
      return (await readKey(etcd, lockKey(prefix), signal))?.value ?? null
    },
    unseat: (prefix, value, signal) => unseat(etcd, prefix, value, signal),
    campaign: (prefix, value, signal) => campaign(etcd, prefix, value, signal),
    async [Symbol.asyncDispose]() {
      closing.abort(new StoreError("unavailable", "the store is closed"))
    },
  }
}

/** One reading of the directory that all of them are in: a single moment. */
async function list(
  etcd: HttpPool,
  prefixes: readonly string[],
  signal: AbortSignal,
): ReturnType<KeyValue["list"]> {
  const wanted = prefixes.map(bare)
  const query = { ...quorum, recursive: "true", sorted: "true" }
  const request: HttpRequest = { method: "GET", path: keyPath(directoryOf(wanted)), query }
  const answer = answered(request, await etcd.ask(request, signal))
  const nodes = answer.kind === "node" ? leaves(answer.node) : []
  const order = by(({ key }: { readonly key: string }) => key, byText)
  return wanted.map((prefix) => nodes.filter(({ key }) => key.startsWith(prefix)).toSorted(order))
}

/** The deepest directory above all of these. */
function directoryOf(prefixes: readonly string[]): string {
  const [first = "", ...others] = prefixes
  let length = first.length
  for (const other of others)
    while (!other.startsWith(first.slice(0, length))) length = first.lastIndexOf("/", length - 1)
  return first.slice(0, Math.max(0, first.lastIndexOf("/", length)))
}

async function swap(
  etcd: HttpPool,
  key: string,
  value: string,
  { expected, guard }: { readonly expected: Expected; readonly guard: string | null },
  signal: AbortSignal,
): Promise<Written> {
  if (guard !== null) {
    const { key: lock, created } = parseToken(guard)
    const now = await readKey(etcd, lock, signal)
    if (now === null || String(now.created) !== created) return { kind: "conflict" }
  }
  const body = form({ value, ...conditionOf(expected) })
  const request: HttpRequest = { method: "PUT", path: keyPath(key), body }
  const reply = await etcd.once(request, signal)
  if (reply.kind === "unknown") return reply
  const answer = answered(request, reply)
  if (isConflict(answer)) return { kind: "conflict" }
  if (answer.kind === "node" && answer.node.modifiedIndex !== undefined) {
    const version = String(answer.node.modifiedIndex) as Extract<
      Written,
      { kind: "written" }
    >["version"] // the brand's source
    return { kind: "written", version }
  }
  return { kind: "unknown", why: "etcd answered without a result" }
}

function conditionOf(expected: Expected): Readonly<Record<string, string>> {
  switch (expected.kind) {
    case "version":
      return { prevIndex: expected.version }
    case "absent":
      return { prevExist: "false" }
    default:
      return {}
  }
}
