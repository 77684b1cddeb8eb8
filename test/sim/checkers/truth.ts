/**
 * Words are true. Memory and words move only with a committed write (W5): what a sentinel says it
 * did about the primary and the gate must have stood in the store. A decision that lost its
 * compare-and-swap, told as if it had won, is found here.
 */
import type { ClusterData } from "#model/cluster.ts"
import type { Event } from "#model/events.ts"
import type { Sim } from "../sim.ts"

type Fact = "primary.elected" | "primary.deposed" | "gate.opened"

export function checkTruth(sim: Sim): void {
  const written = new Set<string>()
  sim.store.core.listeners.written.push((_, after) => {
    for (const fact of factsOf(after)) written.add(fact)
  })
  sim.hooks.said.push((who, { code, fields }: Event) => {
    if (code === "agent.failed" || code === "invariant.broken")
      return sim.fail("agents run", `${who} says ${code} ${JSON.stringify(fields)}`)
    if (code !== "primary.elected" && code !== "primary.deposed" && code !== "gate.opened") return
    const fact: Fact = code
    if (!written.has(`${fact} ${String(fields["db"])}`))
      sim.fail("W5 told only what was written", `${who} says ${code} ${JSON.stringify(fields)}`)
  })
}

function factsOf({ cluster, proxy }: ClusterData): readonly `${Fact} ${string}`[] {
  const { master, primaryRevoked } = cluster.status
  const { masterDbUid } = proxy.spec
  return [
    `primary.elected ${master}`,
    ...(primaryRevoked ? [`primary.deposed ${master}` as const] : []),
    ...(masterDbUid === "" ? [] : [`gate.opened ${masterDbUid}` as const]),
  ]
}
