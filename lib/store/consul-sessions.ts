/**
 * Consul's sessions, which are its leases: whoever stops renewing one loses what it holds.
 *
 * Consul ends a session between one and two times its length after the last renewal, and knows
 * none below ten seconds; for a time to live we ask for half of it, as Go does. Ours have no
 * health check of a node: they stand or fall with their renewals, whichever agent is asked.
 */
import * as v from "valibot"
import type { Millis } from "#base/brand.ts"
import { type HttpPool, type HttpRequest, refusal } from "./http-pool.ts"
import { parsed } from "./consul-text.ts"

/** What becomes of the keys that a session holds when it ends. */
type Behavior = "delete" | "release"

const shortest = 10
const longest = 86_400

/** Whole seconds, for a key that is to live for `ttl`. */
export const lengthFor = (ttl: Millis): number =>
  Math.min(longest, Math.max(shortest, Math.ceil(ttl / 2_000)))

/** Named after the key that it is for, so that a list of sessions says something. */
export async function createSession(
  consul: HttpPool,
  key: string,
  seconds: number,
  behavior: Behavior,
  signal: AbortSignal,
): Promise<string> {
  const request: HttpRequest = {
    method: "PUT",
    path: "session/create",
    body: JSON.stringify({
      ...{ Name: key, TTL: `${seconds}s`, Behavior: behavior, LockDelay: "1ms" },
      ...{ Checks: [], NodeChecks: [] },
    }),
  }
  // asked twice, one of the two ends by itself and holds nothing
  const reply = await consul.ask(request, signal)
  if (reply.status !== 200) throw refusal(request, reply)
  return parsed(v.object({ ID: v.string() }), request, reply).ID
}

/** False: it has ended and will not come back. */
export async function renewSession(
  consul: HttpPool,
  id: string,
  signal: AbortSignal,
): Promise<boolean> {
  const request: HttpRequest = { method: "PUT", path: `session/renew/${id}` }
  const reply = await consul.ask(request, signal)
  if (reply.status === 404) return false
  if (reply.status !== 200) throw refusal(request, reply)
  return true
}

/** What it holds is free, or gone, at once. One that has ended already is fine. */
export async function destroySession(
  consul: HttpPool,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const request: HttpRequest = { method: "PUT", path: `session/destroy/${id}` }
  const reply = await consul.ask(request, signal)
  if (reply.status !== 200 && reply.status !== 404) throw refusal(request, reply)
}
