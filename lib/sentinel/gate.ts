/**
 * The proxies' gate (G9, W3, N5): opened only to a primary that is healthy, has applied its
 * specification, accepts writes and is the system we know. Where nothing but the proxies fenced the
 * primary before, none of them may still be forwarding by an older gate (D-04, D-78 never exist
 * here); behind a fence of its own what they lead to acknowledges nothing.
 */
import { byText, sameSet } from "#base/order.ts"
import type { DBFact, Facts, ProxyFact } from "./facts.ts"
import { type Reducer, withGate } from "./round.ts"
import { awaitedProxies } from "./fence.ts"
import { isSynchronous } from "./spec.ts"

export const keepGate =
  (primary: DBFact): Reducer =>
  (data, round) => {
    const { spec } = data.proxy
    const serves = spec.masterDbUid === primary.uid
    // keys expire while the store is gone, and a sentinel may be the first that is back (W6, P6)
    const stays = ({ uid, heard, until }: ProxyFact): boolean =>
      serves && !heard && spec.enabledProxies.includes(uid) && round.now.mono <= until
    const enabled = round.facts.proxies
      .filter((proxy) => proxy.active || stays(proxy))
      .map((proxy) => proxy.uid)
      .toSorted(byText)
    if (serves) {
      round.over("gate.waiting")
      if (sameSet(enabled, spec.enabledProxies)) return data
      round.say("gate.proxies", { proxies: enabled.join(",") })
      return withGate(data, { ...spec, enabledProxies: enabled })
    }
    const missing = [
      ...unready(primary, round.facts),
      ...awaitedProxies(data, round.facts).map((uid) => `proxy ${uid}`),
    ]
    if (missing.length > 0) {
      round.sayOnce("gate.waiting", { db: primary.uid, missing: missing.join(", ") })
      return data
    }
    round.over("gate.waiting")
    round.say("gate.opened", {
      db: primary.uid,
      keeper: primary.keeper.uid,
      proxies: enabled.join(","),
    })
    return withGate(data, { masterDbUid: primary.uid, enabledProxies: enabled })
  }

/**
 * What the primary still lacks. A Go keeper does not publish `inRecovery`; its word for converged
 * is all there is.
 */
export function unready(primary: DBFact, facts: Facts): string[] {
  const { state, db } = primary
  const missing: string[] = []
  if (!primary.up) missing.push("a healthy PostgreSQL")
  if (primary.convergence !== "converged") missing.push("its specification applied")
  if (state?.inRecovery === true && facts.spec.role === "master")
    missing.push("the end of recovery")
  // the first commits of a synchronous cluster wait for a standby, too (W3)
  if (isSynchronous(facts.spec) && !db.spec.synchronousReplication)
    missing.push("synchronous replication applied")
  // a Go keeper says so while its reload is still under way; by its next word it has arrived (D-03)
  if (isSynchronous(facts.spec) && !primary.keeper.obeys && !primary.keeper.repeated)
    missing.push("a second report that its synchronous names are applied")
  if (
    state !== null &&
    state.systemID !== "" &&
    db.status.systemdID !== "" &&
    state.systemID !== db.status.systemdID
  )
    missing.push(`system identifier ${db.status.systemdID}`)
  return missing
}
