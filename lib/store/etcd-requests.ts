/**
 * The requests of the etcd backend that may be repeated: transactions of which a second or late
 * application does no harm, and everything about leases.
 */
import { randomBytes } from "node:crypto"
import type { ITxnRequest, ITxnResponse } from "etcd3"
import type { Millis } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"
import type { Endpoint } from "./etcd-endpoint.ts"
import { EtcdError } from "./etcd-errors.ts"
import type { Pool } from "./etcd-pool.ts"
import { getOp } from "./etcd-text.ts"

/** What the parts of this backend share. */
export interface Etcd {
  readonly pool: Pool
  readonly clock: Clock
  readonly timeout: Millis
}

/**
 * The cheapest linearizable question: does this member have a quorum? About a key that our user may
 * read.
 */
export const probeOf =
  (key: string) =>
  (endpoint: Endpoint, signal: AbortSignal): Promise<unknown> =>
    endpoint.call("txn", { success: [getOp(key)] }, signal)

/** A transaction that may be repeated. */
export const ask = (
  { pool, timeout }: Etcd,
  doing: string,
  request: ITxnRequest,
  signal: AbortSignal,
): Promise<ITxnResponse> =>
  pool.ask(doing, (endpoint, signal) => endpoint.call("txn", request, signal), timeout, signal)

/**
 * A new lease. Its id is ours, so that asking twice makes one lease; and decimal, as the protocol's
 * JSON form has it.
 */
export async function grantLease(
  { pool, timeout }: Etcd,
  ttl: Millis,
  signal: AbortSignal,
): Promise<string> {
  const id = (BigInt(`0x${randomBytes(8).toString("hex")}`) >> 1n).toString()
  const grant = async (endpoint: Endpoint, signal: AbortSignal): Promise<void> => {
    try {
      await endpoint.call("leaseGrant", { ID: id, TTL: Math.ceil(ttl / 1000) }, signal)
    } catch (error) {
      if (!String(error).includes("lease already exists")) throw error
    }
  }
  await pool.ask("grant a lease", grant, timeout, signal)
  return id
}

/** False: there is no such lease any more. */
export const renewLease = (
  { pool }: Etcd,
  lease: string,
  timeout: Millis,
  signal: AbortSignal,
): Promise<boolean> =>
  pool.ask(
    "renew a lease",
    async (endpoint, signal) => (await endpoint.renew(lease, signal)) > 0,
    timeout,
    signal,
  )

/** Ends a lease and the keys that hang on it. */
export async function revokeLease(
  { pool }: Etcd,
  lease: string,
  timeout: Millis,
  signal: AbortSignal,
): Promise<void> {
  try {
    await pool.ask(
      "revoke a lease",
      (endpoint, signal) => endpoint.call("leaseRevoke", { ID: lease }, signal),
      timeout,
      signal,
    )
  } catch (error) {
    if (!(error instanceof EtcdError)) throw error // `lease`: gone already
  }
}
