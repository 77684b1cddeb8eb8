/**
 * The store in etcd, through its v3 protocol, byte-compatible with Go stolon's (reference 3.1 to
 * 3.3).
 *
 * What may be repeated is (reads, lease renewals, puts of keys that only we write, which compare
 * the version so that a late duplicate does nothing); the write of the cluster data is sent once
 * and ends as `unknown` when its answer is lost (W5). One lease per published key, renewed by
 * publishing and by nothing else, so the key ends with its publisher (D-57).
 */
import type { IEvent } from "etcd3"
import { type Millis, millis } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"
import { StoreError, type StoreSettings, type Version } from "#port/store.ts"
import { type Candidacy, byAge, campaign } from "./election.ts"
import { parseEndpoints } from "./endpoints.ts"
import { credentialsFor } from "./etcd-credentials.ts"
import { readsOf } from "./etcd-reads.ts"
import { type Endpoint, openEndpoint } from "./etcd-endpoint.ts"
import { EtcdError } from "./etcd-errors.ts"
import { poolOf } from "./etcd-pool.ts"
import { publisherOf } from "./etcd-publish.ts"
import { type Etcd, ask, grantLease, probeOf, renewLease, revokeLease } from "./etcd-requests.ts"
import {
  comparesOf,
  created,
  entriesAt,
  getOp,
  listOp,
  putOp,
  standing,
  deleteOp,
} from "./etcd-text.ts"
import { watchAll } from "./etcd-watch.ts"
import { keysOf } from "./keys.ts"
import type { KeyValue } from "./keyvalue.ts"
import { linked } from "./scope.ts"
import { readTls } from "./tls.ts"

/** Never talks to etcd itself: the first request does. */
export function openEtcd(settings: StoreSettings, clock: Clock): KeyValue {
  const { scheme, addresses } = parseEndpoints(settings.endpoints)
  const tls = scheme === "https" ? readTls(settings.tls) : null
  const { user, password, timeout } = settings
  const open = (address: string): Endpoint =>
    openEndpoint({ address, credentials: credentialsFor(tls), user, password }, clock)
  const probe = probeOf(keysOf(settings.prefix, settings.clusterName).clusterData)
  const [first = "", ...others] = addresses
  const pool = poolOf([open(first), ...others.map(open)], probe, clock)
  const etcd: Etcd = { pool, clock, timeout }
  const closing = new AbortController()
  const publisher = publisherOf(etcd)
  const reads = readsOf(etcd)

  const store: KeyValue = {
    get: reads.get,
    list: reads.list,
    async swap(key, value, expected, guard, signal) {
      const compare = comparesOf(key, expected)
      if (guard !== null) compare.push(standing(guard))
      const write = { compare, success: [putOp(key, value, null)] }
      const outcome = await pool.once(
        `write ${key}`,
        (endpoint, signal) => endpoint.call("txn", write, signal),
        timeout,
        signal,
      )
      if (outcome.kind === "unknown") return outcome
      const { succeeded, header } = outcome.answer
      // A transaction's writes get its revision
      return succeeded
        ? { kind: "written", version: header.revision as Version } // minted by the backends
        : { kind: "conflict" }
    },
    put: publisher.put,
    remove: publisher.remove,
    async watch(prefixes, changed, signal) {
      if (signal.aborted) return
      const scope = new AbortController()
      const releases = [linked(scope, signal), linked(scope, closing.signal)]
      const heard = (events: readonly IEvent[]): void => {
        if (events.length === 0) reads.forget()
        for (const { type, kv } of events) if (type === "Put") reads.noticed(kv)
        changed()
      }
      await watchAll(pool, probe, clock, prefixes, heard, scope.signal)
      for (const release of releases) release()
    },
    async leader(prefix, signal) {
      const answer = await ask(etcd, `list ${prefix}`, { success: [listOp(prefix)] }, signal)
      return byAge(entriesAt(answer, 0))[0]?.value ?? null
    },
    async unseat(prefix, value, signal) {
      const answer = await ask(etcd, `list ${prefix}`, { success: [listOp(prefix)] }, signal)
      const eldest = byAge(entriesAt(answer, 0))[0]
      if (eldest?.value !== value) return false
      const { key } = eldest
      const request = {
        compare: [created(key, String(eldest.created))],
        success: [deleteOp(key)],
      }
      return (await ask(etcd, `unseat ${key}`, request, signal)).succeeded
    },
    campaign: (prefix, value, signal) => campaign(polls, prefix, value, signal),
    async [Symbol.asyncDispose]() {
      if (closing.signal.aborted) return
      closing.abort(new StoreError("unavailable", "the store is closed"))
      pool.close()
    },
  }
  const polls = {
    ...store,
    clock,
    timeout,
    closed: closing.signal,
    stand: (prefix: string, value: string, ttl: Millis, signal: AbortSignal) =>
      stand(etcd, prefix, value, ttl, signal),
  }
  return store
}

/** A candidate: a lease, and under its number in hexadecimal a key with the candidate's name. */
async function stand(
  etcd: Etcd,
  prefix: string,
  value: string,
  ttl: Millis,
  signal: AbortSignal,
): Promise<Candidacy> {
  const lease = await grantLease(etcd, ttl, signal)
  const key = `${prefix}${BigInt(lease).toString(16)}`
  const quit = (timeout: Millis, signal: AbortSignal): Promise<void> =>
    revokeLease(etcd, lease, timeout, signal)
  try {
    const request = {
      compare: [created(key, "0")],
      success: [putOp(key, value, lease), getOp(key)],
      failure: [putOp(key, value, lease), getOp(key)], // sent twice: the key is ours already
    }
    const answer = await ask(etcd, `stand for election under ${key}`, request, signal)
    const entry = entriesAt(answer, 1)[0]
    if (entry === undefined) throw new StoreError("malformed", `etcd did not return ${key}`)
    return {
      key,
      created: entry.created,
      renew: (timeout, signal) => renewLease(etcd, lease, timeout, signal),
      quit,
    }
  } catch (error) {
    // The key may be there without us; it must not lead for the lease's whole length
    await quit(millis(Math.min(etcd.timeout, 1000)), new AbortController().signal).catch(() => {})
    throw error instanceof EtcdError
      ? new StoreError("unavailable", `stand for election: ${error.message}`, { cause: error })
      : error
  }
}
