/**
 * Keys that only this process writes, each on a lease of its own that lives as long as the key is
 * put again and again. A lease is a fifth longer than asked for, so that only every few puts have
 * to renew it.
 *
 * A put compares the version that we know: sent to two endpoints it is applied once, and a copy
 * that a frozen member finds in its queue minutes later does nothing, where a blind put would bring
 * a dead component back to life (G7).
 */
import { type Millis, millis } from "#base/brand.ts"
import { EtcdError } from "./etcd-errors.ts"
import { deleteOp, entriesAt, getOp, modified, putOp } from "./etcd-text.ts"
import { type Etcd, ask, grantLease, renewLease, revokeLease } from "./etcd-requests.ts"
import type { KeyValue } from "./keyvalue.ts"
import { orAborted, queue } from "./scope.ts"

interface Published {
  readonly lease: string
  readonly ttl: Millis
  /** Before this it was not asked for; it ends no earlier than a fifth more than `ttl` after. */
  readonly renewed: Millis
}
const spare = (ttl: Millis): number => ttl / 5

/** How one attempt to put a key ended. */
type Put =
  | { readonly kind: "done" }
  | { readonly kind: "other" } // the key was not as we left it; now we know how it is
  | { readonly kind: "lease" } // the lease has ended

export function publisherOf(etcd: Etcd): Pick<KeyValue, "put" | "remove"> {
  const leases = new Map<string, Published>()
  const versions = new Map<string, string>()
  const queues = new Map<string, ReturnType<typeof queue>>()
  const inTurn = (key: string): ReturnType<typeof queue> => {
    const found = queues.get(key) ?? queue()
    queues.set(key, found)
    return found
  }

  const putOnce = async (
    left: Etcd,
    key: string,
    value: string,
    lease: string,
    signal: AbortSignal,
  ): Promise<Put> => {
    const request = {
      compare: [modified(key, versions.get(key) ?? "0")],
      success: [putOp(key, value, lease)],
      failure: [getOp(key)],
    }
    try {
      const answer = await ask(left, `publish ${key}`, request, signal)
      const version = answer.succeeded
        ? answer.header.revision
        : (entriesAt(answer, 0)[0]?.version ?? "0")
      versions.set(key, version)
      return { kind: answer.succeeded ? "done" : "other" }
    } catch (error) {
      if (error instanceof EtcdError) return { kind: "lease" }
      throw error
    }
  }
  /** A lease for `key`; renewed by now, or in a moment. */
  const leaseFor = async (
    left: Etcd,
    key: string,
    ttl: Millis,
    signal: AbortSignal,
  ): Promise<{ readonly lease: string; readonly renewal: Promise<boolean> }> => {
    const known = leases.get(key)
    const started = left.clock.now().mono
    if (known?.ttl !== ttl) {
      const lease = await grantLease(left, millis(ttl + spare(ttl)), signal)
      leases.set(key, { lease, ttl, renewed: started })
      return { lease, renewal: Promise.resolve(true) }
    }
    const { lease, renewed } = known
    if (started - renewed < spare(ttl)) return { lease, renewal: Promise.resolve(true) }
    return { lease, renewal: renew(left, key, known, signal) }
  }
  const renew = async (
    left: Etcd,
    key: string,
    known: Published,
    signal: AbortSignal,
  ): Promise<boolean> => {
    const started = left.clock.now().mono
    const held = await renewLease(left, known.lease, left.timeout, signal)
    if (held && leases.get(key) === known) leases.set(key, { ...known, renewed: started })
    return held
  }
  /** Puts and renews side by side until both hold. */
  const put = async (
    left: Etcd,
    key: string,
    value: string,
    ttl: Millis,
    signal: AbortSignal,
  ): Promise<void> => {
    for (;;) {
      const { lease, renewal } = await leaseFor(left, key, ttl, signal)
      const [renewed, result] = await both(renewal, putOnce(left, key, value, lease, signal))
      if (!renewed || result.kind === "lease") leases.delete(key)
      else if (result.kind === "done") return
    }
  }
  const remove = async (left: Etcd, key: string, signal: AbortSignal): Promise<void> => {
    const known = leases.get(key)
    leases.delete(key)
    for (let gone = false; !gone;) {
      const request = {
        compare: [modified(key, versions.get(key) ?? "0")],
        success: [deleteOp(key)],
        failure: [getOp(key)],
      }
      const answer = await ask(left, `remove ${key}`, request, signal)
      gone = answer.succeeded
      versions.set(key, gone ? "0" : (entriesAt(answer, 0)[0]?.version ?? "0"))
    }
    versions.delete(key)
    if (known !== undefined) await revokeLease(left, known.lease, left.timeout, signal)
  }
  /**
   * One after the other for each key; each has the store's timeout from when it was asked for,
   * waiting included.
   */
  const bounded = (
    key: string,
    signal: AbortSignal,
    work: (left: Etcd) => Promise<void>,
  ): Promise<void> => {
    signal.throwIfAborted()
    const end = etcd.clock.now().mono + etcd.timeout
    const left: Etcd = {
      ...etcd,
      get timeout() {
        return millis(Math.ceil(end - etcd.clock.now().mono))
      },
    }
    const mine = inTurn(key)(async () => {
      signal.throwIfAborted()
      await work(left)
    })
    return orAborted(mine, signal)
  }
  return {
    put: async (key, value, ttl, signal) =>
      bounded(key, signal, (left) => put(left, key, value, ttl, signal)),
    remove: async (key, signal) => bounded(key, signal, (left) => remove(left, key, signal)),
  }
}

/** Waits for both, so that nothing runs on behind an error. */
async function both<A, B>(a: Promise<A>, b: Promise<B>): Promise<readonly [A, B]> {
  const [first, second] = await Promise.allSettled([a, b])
  if (first.status === "rejected") throw first.reason
  if (second.status === "rejected") throw second.reason
  return [first.value, second.value]
}
